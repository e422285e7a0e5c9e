"""A rolling change from an earlier version to this one, and the upgrade of its indices, under constant traffic.

    python -m bench.upgrade --rate 200

Two loggers of the earlier version (a commit of this repository, in processes of their own) store predictions. Then
this version replaces them one at a time, and `request-logger setup --upgrade` copies the index. Senders go on at the
same rate; as a broker does, they send an event again, to any logger, until it is acknowledged. At the end the engine
must have each prediction once and complete, and the figures of those from before must be the same as before.

Packages that the earlier version needs and this one doesn't are installed with pip, into a temporary folder.
"""
# a program prints

from __future__ import annotations

import argparse
import configparser
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engines import Client
from request_logger.embedded_engine import start_engine
from tests.helpers import Sender, Server, event, index_of, ndarray

ROOT = Path(__file__).parents[1]
FIRST_ROUND = "bcbde2c"
DEPLOYMENT = "upgraded"
# One in three predictions gets its truth, as in bench.ordinary.
_FEEDBACK_EVERY = 3
_SENDERS = 12
_LEAST_BEFORE = 200
_PACKAGES = "packages"
_PAUSE_SECONDS = 0.05
# Figures that no change of version may change.
FIGURES: dict[str, Any] = {
    "scored": {"value_count": {"field": "metrics.correct"}},
    "accuracy": {"avg": {"field": "metrics.correct"}},
    "log_loss": {"sum": {"field": "metrics.log_loss"}},
    "brier": {"sum": {"field": "metrics.brier"}},
    "age": {"sum": {"field": "request.elements.age"}},
}


@dataclass(slots=True)
class Traffic:
    """Sends predictions at a rate to the loggers that run now, until it is stopped."""

    rate: float
    urls: list[str]
    sent: dict[str, list[str]] = field(default_factory=dict)
    """Phase -> the ids of its predictions, all of whose events were acknowledged."""
    retries: int = 0
    slowest: float = 0.0
    phase: str = "before"
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Send until `stop`."""
        began = time.monotonic()
        with ThreadPoolExecutor(_SENDERS) as senders:
            for number, id in enumerate(self._ids()):
                senders.submit(self._predict, number, id, self.phase)
                pause = began + number / self.rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause)

    def stop(self) -> None:
        """Send what was begun, and no more."""
        self._stop.set()

    def _ids(self) -> Iterator[str]:
        number = 0
        while not self._stop.is_set():
            yield f"p-{number}"
            number += 1

    def _predict(self, number: int, id: str, phase: str) -> None:
        share = (number * 37 % 100) / 100
        bodies = {
            "request": ndarray([[number % 90, "DE"]], ["age", "country"]),
            "response": ndarray([[share, 1 - share]], ["no", "yes"]),
        }
        if number % _FEEDBACK_EVERY == 0:
            bodies["feedback"] = json.dumps({"truth": {"data": {"ndarray": [[number % 2, 1 - number % 2]]}}}).encode()
        began = time.monotonic()
        for part, body in bodies.items():
            self._send(event(part, id, DEPLOYMENT), body, number)
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.sent.setdefault(phase, []).append(id)

    def _send(self, headers: dict[str, str], body: bytes, number: int) -> None:
        while True:
            urls = list(self.urls)
            connection = Sender(urls[number % len(urls)], timeout=30)
            try:
                if connection.send(headers, body)[0] == 200:
                    return
            except OSError:
                pass
            except Exception as error:
                print(f"a request failed: {type(error).__name__}", file=sys.stderr)
            finally:
                connection.close()
            with self._lock:
                self.retries += 1
            time.sleep(_PAUSE_SECONDS)
            number += 1


def main(given: Sequence[str] | None = None) -> int:
    """Run it; status 1 if a document is missing, superfluous or incomplete, or a figure differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.upgrade", description="An upgrade under traffic.")
    parser.add_argument("--rate", type=float, default=200, help="predictions a second (default: 200)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds per phase (default: 20)")
    parser.add_argument("--kind", default="elasticsearch9", help="kind of engine (default: elasticsearch9)")
    parser.add_argument("--commit", default=FIRST_ROUND, help=f"the earlier version (default: {FIRST_ROUND})")
    arguments = parser.parse_args(given)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _extract(arguments.commit, folder / "old")
        engine = stack.enter_context(start_engine(arguments.kind, heap="1g", progress=_tell))
        return _run(arguments, engine.url, folder, stack)


