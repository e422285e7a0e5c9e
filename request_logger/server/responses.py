"""What is answered: status, body, headers; and the answer to each error, one line of JSON."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from request_logger.common.json import dumps
from request_logger.documents.event import BadEventError, IgnoredEventError
from request_logger.ingest.access import ForbiddenEventError
from request_logger.ingest.memory_budget import RequestTooLargeError
from request_logger.ingest.sampling import SAMPLED
from request_logger.logs import without_values
from request_logger.server.request_body import LateBodyError
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    """The text of an error's answer."""


# What the replaced program's empty answers say of themselves.
EMPTY = Answer(headers={"Content-Type": "text/html; charset=utf-8"})


def json_answer(value: Any, status: int, headers: dict[str, str] | None = None) -> Answer:
    """Answer with one line of JSON."""
    return line_answer(dumps(value), status, headers)


def line_answer(line: bytes, status: int, headers: dict[str, str] | None = None) -> Answer:
    """Answer with a line of JSON that is serialised already."""
    # What a sender wrote may be in it: it must be no markup, whatever a browser takes the answer for.
    body = line.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026") + b"\n"
    kind = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return Answer(status, body, kind | (headers or {}))


def error_answer(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Answer that something is wrong."""
    return replace(json_answer({"error": text}, status, headers), error=text)


def unauthorized(challenge: str) -> Answer:
    """Answer that credentials are missing; ``challenge`` is the value of WWW-Authenticate."""
    return error_answer(401, "Authorization: missing or wrong", {"WWW-Authenticate": challenge})


def answer_to(error: Exception, telemetry: Telemetry) -> Answer:
    """Return the answer to an event that ended with an error, and count it."""
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
            telemetry.events.labels("", "sampled" if error.reason == SAMPLED else "ignored").inc()
            return EMPTY
        case ForbiddenEventError():
            telemetry.turned_away("forbidden", str(error))
            return error_answer(403, str(error))
        case StoreUnavailableError():
            # An engine's own words may quote the document.
            reason = without_values(str(error))
            telemetry.turned_away("unavailable", reason)
            return error_answer(503, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        case RejectedError():
            telemetry.events.labels("", "refused").inc()
            return error_answer(422, without_values(str(error)))
        case _:
            log.error("an event could not be handled", exc_info=error)
            return error_answer(500, "internal error; see the log")
