"""What is logged, and what never is: a payload, a secret. Trace ids lead from a log line to the document."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.event import Body, Event, from_headers, from_structured
from request_logger.documents.log_fields import log_fields
from request_logger.documents.parts import parts_of
from request_logger.logs import formatter, without_values
from request_logger.settings import Settings, SettingsError
from tests.helpers import Sender, Server, event, index_of, ndarray
from tests.model import in_order

MARKER = "M4RKER-of-a-secret"
PAYLOAD = "P4YLOAD"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def made(body: bytes = b'{"strData": "x"}', **headers: str) -> Event:
    attributes = {"ce-type": "io.seldon.serving.inference.request", "ce-requestid": "r1"}
    return from_headers({**attributes, **headers}, Body(body, "application/json", len(body)), Settings())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ce-traceparent": PARENT}, TRACE),
        ({"traceparent": PARENT.upper()}, TRACE),
        ({"ce-traceparent": PARENT, "traceparent": PARENT.replace("0af7", "ffff")}, TRACE),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"traceparent": "<script>"}, None),
        ({"traceparent": TRACE}, None),
        ({}, None),
    ],
)
def test_trace_id(headers: dict[str, str], expected: str | None) -> None:
    """Taken from the event's own traceparent, else from the message's; what is none is left out."""
    (part,) = parts_of(made(**headers))
    assert part.content.get("trace-id") == expected
    assert log_fields(made(**headers))["trace_id"] == expected


def test_trace_id_of_a_structured_event() -> None:
    """The attribute of that name."""
    value = {"id": "r1", "type": "io.seldon.serving.inference.request", "traceparent": PARENT, "data": {"strData": "x"}}
    assert from_structured(value, Settings()).trace_id == TRACE


@pytest.mark.parametrize("part", ["inference.response", "feedback"])
def test_a_second_delivery_in_another_trace_changes_nothing(part: str) -> None:
    """A broker gives each attempt a new trace; it remains one event, also while it waits for a batch."""
    headers = {"ce-type": f"io.seldon.serving.{part}", "ce-time": "2026-01-01T00:00:00Z"}
    body = b'{"data": {"ndarray": [[1.0]]}, "reward": 1}'
    once = made(body, **headers, traceparent=PARENT)
    again = made(body, **headers, traceparent=PARENT.replace("0af7", "ffff"))
    batch = made(b'{"data": {"ndarray": [[1.0], [2.0]]}}')
    assert in_order([once, again]) == in_order([once])
    for events in ([once, again, batch], [once, batch, again], [batch, once, again]):
        assert in_order(events).keys() == in_order([once, batch]).keys()


def record(message: str, level: int = logging.WARNING, error: BaseException | None = None, **extra: Any) -> Any:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("request_logger.server.app", level, "app.py", 1, message, (), info)
    made.__dict__.update(extra)
    return made


@given(st.text(max_size=50))
def test_one_record_is_one_line(message: str) -> None:
    """Whatever a message contains, it can't start a new line."""
    line = formatter("json").format(record(message))
    assert "\n" not in line
    assert json.loads(line)["level"] == "WARNING"
    assert "\n" not in formatter("text").format(record(message))


def test_fields_of_an_event() -> None:
    """Both formats say of which event a line is; none has its body."""
    extra = log_fields(made(PAYLOAD.encode(), traceparent=PARENT, **{"ce-inferenceservicename": "fraud"}))
    line = json.loads(formatter("json").format(record("stored", **extra)))
    assert line["time"].endswith("Z")
    wanted = {"trace_id": TRACE, "request_id": "r1", "part": "request", "deployment": "fraud", "message": "stored"}
    assert wanted.items() <= line.items()
    text = formatter("text").format(record("stored", **extra))
    assert f"trace_id='{TRACE}'" in text
    assert PAYLOAD not in text + json.dumps(line)


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_has_no_values(format: str) -> None:
    """An exception's text may quote what was sent: only its type and place are logged, and those of its causes."""
    try:
        try:
            raise KeyError(PAYLOAD)
        except KeyError as error:
            raise ValueError(f"bad: {PAYLOAD}") from error
    except ValueError:
        line = formatter(format).format(record("failed", error=sys.exc_info()[1]))
    assert PAYLOAD not in line
    assert "KeyError" in line
    assert "ValueError" in line
    assert "test_logs.py" in line


