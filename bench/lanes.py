"""The lanes of `bench.profile`: events as each kind of sender sends them, in one thread, without a sender's sockets."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from bench import first, payloads
from bench.inline import Connections, Inline
from request_logger.kafka import binding
from request_logger.server.fast_parser import FastParser

# As many as one _bulk takes of 16 connections: half of them wait for the request before it.
CONNECTIONS = 8
BATCH = 99
# As many records as the Kafka consumer submits together.
RECORDS = 1000
_BATCH_BYTES = 2**20
_SHUFFLE = 20


@dataclass(slots=True)
class Sent:
    """An event to send: its attributes and its body."""

    attributes: dict[str, str]
    body: bytes
    content_type: str = "application/json"


def request_bodies() -> dict[str, tuple[bytes, bool]]:
    """Return the request of each size, and whether it has a response and feedback."""
    chance = random.Random(1)

    def row(columns: int, *, named: bool) -> bytes:
        names = {"names": [f"feature_{column}" for column in range(columns)]} if named else {}
        return json.dumps(
            {"data": {**names, "ndarray": [[round(chance.uniform(0, 100), 4) for _ in range(columns)]]}}
        ).encode()

    image = payloads.array((1, 32, 32, 3)).tolist()
    large = payloads.array((1, 192, 200, 3)).tolist()
    return {
        "small": (json.dumps(first.bodies(1)["request"]).encode(), True),
        "1 KB": (row(37, named=True), True),
        "4 KB": (row(150, named=True), True),
        "chat": (payloads.chat(), False),
        "image": (json.dumps({"instances": image}).encode(), False),
        "100 kB": (row(11_500, named=False), False),
        "1 MB": (json.dumps({"instances": large}).encode(), False),
    }


def events_of(request: bytes, predictions: int, deployment: str, *, whole: bool) -> Iterator[Sent]:
    """Yield the events of some predictions with the same request."""
    for number in range(predictions):
        found = first.bodies(number)
        for step, part in enumerate(first.PARTS if whole else ("request",)):
            body = request if part == "request" else json.dumps(found[part]).encode()
            yield Sent(attributes(deployment, number, part, step), body)


def attributes(deployment: str, number: int, part: str, step: int) -> dict[str, str]:
    """Return the CloudEvents attributes of an event, the same in every run."""
    return {
        "specversion": "1.0",
        "id": f"{deployment}-{number}-{part}",
        "source": "http://127.0.0.1:8000/",
        "type": f"io.seldon.serving.{'' if part == 'feedback' else 'inference.'}{part}",
        "time": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{step:03}Z",
        "requestid": f"{deployment}-{number}",
        "inferenceservicename": deployment,
        "modelid": "classifier",
        "namespace": "bench",
        "endpoint": "default",
    }


# Each returns the function that sends prepared events.


def http(logger: Inline, events: Iterable[Sent]) -> Callable[[], None]:
    """Prepare events in binary mode."""
    return _posts(logger, posts("http", events))


def structured(logger: Inline, events: Iterable[Sent]) -> Callable[[], None]:
    """Prepare structured events."""
    return _posts(logger, posts("structured", events))


def batch(logger: Inline, events: Iterable[Sent]) -> Callable[[], None]:
    """Prepare batches of BATCH events, or of 1 MB."""
    return _posts(logger, posts("batch", events), connections=1)


def posts(lane: str, events: Iterable[Sent]) -> list[bytes]:
    """Return the HTTP requests that send some events in one of the lanes http, structured and batch."""
    if lane == "http":
        return [_post(_binary(event), event.body) for event in events]
    if lane == "structured":
        return [_post({"content-type": "application/cloudevents+json"}, enveloped(event)) for event in events]
    return [_post({"content-type": "application/cloudevents-batch+json"}, body) for body in _batches(events)]


def _batches(events: Iterable[Sent]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for event in events:
        waiting.append(enveloped(event))
        if len(waiting) == BATCH or sum(map(len, waiting)) > _BATCH_BYTES:
            yield b"[%b]" % b",".join(waiting)
            waiting = []
    if waiting:
        yield b"[%b]" % b",".join(waiting)


def kafka(logger: Inline, events: Iterable[Sent]) -> Callable[[], None]:
    """Prepare records in binary mode, those of a prediction in random places near each other."""
    records = [
        binding.Record("events", 0, offset, 0, None, tuple(_record_headers(event)), event.body)
        for offset, event in enumerate(events)
    ]
    chance = random.Random(1)
    records.sort(key=lambda record: record.offset + chance.randrange(_SHUFFLE))

    def send() -> None:
        for start in range(0, len(records), RECORDS):
            found = [
                binding.prepared(logger.pipeline, record, logger.settings)
                for record in records[start : start + RECORDS]
            ]
            _check(logger.pipeline.wait_all([(event, queue()) for event, queue in found]))

    return send


LANES: dict[str, Callable[[Inline, Iterable[Sent]], Callable[[], None]]] = {
    "http": http,
    "structured": structured,
    "batch": batch,
    "kafka": kafka,
}


def enveloped(event: Sent) -> bytes:
    """Return an event in structured mode; a body that isn't JSON becomes base64."""
    head = json.dumps({**event.attributes, "datacontenttype": event.content_type})[:-1].encode()
    try:
        orjson.loads(event.body)
    except orjson.JSONDecodeError:
        return b'%b, "data_base64": "%b"}' % (head, base64.b64encode(event.body))
    return b'%b, "data": %b}' % (head, event.body)


