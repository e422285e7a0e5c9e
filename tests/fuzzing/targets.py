"""What is fuzzed: each target takes bytes, and raises AssertionError (or anything undocumented) for a defect.

The first line of an input chooses among the ways a body can arrive, all after it is what a sender wrote. Each
target also bounds the processor time per byte: what is quadratic shows at a few thousand bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import orjson

from request_logger.common.json import dumps
from request_logger.common.names import document_id, item_id, row_named
from request_logger.documents.document import expand
from request_logger.documents.envelope import parse_batch, parse_structured
from request_logger.documents.event import (
    BadEventError,
    Body,
    Event,
    IgnoredEventError,
    from_headers,
    from_structured,
)
from request_logger.documents.parts import parts_of
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.write_plan import record
from request_logger.payloads import UndecodableError, decode_body
from request_logger.payloads.messages import drift_content, feedback_content, outlier_contents
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError
from tests.model import SETTLE, Store, apply

CONTENT_TYPES = (
    "application/json",
    None,
    "application/protobuf",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/vnd.kserve.v2+json; charset=utf-8",
    "application/x-protobuf",
)
TYPES = (
    "io.seldon.serving.inference.request",
    "io.seldon.serving.inference.response",
    "io.seldon.serving.feedback",
    "io.seldon.serving.inference.outlier",
    "org.kubeflow.serving.inference.drift",
    "org.kubeflow.serving.inference.request",
    "org.kubeflow.serving.inference.response",
    "org.kubeflow.serving.reference.request",
)
RULES = ("drop:id", "hash:id", "drop:$.data.id, hash:name", "drop:$.instances[*].id", "drop:$.data.ndarray[*][0]")
# Between the events of one input of `join`.
BORDER = b"\n--\n"
MOST_EVENTS = 6
# Single and batched predictions under one id need up to three to come to rest.
MOST_REPETITIONS = 6
# A first import, a slow machine and an instrumented interpreter are allowed for; what is quadratic is far beyond.
_SECONDS, _SECONDS_PER_BYTE = 2.0, 2e-4

_SETTINGS = Settings()


class SlowError(AssertionError):
    """An input took more time than its length allows."""


def decode(data: bytes) -> None:
    """A body is rows or an UndecodableError of one line; what is decoded can be stored."""
    choice, raw = _split(data)
    content_type = CONTENT_TYPES[choice % len(CONTENT_TYPES)]
    for is_response in (False, True):
        try:
            decoded = decode_body(raw, content_type, is_response=is_response)
        except UndecodableError as error:
            _check_line(str(error))
            continue
        assert decoded.items, "decoded to no row at all"
        if decoded.names is not None:
            assert all(isinstance(name, str) for name in decoded.names), "names that are no text"
        _check_storable([item.instance for item in decoded.items])
        _check_storable([decoded.payload, decoded.fields, decoded.names, [item.elements for item in decoded.items]])
    for read in (
        lambda: feedback_content(raw, content_type),
        lambda: outlier_contents(raw, content_type),
        lambda: drift_content(raw, content_type, lambda values: {f"f{k}": value for k, value in enumerate(values)}),
    ):
        try:
            _check_storable(read())
        except UndecodableError as error:
            _check_line(str(error))


def event(data: bytes) -> None:
    """Headers, a structured or a batched body are events, or an error of one line that says what is wrong."""
    choice, raw = _split(data)
    for made in _events(choice, raw):
        assert made.request_id
        assert made.index
        _check_storable([made.header, made.time, made.source, made.timestamp, made.id])
        for part in parts_of(made):
            _check_storable(part.content)


def redact(data: bytes) -> None:
    """Redaction never raises, what is left can be stored, and a field that a rule drops by name is not in it."""
    choice, raw = _split(data)
    rules = RULES[choice % len(RULES)]
    content_type = CONTENT_TYPES[choice // 8 % len(CONTENT_TYPES)]
    for type in TYPES[:5]:
        made = from_headers({"ce-type": type, "ce-id": "r"}, Body(raw, content_type, len(raw)), _SETTINGS)
        redacted = _redactor(rules).redact(made)
        contents = [part.content for part in parts_of(redacted)]
        _check_storable(contents)
        if rules == "drop:id" and redacted.body.raw is not None:
            body = json.loads(redacted.body.raw)
            assert "id" not in set(_keys(body)), "a field that a rule drops is still there"


def join(data: bytes) -> None:
    """Whatever events come, in whatever order and again: their parts are all there, and repetition comes to rest.

    A repeated event may hand over what was left waiting, and so may the next; but some repetition changes nothing. Each
    event's time is its place in the input, so that of two versions of a part the later one is known.
    """
    made = []
    for place, chunk in enumerate(data.split(BORDER)[:MOST_EVENTS]):
        choice, raw = _split(chunk)
        made.append(_nth_event(place, choice, raw))
    store: Store = {}
    for each in made:
        play(store, each)
    check_parts(store, made)
    seen: list[bytes] = []
    while seen[-1:] != (state := [dumps(_timeless(store), sort_keys=True)]):
        assert len(seen) < MOST_REPETITIONS, "the same events change a document each time"
        seen += state
        for each in made:
            play(store, each)
        check_parts(store, made)
    backwards: Store = {}
    for each in reversed(made):
        play(backwards, each)
    check_parts(backwards, made)


def play(store: Store, made: Event) -> None:
    """Store one event. A plan may say that it is refused; nothing else."""
    plan = record(made, parts_of(made), SETTLE)
    results: Any = None
    # A plan looks at a few documents again and again; one that never ends is a defect.
    for _ in range(100):
        try:
            changes = plan.send(results)
        except (StopIteration, RejectedError):
            return
        results = [apply(store, change) for change in changes]
    raise AssertionError("a plan that does not end")


def check_parts(store: Store, made: list[Event]) -> None:
    """The latest version of each part is in the document of its id, or in that of a row of it."""
    latest = {(each.index, each.request_id, each.part): each for each in sorted(made, key=lambda each: each.timestamp)}
    for (index, id, part), each in latest.items():
        names = {document_id(id)}
        if part == "feedback" and (named := row_named(id)) is not None:
            # Feedback for a row of a batch that its id names.
            names.add(item_id(*named))
        homes = [
            source
            for (place, name), source in store.items()
            if place == index and (name in names or name.startswith(f"{id}-item-"))
        ]
        times = [expand(source.get(part) or {}).get("ce-time") for source in homes]
        # Feedback for a row can be followed by one for its whole batch.
        assert any(time and time >= str(each.time) for time in times), f"the latest {part} is in no document"
        for source in homes:
            _check_storable(source)


TARGETS: dict[str, Callable[[bytes], None]] = {"decode": decode, "event": event, "redact": redact, "join": join}


def run(target: str, data: bytes) -> None:
    """Run one input. Raises AssertionError, also SlowError, for a defect."""
    started = time.thread_time()
    TARGETS[target](data)
    took = time.thread_time() - started
    if took > _SECONDS + _SECONDS_PER_BYTE * len(data):
        raise SlowError(f"{len(data)} bytes took {took:.1f} s")


def _split(data: bytes) -> tuple[int, bytes]:
    """Take the number off the front: the first line, where it is one of up to three digits."""
    number, line, rest = data.partition(b"\n")
    if line and number.isdigit() and len(number) <= 3:
        return int(number), rest
    return 0, data


def _events(choice: int, raw: bytes) -> Iterator[Event]:
    try:
        if choice % 3 == 0:
            head, _, body = raw.partition(b"\n\n")
            lines = (line.partition(":") for line in head.decode("latin-1").split("\n"))
            headers = {name.strip().lower(): value.strip() for name, _, value in lines}
            yield from_headers(headers, Body(body, headers.get("content-type"), len(body)), _SETTINGS)
        elif choice % 3 == 1:
            yield from_structured(parse_structured(raw), _SETTINGS)
        else:
            for value in parse_batch(raw):
                try:
                    yield from_structured(value, _SETTINGS)
                except (BadEventError, IgnoredEventError) as error:
                    _check_line(str(error))
    except (BadEventError, IgnoredEventError) as error:
        _check_line(str(error))


def _nth_event(place: int, choice: int, raw: bytes) -> Event:
    headers = {
        "ce-type": TYPES[choice % 3],
        "ce-id": f"event-{place}",
        "ce-requestid": ("r1", "r1-item-0", "r2")[choice // 3 % 3],
        "ce-modelid": ("", "node")[choice // 9 % 2],
        "ce-time": f"2026-01-02T03:04:0{place}Z",
        "ce-source": "fuzz",
    }
    return from_headers(headers, Body(raw, CONTENT_TYPES[choice // 18 % 3], len(raw)), _SETTINGS)


@cache
def _redactor(rules: str) -> Redactor:
    return Redactor(rules, "a key of the tests, long enough")


def _timeless(store: Store) -> dict[str, Any]:
    """Take out when each document was scored."""
    copied = {"/".join(key): dict(source) for key, source in store.items()}
    for source in copied.values():
        if isinstance(source.get("metrics"), dict):
            source["metrics"] = {**source["metrics"], "scored_at": None}
    return copied


def _keys(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _check_line(text: str) -> None:
    assert text, "an error that says nothing"
    assert len(text.splitlines()) == 1, "an error of more than one line"


def _check_storable(value: Any) -> None:
    """An engine must be able to take it, and give back the same."""
    raw = dumps(value)
    orjson.loads(raw)
