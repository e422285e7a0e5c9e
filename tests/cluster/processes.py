"""Starts programs that end with the check, however it ends."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# Its standard input is a pipe from us: when we end, of whatever, it is closed, and the program is killed. The shell
# ends with the program, too.
_TIED = 'exec 3<&0; "$@" 3<&- & program=$!; { cat <&3 > /dev/null; kill -9 $program; } 2> /dev/null & wait $program'
_LAST_LINES = 3000


class NotStarted(AssertionError):  # noqa: N818  # as EngineUnavailable
    """A program has ended, or isn't ready in time; with the end of its log."""


@contextlib.contextmanager
def run(command: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the duration of the block; what it prints goes to a file. At the end it is killed."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["sh", "-c", _TIED, "sh", *command], stdin=subprocess.PIPE, stdout=output, stderr=output, env=dict(env)
        )
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(10)


def wait(is_ready: Callable[[], bool], what: str, seconds: float = 60, log: Path | None = None) -> None:
    """Ask until it is so. Raises NotStarted after that many seconds."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        if time.monotonic() > deadline:
            end = log.read_text(encoding="utf-8", errors="replace")[-_LAST_LINES:] if log else ""
            raise NotStarted(f"{what}: not so after {seconds:.0f} s\n{end}".rstrip())
        time.sleep(0.1)
