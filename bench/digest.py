"""`python -m bench.digest --before COMMIT`: do two versions of the logger store the same, and what does an event cost?

Servers of both versions get the same events: single events, structured events and batches, with bodies of all protocols
(`lanes.mixed`). Each has an engine in memory of its own (`bench.memory_engine`), whose documents are hashed. Documents
that differ are listed by the fields that differ; the status is 1 unless --expected names all of these.

The CPU time is that of the server's processes per event: of the mixed events, and with --sizes of bodies of one size.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from bench import lanes, load
from bench.engines import Client
from bench.measure import cpu, processes
from bench.memory_engine import memory_engine
from bench.versions import Version, versions
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.errors import CommandError

# As many documents are compared field by field.
_MOST_COMPARED = 2000
_SERVE = ("-P", "-m", "request_logger.cli", "serve")
# One worker, so that the figures are those of one process; the client's requests must not time out on a busy machine.
_SETTINGS = {"GUNICORN_WORKERS": "1", "STORE_TIMEOUT_SECONDS": "120", "ELASTICSEARCH_TIMEOUT_SECONDS": "120"}
_CONNECTIONS = {"http": 16, "structured": 16, "batch": 4}


def requests_of(lane: str, events: Iterable[lanes.Sent]) -> Iterator[load.Request]:
    """Yield the HTTP requests that send some events in a lane."""
    for number, raw in enumerate(lanes.posts(lane, events)):
        yield load.Request((number, lane), raw)


class Side:
    """A server of one version, with an engine of its own."""

    def __init__(self, version: Version, stack: ExitStack, packages: str) -> None:
        self.version = version
        url = stack.enter_context(memory_engine())
        self.engine = Client(url)
        environment = version.environment(**engine_settings(url), **_SETTINGS)
        environment["PYTHONPATH"] += f"{os.pathsep}{packages}" if packages else ""
        self._server = stack.enter_context(LocalServer(environment, python=_SERVE, folder=version.folder))

    def cost(self, lane: str, events: list[lanes.Sent], connections: int) -> float:
        """Send events; return the server's CPU seconds per event. Raises CommandError if one is not acknowledged."""
        served = processes(self._server.pid)
        before = cpu(served)
        requests = list(requests_of(lane, events))
        run = load.run(self._server.url, requests, connections=connections, processes=min(2, connections))
        if run.failed:
            statuses = Counter(result.status for result in run.results)
            raise CommandError(f"{self.version.label}: {lane}: not all requests were acknowledged: {dict(statuses)}")
        return (cpu(served) - before) / len(events)


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields in which two documents differ; a list counts as a whole."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            inner = f"{path}.{name}" if path else name
            if name in one and name in other:
                yield from differences(one[name], other[name], inner)
            else:
                yield inner
    elif one != other or type(one) is not type(other):
        yield path


def compared(before: Client, after: Client) -> tuple[int, Counter[str]]:
    """Return the number of documents that differ, and of documents by the field that differs."""
    old, new = (engine.ask("GET", "/_digests") for engine in (before, after))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    wanted = {"docs": [dict(zip(("_index", "_id"), key.split("/", 1), strict=True)) for key in keys[:_MOST_COMPARED]]}
    found = [engine.ask("POST", "/_mget", wanted)["docs"] if keys else [] for engine in (before, after)]
    fields: Counter[str] = Counter()
    for pair in zip(*found, strict=True):
        one, other = ({**each.get("_source", {})} for each in pair)
        for document in (one, other):
            document["metrics"] = {**document.get("metrics", {}), "scored_at": ""}
        fields.update(set(differences(one, other)))
    return len(keys), fields


def main() -> int:
    """Send the events, compare and print; status 1 if documents differ in other fields than the expected ones."""
    parser = argparse.ArgumentParser(prog="python -m bench.digest", description="The documents of two versions.")
    parser.add_argument("--before", metavar="COMMIT", required=True, help="the version to compare with")
    parser.add_argument("--packages", default="", help="a folder with packages that only the other version needs")
    parser.add_argument("--events", type=int, default=100_000, help="mixed events (default: 100,000)")
    parser.add_argument("--lanes", nargs="+", choices=list(_CONNECTIONS), default=list(_CONNECTIONS))
    parser.add_argument("--expected", nargs="*", default=[], help="paths of fields that have changed on purpose")
    sizes = list(lanes.request_bodies())
    parser.add_argument("--sizes", nargs="*", default=[], choices=sizes, help="bodies to measure")
    parser.add_argument("--predictions", type=int, default=5000, help="predictions per size and lane (default: 5,000)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        old, new = stack.enter_context(versions(arguments.before))
        before, after = Side(old, stack, arguments.packages), Side(new, stack, "")
        print("| lane | body | before, µs | after, µs | before / after |\n|---|---|---:|---:|---:|", flush=True)
        for lane in arguments.lanes:
            loads = {"mixed": list(lanes.mixed(arguments.events // len(arguments.lanes), f"mixed-{lane}"))}
            for size in arguments.sizes:
                request, whole = lanes.request_bodies()[size]
                name = f"{lane}-{size.replace(' ', '-').lower()}"
                loads[size] = list(lanes.events_of(request, arguments.predictions, name, whole=whole))
            for size, events in loads.items():
                # The mixed events in order: where the parts of a prediction disagree in their rows, the order decides.
                connections = 1 if size == "mixed" else _CONNECTIONS[lane]
                then, now = (side.cost(lane, events, connections) * 1e6 for side in (before, after))
                print(f"| {lane} | {size} | {then:,.0f} | {now:,.0f} | {then / now:.2f} |", flush=True)
        count, fields = compared(before.engine, after.engine)
        stored = after.engine.ask("GET", "/_digest")
    print(f"\n{stored['documents']} documents, SHA-256 {stored['sha256']}; {count} differ from those before")
    for field, number in sorted(fields.items()):
        print(f"  {field}: {number}{' (expected)' if field in arguments.expected else ''}")
    return int(not fields.keys() <= set(arguments.expected))


if __name__ == "__main__":
    sys.exit(main())
