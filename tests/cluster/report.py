"""The steps of the check: each passes or fails by itself, and a table at the end lists them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from request_logger.embedded_engine import EngineFailed

# The reasons of one step; more is in its programs' logs.
_REASON_CHARACTERS = 2000


@dataclass
class Step:
    """What became of one step: why it failed, or empty."""

    name: str
    seconds: float
    reason: str


@dataclass
class Report:
    """Collects the steps; a step that fails doesn't stop the others."""

    only: str = ""
    steps: list[Step] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a step has failed, or none was run."""
        return not self.steps or any(step.reason for step in self.steps)

    def chosen(self, group: str) -> bool:
        """Whether a group of steps is to be run."""
        return self.only in group

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step: it fails if an assertion or a command in the block does."""
        started, before = time.monotonic(), len(self.steps)
        reason = ""
        try:
            yield
        except (AssertionError, LookupError, OSError, ValueError, subprocess.SubprocessError, EngineFailed) as error:
            reason = f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS]
        # A step may have others within it: each second counts once.
        within = sum(step.seconds for step in self.steps[before:])
        step = Step(name, time.monotonic() - started - within, reason)
        self.steps.append(step)
        print(f"{'FAIL' if reason else 'pass'} {step.seconds:6.1f} s  {name}", flush=True)
        if reason:
            print("    " + reason.replace("\n", "\n    "), flush=True)

    def print_summary(self) -> None:
        """A line per group, the failed steps by name, and the number of both."""
        groups: dict[str, list[Step]] = {}
        for step in self.steps:
            groups.setdefault(step.name.partition(":")[0], []).append(step)
        print("\n| what | steps | failed | seconds |\n|---|---|---|---|")
        for group, steps in groups.items():
            failed = [step.name.partition(": ")[2] for step in steps if step.reason]
            seconds = sum(step.seconds for step in steps)
            print(f"| {group} | {len(steps)} | {'; '.join(failed) or 0} | {seconds:.0f} |")
        failures = sum(bool(step.reason) for step in self.steps)
        print(f"{len(self.steps)} steps, {failures} failed", file=sys.stderr if failures else sys.stdout, flush=True)
