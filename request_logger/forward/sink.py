"""Sends one message to FORWARD_URL over HTTP, and returns the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import urllib3

from request_logger.forward.message import FORWARDED, Message

# An answer is read up to here, so that its connection can be used again; the rest of a longer one is not read.
_MOST_ANSWER_BYTES = 64 * 2**10
_CONNECT_SECONDS = 5.0
# They say that the credentials or the time are wrong, not the event.
_RETRIED = frozenset((401, 407, 408, 425, 429))
# A longer Retry-After is not waited for: it may be a mistake.
MOST_RETRY_AFTER_SECONDS = 60.0


class Verdict(Enum):
    """The outcome of sending a message."""

    SENT = "sent"
    REFUSED = "refused"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt: ``problem`` says why it wasn't sent, without a value of the event."""

    verdict: Verdict
    problem: str = ""
    retry_after: float = 0.0
    """Seconds that the receiver asked to wait."""


SENT = Outcome(Verdict.SENT)


class Sink:
    """The receiver, with a pool of connections. Thread-safe."""

    def __init__(self, url: str, headers: dict[str, str], timeout: float, connections: int) -> None:
        self._target = _target(url)
        self._headers = {**headers, FORWARDED: "1"}
        # One host's pool, not a manager of pools, which costs a fifth more CPU per request.
        self._pool = urllib3.connection_from_url(
            url,
            maxsize=connections,
            timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, timeout), read=timeout),
        )

    def send(self, message: Message) -> Outcome:
        """Send a message once."""
        try:
            answer = self._pool.urlopen(
                "POST",
                self._target,
                body=message.body,
                headers={**message.headers, **self._headers},
                retries=False,
                redirect=False,
                preload_content=False,
            )
            _read(answer)
        except Exception as error:
            # Whatever the connection or its answer does must not end the thread that sends.
            if isinstance(error, ValueError) and not isinstance(error, (urllib3.exceptions.HTTPError, UnicodeError)):
                # http.client's error for an invalid header. The others are about the receiver's name.
                return Outcome(Verdict.REFUSED, "its headers can't be sent")
            return Outcome(Verdict.RETRY, type(error).__name__)
        return _outcome(answer.status, answer.headers.get("retry-after"))

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()


def _target(url: str) -> str:
    """Return path and query of a URL."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _read(answer: Any) -> None:
    answer.read(_MOST_ANSWER_BYTES, decode_content=False)
    if answer.read(1, decode_content=False):
        answer.close()
    else:
        answer.release_conn()


def _outcome(status: int, retry_after: str | None) -> Outcome:
    if 200 <= status < 300:
        return SENT
    if 400 <= status < 500 and status not in _RETRIED:
        return Outcome(Verdict.REFUSED, f"it answered {status}")
    return Outcome(Verdict.RETRY, f"it answered {status}", _seconds(retry_after))


def _seconds(text: str | None) -> float:
    """Return a Retry-After in seconds, 0 where it is none, or a date."""
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 9:
        return 0.0
    return min(float(text), MOST_RETRY_AFTER_SECONDS)
