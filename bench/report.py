"""`python -m bench.report`: time and memory of each command over many documents.

Scored predictions of ten classes are written directly to the engine; one in twenty has no metrics, as if an older
logger had stored it, until `rescore` adds them. More than 100,000 documents are split into indices of that size: the
first index is cloned, which takes the engine a second. Each command runs in a separate process, as for a user. Counts
and accuracy are compared with numpy's, and the documents in the engine and the rows in the files are counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench import child
from bench.engines import Client, engine_url
from request_logger.common.json import dumps
from request_logger.demo.local_server import engine_settings
from request_logger.documents.folds import fold_of
from request_logger.documents.latency import delay_seconds
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from scorers.base import Row
from scorers.multiclass import Multiclass

CLASSES = tuple(f"class {k}" for k in range(10))
BULK = 2000
MOST_FILLED = 100_000
START = datetime(2026, 1, 5, tzinfo=UTC)
_SENDERS = 2
# One in this many documents has no metrics.
_LACKING = 20


@dataclass(frozen=True)
class Truth:
    """The expected values, by numpy: the accuracy of documents with metrics, and of all."""

    documents: int
    scored: int
    accuracy: float
    accuracy_of_all: float


def main() -> int:
    """Store documents, then measure, check and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Time and memory of the commands.")
    parser.add_argument("--documents", type=int, default=100_000, help="number of documents (default: 100,000)")
    documents = parser.parse_args().documents
    check_documents(parser, documents)
    with engine_url() as url, tempfile.TemporaryDirectory() as folder, filled(url, documents) as (deployment, truth):
        print(f"{'command':42}  {'seconds':>8}  {'MB':>6}")
        measure(Commands(url, deployment), Path(folder), truth)
    return 0


def check_documents(parser: argparse.ArgumentParser, documents: int) -> None:
    """End with an error where a number of documents can't be split into indices of the same size."""
    if documents < 1 or documents % _copies(documents):
        parser.error(f"--documents: expected up to {MOST_FILLED:,} or a multiple of it, found {documents}")


