"""``POST /v1/feedback``: feedback as a small JSON object, for senders without CloudEvents."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, request

from request_logger.common.json import dumps
from request_logger.common.times import time_key
from request_logger.documents.event import BadEventError, Body, Event, from_attributes, kind_of
from request_logger.ingest.access import FEEDBACK_PATH
from request_logger.ingest.memory_budget import Budget
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import metrics_of
from request_logger.payloads import UndecodableError, parse_body
from request_logger.server.request_body import small_body
from request_logger.settings import Settings

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
_CONTENT_FIELDS = ("truth", "truths", "reward", "metrics")
_FIELDS = (*_ATTRIBUTES, "engine", *_CONTENT_FIELDS, "prediction", "predictions")
# An object with one of these keys is a Seldon, TensorFlow or V2 message; any other object is the truth itself.
_MESSAGE = frozenset(("data", "strData", "jsonData", "binData", "instances", "predictions", "inputs", "outputs"))


def add_routes(app: Flask, settings: Settings, pipeline: IngestPipeline, budget: Budget) -> None:
    """Add the route."""

    @app.post(FEEDBACK_PATH)
    def take_feedback() -> Response:
        body = request.environ["wsgi.input"]
        with budget.share() as share:
            raw = bytes(small_body(body, settings.max_payload_bytes, "MAX_PAYLOAD_BYTES", share))
        event = pipeline.redact(pipeline.admit(feedback_event(raw, settings)))
        documents = pipeline.wait(event, pipeline.submit(event)) or {}
        return Response(dumps({"metrics": metrics_of(event, documents)}) + b"\n", mimetype="application/json")


def feedback_event(raw: bytes, settings: Settings) -> Event:
    """Return the event of a POST /v1/feedback body. Raises BadEventError, which names the field and the expectation."""
    try:
        body = parse_body(raw)
    except UndecodableError:
        raise BadEventError("body: expected a JSON object, found no JSON that can be stored") from None
    if not isinstance(body, dict):
        raise BadEventError("body: expected a JSON object")
    for name in body:
        if name not in _FIELDS:
            raise BadEventError(f"{_misspelled(name)}: no such field; there are {', '.join(_FIELDS)}")
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
        attributes["time"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    elif time_key(attributes["time"]) is None:
        raise BadEventError("time: expected a time such as 2026-01-02T03:04:05Z")
    content = dumps(_content(body))
    return from_attributes(attributes, Body(content, "application/json", len(content)), settings)


def _found(value: Any) -> str:
    return "nothing" if value is None else "empty text" if value == "" else kind_of(value)


def _misspelled(name: str) -> str:
    """Return an unknown field's name if it resembles a known one, else ``body``: a key may contain anything."""
    return name if len(name) <= _LONGEST_NAME and difflib.get_close_matches(name, _FIELDS, 1) else "body"


def _type(engine: Any) -> str:
    if not isinstance(engine, str) or engine not in _TYPES:
        raise BadEventError(f"engine: expected {' or '.join(_TYPES)}")
    return _TYPES[engine]


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a feedback event. Raises BadEventError."""
    if all(body.get(name) is None for name in _CONTENT_FIELDS):
        raise BadEventError(f"{', '.join(_CONTENT_FIELDS)}: expected one of them")
    content = {name: body[name] for name in ("reward", "metrics") if body.get(name) is not None}
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
