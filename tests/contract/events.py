"""The events of the contract: recorded ones and edge cases, each as its sender writes it in binary mode."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from request_logger.documents.event import BadEventError, Event, IgnoredEventError, from_headers, kept_body
from request_logger.ingest.access import Access, ForbiddenEventError
from request_logger.settings import Settings
from tests.helpers import DATA, event, ndarray

# What every server and consumer of the contract is started with.
ENV = {
    "MAX_PAYLOAD_BYTES": "20000",
    "ALLOWED_NAMESPACES": "[!f]*",
    # On a busy machine ten new indices take longer than the default: a 503 would be right, and is not the question.
    "STORE_TIMEOUT_SECONDS": "40",
    # To start a second worker takes longer than it saves.
    "GUNICORN_WORKERS": "1",
}
# Recorded with settings of their own, or with another method than POST: tests/test_golden.py has them.
_WITH_SETTINGS = ("env_", "metadata_", "method_")
# The time of such an event is that of its arrival, which no two ways have in common.
_WITHOUT_TIME = ("header_time_invalid",)
# Larger than the fast parser takes; the limit is lower here, so that the same happens to smaller ones.
_LARGE = ("body_just_under", "body_oversize", "id_html_reflected")
# Whether an index rejects these depends on the order in which its fields were first seen, so their documents differ
# between the ways; tests/test_golden.py covers them. Columns p and q of the last two are booleans and text, and numbers
# in the other cases.
_CONFLICTS = ("conflict_", "seldon_ndarray_bool", "seldon_ndarray_mixed_text_first")
# Names of deployments are what these cases are about.
_NAMES = ("ns_", "svc_", "header_utf8", "endpoint_")
# Attributes and headers -> fields of a record.
_RECORD_FIELDS = {
    **{name: name for name in ("id", "namespace", "endpoint", "component", "metadata", "annotations", "traceparent")},
    "type": "reqType",
    "requestid": "requestId",
    "modelid": "modelId",
    "inferenceservicename": "inferenceService",
    "source": "sourceUri",
    "time": "occurrenceTime",
    "recordedtime": "recordedTime",
    "statuscode": "statusCode",
    "content-type": "contentType",
}
_TIME = "2026-01-02T03:04:05.{:06}Z"


@dataclass(frozen=True)
class Sent:
    """One event: ``headers`` in order, with latin-1 values as in HTTP; ``name`` says which it is."""

    name: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def request_id(self) -> str:
        """What its sender calls the prediction: events of one are sent one after the other."""
        headers = self.lower
        return headers.get("ce-requestid") or headers.get("ce-id") or self.name

    @property
    def lower(self) -> dict[str, str]:
        """The headers with lower-case names, as WSGI gives them."""
        return {name.lower(): value for name, value in self.headers}


@dataclass(frozen=True)
class Answer:
    """Status and error text of an event's answer."""

    status: int = 200
    error: str = ""


def read(sent: Sent, settings: Settings) -> Event | Answer:
    """Return the event as the pure functions read it, or the answer to one that is not stored."""
    content_type = sent.lower.get("content-type", "")
    try:
        body = kept_body(sent.body, content_type, settings)
        return Access(settings).admit(from_headers(sent.lower, body, settings))
    except IgnoredEventError:
        return Answer()
    except ForbiddenEventError as error:
        return Answer(403, str(error))
    except BadEventError as error:
        return Answer(400, str(error))


def traffic() -> list[Sent]:
    """Return all events of the contract, in the order in which they are sent."""
    return [*_golden(), *_wire(), *_edges()]


def _golden() -> Iterator[Sent]:
    for path in sorted((DATA / "golden").glob("*.json")):
        name = path.stem
        if name.startswith((*_WITH_SETTINGS, *_WITHOUT_TIME, *_LARGE, *_CONFLICTS)):
            continue
        for number, message in enumerate(json.loads(path.read_text())["events"]):
            headers = dict(message["headers"])
            if _is_structured(headers):
                continue
            raw = base64.b64decode(message["body_b64"]) if "body_b64" in message else message["body"].encode()
            yield _own(f"{name}-{number}", name, headers, raw, keeps_names=name.startswith(_NAMES))


def _wire() -> Iterator[Sent]:
    for path in sorted((DATA / "wire").glob("*.jsonl")):
        if path.stem == "kafka":
            continue
        for number, line in enumerate(path.read_text().splitlines()):
            message = json.loads(line)
            headers = dict(message["headers"])
            if not _is_structured(headers):
                raw = base64.b64decode(message["body_base64"])
                yield _own(f"{path.stem}-{number}", path.stem, headers, raw, keeps_names=False)


def _is_structured(headers: dict[str, str]) -> bool:
    return any("cloudevents" in value for name, value in headers.items() if name.lower() == "content-type")


def _own(name: str, case: str, headers: dict[str, str], raw: bytes, *, keeps_names: bool) -> Sent:
    """Make a recorded event of its own prediction, in few indices: to create one takes an engine longest."""
    made = {}
    for header, value in headers.items():
        match header.lower():
            case "ce-requestid" | "ce-id" if value:
                made[header] = f"{case}/{value}"
            case "ce-inferenceservicename" | "ce-namespace" | "ce-endpoint" if value and not keeps_names:
                made[header] = "contract"
            case "host" | "content-length" | "connection" | "transfer-encoding" | "accept-encoding" | "expect":
                pass
            case _:
                made[header] = value
    return _timed(name, made, raw)


