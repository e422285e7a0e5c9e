"""A marker is sent through every field of every route: it is in no error's text, no answer to an error, no log line."""

from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from prometheus_client import CollectorRegistry

from request_logger import logs
from request_logger.documents.envelope import parse_batch, parse_structured
from request_logger.documents.event import (
    BadEventError,
    IgnoredEventError,
    from_structured,
)
from request_logger.kafka.binding import event_of
from request_logger.kafka.record import Record
from request_logger.scoring.score import score, settler
from request_logger.server import responses
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.telemetry import Telemetry
from tests.helpers import Index, Sender, Server, event, index_of

TEXT = "M4RKER-of-a-body"
NUMBER = 918273645546372819
MARKERS = (TEXT, str(NUMBER))
SETTINGS = Settings()
VALUES: list[Any] = [TEXT, NUMBER, {TEXT: TEXT}, [TEXT, NUMBER], NUMBER / 10**30, True, None, ""]
FIELDS = ["request_id", "deployment", "namespace", "predictor", "model", "time", "engine", "truth", "truths", "reward",
          "metrics", "prediction", "predictions", TEXT, "rewrad"]  # fmt: skip
ATTRIBUTES = ["id", "type", "source", "time", "requestid", "modelid", "namespace", "endpoint", "traceparent", TEXT,
              "inferenceservicename", "specversion", "datacontenttype", "datacontentencoding",
              "data_base64"]  # fmt: skip


def has_marker(text: str) -> bool:
    return any(marker in text for marker in MARKERS)


def direct_bodies() -> Iterator[bytes]:
    """Bodies of /v1/feedback."""
    good = {"request_id": "r1", "deployment": "d", "truth": 1}
    for field, value in itertools.product(FIELDS, VALUES):
        yield json.dumps({**good, field: value}).encode()
        yield json.dumps({field: value}).encode()
    yield from malformed()


def malformed() -> Iterator[bytes]:
    """Bodies that are none."""
    for value in VALUES:
        raw = json.dumps(value).encode()
        yield raw
        yield b"{" + raw
        yield b'{"a": ' + raw
        yield raw + b"\xff" + raw
        yield b'{"request_id": ' + raw + b', "deployment": ' + raw + b" " + raw + b"}"
        yield b"{" + raw + b": " + raw + b"}"
    yield TEXT.encode() * 1000
    yield b"\x1f\x8b" + TEXT.encode()
    yield b"[" * 1000 + TEXT.encode()
    yield str(NUMBER).encode() * 300


def envelopes() -> Iterator[dict[str, Any]]:
    """Structured events."""
    good = {"id": "r1", "type": "io.seldon.serving.feedback", "datacontenttype": "application/json", "data": {}}
    for name, value in itertools.product(ATTRIBUTES, VALUES):
        yield {**good, name: value}
        yield {name: value}
    for value in VALUES:
        yield {**good, "data": value}
        yield {**good, "data": {"truth": value, "reward": value, "metrics": value}}


def error_of(act: Callable[[], Any]) -> str:
    """The text of what an event is answered with, empty where it is taken."""
    try:
        act()
    except (BadEventError, IgnoredEventError) as error:
        return str(error)
    return ""


def test_errors_of_direct_feedback() -> None:
    """The field is named, and what was expected."""
    texts = [error_of(lambda raw=raw: feedback_event(raw, SETTINGS)) for raw in direct_bodies()]  # type: ignore[misc]
    assert len(set(texts)) > 10
    assert not [text for text in texts if has_marker(text) or "\n" in text]


def test_errors_of_structured_events() -> None:
    """Also of those that are no JSON, and of batches."""
    raws = [json.dumps(value).encode() for value in envelopes()] + list(malformed())

    def read(raw: bytes) -> None:
        from_structured(parse_structured(raw), SETTINGS)

    texts = [error_of(lambda raw=raw: read(raw)) for raw in raws]  # type: ignore[misc]
    texts += [error_of(lambda raw=raw: list(parse_batch(raw))) for raw in raws]  # type: ignore[misc]
    assert len(set(texts)) > 4
    assert not [text for text in texts if has_marker(text) or "\n" in text]


