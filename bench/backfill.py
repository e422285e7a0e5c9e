"""`python -m bench.backfill`: store an archive of events, kill the command on the way, and count what is stored.

The archive has the requests and responses of KServe's predictions, in files of 10,000 events, as NDJSON, gzipped NDJSON
or Parquet. `request-logger backfill` stores it, is killed (SIGKILL) after a third and two thirds of the events, and is
started again. In the end each prediction must be one document with both parts. Then the whole archive is stored once
more: that must change no document.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.engines import Client, engine_url
from request_logger.archives import formats
from request_logger.common.json import dumps

_FILE_EVENTS = 10_000
_FORMS = ("ndjson", "ndjson.gz", "parquet")


def main() -> int:
    """Write, store, check and print; status 1 if a document is missing, or not whole."""
    parser = argparse.ArgumentParser(prog="python -m bench.backfill", description="Stores an archive.")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the archive (default: 1,000,000)")
    parser.add_argument("--kills", type=int, default=2, help="how often the command is killed (default: 2)")
    parser.add_argument("--form", choices=_FORMS, default="ndjson.gz", help="format (default: ndjson.gz)")
    parser.add_argument("--columns", type=int, default=10, help="columns of a request (default: 10)")
    arguments = parser.parse_args()
    with engine_url() as url, tempfile.TemporaryDirectory(prefix="request-logger-backfill-") as folder:
        bench = Bench(url, Path(folder), arguments.events, arguments.form, arguments.columns)
        try:
            bench.write()
            bench.run(arguments.kills)
            problems = bench.problems()
        finally:
            bench.remove()
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


def records(events: int, columns: int, deployment: str) -> Iterator[dict[str, Any]]:
    """Yield the records of predictions: a request and a response each."""
    for number in range(events // 2):
        request = [[(number * 31 + column * 17) % 1000 / 10 for column in range(columns)]]
        bodies = {"request": {"instances": request}, "response": {"predictions": [[0.1, 0.2, 0.7]]}}
        for part, body in bodies.items():
            yield {
                "id": f"{deployment}-{number}",
                "reqType": f"org.kubeflow.serving.inference.{part}",
                "inferenceService": deployment,
                "namespace": "bench",
                "endpoint": "default",
                "component": "predictor",
                "sourceUri": "http://localhost:9081/",
                "occurrenceTime": f"2026-01-02T03:04:05.{number % 1_000_000:06}Z",
                "contentType": "application/json",
                "bytes": base64.b64encode(dumps(body)).decode(),
                "metadata": {"X-Tenant": [f"tenant-{number % 20}"]},
            }


class Bench:
    """The archive, and what is stored of it."""

    def __init__(self, url: str, folder: Path, events: int, form: str, columns: int) -> None:
        self._engine = Client(url)
        self._url = urlsplit(url)
        self._archive = folder / "archive"
        self._state = folder / "state.json"
        self._events = events // 2 * 2
        self._form = form
        self._columns = columns
        self._deployment = f"bench-{uuid.uuid4().hex[:8]}"
        self._index = f"inference-log-inferenceservice-bench-{self._deployment}-default"
        self._peak = 0
        self._problems: list[str] = []

    def write(self) -> None:
        """Write the files of the archive."""
        self._archive.mkdir()
        rows = records(self._events, self._columns, self._deployment)
        for number in count():
            chunk = list(islice(rows, _FILE_EVENTS))
            if not chunk:
                break
            form, _, is_packed = self._form.partition(".")
            content = formats.write(chunk, form)
            path = self._archive / f"{number:05}.{self._form}"
            path.write_bytes(gzip.compress(content, 6) if is_packed else content)
        size = sum(path.stat().st_size for path in self._archive.iterdir())
        print(f"{self._events:,} events, {self._form}: {size / 2**20:,.1f} MB", flush=True)

    def run(self, kills: int) -> None:
        """Store the archive with some kills on the way, and then once more."""
        started = time.perf_counter()
        for number in range(1, kills + 1):
            process = self._start()
            while process.poll() is None and self._known() < self._events * number // (kills + 1):
                self._watch(process)
            process.kill()
            process.communicate()
            print(f"{time.perf_counter() - started:6.1f} s: {self._known():,} events have a fate; killed", flush=True)
        self._finish(started, f" with {kills + 1} starts of the command" if kills else "")
        before = self._versions()
        self._finish(time.perf_counter(), ", all of them stored before")
        if self._versions() != before:
            self._problems.append("the second run has changed documents")

    def _finish(self, started: float, how: str) -> None:
        process = self._start()
        while process.poll() is None:
            self._watch(process)
        output, errors = process.communicate()
        seconds = time.perf_counter() - started
        print(f"{seconds:6.1f} s: {output.strip()}; status {process.returncode}")
        print(f"{self._events / seconds:,.0f} events/s{how}; at most {self._peak / 2**20:,.0f} MB", flush=True)
        if process.returncode:
            self._problems.append(f"status {process.returncode}: {errors[-300:]}")

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "request_logger.cli", "backfill", str(self._archive)]
        reach = {"ELASTICSEARCH_HOST": str(self._url.hostname), "ELASTICSEARCH_PORT": str(self._url.port)}
        return subprocess.Popen(
            [*command, "--state", str(self._state)],
            env={**os.environ, **reach},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _watch(self, process: subprocess.Popen[str]) -> None:
        try:
            self._peak = max(self._peak, psutil.Process(process.pid).memory_info().rss)
        except psutil.Error:
            return
        time.sleep(0.05)

    def _known(self) -> int:
        try:
            return sum(json.loads(self._state.read_bytes())["entries"].values())
        except FileNotFoundError:
            return 0

    def _versions(self) -> tuple[int, int]:
        """Return the number of documents, and the highest sequence number: a write of any document raises it."""
        self._engine.ask("POST", f"/{self._index}/_refresh")
        stats = self._engine.ask("GET", f"/{self._index}/_stats?level=shards")
        shards = stats["indices"][self._index]["shards"].values()
        return stats["_all"]["primaries"]["docs"]["count"], sum(each[0]["seq_no"]["max_seq_no"] for each in shards)

    def problems(self) -> list[str]:
        """Compare what is stored with the archive."""
        aggs = {part: {"filter": {"exists": {"field": f"{part}.ce-time"}}} for part in ("request", "response")}
        query = {"size": 0, "track_total_hits": True, "aggs": aggs}
        answer = self._engine.ask("POST", f"/{self._index}/_search", query)
        found = {"documents": answer["hits"]["total"]["value"]}
        found |= {part: answer["aggregations"][part]["doc_count"] for part in aggs}
        print(found)
        expected = dict.fromkeys(found, self._events // 2)
        wrong = [
            f"{name}: found {found[name]}, expected {expected[name]}" for name in found if found[name] != expected[name]
        ]
        return [*self._problems, *wrong]

    def remove(self) -> None:
        """Delete the index."""
        self._engine.drop(self._index)


if __name__ == "__main__":
    sys.exit(main())
