"""Measures a load: rate, latencies, and CPU time and memory of the processes that served it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import load
from bench.engines import Client
from request_logger.errors import CommandError


@dataclass(frozen=True, slots=True)
class Measured:
    """The cost of a load. ``events`` were acknowledged, CPU is in seconds, memory in MB per process."""

    events: int
    failed: int
    seconds: float
    p50: float
    p95: float
    p99: float
    logger_cpu: float
    engine_cpu: float
    memory: float

    @property
    def rate(self) -> float:
        """Acknowledged events a second."""
        return self.events / self.seconds


def processes(pid: int) -> list[psutil.Process]:
    """Return a process and all of its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu(pids: Sequence[psutil.Process]) -> float:
    """Return the CPU seconds that processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in pids)


def compiler_cpu(pids: Sequence[psutil.Process]) -> float:
    """Return the CPU seconds that the compilers of Java processes have used so far (Linux)."""
    seconds = 0.0
    for process in pids:
        for thread in process.threads():
            name = Path(f"/proc/{process.pid}/task/{thread.id}/comm")
            with contextlib.suppress(OSError):
                if "Compiler" in name.read_text(encoding="utf-8"):
                    seconds += thread.user_time + thread.system_time
    return seconds


def engine_processes() -> list[psutil.Process]:
    """Return the Java processes among the descendants of this one."""
    return [process for process in psutil.Process().children(recursive=True) if process.name() == "java"]


def engine_processes_at(url: str) -> list[psutil.Process]:
    """Return the engine's processes on this machine, by what the engine at a URL says.

    Raises CommandError if it doesn't answer, or is not on this machine: then its CPU time can't be measured.
    """
    try:
        nodes = Client(url).ask("GET", "/_nodes/process")["nodes"].values()
    except OSError as error:
        raise CommandError(f"the engine at {url} doesn't answer: {error}") from None
    try:
        found = [psutil.Process(node["process"]["id"]) for node in nodes]
        local = all(process.name() == "java" for process in found)
    except psutil.Error:
        local = False
    if not local:
        raise CommandError(f"the engine at {url} is not on this machine: its CPU time can't be measured")
    return found


def measure(
    url: str | Sequence[str],
    requests: Sequence[load.Request],
    server: int | Sequence[int] | None,
    engine: Sequence[psutil.Process],
    *,
    connections: int = 16,
    events_each: int = 1,
) -> Measured:
    """Send the requests and return the cost. ``server`` is the pid of the server's parent process, or several pids."""
    parents = [] if server is None else [server] if isinstance(server, int) else server
    served = [process for pid in parents for process in processes(pid)]
    before = cpu(served), cpu(engine)
    run = load.run(url, requests, connections=connections, processes=min(2, connections))
    memory = max((process.memory_info().rss for process in served[1:]), default=0) / 2**20
    times = [run.percentile(share) for share in (0.5, 0.95, 0.99)]
    good = (len(run.results) - run.failed) * events_each
    used = cpu(served) - before[0], cpu(engine) - before[1]
    return Measured(good, run.failed * events_each, run.seconds, *times, *used, memory)


def timed(work: Callable[[], int], engine: Sequence[psutil.Process]) -> Measured:
    """Measure a function that writes to the engine directly and returns the number of stored events."""
    mine = [psutil.Process()]
    before, started = (cpu(mine), cpu(engine)), time.monotonic()
    events = work()
    seconds = time.monotonic() - started
    return Measured(events, 0, seconds, 0, 0, 0, cpu(mine) - before[0], cpu(engine) - before[1], 0)