def test_errors_of_records() -> None:
    """Kafka's records in each of their forms; the text goes into a dead letter, and into the log."""
    texts = []
    names = ["type", "requestid", "id", "modelid", "time", "ce_type", "ce_id", "ce-time", "content-type", TEXT]
    contents = ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json", TEXT]
    for content, name, value in itertools.product(contents, names, [TEXT.encode(), str(NUMBER).encode(), b"\xff", b""]):
        headers = (("content-type", content.encode()), (name, value))
        record = Record("t", 0, 1, 1767268801000, value, headers, value)
        texts.append(error_of(lambda record=record: event_of(record, SETTINGS, lambda event: event)))  # type: ignore[misc]
    assert len(set(texts)) > 3
    assert not [text for text in texts if has_marker(text)]


REASONS = [
    f"x: mapper_parsing_exception: failed to parse field [request.x] of type [long] in document with id 'r1'. Preview "
    f"of field's value: '{TEXT}' <- illegal_argument_exception: For input string: \"{TEXT}\"",
    f"x: document_parsing_exception: [1:2] failed to parse: Numeric value ({NUMBER}) out of range of long",
    f"x: illegal_argument_exception: Value out of range: {NUMBER}",
    f"the engine answered 400 to _bulk of 1000 bytes: {json.dumps({'error': {'reason': f'bad {TEXT} {NUMBER}'}})}",
    f"x: date_time_parse_exception: Text '{TEXT}' could not be parsed at index 0",
    f"x: mapper_parsing_exception: failed to parse field [{TEXT}] <- unexpected [{TEXT}",
]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("kind", [RejectedError, StoreUnavailableError])
def test_the_engines_words(reason: str, kind: Callable[[str], Exception], caplog: pytest.LogCaptureFixture) -> None:
    """422 and 503 say what an engine says but what it quotes."""
    answer = responses.answer_to(kind(reason), Telemetry(CollectorRegistry()))
    assert answer.status in (422, 503)
    assert not has_marker(answer.body.decode() + caplog.text)
    assert "exception" in answer.error or "400" in answer.error


UNCAUGHT = f"""
import sys, threading, logging
from request_logger import logs
logs.configure("DEBUG", {{format!r}})
def fail(*a): raise ValueError("{TEXT}")
class Fails:
    def __del__(self): fail()
thread = threading.Thread(target=fail, name="writer-1"); thread.start(); thread.join()
Fails()
logging.getLogger("x").warning("%d", "{TEXT}")
if {{gevent}}:
    import gevent
    logs.configure("DEBUG", {{format!r}})
    gevent.spawn(fail).join()
fail("{TEXT}")
"""


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("gevent", [True, False])
def test_what_nobody_caught(format: str, gevent: bool) -> None:
    """A thread's, a greenlet's, the program's last error: type and place, and not its text."""
    code = UNCAUGHT.format(format=format, gevent=gevent)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1
    assert not has_marker(ran.stdout + ran.stderr)
    assert ran.stderr.count("ValueError") == 3 + gevent
    assert "thread writer-1 ended with an error" in ran.stderr
    if format == "json":
        assert [json.loads(line) for line in ran.stderr.splitlines()]


def test_ctrl_c_is_not_logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no defect; a thread that ends by SystemExit is none either."""
    called: list[Any] = []
    monkeypatch.setattr(sys, "__excepthook__", lambda *arguments: called.append(arguments))
    logs._program_failed(KeyboardInterrupt, KeyboardInterrupt(), None)
    logs._thread_failed(SimpleNamespace(exc_type=SystemExit, exc_value=SystemExit(), thread=None))  # type: ignore[arg-type]
    assert len(called) == 1
    assert capsys.readouterr().err == ""


def test_a_document_that_cannot_be_scored(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the type of the error, formatted as all lines are."""

    class Broken(dict[str, Any]):
        def get(self, *arguments: Any) -> Any:
            raise ValueError(TEXT)

    found = score(Broken(feedback={"truth": 1}), SimpleNamespace())  # type: ignore[arg-type]
    assert found == {"error": "scoring raised ValueError", "unscorable": "scoring raised ValueError"}
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "a document could not be scored"
    assert not has_marker(logs.formatter("text").format(record))


