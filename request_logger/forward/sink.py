"""Sends one message to FORWARD_URL over HTTP, and returns the outcome."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from urllib.parse import quote, urlsplit

from request_logger.forward.connection import Connection, head_of
from request_logger.forward.message import FORWARDED, Message

_USER_AGENT = "request-logger"
# What path and query may have in addition to letters, digits and -._~ (RFC 3986), and escapes.
_URL_CHARACTERS = "/?:@!$&'()*+,;=%"
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
    """The receiver. Thread-safe: each thread that sends has a connection of its own."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        parts = urlsplit(url)
        self._authority = _ascii(parts.netloc)
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_URL_CHARACTERS)
        self._headers = {"accept-encoding": "identity", "user-agent": _USER_AGENT, **headers, FORWARDED: "1"}
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        tls = ssl.create_default_context() if is_tls else None
        self._threads = threading.local()
        self._connect = partial(Connection, parts.hostname or "", port, tls, timeout)

    def send(self, message: Message) -> Outcome:
        """Send a message once."""
        try:
            headers = {**message.headers, **self._headers}
            head = head_of(self._target, self._authority, headers, len(message.body))
        except ValueError:
            return Outcome(Verdict.REFUSED, "its headers can't be sent")
        try:
            if not hasattr(self._threads, "connection"):
                self._threads.connection = self._connect()
            status, retry_after = self._threads.connection.send(head, message.body)
        except Exception as error:
            # Whatever the connection or its answer does must not end the thread that sends.
            return Outcome(Verdict.RETRY, type(error).__name__)
        return _outcome(status, retry_after)

    def close(self) -> None:
        """Close the connection of the thread that calls it."""
        if hasattr(self._threads, "connection"):
            self._threads.connection.close()


def _ascii(authority: str) -> str:
    """Return host and port as they are in a header. A name that is none can't be connected to, either."""
    try:
        return authority.encode("idna").decode()
    except UnicodeError:
        return authority.encode("ascii", "replace").decode()


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