def _run(arguments: argparse.Namespace, url: str, folder: Path, stack: ExitStack) -> int:
    old = [_server(url, folder / f"old-{number}.log", folder / "old", stack) for number in range(2)]
    traffic = Traffic(arguments.rate, [server.url for server in old])
    sending = threading.Thread(target=traffic.run)
    sending.start()
    client = Client(url)
    try:
        _tell(f"{arguments.rate:g} predictions/s to the earlier version for {arguments.seconds:g} s ...")
        time.sleep(arguments.seconds)
        # A machine that is slower than the rate needs longer for figures that mean something.
        while len(traffic.sent.get("before", [])) < _LEAST_BEFORE:
            time.sleep(_PAUSE_SECONDS)
        traffic.phase = "during"
        time.sleep(2.0)
        early = list(traffic.sent.get("before", []))
        before = figures(client, early)
        _tell("replacing the loggers ...")
        for number, server in enumerate(old):
            new = _server(url, folder / f"new-{number}.log", ROOT, stack)
            traffic.urls = [*(each for each in traffic.urls if each != server.url), new.url]
            server.stop()
        time.sleep(arguments.seconds / 2)
        _tell("upgrading the index ...")
        upgraded = subprocess.run(
            [sys.executable, "-m", "request_logger.cli", "setup", "--upgrade", "--engine", url],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        print(upgraded.stdout + upgraded.stderr)
        time.sleep(arguments.seconds / 2)
    finally:
        traffic.stop()
        sending.join()
    return _judge(traffic, client, before, early, upgraded.returncode)


def _judge(traffic: Traffic, client: Client, before: dict[str, float], early: list[str], status: int) -> int:
    client.ask("POST", "/_refresh")
    expected = {id for ids in traffic.sent.values() for id in ids}
    stored: dict[str, int] = {}
    incomplete = 0
    for document in _documents(client):
        id = document["RequestId"]
        stored[id] = stored.get(id, 0) + 1
        needs = {"request", "response", *(("feedback",) if int(id[2:]) % _FEEDBACK_EVERY == 0 else ())}
        incomplete += not needs <= document.keys() or ("feedback" in needs and "correct" not in document["metrics"])
    after = figures(client, early)
    problems = {
        "missing": len(expected - stored.keys()),
        "there twice": sum(count - 1 for count in stored.values()),
        "incomplete": incomplete,
        "unexpected": len(stored.keys() - expected),
    }
    print(f"{len(expected):,} predictions, {traffic.retries:,} events sent again, slowest {traffic.slowest:.1f} s")
    print(", ".join(f"{count} {what}" for what, count in problems.items()))
    for name, value in before.items():
        print(f"  {name:10} before {value!r:22} after {after[name]!r}")
    differ = any(abs(before[name] - after[name]) > 1e-9 * max(abs(before[name]), 1) for name in before)
    names = list(client.ask("GET", f"/{index_of(DEPLOYMENT)}/_alias"))
    print(f"{index_of(DEPLOYMENT)} is {names[0]}")
    failed = any(problems.values()) or differ or status or names == [index_of(DEPLOYMENT)]
    print("FAILED" if failed else "each prediction once and complete; all figures equal")
    return int(bool(failed))


def figures(client: Client, ids: Sequence[str]) -> dict[str, float]:
    """Return the figures of some predictions, over all indices, as a dashboard asks for them."""
    client.ask("POST", "/_refresh")
    query = {"terms": {"RequestId.keyword": list(ids)}}
    answer = client.ask("POST", "/inference-log-*/_search", {"size": 0, "query": query, "aggs": FIGURES})
    return {name: float(each["value"]) for name, each in answer["aggregations"].items()}


def _documents(client: Client) -> Iterator[dict[str, Any]]:
    """Yield all predictions, in any order of which no document is left out."""
    body: dict[str, Any] = {"size": 1000, "sort": [{"RequestId.keyword": "asc"}, {"_seq_no": "asc"}]}
    while True:
        hits = client.ask("POST", "/inference-log-*/_search", body)["hits"]["hits"]
        if not hits:
            return
        yield from (hit["_source"] for hit in hits)
        body["search_after"] = hits[-1]["sort"]


def _extract(commit: str, folder: Path) -> None:
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    described = configparser.ConfigParser()
    described.read(folder / "setup.cfg")
    # Its own scorers and decoders, not those of the version that is installed here.
    about = folder / f"{described['metadata']['name'].replace('-', '_')}-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {described['metadata']['name']}\nVersion: 0\n")
    groups = described["options.entry_points"].items()
    (about / "entry_points.txt").write_text("\n".join(f"[{group}]\n{text.strip()}" for group, text in groups))
    missing = [line for line in described["options"]["install_requires"].splitlines() if line and not _is_there(line)]
    if missing:
        _tell(f"installing {', '.join(missing)} ...")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / _PACKAGES), *missing]
        subprocess.run(command, check=True)


def _is_there(requirement: str) -> bool:
    try:
        importlib.metadata.version(requirement.split(maxsplit=1)[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _server(url: str, log: Path, code: Path, stack: ExitStack) -> Server:
    # The folder that this process runs in has this version, and would come first.
    env = {"PYTHONPATH": f"{code}:{code / _PACKAGES}", "PYTHONSAFEPATH": "1"}
    server = Server(url, log, **env, GUNICORN_WORKERS="1", STOP_DELAY_SECONDS="2").wait()
    stack.callback(server.stop)
    return server


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
