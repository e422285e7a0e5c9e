"""REDACT_STRICT: what a rule may be about, and nobody can point at, is not stored."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from request_logger import payloads
from request_logger.common.json import dumps
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.redaction_check import NO_COLUMNS, NO_SCHEMA, STILL_THERE
from request_logger.ingest.redaction_walk import Hasher
from request_logger.metadata import MetadataSource, Schema, parse_schema
from request_logger.metadata.oidc import MetadataUnavailableError
from request_logger.payloads import Decoded, Item, columns_in
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of

KEY = "a key of the tests, long enough"
HASH = Hasher(KEY.encode())
SECRET = "S3CRET"


def made(body: Any, part: str = "inference.request") -> Event:
    raw = json.dumps(body).encode()
    headers = {"ce-type": f"io.seldon.serving.{part}", "ce-requestid": "r1", "ce-time": "2026-01-01T00:00:00Z"}
    return from_headers(headers, Body(raw, "application/json", len(raw)), Settings())


def stored(
    body: Any, part: str = "inference.request", rules: str = "drop:id", *, strict: bool = True, **known: Any
) -> list[dict[str, Any]]:
    redactor = Redactor(rules, KEY, strict=strict)
    return [part.content for part in parts_of(redactor.redact(made(body, part), **known))]


SCHEMA: Schema = parse_schema({"requests": [{"name": "age"}, {"name": "id"}], "responses": [{"name": "id"}]})[0]
UNNAMED = [
    {"data": {"ndarray": [[1, SECRET]]}},
    {"data": {"names": ["x", "y"], "ndarray": [[1, SECRET]]}},
    {"instances": [[1, SECRET]]},
    {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": ["1", SECRET]}]},
    {"dataframe_split": {"data": [[1, SECRET]]}},
    {"dataType": "tabular", "instance": [[1, SECRET]]},
]


@pytest.mark.parametrize("body", UNNAMED, ids=lambda body: next(iter(body)))
def test_the_schema_is_not_known_yet(body: Any) -> None:
    """A column that it may name is not stored; what identifies the event is."""
    [content] = stored(body, is_schema_known=False)
    if "dataframe_split" in body and "payload_dropped" not in content:
        pytest.skip("the decoder of data frames is not installed")
    assert SECRET.encode() not in dumps(content)
    assert content["payload_dropped"]["reason"] == NO_SCHEMA
    assert content["ce-time"] == "2026-01-01T00:00:00Z"
    [content] = stored(body, strict=False, is_schema_known=False)
    assert SECRET.encode() in dumps(content)


@pytest.mark.parametrize("body", UNNAMED, ids=lambda body: next(iter(body)))
def test_with_the_schema_only_the_column_is_gone(body: Any) -> None:
    """Once it is known, or known that there is none."""
    [content] = stored(body, schema=SCHEMA)
    assert SECRET.encode() not in dumps(content)
    assert "payload" in content or "instance" in content


def test_a_body_that_names_the_column_needs_no_schema() -> None:
    """Its own names say where all of them are; text has no columns that a schema could name."""
    body = {"data": {"names": ["age", "id"], "ndarray": [[1, SECRET]]}}
    [content] = stored(body, is_schema_known=False)
    assert content["elements"] == {"age": 1.0, "id": None}
    [content] = stored({"strData": "a text"}, is_schema_known=False)
    assert content["instance"] == "a text"
    [content] = stored({"data": {"ndarray": [[1, 2]]}}, rules="drop:$.data.x", is_schema_known=False)
    assert content["instance"] == [1.0, 2.0]


def test_feedback_with_messages_inside() -> None:
    """The columns of its request, response and truth are those of the schema, too."""
    inner = {"data": {"ndarray": [[1, SECRET]]}}
    body = {"reward": 1, "request": inner, "truth": [[SECRET]], "response": {"data": {"ndarray": [[SECRET]]}}}
    [content] = stored(body, "feedback", schema=SCHEMA)
    assert SECRET.encode() not in dumps(content)
    assert content["request"] == {"data": {"ndarray": [[1, None]]}}
    [content] = stored({**body, "truth": [[1]]}, "feedback", is_schema_known=False)
    assert SECRET.encode() not in dumps(content)
    assert content["reward"] == 1
    assert content["truth"] == [[1]]
    assert content["payload_dropped"]["reason"] == NO_SCHEMA


class Wide:
    """Decodes {"head": "age;id", "cells": "1;..."}."""

    def accepts(self, body: dict[str, Any]) -> bool:
        return "cells" in body

    def decode(self, body: dict[str, Any]) -> Decoded:
        names, cells = body["head"].split(";"), body["cells"].split(";")
        return Decoded("tabular", [Item(cells, dict(zip(names, cells, strict=True)))], names)


class Named(Wide):
    """The same, which says its columns."""

    def columns(self, body: dict[str, Any]) -> Sequence[str] | None:
        return columns_in(self.decode(body))


class Failing(Wide):
    """The same, with a mistake."""

    def columns(self, body: dict[str, Any]) -> Sequence[str] | None:
        raise ZeroDivisionError


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Install a decoder before the built-in ones."""

    def install(other: Any) -> None:
        known = payloads.decoders()
        monkeypatch.setattr(payloads, "decoders", lambda: (("other", other), *known))

    return install


CELLS = {"head": "age;id", "cells": f"1;{SECRET}"}