def _binary(event: Sent) -> dict[str, str]:
    return {"content-type": event.content_type, **{f"Ce-{name}": text for name, text in event.attributes.items()}}


def _record_headers(event: Sent) -> Iterator[tuple[str, bytes]]:
    yield "content-type", event.content_type.encode()
    yield from ((f"ce_{name}", text.encode()) for name, text in event.attributes.items())


def _post(headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{name}: {text}" for name, text in {**headers, "content-length": str(len(body))}.items()]
    return "\r\n".join(["POST / HTTP/1.1", "host: logger", *lines, "", ""]).encode() + body


def _posts(logger: Inline, requests: list[bytes], connections: int = CONNECTIONS) -> Callable[[], None]:
    def connection(number: int) -> Callable[[], None]:
        def run() -> None:
            parser = FastParser()
            for request in requests[number::connections]:
                parser.feed(request)
                _check([logger.route.post(parser.headers, parser.body).status])
                parser.start()
            parser.close()

        return run

    return lambda: Connections(logger.writer, [connection(number) for number in range(connections)]).run()


def _check(answers: list[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception) or (isinstance(answer, int) and answer != 200):
            raise RuntimeError(f"an event was not stored: {answer!r}")


def mixed(count: int, deployment: str) -> Iterator[Sent]:
    """Yield events with bodies of all protocols and kinds, those of a prediction in random places near each other."""
    chance = random.Random(1)
    requests = [
        (raw, kind or "application/json")
        for shape in ((1, 4), (3, 4), (1, 2), (2, 1), (1, 4, 4, 3), (1, 300))
        for _, raw, kind in payloads.bodies(payloads.array(shape))
    ]
    requests += [(raw, kind or "application/json") for _, raw, kind in payloads.others() if len(raw) < 10_000]
    requests += [(raw, "application/json") for raw in _UNUSUAL]
    large = [
        (raw, kind or "application/json")
        for shape in ((1, 3000), (1, 32, 32, 3), (2, 2500))
        for _, raw, kind in payloads.bodies(payloads.array(shape))
    ]
    events: list[tuple[int, Sent]] = []
    for number in range(-(-count // len(first.PARTS))):
        found = first.bodies(number)
        for step, part in enumerate(first.PARTS):
            raw, kind = json.dumps(found[part]).encode(), "application/json"
            if part == "request" or (part == "response" and number % 3 == 0):
                raw, kind = chance.choice(requests if number % 20 else large)
            place = number * len(first.PARTS) + chance.randrange(_SHUFFLE)
            events.append((place, Sent(attributes(deployment, number, part, step), raw, kind)))
    events.sort(key=lambda pair: pair[0])
    yield from (event for _, event in events[:count])


_UNUSUAL = (
    b'{"instances": [[1, 2.0, null, true], [1e5, -0.0, 12345678901234567890123, 0.1]]}',
    b'{"instances": [[NaN, 1.0]], "signature_name": "x"}',
    b'{"instances": [{"a": 1, "b": [1, 2]}, {"a": "x", "b.c": null}]}',
    b'{"predictions": [[0.1, 0.9], [0.8, 0.2]]}',
    b'{"predictions": [{"label": "cat", "score": 0.9}]}',
    b'{"data": {"names": ["a", "a.b", ""], "ndarray": [[1, "x", null]]}, "meta": {"tags": {"k": [1]}}}',
    b'{"data": {"ndarray": [[1], [2, 3]]}}',
    b'{"data": {"ndarray": []}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}',
    b'{"outputs": [{"name": "y", "datatype": "INT64", "shape": [2, 1], "data": [1, 0]}], "model_name": "m"}',
    b'{"inputs": [{"name": "a", "datatype": "FP32", "shape": [2], "data": [0.1, 0.2]},'
    b' {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "\xc3\xa9"]}]}',
    b'{"jsonData": null}',
    b'"text"',
    b"[1, 2",
    b"",
    b'{"strData": "\\ud800"}',
)