@contextmanager
def filled(url: str, documents: int) -> Iterator[tuple[str, Truth]]:
    """Store documents of a deployment, in as many indices as needed, until the block ends; yield its name and truth.

    Raises RuntimeError if the engine doesn't hold as many.
    """
    copies = _copies(documents)
    deployment = f"bench-{uuid.uuid4().hex[:8]}"
    names = [f"inference-log-seldon-bench-{deployment}-{k}" for k in range(copies)]
    client = Client(url)
    try:
        started = time.perf_counter()
        engine = SearchEngine(Settings.from_env(engine_settings(url)))
        truth = fill(engine, names[0], deployment, documents // copies)
        clone(client, names[0], names[1:])
        found = sum(client.ask("GET", f"/{name}/_count")["count"] for name in names)
        if found != documents:
            raise RuntimeError(f"the engine holds {found} documents, expected {documents}")
        print(f"{documents:,} documents in {copies} indices after {time.perf_counter() - started:.0f} s", flush=True)
        yield deployment, replace(truth, documents=documents, scored=truth.scored * copies)
    finally:
        for name in names:
            client.drop(name)


def _copies(documents: int) -> int:
    return -(-documents // MOST_FILLED)


class Commands:
    """Runs `request-logger` on the engine at ``url``, and prints time and memory."""

    def __init__(self, url: str, deployment: str) -> None:
        self._url = url
        self.deployment = deployment

    def run(self, *arguments: str, name: str, fine: tuple[int, ...] = (0,)) -> bytes:
        """Run a command and return its output. Raises RuntimeError if its status is not in ``fine``."""
        ran = child.run(self._url, arguments, fine=fine)
        print(f"{name:42}  {ran.seconds:8.1f}  {ran.memory:6.0f}", flush=True)
        return ran.output


def measure(commands: Commands, folder: Path, truth: Truth) -> None:
    """Run each command and check its output. Raises RuntimeError if that is wrong."""
    of = commands.deployment
    for by, window in (("", ""), ("area", ""), ("age", "6h")):
        options = [*(["--by", by] if by else []), *(["--window", window] if window else [])]
        name = " ".join(["report", *options])
        _check_report(json.loads(commands.run("report", of, "--json", *options, name=name)), truth)
    page = folder / "report.html"
    commands.run("report", of, "--html", str(page), name="report --html")
    _expect("a page", b"</html>" in page.read_bytes()[-100:], True)
    # The two models are equally good: status 1 means that no difference could be shown.
    compared = json.loads(commands.run("compare", "a", "b", "--in", of, "--json", name="compare", fine=(0, 1)))
    _expect("compared", compared["a"]["documents"] + compared["b"]["documents"], truth.scored)
    limits = ("--min", "accuracy=0", "--min", "f1_macro=0", "--max", "log_loss=100", "--min", f"recall[{CLASSES[1]}]=0")
    checked = json.loads(commands.run("check-quality", "--deployment", of, "--json", *limits, name="check-quality"))
    _expect("accuracy", round(checked["conditions"][0]["value"] - truth.accuracy, 9), 0.0)
    _export(commands, folder / "pairs.parquet", truth)
    rescore = ("rescore", "--deployment", of, "--scorer", "multiclass", "--json")
    lacking = truth.documents - truth.scored
    for name, options in (("rescore --dry-run", ["--dry-run"]), ("rescore", [])):
        counts = json.loads(commands.run(*rescore, *options, name=f"{name}: {lacking:,} change"))
        _expect(name, (counts["read"], counts["changed"], counts["refused"]), (truth.documents, lacking, 0))
    again = json.loads(commands.run("report", of, "--json", name="report, after it"))
    _check_report(again, replace(truth, scored=truth.documents, accuracy=truth.accuracy_of_all))
    _export(commands, folder / "pairs.csv", truth)


def _export(commands: Commands, path: Path, truth: Truth) -> None:
    commands.run("export", str(path), "--deployment", commands.deployment, name=f"export, {path.suffix[1:]}")
    _expect(f"rows of {path.name}", _rows(path), truth.documents)
    print(f"{'':42}  a file of {path.stat().st_size / 1e6:,.0f} MB", flush=True)


def _check_report(report: dict[str, Any], truth: Truth) -> None:
    (task,) = report["tasks"]
    found = next(each["value"] for each in task["metrics"] if each["name"] == "accuracy")
    _expect("scored", (report["coverage"]["predictions"], task["documents"]), (truth.documents, truth.scored))
    _expect("accuracy", round(found - truth.accuracy, 9), 0.0)


def _expect(what: str, found: object, right: object) -> None:
    if found != right:
        raise RuntimeError(f"{what}: expected {right}, found {found}")


def _rows(path: Path) -> int:
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: PLC0415  # of the extra that is measured

        return int(pyarrow.parquet.read_metadata(path).num_rows)
    # No text here has a line break, so each line is a row.
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1


def fill(engine: SearchEngine, index: str, deployment: str, documents: int) -> Truth:
    """Store documents and return the expected values."""
    generator = np.random.default_rng(0)
    rows = generator.dirichlet(np.ones(len(CLASSES)), documents).round(4)
    truths = generator.integers(0, len(CLASSES), documents)
    late = generator.exponential(60, documents)
    engine.prepare(index)
    # The writes are not measured.
    quickly = {"index": {"refresh_interval": "-1", "translog.durability": "async", "translog.sync_interval": "60s"}}
    engine.request("PUT", f"/{index}/_settings", quickly)

    def send(first: int) -> None:
        span = slice(first, first + BULK)
        lines = _lines(index, deployment, first, rows[span].tolist(), truths[span].tolist(), late[span].tolist())
        if engine.bulk(b"\n".join(lines) + b"\n")["errors"]:
            raise RuntimeError("the engine rejected documents")

    with ThreadPoolExecutor(_SENDERS) as senders:
        list(senders.map(send, range(0, documents, BULK)))
    usual = {"index": {"refresh_interval": None, "translog.durability": None, "translog.sync_interval": None}}
    engine.request("PUT", f"/{index}/_settings", usual)
    engine.request("POST", f"/{index}/_refresh")
    right = rows.argmax(axis=1) == truths
    scored = np.arange(documents) % _LACKING != 0
    return Truth(documents, int(scored.sum()), float(right[scored].mean()), float(right.mean()))


def clone(client: Client, index: str, names: list[str]) -> None:
    """Clone an index to others."""
    client.ask("PUT", f"/{index}/_settings", {"index.blocks.write": True})
    for name in names:
        client.ask("POST", f"/{index}/_clone/{name}", {"settings": {"index.blocks.write": None}})
        client.ask("GET", f"/_cluster/health/{name}?wait_for_status=yellow&timeout=60s")
    client.ask("PUT", f"/{index}/_settings", {"index.blocks.write": None})


def _lines(
    index: str, deployment: str, first: int, rows: list[list[float]], truths: list[int], late: list[float]
) -> Iterator[bytes]:
    scorer = Multiclass()
    for k, (row, truth, minutes) in enumerate(zip(rows, truths, late, strict=True), start=first):
        at, label, answer = START + timedelta(minutes=k / 3), CLASSES[truth], Row(row, CLASSES)
        content = {
            "fold": fold_of(str(k)),
            "prediction": scorer.prediction_fields(answer),
            "@timestamp": at.isoformat(),
            "RequestId": str(k),
            "Ce-Namespace": "bench",
            "Ce-Inferenceservicename": deployment,
            "Ce-Endpoint": "default",
            "Ce-Modelid": "ab"[k % 2],
            "request": {"dataType": "tabular", "elements": {"age": k % 90, "area": f"area {k % 200}"}},
            "response": {"dataType": "tabular", "instance": row, "names": CLASSES},
            "feedback": {
                "ce-time": (at + timedelta(minutes=minutes)).isoformat(),
                "truth": {"data": {"ndarray": [label]}},
            },
        }
        if k % _LACKING:
            fields = {"scorer": "multiclass", "basis": "truth", **scorer.score(Row(label), answer)}
            content["metrics"] = {**fields, "delay_seconds": delay_seconds(content)}
        yield dumps({"index": {"_index": index, "_id": str(k)}})
        yield dumps(content)


if __name__ == "__main__":
    raise SystemExit(main())
