"""Reads evaluations in ``POST /v1/feedback``: the fields ``evaluations`` and ``thumb``, and OpenTelemetry's events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.documents.event import BadEventError
from request_logger.payloads import UndecodableError, parse_body
from request_logger.payloads.evaluations import EVALUATIONS, MAX_ENTRIES, THUMB, EvaluationError, read
from request_logger.payloads.otel_evaluations import LOGS, records

FIELDS = (EVALUATIONS, THUMB)
_MARK = f'"{LOGS}"'.encode()


def of_logs(raw: bytes) -> Iterator[dict[str, Any]] | None:
    """Return a feedback per response of OTLP's log records in JSON; None for any other body."""
    if _MARK not in raw:
        return None
    try:
        found = records(parse_body(raw))
    except UndecodableError:
        return None
    if not found or not all(record.response_id for record in found):
        return None
    by_response: dict[str, list[Any]] = {}
    for record in found:
        by_response.setdefault(record.response_id, []).append(record.entry)
    return ({"request_id": response, EVALUATIONS: entries} for response, entries in by_response.items())


def with_events(body: dict[str, Any]) -> dict[str, Any]:
    """Return a feedback with the evaluations of OpenTelemetry's events in it; itself if there are none.

    Without a ``request_id`` it is for the prediction whose id is ``gen_ai.response.id``. Raises BadEventError.
    """
    found = records(body)
    if found is None:
        return body
    responses = {record.response_id for record in found if record.response_id}
    request_id = body.get("request_id")
    if request_id is None and len(responses) > 1:
        raise BadEventError("gen_ai.response.id: expected the same for all events of an object")
    kept = {name: body[name] for name in _BESIDE_EVENTS if name in body}
    own = body.get(EVALUATIONS)
    entries = [*(own if isinstance(own, list) else ()), *(record.entry for record in found)]
    return {"request_id": request_id or next(iter(responses), None), **kept, EVALUATIONS: entries}


_BESIDE_EVENTS = ("deployment", "namespace", "predictor", "model", "engine", "truth", "reward")


def content_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the evaluations of a feedback. Raises BadEventError, which names the field and the expectation."""
    found = {name: body[name] for name in FIELDS if body.get(name) is not None}
    entries = found.get(EVALUATIONS, [])
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise BadEventError(f"{EVALUATIONS}: expected a list of up to {MAX_ENTRIES} of {{name, value or label, ...}}")
    for position, entry in enumerate(entries):
        _check(entry, f"{EVALUATIONS}[{position}]")
    if THUMB in found:
        _check({"name": THUMB, "value": found[THUMB]}, "")
    return found


def _check(entry: Any, where: str) -> None:
    try:
        read(entry, "")
    except EvaluationError as error:
        text = str(error)
        separator = "" if not where else ": " if text.startswith("expected") else "."
        raise BadEventError(f"{where}{separator}{text}") from None