def test_a_response_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """The document is stored as it is; the log has the type of the error."""

    class Broken(dict[str, Any]):
        def get(self, *arguments: Any) -> Any:
            raise ValueError(TEXT)

    document = {"response": Broken(instance=1)}
    assert settler(SimpleNamespace())(document) is document  # type: ignore[arg-type]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "a response could not be read by itself"
    assert not has_marker(logs.formatter("text").format(record))


@pytest.mark.engine
def test_a_server(
    make_server: Callable[..., Server], index: Index, refusing: Callable[[str], None], deployment: str
) -> None:
    """At DEBUG, every route, also with an index that refuses all: answers that say an error, and all of the log."""
    server = make_server(
        LOG_LEVEL="DEBUG", LOG_FORMAT="json", GUNICORN_WORKERS="1", DEPLOY_API_HOST="http://127.0.0.1:1"
    )
    refusing(index_of(f"{deployment}-2"))
    sender = Sender(server.url)
    answers: list[tuple[int, str]] = []

    def send(headers: Any, body: bytes, path: str = "/", method: str = "POST") -> None:
        status, answer = sender.send(headers, body, method, path)
        answers.append((status, answer.decode()))

    json_type = {"Content-Type": "application/json"}
    for raw in direct_bodies():
        named = raw.replace(b'"d"', json.dumps(deployment).encode())
        send(json_type, named, "/v1/feedback")
    batch = []
    for value in envelopes():
        made = {"inferenceservicename": deployment, "namespace": "test", **value}
        if TEXT not in (made["inferenceservicename"], made["namespace"]):
            send({"Content-Type": "application/cloudevents+json"}, json.dumps(made).encode())
            batch.append(made)
    send({"Content-Type": "application/cloudevents-batch+json"}, json.dumps(batch).encode())
    bodies = [*malformed(), json.dumps({"truth": VALUES, "reward": NUMBER, "metrics": VALUES}).encode(),
              json.dumps({"data": {"ndarray": [[TEXT, NUMBER]], "names": ["a", "b"]}}).encode()]  # fmt: skip
    for raw in bodies:
        for part in ("request", "response", "feedback", "outlier"):
            send(event(part, "r1", deployment), raw)
        send(event("feedback", "r2", f"{deployment}-2"), raw)
        for kind in ("application/cloudevents+json", "application/cloudevents-batch+json", "application/protobuf"):
            send(event("request", "r3", deployment, Content_Type=kind), raw)
    for name in ("Ce-Time", "Ce-Source", "Ce-Type", "Ce-Specversion", "Traceparent", "Content-Type", "Authorization"):
        send(event("request", "r4", deployment, **{name.replace("-", "_"): TEXT}), b"{}")
    missing = {name: value for name, value in event("request", "r5", deployment).items() if name != "Ce-Type"}
    send({**missing, "Ce-Source": TEXT}, TEXT.encode())
    send(json_type, TEXT.encode(), "/", "PUT")
    send(json_type, TEXT.encode(), "/nothing")
    sender.close()
    for path in ("/metadata?name=", "/v1/metrics?x=", "/metrics?x=", "/healthz?x=", "/nothing?x="):
        answer = requests.get(server.url + path + TEXT, timeout=60)
        answers.append((answer.status_code, answer.text if "/metrics" not in path else ""))
    server.stop()
    index.drop("inference-log-*m4rker*")
    wrong = [(status, answer) for status, answer in answers if status >= 400 and has_marker(answer)]
    assert not wrong
    assert {status for status, _ in answers} >= {200, 400, 404, 405}
    assert not [answer for answer in answers if answer[0] == 500]
    lines = [line for line in server.log.read_text().splitlines() if has_marker(line)]
    # What tells which event a line is about is of its headers, and meant to be there.
    assert not [line for line in lines if has_marker(json.dumps(_without_identity(json.loads(line))))]


def _without_identity(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("request_id", "deployment", "namespace")}


def test_marked_base64() -> None:
    """The marker of `data_base64` is no base64: it is refused without being shown."""
    with pytest.raises(BadEventError) as caught:
        from_structured({"id": "1", "type": "io.seldon.serving.feedback", "data_base64": TEXT + "x"}, SETTINGS)
    assert not has_marker(str(caught.value))
