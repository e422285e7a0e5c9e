"""Events that a simulation sends: predictions of some deployments, in one row or several, with their feedback."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import orjson

from request_logger.documents.event import Body, Event, from_attributes, with_join_key
from request_logger.kafka.record import Record
from request_logger.settings import Settings

KEY = "response.payload.meta.puid"
"""The join key of schedules with JOIN_KEYS."""
_DAYS = ("2026-01-30", "2026-01-31", "2026-02-01")
_TYPES = {"feedback": "feedback", "request": "inference.request", "response": "inference.response"}
_MOST_DELIVERIES = 600

# Bodies that an engine, or its answers' reader, can't take as they are, or that are no bodies at all.
_POISON = (
    b'{"data": {"ndarray": [[1' + 400 * b"0" + b", 2]]}}",
    b'{"data": {"ndarray": [[' + 1500 * b"7" + b", 2]]}}",
    b'{"data": {"ndarray": [[1e999, 2]]}}',
    b'{"data": {"ndarray": [[1, 2]]}, "' + 50_001 * b"k" + b'": 1}',
    b'{"data": {"ndarray": [[1, 2]]}, "meta": ' + 150 * b"[" + 150 * b"]" + b"}",
    b'{"reward": ' + 310 * b"9" + b', "truth": {"data": {"ndarray": [1]}}}',
    b'{"data": {"names": ["", "..", "a.b"], "ndarray": [[1, 2, 3]]}}',
    b"\x1f\x8bno gzip",
    b"",
)


@dataclass(frozen=True, slots=True)
class Message:
    """One event as its sender has it: an event is made of it anew for each delivery."""

    deployment: str
    request_id: str
    part: str
    time: str | None
    """ce-time, None where its sender gives none."""
    body: bytes
    sure: bool
    """Its sender retries until it is acknowledged."""
    named_by: Literal["id", "key", "value"] = "id"
    """How it names its prediction: by its id, by a join key, or by the value of one in the place of the id."""

    @property
    def key(self) -> str:
        """The value of the join key of its prediction."""
        return f"k{self.request_id}"

    @property
    def has_key(self) -> bool:
        """Whether it has the value of the join key."""
        return b'"puid"' in self.body

    def attributes(self) -> dict[str, str]:
        """Return the attributes of its CloudEvent."""
        attributes = {
            "id": f"{self.request_id}-{self.part}",
            "requestid": self.request_id if self.named_by == "id" else self.key,
            "type": f"io.seldon.serving.{_TYPES[self.part]}",
            "inferenceservicename": self.deployment,
            "namespace": "sim",
            "endpoint": "default",
            "modelid": "m",
        }
        return attributes if self.time is None else {**attributes, "time": self.time}

    def event(self, settings: Settings, arrival: str = "") -> Event:
        """Return the event; one without a time of its own has arrived at ``arrival``."""
        event = from_attributes(self.attributes(), Body(self.body, "application/json", len(self.body)), settings)
        if self.time is None and arrival:
            event.timestamp = arrival
        return with_join_key(event, KEY, event.request_id) if self.named_by == "key" else event

    def record(self, milliseconds: int) -> Record:
        """Return the Kafka record of the event, sent at a time (since 1970): the time of an event that has none."""
        headers = tuple((f"ce_{name}", value.encode()) for name, value in self.attributes().items())
        return Record("events", 0, 0, milliseconds, None, (*headers, ("content-type", b"application/json")), self.body)


def messages(rng: random.Random, deployments: list[str], predictions: int) -> list[Message]:
    """Draw the events of some predictions, in the order of their times, some of them twice."""
    # Each schedule has traffic of its own kind: see Plan.of.
    of_rows = rng.choice(((1, 1, 1, 2, 3), (1, 1, 1, 2, 3), (1,), (2, 3)))
    twice, untimed = rng.choice((0.15, 0.15, 0.6)), rng.choice((0.0, 0.0, 0.3, 1.0))
    drawn: list[Message] = []
    for number in range(predictions):
        deployment = rng.choice(deployments)
        rows = rng.choice(of_rows)
        request_id = f"p{number}"
        day, late = sorted(rng.choices(_DAYS, k=2))
        found = []
        for part in ("request", "response", "feedback", "feedback"):
            if rng.random() < 0.85:
                # Each version has a time of its own: which of two equal ones wins is not defined.
                second = len(found)
                time: str | None = f"{late if part == 'feedback' else day}T12:00:0{second}.{number:03d}Z"
                if rng.random() < untimed:
                    time = None
                sure = rng.random() < 0.8
                found.append(Message(deployment, request_id, part, time, _body(rng, part, rows), sure))
        found += [message for message in found if rng.random() < twice]
        drawn += found
    return drawn


def is_poison(message: Message) -> bool:
    """Return whether an engine may refuse an event because of its content."""
    return message.body in _POISON


def burst(rng: random.Random, deployments: list[str]) -> list[Message]:
    """Draw one event that is delivered very often. Its sender doesn't retry."""
    time = f"{_DAYS[0]}T12:00:00Z"
    return [Message(deployments[0], "burst", "feedback", time, _body(rng, "feedback", 1), False)] * _MOST_DELIVERIES


def _body(rng: random.Random, part: str, rows: int) -> bytes:
    if rows == 1 and rng.random() < 0.05:
        # In a batch it would be a part without rows, whose place depends on the order: see recorder.
        return rng.choice(_POISON)
    if part == "request":
        return orjson.dumps(
            {"data": {"names": ["a", "b"], "ndarray": [[row, rng.randrange(9)] for row in range(rows)]}}
        )
    if part == "response":
        scores = [rng.randrange(1, 9) / 10 for _ in range(rows)]
        return orjson.dumps({"data": {"names": ["no", "yes"], "ndarray": [[1 - score, score] for score in scores]}})
    truth = {"data": {"ndarray": [rng.randrange(2) for _ in range(rows)]}}
    return orjson.dumps({"reward": rng.choice((0, 1, 0.5)), "truth": truth})
