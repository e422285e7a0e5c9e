"""`request-logger backfill`: store the events of archives, such as those of KServe and of POST /v1/marshal."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from tqdm import tqdm

from request_logger import logs
from request_logger.backfill.backfill import Backfill
from request_logger.backfill.files import SUFFIXES, check
from request_logger.backfill.state import Counts, Fate, State
from request_logger.commands.durations import seconds
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.startup_checks import startup_problems
from request_logger.composition import build
from request_logger.errors import CommandError
from request_logger.settings import Settings, SettingsError
from request_logger.signals import stopped_by_signals

# No sender waits for an answer here: an event may wait this many times STORE_TIMEOUT_SECONDS.
_TIMEOUTS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help=f"files, directories (read recursively) or globs in quotes; names end in {', '.join(SUFFIXES)}",
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        type=Path,
        default=Path("backfill.state.json"),
        help="where the progress is saved, from which an interrupted backfill continues (default: backfill.state.json)",
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="how long to retry while the search engine stores nothing (default: 600)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Store the events. Status 0: all are stored, 1: some can't be, 2: no search engine, or wrong usage."""
    settings, problems = Settings.read()
    # The archive is what keeps the events until they are stored; and feedback was replied to when it was sent.
    settings = replace(settings, spool_dir="", queue="fallback", reply_url="")
    logs.configure(settings.log_level, settings.log_format)
    problems += startup_problems(settings)
    if problems:
        raise SettingsError("\n".join(problems))
    check(arguments.paths)
    quiet_engine(settings)
    patient = replace(settings, store_timeout_seconds=_TIMEOUTS * settings.store_timeout_seconds)
    state = State(arguments.state, [*arguments.paths, settings.elasticsearch_host])
    parts = build(patient, CollectorRegistry())
    # An archive may have events of erased ids.
    parts.erased.wait(arguments.patience)
    with _Progress() as progress, stopped_by_signals():
        if state.counts.entries:
            progress.say(f"continuing after {state.counts.entries:,} events, according to {state.path}")
        backfill = Backfill(
            parts.pipeline, settings, state, patience=arguments.patience, told=progress.tell, say=progress.say
        )
        try:
            backfill.run(arguments.paths)
        except (CommandError, KeyboardInterrupt):
            progress.close()
            print(_summary(state.counts))
            raise
        parts.close()
    print(_summary(state.counts))
    return int(not state.counts.is_good)


class _Progress:
    """The progress on standard error, if that is a terminal. A context manager."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        self._bar = tqdm(total=None, unit=" events", disable=None, smoothing=0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, state: State) -> None:
        """Show the events whose fate is known, and the file under way."""
        self._bar.set_postfix_str(Path(state.position.file).name, refresh=False)
        self._bar.update(state.counts.entries - self._bar.n)

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


def _summary(counts: Counts) -> str:
    fates = ", ".join(f"{counts.fates[fate]:,} {fate.value}" for fate in Fate)
    files = f"; {counts.bad_files:,} files could not be read to their end" if counts.bad_files else ""
    return f"{counts.entries:,} events: {fates}{files}"
