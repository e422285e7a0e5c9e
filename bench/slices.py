"""Measures the commands that look at many fields, thresholds or time spans: slices, drift, audit... Seconds and memory.

Documents as the logger stores them, of a binary task, are put into the engine directly, each with 100 elements
(numbers, texts, booleans), from two months; more than 100,000 are split into indices of that size: the first is cloned.
Then each command runs in a process of its own, twice: the first time the engine has read nothing for it yet.

    python -m bench.slices                          # a million documents, 100 fields
    python -m bench.slices --documents 100000 --write
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from bench.child import run
from bench.engines import Client, engine_url
from bench.report import clone
from request_logger.analytics.drift.stored_baselines import INDEX as BASELINES
from request_logger.commands.check_quality import WARNED
from request_logger.documents.audit import AUDIT
from request_logger.documents.folds import FOLDS
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from scorers.base import Row
from scorers.binary import Binary

PAGE = Path(__file__).parent.parent / "docs" / "slices.md"
_START, _END = "<!-- bench: `python -m bench.slices` -->", "<!-- end of bench -->"
INDEX = "inference-log-seldon-bench-slices-default"
MOST_FILLED = 100_000
_FIRST, _DAYS = date(2026, 1, 1), 60
_HALF = _FIRST + timedelta(days=_DAYS // 2)
# One in so many documents is audited, and every other of these lacks a truth.
_AUDITED = 50
# Documents per bulk request, of about 2 KB each.
_BULK = 1000
# Different rows of elements and outcomes that documents are made of: generating a million of each takes longer than
# storing them.
_ROWS = 5_000
_BEFORE_AND_NOW = ("--against", f"{_FIRST}..{_HALF}", "--from", str(_HALF))
_COMMANDS = {
    "slices": ("slices", "bench/slices"),
    "slices, one field": ("slices", "bench/slices", "--fields", "text_0"),
    "thresholds": ("thresholds", "bench/slices", "--cost", "fp=-1,fn=-10"),
    "fairness": ("fairness", "bench/slices", "--by", "text_0"),
    "drift": ("drift", "bench/slices", *_BEFORE_AND_NOW),
    "check-quality --max-drop": ("check-quality", "--in", "bench/slices", "--max-drop", "0.02", *_BEFORE_AND_NOW),
    "audit": ("audit", "bench/slices"),
    "report": ("report", "bench/slices"),
    "report with slices and drift": ("report", "bench/slices", "--slices", *_BEFORE_AND_NOW),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one command took: seconds of the first and of the second run, and the most memory of its process in MB."""

    name: str
    first: float
    second: float
    memory: float


def elements(chance: random.Random, fields: int) -> dict[str, object]:
    """Return the elements of one row: half of them numbers, a tenth booleans, the rest texts."""
    made: dict[str, object] = {}
    for k in range(fields):
        if k % 2:
            made[f"number_{k}"] = round(chance.gauss(0, 1 + k), 3)
        elif k % 10 == 4:
            made[f"flag_{k}"] = chance.random() < 0.3
        else:
            made[f"text_{k}"] = f"value {min(int(chance.expovariate(0.3)), 30)}"
    return made


def documents(count: int, fields: int) -> Iterator[bytes]:
    """Yield documents as JSON: those with the most frequent value of the first text are worse."""
    chance = random.Random(20)
    rows = [elements(chance, fields) for _ in range(_ROWS)]
    texts = [orjson.dumps(row) for row in rows]
    bad = [row["text_0"] == "value 0" for row in rows]
    outcomes = {is_bad: list(_outcomes(chance, is_bad=is_bad)) for is_bad in (True, False)}
    head = b'"Ce-Inferenceservicename":"slices","Ce-Namespace":"bench","Ce-Endpoint":"default",'
    head += b'"response":{"dataType":"tabular"},"request":{"dataType":"tabular","elements":'
    for k in range(count):
        row, day = chance.randrange(_ROWS), str(_FIRST + timedelta(days=chance.randrange(_DAYS))).encode()
        fold = str(chance.randrange(FOLDS)).encode()
        prediction, metrics = chance.choice(outcomes[bad[row]])
        audited = b"false" if k % _AUDITED else b"true"
        document = b'{"@timestamp":"' + day + b'T00:00:00Z",' + head + texts[row] + b'},"fold":' + fold
        document += f',"RequestId":"{k}","{AUDIT}":'.encode() + audited + b',"prediction":' + prediction
        if k % (2 * _AUDITED):
            document += b',"feedback":{"ce-time":"' + day + b'T01:00:00Z"},"metrics":' + metrics
        yield document + b"}\n"


