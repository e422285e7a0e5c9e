"""``POST /v1/feedback``: feedback as JSON objects or CSV, one or many, for senders without CloudEvents."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from flask import Flask, Response, request

from request_logger.common.join_keys import MOST_CHARACTERS, JoinKey, key_text, named, parse_join_keys
from request_logger.common.json import dumps, literal
from request_logger.common.times import now, time_key
from request_logger.documents.event import BadEventError, Body, Event, from_attributes, kind_of, with_join_key
from request_logger.forward import Forwarder
from request_logger.ingest.access import FEEDBACK_PATH
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import Documents, metrics_of, prediction_of
from request_logger.otlp import RequestTraces, Source, TracerLike
from request_logger.payloads import UndecodableError, parse_body
from request_logger.server import feedback_evaluations, feedback_many
from request_logger.server.batch_route import OK, BatchRoute, entries, joint_answer
from request_logger.server.forwarding import feedback_message
from request_logger.server.request_body import small_body
from request_logger.server.responses import EMPTY, Answer, as_response
from request_logger.settings import Settings
from request_logger.telemetry import Telemetry

_TYPES = {"seldon": "io.seldon.serving.feedback", "inferenceservice": "org.kubeflow.serving.feedback"}
_ATTRIBUTES = {
    "request_id": "requestid",
    "deployment": "inferenceservicename",
    "namespace": "namespace",
    "predictor": "endpoint",
    "model": "modelid",
    "time": "time",
}
# Longer keys are not quoted in an error.
_LONGEST_NAME = 40
_REQUIRED = ("request_id", "deployment")
_CONTENT_FIELDS = ("truth", "truths", "reward", "metrics", *feedback_evaluations.FIELDS)
FIELDS = (*_ATTRIBUTES, "key", "engine", *_CONTENT_FIELDS, "prediction", "predictions")
COMMON_FIELDS = ("deployment", "namespace", "predictor", "model", "engine", "time")
"""The fields that parameters of the URL may give for all feedback in the request."""
# An object with one of these keys is a Seldon, TensorFlow or V2 message; any other object is the truth itself.
_MESSAGE = frozenset(("data", "strData", "jsonData", "binData", "instances", "predictions", "inputs", "outputs"))


def add_routes(
    app: Flask,
    settings: Settings,
    pipeline: IngestPipeline,
    budget: Budget,
    telemetry: Telemetry,
    forwarder: Forwarder | None,
    tracer: TracerLike | None,
) -> None:
    """Add the route."""
    batches = BatchRoute(settings, pipeline, budget, telemetry)

    def request_traces() -> RequestTraces | None:
        parent = request.headers.get("traceparent", "")
        return None if tracer is None else RequestTraces(tracer, Source.FEEDBACK, parent)

    def forward(position: int, event: Event) -> None:
        if forwarder is not None:
            forwarder.offer(feedback_message(event, _TYPES[event.header["ServingEngine"]]))

    @app.post(FEEDBACK_PATH)
    def take_feedback() -> Response:
        started = time.monotonic()
        body = request.environ["wsgi.input"]
        common = common_fields(request.args)
        traces = request_traces()
        with budget.share() as share:
            raw = bytes(small_body(body, settings.max_structured_bytes, "MAX_STRUCTURED_BYTES", share))
            many = feedback_many.read(raw, request.mimetype, budget)
            if many is not None:
                answers = batches.take_all(
                    many, started, lambda value: event_of(value, common, settings), _answer_of, forward, traces
                )
                accepted = sum(answer.status == OK for answer in answers)
                line = b'{"accepted":%d,"results":%b}' % (accepted, entries(answers))
                return as_response(joint_answer(answers, line))
        if len(raw) > settings.max_payload_bytes:
            raise RequestTooLargeError("body: larger than MAX_PAYLOAD_BYTES allows")
        recording = None if traces is None else traces.begin()
        original = pipeline.admit(feedback_event(raw, settings, common))
        if recording is not None:
            recording.received(original)
        event = pipeline.redact(original)
        (result,) = pipeline.wait_all([(event, pipeline.submit(event, recording=recording))], recording=recording)
        if recording is not None and traces is not None:
            traces.end(recording, result)
        if isinstance(result, Exception):
            raise result
        forward(0, original)
        known = {} if result is None else prediction_of(event, result)
        answer = {"metrics": metrics_of(event, result or {}), **known}
        return Response(dumps(answer) + b"\n", mimetype="application/json")


def _answer_of(event: Event, documents: Documents | None) -> Answer:
    """Return the answer to one of many; None: it is on disk only, so nothing is known of its prediction."""
    return EMPTY if documents is None else _answer(**prediction_of(event, documents))


@cache
def _answer(**fields: Any) -> Answer:
    """Return one object for all answers with the same few fields."""
    return Answer(OK, fields=fields)


def common_fields(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of all feedback in a request, from the URL's parameters. Raises BadEventError."""
    for name in parameters:
        if name not in COMMON_FIELDS:
            raise BadEventError(f"{_misspelled(name)}: no such parameter; there are {', '.join(COMMON_FIELDS)}")
    # Of a parameter that is given twice, the first value.
    return {name: parameters[name] for name in parameters}