@pytest.mark.parametrize(
    "reason",
    [
        f"mapper_parsing_exception: failed to parse field [request.x] of type [long] in document with id 'r1'. "
        f"Preview of field's value: '{PAYLOAD}' <- illegal_argument_exception: For input string: \"{PAYLOAD}\"",
        f"mapper_parsing_exception: failed to parse field [request.x] <- failed to parse date field [{PAYLOAD}]",
        f"number_format_exception: For input string: {PAYLOAD} <- x [request.x]",
        f"document_parsing_exception: [1:23] failed to parse field [request.x]: '{PAYLOAD}'s' [{PAYLOAD}",
    ],
)
def test_an_engines_reason_has_no_values(reason: str) -> None:
    """The engine quotes what it refuses; the log only says which field of which type."""
    cut = without_values(reason)
    assert PAYLOAD not in cut
    assert "[request.x]" in cut


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("the engine can't take it now, and the spool is full", "the engine can't take it now, and the spool is full"),
        ("can't parse 'I don't know' as long", "can't parse '...' as long"),
        ("can't parse \"a\" or 'b", "can't parse '...' or '...'"),
    ],
)
def test_an_apostrophe_opens_no_quote(reason: str, kept: str) -> None:
    """Only what stands in quotes is cut."""
    assert without_values(reason) == kept


def test_a_format_that_is_none() -> None:
    """Said at start."""
    with pytest.raises(SettingsError, match=r"^LOG_FORMAT: "):
        Settings(log_format="xml")


SECRETS = {name.upper(): MARKER for name, spec in Settings.__dataclass_fields__.items() if spec.metadata["secret"]}
SECRETS["FORWARD_HEADERS"] = f"Authorization: {MARKER}"


@pytest.mark.engine
@pytest.mark.parametrize("engine_is_there", [True, False])
@pytest.mark.parametrize("credentials", ["ELASTICSEARCH_PASS", "ELASTICSEARCH_TOKEN", "ELASTICSEARCH_API_KEY"])
def test_no_secret_and_no_payload_in_the_log(
    make_server: Callable[..., Server],
    refusing: Callable[[str], None],
    deployment: str,
    engine_is_there: bool,
    credentials: str,
) -> None:
    """At DEBUG, with traffic of every kind, a refused document and an engine that is not there."""
    kept = {"ELASTICSEARCH_PASS", "ELASTICSEARCH_TOKEN", "ELASTICSEARCH_API_KEY"} - {credentials}
    env = {name: value for name, value in SECRETS.items() if name not in kept}
    server = make_server(
        None if engine_is_there else "http://127.0.0.1:1",
        ready=engine_is_there,
        **env,
        ELASTICSEARCH_USER="logger",
        READ_USER="reader",
        DEPLOY_API_HOST="http://127.0.0.1:1",
        OIDC_PROVIDER="http://127.0.0.1:1",
        CLIENT_ID="x",
        OIDC_USERNAME="x",
        REDACT="hash:nothing",
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        STORE_TIMEOUT_SECONDS="1",
        GUNICORN_WORKERS="1",
    )
    if engine_is_there:
        refusing(index_of(f"{deployment}-2"))
    sender = Sender(server.url)
    answers = []
    for token in (MARKER, "wrong"):
        for headers in (
            event("request", "r1", deployment, traceparent=PARENT),
            event("feedback", "r1", deployment),
            event("request", "r1", f"{deployment}-2", Ce_Time=PAYLOAD),
            event("request", "", "", Ce_Id=""),
        ):
            for body in (
                ndarray([[PAYLOAD]]),
                PAYLOAD.encode(),
                json.dumps({"truth": PAYLOAD, "reward": PAYLOAD}).encode(),
            ):
                answers.append(sender.send({**headers, "Authorization": f"Bearer {token}"}, body))
    sender.close()
    for path in ("/metrics", "/metadata", "/readyz", "/nothing"):
        for auth in (("reader", MARKER), None):
            answer = requests.get(server.url + path, auth=auth, timeout=30)
            answers.append((answer.status_code, answer.content))
    server.stop()
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert MARKER not in log
    assert PAYLOAD not in log
    assert not any(MARKER.encode() in body for _, body in answers)
    assert {status for status, _ in answers} >= ({200, 400, 401} if engine_is_there else {503, 400, 401})
    stored = [line for line in lines if line["message"] == "stored"]
    assert len(stored) == sum(status == 200 for status, _ in answers[:12])
    assert any(line.get("trace_id") == TRACE for line in stored) == engine_is_there
    assert any(line["level"] == "WARNING" and "more since" in line["message"] for line in lines)
