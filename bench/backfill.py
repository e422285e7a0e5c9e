"""`python -m bench.backfill`: archive events by POST /v1/marshal, store the archive elsewhere, and compare documents.

The live run: the requests and responses of KServe's predictions go to a logger's marshaller in arrays of 2,000, and its
answers are the archive, as NDJSON, gzipped NDJSON or Parquet. Its documents are hashed, and deleted. `request-logger
backfill` stores the archive in the empty engine, is killed (SIGKILL) after a third and two thirds of the events, and is
started again. Each prediction must be one document with both parts, and all documents must have the hash of the live
run. Then the whole archive is stored once more: that must change no document.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from bench.engines import Client, engine_url
from request_logger.archives import formats
from request_logger.common.json import dumps
from request_logger.demo.local_server import LocalServer, engine_settings

_CALL_EVENTS = 2_000
_SENDERS = 2
_PAGE = 5_000
_FORMS = ("ndjson", "ndjson.gz", "parquet")


def main() -> int:
    """Archive, store, compare and print; status 1 if a document is missing, not whole, or another one."""
    parser = argparse.ArgumentParser(prog="python -m bench.backfill", description="Stores an archive.")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the archive (default: 1,000,000)")
    parser.add_argument("--kills", type=int, default=2, help="how often the command is killed (default: 2)")
    parser.add_argument("--form", choices=_FORMS, default="ndjson.gz", help="format (default: ndjson.gz)")
    parser.add_argument("--columns", type=int, default=10, help="columns of a request (default: 10)")
    parser.add_argument(
        "--alone", action="store_true", help="without the live run and the second one: the archive is written by itself"
    )
    arguments = parser.parse_args()
    with engine_url() as url, tempfile.TemporaryDirectory(prefix="request-logger-backfill-") as folder:
        bench = Bench(url, Path(folder), arguments.events, arguments.form, arguments.columns)
        try:
            if arguments.alone:
                bench.write()
            else:
                bench.live()
            bench.run(arguments.kills)
            if not arguments.alone:
                bench.compare()
            problems = bench.problems
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
        self._hash = ""
        self._problems: list[str] = []

    def live(self) -> None:
        """Send the events to a logger's marshaller, whose answers are the archive; hash its documents, delete them."""
        self._archive.mkdir()
        started = time.perf_counter()
        env = {**engine_settings(self._url.geturl()), "GUNICORN_WORKERS": "1", "STORE_TIMEOUT_SECONDS": "20"}
        rows = records(self._events, self._columns, self._deployment)
        chunks = enumerate(iter(lambda: list(islice(rows, _CALL_EVENTS)), []))
        with LocalServer(env) as server, ThreadPoolExecutor(_SENDERS) as senders:
            # As many calls as senders at a time: not all records in memory at once.
            while calls := list(islice(chunks, 10 * _SENDERS)):
                list(senders.map(lambda call: self._marshal(server.url, *call), calls))
        seconds = time.perf_counter() - started
        size = sum(path.stat().st_size for path in self._archive.iterdir())
        print(f"live: {self._events:,} events, {self._form}: {size / 2**20:,.1f} MB, {self._events / seconds:,.0f}/s")
        self._problems += self._counts()
        self._hash = self._hashed()
        self._engine.drop(self._index)

    def write(self) -> None:
        """Write the archive without a logger."""
        self._archive.mkdir()
        form, _, is_packed = self._form.partition(".")
        rows = records(self._events, self._columns, self._deployment)
        for number, chunk in enumerate(iter(lambda: list(islice(rows, _CALL_EVENTS)), [])):
            content = formats.write(chunk, form)
            path = self._archive / f"{number:05}.{self._form}"
            path.write_bytes(gzip.compress(content, 6) if is_packed else content)

    def _marshal(self, url: str, number: int, rows: list[dict[str, Any]]) -> None:
        form, _, is_packed = self._form.partition(".")
        body = dumps(rows)
        for _ in range(60):
            answer = requests.post(f"{url}/v1/marshal?format={form}", body, timeout=60)
            if answer.status_code == 200:
                break
            time.sleep(1)
        answer.raise_for_status()
        content = gzip.compress(answer.content, 6) if is_packed else answer.content
        (self._archive / f"{number:05}.{self._form}").write_bytes(content)

    def _hashed(self) -> str:
        """Return one hash of all documents, in whatever order they are read; the time of scoring is not hashed."""
        total = 0
        self._engine.ask("POST", f"/{self._index}/_refresh")
        page = self._engine.ask("POST", f"/{self._index}/_search?scroll=2m", {"size": _PAGE, "sort": ["_doc"]})
        while page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                source = hit["_source"]
                source.get("metrics", {}).pop("scored_at", None)
                content = json.dumps([hit["_id"], source], sort_keys=True).encode()
                total += int.from_bytes(hashlib.sha256(content).digest())
            page = self._engine.ask("POST", "/_search/scroll", {"scroll": "2m", "scroll_id": page["_scroll_id"]})
        return f"{total % 2**256:064x}"

    def run(self, kills: int) -> None:
        """Store the archive with some kills on the way, and count."""
        started = time.perf_counter()
        for number in range(1, kills + 1):
            process = self._start()
            while process.poll() is None and self._known() < self._events * number // (kills + 1):
                self._watch(process)
            process.kill()
            process.communicate()
            print(f"{time.perf_counter() - started:6.1f} s: {self._known():,} events have a fate; killed", flush=True)
        self._finish(started, f" with {kills + 1} starts of the command" if kills else "")
        self._problems += self._counts()

    def compare(self) -> None:
        """Compare all documents with those of the live run, and store the archive once more: nothing may change."""
        found = self._hashed()
        print(f"sum of the documents' SHA-256: {self._hash[:16]}... live, {found[:16]}... of the archive", flush=True)
        if found != self._hash:
            self._problems.append("the documents differ from those of the live run")
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

    def _counts(self) -> list[str]:
        """Compare what is stored with the archive."""
        aggs = {part: {"filter": {"exists": {"field": f"{part}.ce-time"}}} for part in ("request", "response")}
        query = {"size": 0, "track_total_hits": True, "aggs": aggs}
        self._engine.ask("POST", f"/{self._index}/_refresh")
        answer = self._engine.ask("POST", f"/{self._index}/_search", query)
        found = {"documents": answer["hits"]["total"]["value"]}
        found |= {part: answer["aggregations"][part]["doc_count"] for part in aggs}
        print(found, flush=True)
        expected = dict.fromkeys(found, self._events // 2)
        return [
            f"{name}: found {found[name]}, expected {expected[name]}" for name in found if found[name] != expected[name]
        ]

    @property
    def problems(self) -> list[str]:
        """What is missing, not whole, or not the same."""
        return self._problems

    def remove(self) -> None:
        """Delete the index."""
        self._engine.drop(self._index)


if __name__ == "__main__":
    sys.exit(main())
