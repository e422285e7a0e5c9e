"""The ways in: each sends the same events, and returns their answers once all that is acknowledged is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.contract.events import ENV, Answer, Sent, as_record, as_structured
from tests.helpers import Index, Sender, Server
from tests.kafka_broker import start_kafka
from tests.kafka_helpers import ConsumerProcess, Message, produce, wait_for

# Senders at a time. A single one waits for each write.
_SENDERS = 8
_BATCH_EVENTS = 40
_STRUCTURED = {"Content-Type": "application/cloudevents+json"}
_BATCHED = {"Content-Type": "application/cloudevents-batch+json"}
# Nothing listens there.
_NOWHERE = "http://127.0.0.1:9"
_DEAD_LETTERS = "request-logger-dead-letters"
# A header of the records: which event it is. A producer that sends a batch again changes the order.
_NUMBER = "number"


@dataclass(frozen=True)
class Place:
    """Where a way runs: the engine, a folder, and the environment that its indices are named after."""

    engine_url: str
    folder: Path
    environment: str

    def server(self, engine_url: str | None = None, **env: str) -> Server:
        """Start a server."""
        return Server(engine_url or self.engine_url, self.folder / "server.log", **{**self.settings, **env})

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables of its processes."""
        return {**ENV, "SELDON_ENVIRONMENT": self.environment}


Way = Callable[[Place, Sequence[Sent]], list[Answer]]
Send = Callable[[Sender, Sent], Answer]


def post_plain(sender: Sender, sent: Sent) -> Answer:
    """Send an event as the fast parser takes it."""
    return _answer(*sender.send(sent.headers, sent.body))


def post_chunked(sender: Sender, sent: Sent) -> Answer:
    """Send an event in chunks, which the fast parser hands to gunicorn."""
    return _answer(*sender.send(sent.headers, sent.body, chunked=True))


def post_structured(sender: Sender, sent: Sent) -> Answer:
    """Send an event in structured mode."""
    return _answer(*sender.send(_STRUCTURED, as_structured(sent)))


def post_marshalled(sender: Sender, sent: Sent) -> Answer:
    """Send an event as KServe's agent sends it to its marshaller; what is stored is answered with an archive."""
    status, body = sender.send({"Content-Type": "application/json"}, b"[%b]" % as_record(sent), path="/v1/marshal")
    return Answer(status) if status == 200 else _answer(status, body.replace(b"reqType", b"type"))


def one_by_one(send: Send, **env: str) -> Way:
    """Return a way that sends each event in a request of its own, to a server with an environment."""

    def way(place: Place, events: Sequence[Sent]) -> list[Answer]:
        server = place.server(**env).wait()
        try:
            return _send_all(server.url, events, send)
        finally:
            server.stop()

    return way


def batched(place: Place, events: Sequence[Sent]) -> list[Answer]:
    """Send the events in batches; a batch of which all is stored has no answer per event."""
    server = place.server().wait()
    sender = Sender(server.url)
    answers: list[Answer] = []
    try:
        for start in range(0, len(events), _BATCH_EVENTS):
            batch = events[start : start + _BATCH_EVENTS]
            status, body = sender.send(_BATCHED, b"[%b]" % b",".join(map(as_structured, batch)))
            assert status in (200, 207), body
            each = json.loads(body)["events"] if status == 207 else [{"status": 200}] * len(batch)
            answers += [Answer(found["status"], found.get("error", "")) for found in each]
    finally:
        sender.close()
        server.stop()
    return answers


def spooled(place: Place, events: Sequence[Sent]) -> list[Answer]:
    """Send the events to a server without an engine, and let another one that has it replay the spool."""
    env = {"SPOOL_DIR": str(place.folder / "spool"), "STORE_TIMEOUT_SECONDS": "0.5"}
    server = place.server(_NOWHERE, **env).wait("/healthz")
    try:
        answers = _send_all(server.url, events, post_plain)
        assert _spooled_in(server) > 0
    finally:
        server.stop()
    server = place.server(SPOOL_DIR=env["SPOOL_DIR"]).wait()
    try:
        wait_for(lambda: _spooled_in(server) == 0, 60)
    finally:
        server.stop()
    return answers