def event_of(value: object, common: Mapping[str, str], settings: Settings) -> Event:
    """Return the event of one of many values, see `feedback_many.read`. Raises BadEventError."""
    if isinstance(value, BadEventError):
        raise value
    raw = value if isinstance(value, bytes) else literal(value)
    if len(raw) > settings.max_payload_bytes:
        raise RequestTooLargeError("body: larger than MAX_PAYLOAD_BYTES allows")
    return feedback_event(raw, settings, common)


def feedback_event(raw: bytes, settings: Settings, common: Mapping[str, str] = MappingProxyType({})) -> Event:
    """Return the event of one JSON object of POST /v1/feedback; ``common`` has the fields that it may leave out.

    Raises BadEventError, which names the field and the expectation.
    """
    try:
        body = parse_body(raw)
    except UndecodableError:
        raise BadEventError("body: expected a JSON object, found no JSON that can be stored") from None
    if not isinstance(body, dict):
        raise BadEventError("body: expected a JSON object")
    body = {**common, **feedback_evaluations.with_events(body)}
    for name in body:
        if name not in FIELDS:
            raise BadEventError(f"{_misspelled(name)}: no such field; there are {', '.join(FIELDS)}")
    path = None
    if body.get("key") is not None:
        if body.get("request_id") is not None:
            raise BadEventError("request_id, key: expected one of them")
        path, body["request_id"] = _join_key(body["key"], parse_join_keys(settings.join_keys))
    attributes = {"type": _type(body.get("engine", "seldon"))}
    for name, attribute in _ATTRIBUTES.items():
        value = body.get(name)
        if value is None and name not in _REQUIRED:
            continue
        if not isinstance(value, str) or not value:
            raise BadEventError(f"{name}: expected text, found {_found(value)}")
        attributes[attribute] = value
    if "time" not in attributes:
        # The time decides which gauge or correction is the latest.
        attributes["time"] = now()
    elif time_key(attributes["time"]) is None:
        raise BadEventError("time: expected a time such as 2026-01-02T03:04:05Z")
    content = dumps(_content(body))
    event = from_attributes(attributes, Body(content, "application/json", len(content)), settings)
    return event if path is None else with_join_key(event, path, attributes["requestid"])


def _join_key(given: Any, keys: Sequence[JoinKey]) -> tuple[str, str]:
    """Return the path and the value of the join key of a feedback. Raises BadEventError."""
    if not keys:
        raise BadEventError("key: expected JOIN_KEYS to be set in the logger")
    paths = ", ".join(key.path for key in keys)
    if not isinstance(given, dict) or len(given) != 1:
        raise BadEventError(f"key: expected an object with one of {paths}, and its value")
    ((name, value),) = given.items()
    found = named(keys, name)
    if len(found) != 1:
        raise BadEventError(f"key: expected {'the whole path' if found else 'one'} of {paths}")
    text = key_text(value)
    if text is None:
        raise BadEventError(f"key.{found[0].path}: expected a number, or text of 1 to {MOST_CHARACTERS} characters")
    return found[0].path, text


def _found(value: Any) -> str:
    return "nothing" if value is None else "empty text" if value == "" else kind_of(value)


def _misspelled(name: str) -> str:
    """Return an unknown field's name if it resembles a known one, else ``body``: a key may contain anything."""
    return name if len(name) <= _LONGEST_NAME and difflib.get_close_matches(name, FIELDS, 1) else "body"


def _type(engine: Any) -> str:
    if not isinstance(engine, str) or engine not in _TYPES:
        raise BadEventError(f"engine: expected {' or '.join(_TYPES)}")
    return _TYPES[engine]


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a feedback event. Raises BadEventError."""
    if all(body.get(name) is None for name in _CONTENT_FIELDS):
        raise BadEventError(f"{', '.join(_CONTENT_FIELDS)}: expected one of them")
    content = {name: body[name] for name in ("reward", "metrics") if body.get(name) is not None}
    content |= feedback_evaluations.content_of(body)
    if not isinstance(content.get("metrics", []), list):
        raise BadEventError("metrics: expected a list of {key, type, value, tags}")
    for name, one, many in (("truth", "truth", "truths"), ("response", "prediction", "predictions")):
        if body.get(one) is not None and body.get(many) is not None:
            raise BadEventError(f"{one}, {many}: expected one of them")
        if body.get(many) is not None:
            if not isinstance(body[many], list) or not body[many]:
                raise BadEventError(f"{many}: expected a list with one entry per row")
            content[name] = {"data": {"ndarray": body[many]}}
        elif body.get(one) is not None:
            content[name] = _message(body[one])
    return content


def _message(value: Any) -> Any:
    if not isinstance(value, dict):
        return {"data": {"ndarray": [value]}}
    return value if _MESSAGE & value.keys() else {"jsonData": value}
