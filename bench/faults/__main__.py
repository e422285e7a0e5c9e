"""`python -m bench.faults`: inject faults into real engines and servers, and print a table of losses (none).

A sender with a steady rate sends predictions (request, response, feedback) to a real server with its default settings,
and retries events that are not acknowledged, while the row's fault happens. Then the engine is queried for every
acknowledged event. Status 1 if one is missing or duplicated, if an event was never acknowledged, or if a row's own
condition fails, such as that no sender has to retry if there is a spool.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from collections.abc import Iterator, Sequence

from bench.faults import page
from bench.faults.counting import Count
from bench.faults.crowd import allow_connections
from bench.faults.rows import ROWS, Row
from bench.faults.stage import Stage
from request_logger.embedded_engine import EmbeddedEngine, start_cluster, start_engine

SECONDS = 20.0
RATE = 150.0
MINUTES = 30.0
# A busy machine takes minutes to start an engine, which must not end a soak.
_START_SECONDS = 600.0
_LONG = [name for name, row in ROWS.items() if row.only_named]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named rows, by default all, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description="What breaks, and what is lost.")
    default = f"default: all but {', '.join(_LONG)}"
    parser.add_argument("rows", nargs="*", metavar="row", help=f"one of {', '.join(ROWS)} ({default})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"length of a row (default: {SECONDS:.0f})")
    parser.add_argument("--rate", type=float, default=RATE, help=f"events a second (default: {RATE:.0f})")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"length of the row soak (default: {MINUTES:.0f})"
    )
    parser.add_argument("--seed", type=int, help="seed of the row soak (default: a new one, which is printed)")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/faults.md has it")
    parser.add_argument("--write", action="store_true", help="replace the rows in docs/faults.md, unless they fail")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: expected some of {', '.join(ROWS)}")
    allow_connections(8192)
    results: dict[str, Count] = {}
    usual = [name for name in ROWS if name not in _LONG]
    seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    for engines, row in _staged([ROWS[name] for name in chosen.rows or usual]):
        _tell(f"{row.name}: {row.what} ...")
        started = time.monotonic()
        stage = Stage(engines, chosen.seconds, chosen.rate, minutes=chosen.minutes, seed=seed, tell=_tell)
        result = results[row.name] = stage.run(row.happen)
        _tell(f"  {time.monotonic() - started:.0f} s")
        for line in [*(f"note: {note}" for note in result.notes), *(f"FAILED: {text}" for text in result.problems)]:
            _tell(f"  {line}")
    if chosen.markdown:
        print("\n".join(page.markdown(results)))
    else:
        _print_table(results)
    failed = [name for name, result in results.items() if result.problems]
    if chosen.write:
        page.write({name: result for name, result in results.items() if name not in failed})
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return int(bool(failed))


def _staged(rows: Sequence[Row]) -> Iterator[tuple[Sequence[EmbeddedEngine], Row]]:
    """Yield each row with an engine of its configuration; consecutive rows of one configuration share an engine."""
    with contextlib.ExitStack() as stack:
        engines: Sequence[EmbeddedEngine] = ()
        configuration = None
        for row in rows:
            if (row.nodes, row.settings) != configuration:
                stack.close()
                configuration = (row.nodes, row.settings)
                if row.nodes > 1:
                    engines = stack.enter_context(
                        start_cluster(row.nodes, settings=row.settings, progress=_tell, timeout=_START_SECONDS)
                    )
                else:
                    engine = start_engine(settings=row.settings, progress=_tell, timeout=_START_SECONDS)
                    engines = [stack.enter_context(engine)]
            yield engines, row


def _print_table(results: dict[str, Count]) -> None:
    for name, _, *figures in page.table(results):
        print(f"{name:20}" + "".join(f"{figure:>13}" for figure in figures))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
