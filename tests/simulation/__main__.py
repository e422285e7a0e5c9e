"""`make simulate`: plays schedules on all cores, from where the last run ended; ARGS=--seed N tells one's story."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

from tests.simulation.coverage import Row, recorded, rows_by_name
from tests.simulation.keys import KeyedWorld
from tests.simulation.shared import computed_once
from tests.simulation.world import World

LAST_SEED = Path(".simulation-seed")
_CHUNK = 100
_MOST_SHOWN = 20
# Of the tests' 3,000 seeds, 188: with them keys meet each kind of fault.
_KEYED_EVERY = 16


def play(seeds: range) -> tuple[list[tuple[int, str]], set[Row]]:
    """Play some schedules; return what is wrong with which, and the rows of the tables that they went through."""
    logging.disable(logging.CRITICAL)
    # A schedule makes many small objects and few cycles; what the modules have made is never garbage. Once: cycles that
    # are not collected yet would stay for ever.
    if not gc.get_freeze_count():
        gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    bad = []
    with recorded() as seen, computed_once():
        for seed in seeds:
            problems = [problem for world in _worlds(seed) for problem in world.run()]
            if problems:
                bad.append((seed, problems[0]))
    return bad, seen


def tell(seed: int) -> int:
    """Play one schedule and tell its story."""
    logging.disable(logging.CRITICAL)
    found = 0
    for world in _worlds(seed, tells=True):
        problems = world.run()
        found += len(problems)
        print("\n".join([*world.story, *(problems or ["nothing is wrong"])]))
    return int(found > 0)


def _worlds(seed: int, *, tells: bool = False) -> list[World]:
    """Return the schedules of a seed: one, and for some seeds another one with JOIN_KEYS."""
    keyed: list[World] = [KeyedWorld(seed, tells=tells)] if seed % _KEYED_EVERY == 0 else []
    return [World(seed, tells=tells), *keyed]


def _chunks(first: int, schedules: int | None, size: int) -> Iterator[range]:
    starts = count(first, size) if schedules is None else iter(range(first, first + schedules, size))
    for start in starts:
        yield range(start, start + size if schedules is None else min(start + size, first + schedules))


class _Here(Executor):
    """Plays in this process: for a profile, or a measurement of coverage."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def main() -> int:
    """Run it; status 1 where a schedule violates an invariant."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this schedule alone, and tell its story")
    parser.add_argument("--first", type=int, help="first seed (default: after the last one of the run before)")
    parser.add_argument("--schedules", type=int, help="how many (default: as many as the time allows)")
    parser.add_argument("--until-found", action="store_true", help="end with the first that violates an invariant")
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long (default: 5)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="at once (default: one per core; 0: in this one)"
    )
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return tell(arguments.seed)
    first = arguments.first
    if first is None:
        first = int(LAST_SEED.read_text()) + 1 if LAST_SEED.exists() else 0
    started = time.monotonic()
    bad: list[tuple[int, str]] = []
    seen: set[Row] = set()
    played = 0
    chunks = _chunks(first, arguments.schedules, 20 if arguments.until_found else _CHUNK)
    with ProcessPoolExecutor(arguments.processes) if arguments.processes else _Here() as pool:
        running = [(chunk, pool.submit(play, chunk)) for chunk in islice(chunks, 2 * arguments.processes or 1)]
        while running:
            chunk, future = running.pop(0)
            found, rows = future.result()
            bad += found
            seen |= rows
            played += len(chunk)
            if arguments.first is None:
                LAST_SEED.write_text(f"{chunk[-1]}\n")
            for seed, problem in found[: max(_MOST_SHOWN - len(bad), 1)]:
                print(f"seed {seed}: {problem[:300]}", flush=True)
            if bad and arguments.until_found:
                return 1
            is_over = time.monotonic() - started > arguments.minutes * 60 and arguments.schedules is None
            if not is_over and (following := next(chunks, None)) is not None:
                running.append((following, pool.submit(play, following)))
    seconds = time.monotonic() - started
    every = rows_by_name()
    print(
        f"seeds {first} to {first + played - 1}: {played} schedules in {seconds:.0f} s "
        f"({played / seconds:.0f} a second), {len(bad)} with problems"
    )
    print(f"(state, action, outcome): {len(seen & every)} of {len(every)} rows of the tables")
    for row in sorted(every - seen):
        print("  not seen: " + ", ".join(row))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