@pytest.mark.parametrize("other", [Wide(), Failing()], ids=["without columns", "failing"])
def test_a_decoder_that_can_not_say_its_columns(decoder: Callable[[Any], None], other: Any) -> None:
    """Bodies of somebody else's form are left out where a rule is by name, and only there."""
    decoder(other)
    [content] = stored(CELLS)
    assert content["payload_dropped"]["reason"] == NO_COLUMNS
    assert SECRET.encode() not in dumps(content)
    [content] = stored(CELLS, rules="drop:$.note")
    assert content["elements"] == {"age": "1", "id": SECRET}
    [content] = stored(CELLS, strict=False)
    assert content["elements"] == {"age": "1", "id": SECRET}


@pytest.mark.parametrize(("action", "left"), [("drop", None), ("hash", HASH(SECRET))])
def test_a_decoder_that_says_its_columns(decoder: Callable[[Any], None], action: str, left: Any) -> None:
    """Its rows are stored without the column, and without the payload; all of it where no rule names a column."""
    decoder(Named())
    [content] = stored(CELLS, rules=f"{action}:id")
    assert content["elements"].pop("id", None) == left
    assert content["elements"] == {"age": "1"}
    assert content["instance"] == ["1", left]
    assert "payload" not in content
    [content] = stored(CELLS, rules=f"{action}:mail")
    assert content["payload"] == CELLS


def test_a_body_of_no_known_form() -> None:
    """Keys are redacted; a table that names the column as text, and has its cells elsewhere, is left out."""
    [content] = stored({"messages": [{"role": "user", "id": SECRET, "content": "hello"}]})
    assert content["payload"] == {"messages": [{"role": "user", "content": "hello"}]}
    [content] = stored({"header": ["age", "id"], "body": [[1, SECRET]]})
    assert content["payload_dropped"]["reason"] == NO_COLUMNS


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["age", "id"], "data": [[1, SECRET]]}},
        {"dataframe_records": [{"age": 1, "id": SECRET}]},
        {"strData": f"{{'age': 1, 'id': '{SECRET}'}}"},
        {"data": {"names": ["age", "id"], "ndarray": [[1, {"a": SECRET}]]}},
        {"inputs": [{"name": "id", "datatype": "BYTES", "shape": ["1"], "contents": {"bytesContents": ["UzNDUkVU"]}}]},
        {"examples": [{"id": SECRET}], "context": {"id": SECRET}},
    ],
    ids=lambda body: next(iter(body)),
)
@pytest.mark.parametrize("action", ["drop", "hash"])
def test_forms_of_other_servers(body: Any, action: str) -> None:
    """In each of them the named value is gone."""
    text = dumps(stored(body, rules=f"{action}:id"))
    assert SECRET.encode() not in text
    assert b"UzNDUkVU" not in text


def test_protojson_whose_columns_only_a_schema_names() -> None:
    """Its contents have no place for a hole, so the body is left out."""
    tensor = {"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32Contents": [1, 987654]}}
    [content] = stored({"inputs": [tensor]}, schema=SCHEMA)
    assert content["payload_dropped"]["reason"] == STILL_THERE
    for known in ({"schema": SCHEMA}, {"is_schema_known": False}):
        [content] = stored({"inputs": [{**tensor, "shape": ["3"]}]}, **known)
        assert content["payload_dropped"]["reason"] == NO_COLUMNS


def test_what_the_source_knows() -> None:
    """Not before the service has answered: neither while it is down nor while it is slow; an old answer is one."""
    answers: list[Any] = []

    def lookup(deployment: Any) -> Any:
        if not answers:
            raise MetadataUnavailableError("down")
        return answers[0]

    source = MetadataSource(lookup, wait_seconds=0.2, ttl_seconds=0.2, retry_seconds=0.05)
    asked = ("seldon", "ns", "iris", "default")
    assert source.answer_for(*asked) == (None, False)
    answers.append({"requests": [{"name": "id"}], "responses": []})
    deadline = time.monotonic() + 10
    while not source.answer_for(*asked).is_known and time.monotonic() < deadline:
        time.sleep(0.05)
    schema, is_known = source.answer_for(*asked)
    assert is_known
    assert schema is not None
    answers.clear()
    time.sleep(0.3)
    assert source.answer_for(*asked).is_known
    slow = MetadataSource(lambda deployment: time.sleep(5), wait_seconds=0.05)  # type: ignore[arg-type]
    assert slow.answer_for(*asked) == (None, False)
    assert MetadataSource().answer_for(*asked) == (None, True)
    assert source.answer_for("seldon", None, "iris", None) == (None, True)


@pytest.mark.engine
def test_a_service_that_hangs(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """Over HTTP: while the service does not answer, nothing in clear is stored, and events do not wait."""
    release = threading.Event()

    class Hanging(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(30)
            self.send_error(503)

        def log_message(self, *args: Any) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    try:
        host = f"http://127.0.0.1:{service.server_address[1]}/seldon-deploy/api/v1alpha1"
        server = make_server(REDACT="drop:id", DEPLOY_API_HOST=host, METADATA_WAIT_SECONDS="0.3", GUNICORN_WORKERS="1")
        sender = Sender(server.url)
        started = time.monotonic()
        for number in range(5):
            body = json.dumps({"data": {"ndarray": [[number, SECRET]]}}).encode()
            assert sender.send(event("request", f"r{number}", deployment), body)[0] == 200
        assert time.monotonic() - started < 10
        name = index_of(deployment)
        found = index.documents(name)
        assert len(found) == 5
        assert SECRET not in json.dumps(list(found.values()))
        assert all(source["request"]["payload_dropped"]["reason"] == NO_SCHEMA for source in found.values())
    finally:
        release.set()
        service.shutdown()
        service.server_close()
