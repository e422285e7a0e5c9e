"""`python -m bench.feedback_file`: upload a file of feedback, kill the upload, and count what the search engine holds.

One prediction in ten is stored before, through the logger. Then `request-logger feedback` uploads a CSV with a truth
for every prediction, except that one row in a hundred has none. It is killed (SIGKILL) after a third and two thirds of
the rows, and run again. In the end each row must have one fate: as counted by the command, as listed in its file, and
as stored in the search engine.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import urllib3

from bench.engines import Client, engine_url
from request_logger.demo.local_server import LocalServer, engine_settings

CLASSES = ("setosa", "versicolor", "virginica")
# One in so many rows has a stored prediction, one in so many has no truth.
_PREDICTED, _EMPTY = 10, 100
_EVENTS = 1_000


def main() -> int:
    """Upload, check and print; status 1 if a row has another fate than expected."""
    parser = argparse.ArgumentParser(prog="python -m bench.feedback_file", description="Uploads a file of feedback.")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the file (default: 100,000)")
    parser.add_argument("--kills", type=int, default=2, help="how often the upload is killed (default: 2)")
    arguments = parser.parse_args()
    with (
        engine_url() as url,
        LocalServer(engine_settings(url)) as server,
        tempfile.TemporaryDirectory(prefix="request-logger-feedback-") as folder,
    ):
        bench = Bench(Client(url), server.url, Path(folder) / "truth.csv", arguments.rows)
        try:
            bench.predict()
            bench.upload(arguments.kills)
            problems = bench.problems()
        finally:
            bench.remove()
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


class Bench:
    """The file, its predictions, and the results of the upload."""

    def __init__(self, engine: Client, url: str, path: Path, rows: int) -> None:
        self._engine = engine
        self._url = url
        self._path = path
        self._rows = rows
        self._deployment = f"bench-{uuid.uuid4().hex[:8]}"
        self._index = f"inference-log-seldon-bench-{self._deployment}-default"
        self._output = ""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["order", "label"])
            writer.writerows((f"r{k}", CLASSES[k % 3] if k % _EMPTY else "") for k in range(rows))

    def predict(self) -> None:
        """Store the predictions: each second one says setosa, the others virginica."""
        pool = urllib3.PoolManager(
            timeout=120.0, retries=urllib3.Retry(20, status_forcelist=(429, 503), allowed_methods=None)
        )
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        events = [self._event(k) for k in range(0, self._rows, _PREDICTED)]
        for start in range(0, len(events), _EVENTS):
            body = json.dumps(events[start : start + _EVENTS]).encode()
            answer = pool.request("POST", self._url, body=body, headers=headers)
            if answer.status != 200:
                raise RuntimeError(f"predictions: answered {answer.status} {answer.data[:200]!r}")

    def _event(self, number: int) -> dict[str, Any]:
        row = [0.8, 0.1, 0.1] if _says_setosa(number) else [0.1, 0.1, 0.8]
        return {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "bench",
            "type": "io.seldon.serving.inference.response",
            "requestid": f"r{number}",
            "inferenceservicename": self._deployment,
            "namespace": "bench",
            "endpoint": "default",
            "time": "2026-01-02T03:04:05Z",
            "data": {"data": {"names": CLASSES, "ndarray": [row]}},
        }

    def upload(self, kills: int) -> None:
        """Upload the file; kill the upload some times on the way."""
        started = time.perf_counter()
        for number in range(1, kills + 1):
            process = self._start()
            while process.poll() is None and self._known() < self._rows * number // (kills + 1):
                time.sleep(0.02)
            process.kill()
            process.communicate()
            print(f"{time.perf_counter() - started:6.1f} s: {self._known():,} rows have a fate; killed", flush=True)
        process = self._start()
        self._output, _ = process.communicate()
        seconds = time.perf_counter() - started
        print(f"{seconds:6.1f} s: {self._output.splitlines()[0].partition(': ')[2]}; status {process.returncode}")
        starts = f" with {kills + 1} starts of the command" if kills else ""
        print(f"{self._rows / seconds:,.0f} rows/s{starts}")

    def _start(self) -> subprocess.Popen[str]:
        options = ["--id", "order", "--truth", "label", "--deployment", self._deployment, "--namespace", "bench"]
        command = [sys.executable, "-m", "request_logger.cli", "feedback", str(self._path), "--url", self._url]
        return subprocess.Popen(
            [*command, *options, "--predictor", "default"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _known(self) -> int:
        try:
            state = json.loads(self._path.with_name(self._path.name + ".state.json").read_bytes())
        except FileNotFoundError:
            return 0
        return sum(state["rows"].values())

    def problems(self) -> list[str]:
        """Compare the command's counts, its list of rows and the engine's documents with what they must be."""
        numbers = range(self._rows)
        empty = {k for k in numbers if not k % _EMPTY}
        scored = [k for k in numbers if not k % _PREDICTED and k not in empty]
        right = sum(CLASSES[k % 3] == ("setosa" if _says_setosa(k) else "virginica") for k in scored)
        counts = [
            int(text.replace(",", "")) for text in re.findall(r"([\d,]+) (?:rows|accepted|rejected)", self._output)
        ]
        listed = [json.loads(line) for line in self._path.with_name(self._path.name + ".rejects.ndjson").open()]
        lines = [row["line"] for row in listed]
        found = {
            "counts": counts,
            "rejected": {row["line"] - 2 for row in listed if row["result"] == "rejected"},
            "rows listed twice": len(lines) - len(set(lines)),
            **self._stored(),
        }
        expected = {
            "counts": [self._rows, self._rows - len(empty), len(empty)],
            "rejected": empty,
            "rows listed twice": 0,
            # A prediction whose row has no truth is stored, too.
            "documents": self._rows - sum(k % _PREDICTED != 0 for k in empty),
            "with feedback": self._rows - len(empty),
            "scored": len(scored),
            "right": right,
        }
        unknown = {row["line"] - 2 for row in listed if row["result"] == "no prediction"}
        print(f"{len(unknown):,} rows are listed as without a known prediction")
        # Said only by a logger that looks for it.
        if unknown:
            found["unknown"], expected["unknown"] = unknown, set(numbers) - empty - set(scored)
        print({name: len(value) if isinstance(value, set) else value for name, value in found.items()})
        return [
            f"{name}: found {found[name]}, expected {expected[name]}"
            for name in expected
            if found[name] != expected[name]
        ]

    def _stored(self) -> dict[str, Any]:
        self._engine.ask("POST", f"/{self._index}/_refresh")
        aggs = {
            "with feedback": {"filter": {"exists": {"field": "feedback.ce-time"}}},
            "scored": {"value_count": {"field": "metrics.correct"}},
            "right": {"sum": {"field": "metrics.correct"}},
        }
        answer = self._engine.ask(
            "POST", f"/{self._index}/_search", {"size": 0, "track_total_hits": True, "aggs": aggs}
        )
        values = {name: int(each.get("doc_count", each.get("value"))) for name, each in answer["aggregations"].items()}
        return {"documents": answer["hits"]["total"]["value"], **values}

    def remove(self) -> None:
        """Delete the index."""
        self._engine.drop(self._index)


def _says_setosa(number: int) -> bool:
    return number // _PREDICTED % 2 == 0


if __name__ == "__main__":
    sys.exit(main())