def _outcomes(chance: random.Random, *, is_bad: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield what is stored of the prediction, and of its score, as JSON."""
    scorer = Binary(probabilities=True)
    for _ in range(_ROWS):
        score = chance.betavariate(1, 3)
        truth = int(chance.random() < (0.5 if is_bad else score))
        answer = Row(score)
        metrics = {"scorer": "binary", "basis": "truth", "delay_seconds": 3600.0, **scorer.score(Row(truth), answer)}
        yield orjson.dumps(scorer.prediction_fields(answer)), orjson.dumps(metrics)


def fill(url: str, count: int, fields: int) -> float:
    """Store the documents, and return the seconds that it took."""
    copies = -(-count // MOST_FILLED)
    took = _fill_one(url, count // copies, fields)
    names = [f"{INDEX}-{k}" for k in range(1, copies)]
    clone(Client(url), INDEX, names)
    return took


def _fill_one(url: str, count: int, fields: int) -> float:
    parts = urlsplit(url)
    engine = SearchEngine(Settings(elasticsearch_host=parts.hostname or "", elasticsearch_port=parts.port or 9200))
    client = Client(url)
    client.drop(f"{INDEX}*")
    engine.prepare(INDEX)
    client.ask("PUT", f"/{INDEX}/_settings", {"index": {"refresh_interval": "-1"}})
    started = time.monotonic()
    lines: list[bytes] = []
    for stored, line in enumerate(documents(count, fields), 1):
        lines.append(b'{"index":{}}\n' + line)
        if len(lines) == _BULK or stored == count:
            answer = client.ask("POST", f"/{INDEX}/_bulk?filter_path=errors", b"".join(lines))
            assert not answer["errors"]
            lines = []
            if stored % (50 * _BULK) == 0:
                print(f"{stored:,} documents after {time.monotonic() - started:.0f} s", file=sys.stderr)
    client.ask("POST", f"/{INDEX}/_refresh")
    return time.monotonic() - started


def measure(url: str, name: str, argv: Sequence[str]) -> Measured:
    """Run a command twice. Raises RuntimeError where it fails."""
    first, second = (run(url, [*argv, "--json"], fine=(0, 1, WARNED)) for _ in range(2))
    return Measured(name, first.seconds, second.seconds, max(first.memory, second.memory))


def table(count: int, fields: int, found: Sequence[Measured]) -> str:
    """Return the results as Markdown."""
    lines = [
        f"`python -m bench.slices`: {count:,} predictions with {fields} fields, {MOST_FILLED:,} per index, OpenSearch"
        " with a heap of 2 GB, one node, two cores that other programs share.",
        "",
        "| command | seconds, first | again | MB |",
        "|---|---:|---:|---:|",
        *(f"| {each.name} | {each.first:.1f} | {each.second:.1f} | {each.memory:.0f} |" for each in found),
    ]
    return "\n".join(lines)


def main() -> None:
    """Fill an engine, measure, and print the table, or write it into docs/slices.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--fields", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="write the table into docs/slices.md")
    arguments = parser.parse_args()
    if arguments.documents % -(-arguments.documents // MOST_FILLED):
        parser.error(f"--documents: expected up to {MOST_FILLED:,} or a multiple of it, found {arguments.documents}")
    with engine_url(heap="2g") as url:
        took = fill(url, arguments.documents, arguments.fields)
        print(f"{arguments.documents:,} documents stored in {took:.0f} s", file=sys.stderr)
        found = []
        for name, argv in _COMMANDS.items():
            found.append(measure(url, name, argv))
            print(found[-1], file=sys.stderr, flush=True)
        Client(url).drop(f"{INDEX}*")
        of_these = {"query": {"wildcard": {"target": "*bench/slices*"}}}
        Client(url).ask("POST", f"/{BASELINES}/_delete_by_query?refresh=true", of_these)
    text = table(arguments.documents, arguments.fields, found)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(_START)
        PAGE.write_text(f"{before}{_START}\n{text}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
