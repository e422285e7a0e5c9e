"""Runs a command of `request-logger` in a process of its own, and says what that took.

The peak memory that the kernel reports of a process includes what its parent had at its start, and a benchmark has
more than the commands. So a small process starts the command, and reports its figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_RELAY = """
import json, os, resource, subprocess, sys, time
started = time.perf_counter()
status = subprocess.call(sys.argv[2:], close_fds=True)
seconds = time.perf_counter() - started
# Linux reports the peak memory of a process in KiB.
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
os.write(int(sys.argv[1]), json.dumps([status, seconds, memory]).encode())
"""
_CLI = (sys.executable, "-m", "request_logger.cli")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, its seconds, and the most memory of its process in MB."""

    output: bytes
    seconds: float
    memory: float


def run(url: str, arguments: Sequence[str], *, fine: Sequence[int] = (0,)) -> Ran:
    """Run a command on the engine at ``url``. Raises RuntimeError if its status is not in ``fine``."""
    parts = urlsplit(url)
    engine = {"ELASTICSEARCH_HOST": str(parts.hostname), "ELASTICSEARCH_PORT": str(parts.port)}
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb") as told:
        line: list[Any] = [sys.executable, "-I", "-S", "-c", _RELAY, str(writes), *_CLI, *arguments]
        process = subprocess.Popen(line, env={**os.environ, **engine}, stdout=subprocess.PIPE, pass_fds=[writes])
        os.close(writes)
        output, _ = process.communicate()
        status, seconds, memory = json.loads(told.read())
    if status not in fine:
        raise RuntimeError(f"{' '.join(arguments)}: status {status}: {output[-300:].decode(errors='replace')}")
    return Ran(output, seconds, memory)
