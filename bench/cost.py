"""`python -m bench.cost`: what a prediction costs the search engine and the logger, by its body and how it arrives.

Bodies: 4, 37, 155 and 1,000 named columns, texts of 1 KB and 20 KB, an image, a batch of 100 rows. Lanes:

writes-1, 2, 3   a document is written so many times, in large _bulk requests: its events arrive in one batch, the
                 feedback later, or all three apart
http-16, 64      one event per request, at full load over so many connections
kafka            one consumer reads all events of a topic
ordinary         200 predictions per second (`bench.ordinary`); not for all bodies

Engine and logger run on this machine, with the logger's default settings. Bytes are those of the index in one segment,
and with the overwritten copies that the engine keeps for some hours. Each row is checked: no acknowledged event is
missing, no document is a duplicate.

--before COMMIT runs that commit's code in turns with the code here, on the same engine. --write puts the figures of the
code here into the table of `request-logger size`, and the results into docs/scaling.md; with --only, the rest is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench import cost_lanes, shapes
from bench.cost_lanes import Kafka, Lane
from bench.cost_page import write
from bench.cost_table import add_common_arguments, ended, measured
from bench.ordinary_traffic import Traffic
from bench.shapes import Shape
from request_logger.errors import CommandError

# Name on the command line -> body, and requests per row: enough for some seconds of CPU, and few for large bodies.
BODIES: dict[str, tuple[Shape, int]] = {
    "columns-4": (shapes.columns(4), 1500),
    "columns-37": (shapes.columns(37), 1500),
    "columns-155": (shapes.columns(155), 800),
    "columns-1000": (shapes.columns(1000), 200),
    "text-1k": (shapes.text(1000), 1500),
    "text-20k": (shapes.text(20_000), 400),
    "image": (shapes.image(), 300),
    "batch-100": (shapes.batch(100, 37), 20),
}
# In ordinary traffic a row takes half a minute.
ORDINARY_BODIES = ("columns-4", "columns-37", "columns-155")
_QUICK_SHARE = 4
_QUICK_SECONDS = 8.0


def lanes_by_name(kafka: Kafka, seconds: float) -> dict[str, Lane]:
    """Return the lanes; ``seconds`` is the length of ordinary traffic."""
    return {
        **{f"writes-{number}": cost_lanes.batches(number) for number in cost_lanes.WRITES},
        **{f"http-{connections}": cost_lanes.single(connections) for connections in cost_lanes.CONNECTIONS},
        "kafka": kafka.run,
        "ordinary": cost_lanes.ordinary(Traffic(seconds=seconds)),
    }


def chosen(only: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the rows (body, lane) that --only selects: of all named bodies all named lanes; by default all.

    Raises CommandError for an unknown name.
    """
    unknown = [name for name in only if name not in BODIES and name not in names]
    if unknown:
        raise CommandError(f"--only: expected some of {', '.join([*BODIES, *names])}, found {', '.join(unknown)}")
    bodies = [name for name in BODIES if name in only] or list(BODIES)
    wanted = [name for name in names if name in only] or list(names)
    return [(body, lane) for lane in wanted for body in bodies if lane != "ordinary" or body in ORDINARY_BODIES]


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if an acknowledged event is missing or a document is duplicated."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description="What a prediction costs.")
    add_common_arguments(parser)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these bodies and lanes")
    parser.add_argument("--quick", action="store_true", help="shorter rows, with less exact figures")
    parser.add_argument("--write", action="store_true", help="write the figures that `request-logger size` uses")
    arguments = parser.parse_args(given)
    try:
        with Kafka() as kafka:
            by_name = lanes_by_name(kafka, _QUICK_SECONDS if arguments.quick else Traffic().seconds)
            work = []
            for body, lane in chosen(arguments.only, list(by_name)):
                shape, predictions = BODIES[body]
                work.append((shape, by_name[lane], predictions // _QUICK_SHARE if arguments.quick else predictions))
            rows = measured(arguments, work)
        status = ended(rows)
        if arguments.write:
            if status:
                raise CommandError("--write: nothing is written, since a row failed")
            write(rows)
    except CommandError as error:
        print(f"bench.cost: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