def queued(place: Place, events: Sequence[Sent]) -> list[Answer]:
    """Send the events to a server that acknowledges each from disk, and let it empty its queue."""
    server = place.server(SPOOL_DIR=str(place.folder / "queue"), QUEUE="always").wait()
    try:
        answers = _send_all(server.url, events, post_plain)
        wait_for(lambda: _spooled_in(server) == 0, 60)
    finally:
        server.stop()
    return answers


def forwarded(place: Place, events: Sequence[Sent]) -> list[Answer]:
    """Send the events to a server that forwards them to a second one, whose documents are looked at."""
    other = f"f{place.environment}"
    second = place.server().wait()
    first = Server(
        place.engine_url,
        place.folder / "first.log",
        **{**place.settings, "SELDON_ENVIRONMENT": other, "FORWARD_URL": second.url},
    ).wait()
    try:
        answers = _send_all(first.url, events, post_plain)
        stored = _metric(first, 'request_logger_events_total{outcome="stored"')
        wait_for(lambda: _metric(first, 'request_logger_forwarded_total{outcome="sent"') == stored > 0, 60)
    finally:
        first.stop()
        second.stop()
        Index(place.engine_url).drop(f"*-log-{other}-*")
    return answers


def consumed(place: Place, events: Sequence[Sent]) -> list[Answer]:
    """Let a consumer read the events from Kafka; the answer to one that can't be taken is its dead letter."""
    with start_kafka(lambda line: print(line, flush=True)) as broker:
        topic = broker.make_topic(place.environment)
        produce(broker.address, topic, map(_as_record, range(len(events)), events))
        log = place.folder / "consumer.log"
        consumer = ConsumerProcess(place.engine_url, log, broker.address, topic, **place.settings)
        try:
            consumer.wait()
            wait_for(lambda: broker.committed(topic, 1, topic) == [len(events)], 60)
        finally:
            consumer.kill()
            consumer.stop()
    letters = Index(place.engine_url).documents(_DEAD_LETTERS, {"match_phrase": {"index": f"kafka:{topic}"}})
    answers = [Answer() for _ in events]
    for letter in letters.values():
        number = dict(json.loads(letter["document"])["headers"])[_NUMBER]
        answers[int(number)] = Answer(400, letter["reason"])
    return answers


WAYS: dict[str, Way] = {
    "fast": one_by_one(post_plain),
    "gunicorn": one_by_one(post_chunked),
    "fast off": one_by_one(post_plain, FAST_HTTP="off"),
    "structured": one_by_one(post_structured),
    "batched": batched,
    "marshaller": one_by_one(post_marshalled),
    "spool": spooled,
    "queue": queued,
    "forwarded": forwarded,
    "kafka": consumed,
}


def _send_all(url: str, events: Sequence[Sent], send: Send) -> list[Answer]:
    """Send events of several predictions at a time, those of one in their order."""
    by_prediction: dict[str, list[int]] = {}
    for number, sent in enumerate(events):
        by_prediction.setdefault(sent.request_id, []).append(number)
    answers: dict[int, Answer] = {}

    def work(share: Iterable[list[int]]) -> None:
        sender = Sender(url)
        for numbers in share:
            for number in numbers:
                answers[number] = send(sender, events[number])
        sender.close()

    groups = list(by_prediction.values())
    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(work, [groups[start::_SENDERS] for start in range(_SENDERS)]))
    return [answers[number] for number in range(len(events))]


def _answer(status: int, body: bytes) -> Answer:
    return Answer(status, json.loads(body)["error"] if body else "")


def _as_record(number: int, sent: Sent) -> Message:
    """Write an event in the binary mode of CloudEvents' Kafka binding."""
    pairs = [(name.lower(), value.encode("latin-1")) for name, value in sent.headers]
    made = [(f"ce_{name[3:]}" if name.startswith("ce-") else name, value) for name, value in pairs]
    return [*made, (_NUMBER, str(number).encode())], sent.body


def _spooled_in(server: Server) -> float:
    return _metric(server, "request_logger_spool_events")


def _metric(server: Server, start: str) -> float:
    """The sum of the samples of /metrics that start so."""
    text: Any = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start))
