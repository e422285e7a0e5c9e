"""Predictions of the shapes that benchmarks of costs send: tables, text, images and batches, for Seldon and KServe."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import load
from bench.first import CLASSES, PARTS

Bodies = dict[str, Any]
"""The bodies of a prediction's request, response and feedback, by part."""

SELDON, KSERVE = "seldon", "kserve"
PROTOCOLS = (SELDON, KSERVE)
# An image of CIFAR-10: small enough for a benchmark, and already 3,072 numbers.
_IMAGE = (32, 32, 3)
_WORDS = 2000


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of prediction. ``columns`` is the number of named columns, 0 if it isn't a table, ``rows`` of rows of a
    request, each of which becomes a document. ``text_bytes`` is the length of its text, if it is one.

    ``make`` returns the bodies of the prediction with a number: the same for the same number.
    """

    name: str
    make: Callable[[int], Bodies]
    columns: int = 0
    rows: int = 1
    text_bytes: int = 0
    protocol: str = SELDON

    @property
    def body_bytes(self) -> int:
        """The size of a request's body."""
        return len(json.dumps(self.make(0)["request"]))

    def index(self, deployment: str) -> str:
        """Return the index of a deployment's events."""
        engine = "seldon" if self.protocol == SELDON else "inferenceservice"
        return f"inference-log-{engine}-bench-{deployment}-default"

    def headers(self, deployment: str, number: int, part: str) -> dict[str, str]:
        """Return the headers of an event, as an executor or a KServe agent sends them."""
        common = {
            "Content-Type": "application/json",
            "Ce-Specversion": "1.0",
            "Ce-Source": "http://127.0.0.1:8000/",
            "Ce-Inferenceservicename": deployment,
            "Ce-Namespace": "bench",
            "Ce-Endpoint": "default",
        }
        kind = part if part == "feedback" else f"inference.{part}"
        if self.protocol == KSERVE:
            # An agent's events of a prediction have its id as their own.
            return {**common, "Ce-Id": request_id(deployment, number), "Ce-Type": f"org.kubeflow.serving.{kind}"}
        return {
            **common,
            "Ce-Id": f"{deployment}-{number}-{part}",
            "Ce-Type": f"io.seldon.serving.{kind}",
            "Ce-Requestid": request_id(deployment, number),
            "Ce-Modelid": "classifier",
            "Ce-Time": f"2026-01-02T03:04:05.{PARTS.index(part)}00Z",
        }

    def event(self, url: str, deployment: str, number: int, part: str) -> load.Request:
        """Return an event as an HTTP request."""
        body = json.dumps(self.make(number)[part]).encode()
        return load.Request((number, part), load.post(url, self.headers(deployment, number, part), body))

    def structured(self, deployment: str, number: int, part: str) -> dict[str, Any]:
        """Return an event in CloudEvents' structured form, for the batch lane."""
        pairs = self.headers(deployment, number, part).items()
        attributes = {name.removeprefix("Ce-").lower(): value for name, value in pairs if name.startswith("Ce-")}
        return {**attributes, "datacontenttype": "application/json", "data": self.make(number)[part]}


def request_id(deployment: str, number: int) -> str:
    """Return the id of a prediction."""
    return f"{deployment}-{number}"


def columns(count: int, protocol: str = SELDON) -> Shape:
    """Return predictions of one row with so many named columns of numbers."""
    make = _v2 if protocol == KSERVE else _table
    return Shape(f"{count} columns", lambda number: make(number, count, 1), count, protocol=protocol)


def batch(rows: int, count: int) -> Shape:
    """Return predictions of so many rows, each with so many named columns."""
    return Shape(f"batch of {rows} x {count}", lambda number: _table(number, count, rows), count, rows)


def text(size: int) -> Shape:
    """Return predictions of one text of about so many bytes."""

    def make(number: int) -> Bodies:
        chance = random.Random(number)  # nothing secret
        words: list[str] = []
        length = 0
        while length < size:
            # Few words are frequent and many are rare, as in a natural language, so that it compresses like one.
            words.append(_word(int(_WORDS * chance.random() ** 3)))
            length += len(words[-1]) + 1
        return {"request": {"strData": " ".join(words)[:size]}, **_answers(chance, 1)}

    return Shape(f"text of {size // 1000} KB", make, text_bytes=size)


def image() -> Shape:
    """Return predictions of one small image, as nested arrays of integers."""

    def make(number: int) -> Bodies:
        chance = random.Random(number)
        height, width, colours = _IMAGE
        pixels = [[[chance.randrange(256) for _ in range(colours)] for _ in range(width)] for _ in range(height)]
        return {"request": {"data": {"ndarray": [pixels]}}, **_answers(chance, 1)}

    return Shape("image of 32 x 32 x 3", make)


def _table(number: int, count: int, rows: int) -> Bodies:
    chance = random.Random(number)
    table = [_values(chance, count) for _ in range(rows)]
    return {"request": {"data": {"names": _names(count), "ndarray": table}}, **_answers(chance, rows)}


def _v2(number: int, count: int, rows: int) -> Bodies:
    """Return bodies of the Open Inference Protocol with one input per column, as for a data frame."""
    chance = random.Random(number)
    table = [_values(chance, count) for _ in range(rows)]
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [rows, 1], "data": [row[column] for row in table]}
        for column, name in enumerate(_names(count))
    ]
    answers = _answers(chance, rows)
    scores = answers["response"]["data"]["ndarray"]
    output = {
        "name": "probabilities",
        "datatype": "FP64",
        "shape": [rows, len(CLASSES)],
        "data": [value for row in scores for value in row],
    }
    response = {"model_name": "classifier", "outputs": [output]}
    return {"request": {"inputs": tensors}, "response": response, "feedback": answers["feedback"]}


def _answers(chance: random.Random, rows: int) -> Bodies:
    """Return a response and its feedback: probabilities of three classes, and the true class, for each row."""
    scores = []
    for _ in range(rows):
        weights = [chance.random() for _ in CLASSES]
        scores.append([weight / sum(weights) for weight in weights])
    truth = [chance.randrange(len(CLASSES)) for _ in range(rows)]
    return {
        "response": {"data": {"names": list(CLASSES), "ndarray": scores}, "meta": {}},
        "feedback": {"reward": 1, "truth": {"data": {"ndarray": truth}}},
    }


def _names(count: int) -> list[str]:
    # As long as real ones: 37 columns make a body of 1 KB, 155 one of 4 KB.
    return [f"customer_{column:03}" for column in range(count)]


def _values(chance: random.Random, count: int) -> list[float]:
    # Some columns are small numbers, some are counts, as in most tables.
    return [chance.randrange(1000) if column % 3 else round(chance.gauss(50, 20), 4) for column in range(count)]


def _word(number: int) -> str:
    chance = random.Random(number)
    return "".join(chance.choice("etaoinshrdlucmfwyp") for _ in range(2 + number % 9))
