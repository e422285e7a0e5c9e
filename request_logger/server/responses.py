"""HTTP answers: status, body and headers, and the one-line JSON answer to each error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from flask import Response

from request_logger.common.json import dumps
from request_logger.documents.event import BadEventError, IgnoredEventError
from request_logger.ingest.access import ForbiddenEventError
from request_logger.ingest.erased import outcome_of
from request_logger.ingest.memory_budget import RequestTooLargeError
from request_logger.logs import without_values
from request_logger.server.request_body import LateBodyError
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

# The Retry-After of 503 and 429, in seconds.
RETRY_AFTER_SECONDS = 5
STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, independent of a web framework."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    """The error text of an error answer, else empty."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of this event in the answer to many: in addition to its status and error."""


# The content type of the original's empty responses.
EMPTY = Answer(headers={"Content-Type": "text/html; charset=utf-8"})


def json_answer(value: Any, status: int, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer of one line of JSON."""
    return line_answer(dumps(value), status, headers)


def line_answer(line: bytes, status: int, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer of one line of already serialised JSON."""
    # It may contain a sender's text, which must not become markup even if a browser sniffs the content type.
    body = line.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026") + b"\n"
    kind = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return Answer(status, body, kind | (headers or {}))


def error_answer(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an error answer: ``{"error": text}``."""
    return replace(json_answer({"error": text}, status, headers), error=text)


def as_response(answer: Answer) -> Response:
    """Return an answer as Flask's response."""
    return Response(answer.body, answer.status, answer.headers)


def unauthorized(challenge: str) -> Answer:
    """Return the 401 for missing or wrong credentials; ``challenge`` is the value of WWW-Authenticate."""
    return error_answer(401, "Authorization: missing or wrong", {"WWW-Authenticate": challenge})


def answer_to(error: Exception, telemetry: Telemetry) -> Answer:
    """Return the answer to an event that failed with ``error``, and count it; unknown errors are logged."""
    match error:
        case RequestTooLargeError():
            telemetry.turned_away("too_large", str(error))
            return error_answer(413, str(error))
        case BadEventError():
            telemetry.turned_away("bad", str(error))
            return error_answer(400, str(error))
        case LateBodyError():
            telemetry.turned_away("late", str(error))
            return error_answer(408, str(error), {"Connection": "close"})
        case IgnoredEventError():
            telemetry.events.labels("", outcome_of(error)).inc()
            return EMPTY
        case ForbiddenEventError():
            telemetry.turned_away("forbidden", str(error))
            return error_answer(403, str(error))
        case StoreUnavailableError():
            # A search engine's reason may quote the document.
            reason = without_values(str(error))
            telemetry.turned_away("unavailable", reason)
            return error_answer(503, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        case RejectedError():
            telemetry.events.labels("", "refused").inc()
            return error_answer(422, without_values(str(error)))
        case _:
            log.error("an event could not be handled", exc_info=error)
            return error_answer(500, "internal error; see the log")