def _timed(name: str, headers: dict[str, str], raw: bytes) -> Sent:
    """Give an event without a time one: else it is that of its arrival, which no two ways have in common."""
    if not any(header.lower() == "ce-time" and value for header, value in headers.items()):
        headers = {header: value for header, value in headers.items() if header.lower() != "ce-time"}
        headers["Ce-Time"] = _TIME.format(len(name))
    return Sent(name, tuple(headers.items()), raw)


def _edges() -> Iterator[Sent]:
    def made(name: str, part: str, raw: bytes, **headers: str) -> Sent:
        request_id = name.partition(":")[0].encode().decode("latin-1")
        return Sent(name, tuple(event(part, request_id, "edges", **headers).items()), raw)

    answer, truth = ndarray([[0.2, 0.8]], ["no", "yes"]), json.dumps({"truth": {"data": {"ndarray": [1]}}}).encode()
    yield made("late:feedback", "feedback", truth)
    yield made("late:response", "response", answer)
    judged = b'{"evaluations": [{"name": "helpful", "value": "up", "id": "a"}, {"name": "grounded", "label": "no"}]}'
    yield made("late:evaluations", "feedback", judged, Ce_Time="2026-01-04T00:00:00Z")
    yield made("late:evaluations", "feedback", judged.replace(b"up", b"down"), Ce_Time="2026-01-05T00:00:00Z")
    event_of_otel = b'{"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.5}'
    yield made("batch:evaluation", "feedback", event_of_otel, Ce_Time="2026-01-04T00:00:00Z")
    yield made("batch:request", "request", ndarray([[1, 2], [3, 4], [5, 6]], ["a", "b"]))
    yield made("batch:feedback", "feedback", b'{"reward": 1, "truth": {"data": {"ndarray": [1, 0, 1]}}}')
    yield made("batch:response", "response", ndarray([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]))
    for _ in range(3):
        yield made("twice:request", "request", ndarray([[1]]))
    yield made("changed:request", "request", ndarray([[1]]))
    yield made("changed:request", "request", ndarray([[2]]), Ce_Time="2026-01-02T03:04:06Z")
    yield made("changed:request", "request", ndarray([[3]]), Ce_Time="2026-01-02T03:04:04Z")
    yield made("no JSON:request", "request", b'{"data": {"ndarray": [[1')
    yield made("no UTF-8:request", "request", b'\xff\xfe{"data"')
    yield made("no protobuf:response", "response", b"\x0a\xff\xff", Content_Type="application/x-protobuf")
    yield made("empty:request", "request", b"")
    yield made("numbers:request", "request", b'{"data": {"ndarray": [[18446744073709551617, 1e400, -0.0, 1e-320]]}}')
    yield made("numbers:response", "response", b'{"data": {"ndarray": [[%d]]}}' % 10**400)
    yield made("large:request", "request", ndarray([[1.5] * 10_000]))
    yield made("large:response", "response", b"x" * 25_000, Content_Type="text/plain")
    yield made("text:request", "request", "schön".encode(), Content_Type="text/plain; charset=utf-8")
    yield made("naïve ☃:request", "request", ndarray([["ü"]], ["größe"]), Ce_Modelid="mod\xc3\xa8le")
    yield made("naïve ☃:feedback", "feedback", truth, Ce_Modelid="mod\xc3\xa8le")
    yield made("latin:request", "request", ndarray([[1]]), Ce_Modelid="mod\xe8le")
    yield made("trace:request", "request", ndarray([[1]]), traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    # What is not stored.
    yield made("another type:request", "request", b"{}", Ce_Type="com.example.other")
    yield made("forbidden:request", "request", b"{}", Ce_Namespace="forbidden")
    yield Sent("without an id", (("Ce-Type", "io.seldon.serving.feedback"), ("Ce-Time", "2026-01-02T03:04:05Z")), b"{}")
    yield Sent("without a type", (("Ce-Id", "x"), ("Ce-Time", "2026-01-02T03:04:05Z")), b"{}")


def as_structured(sent: Sent) -> bytes:
    """Write an event in structured mode, its data as the text that it is, or as base64 where it is no JSON."""
    attributes: dict[str, Any] = {"specversion": "1.0"}
    for name, value in sent.headers:
        lowered = name.lower()
        if lowered == "content-type":
            attributes["datacontenttype"] = value
        elif lowered.startswith("ce-") or lowered == "traceparent":
            attributes[lowered.removeprefix("ce-")] = _as_text(value)
    head = json.dumps(attributes)[:-1].encode()
    if not sent.body:
        return head + b"}"
    if _is_json(sent):
        return b'%b,"data":%b}' % (head, sent.body)
    return b'%b,"data_base64":"%b"}' % (head, base64.b64encode(sent.body))


def as_record(sent: Sent) -> bytes:
    """Write an event as KServe's agent writes it for its marshaller, with the attributes that the agent never has."""
    record: dict[str, Any] = {"bytes": base64.b64encode(sent.body).decode()}
    for name, value in sent.headers:
        field = _RECORD_FIELDS.get(name.lower().removeprefix("ce-"))
        if field is not None:
            record[field] = _as_text(value)
    return json.dumps(record).encode()


def _is_json(sent: Sent) -> bool:
    # Over the limit only size and digest are kept, and those are of the bytes.
    if len(sent.body) > int(ENV["MAX_PAYLOAD_BYTES"]) or "json" not in sent.lower.get("content-type", ""):
        return False
    try:
        return isinstance(json.loads(sent.body), dict)
    except ValueError:
        return False


def _as_text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def settings_of(environment: str) -> Settings:
    """Return the settings of a way whose indices have a name of their own."""
    return Settings.from_env({**ENV, "SELDON_ENVIRONMENT": environment})
