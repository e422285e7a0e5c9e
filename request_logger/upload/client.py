"""Sends feedback to POST /v1/feedback, and retries until each has a final answer."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from time import monotonic, time
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import urllib3

from request_logger.common.json import loads
from request_logger.errors import CommandError
from request_logger.ingest.access import FEEDBACK_PATH

_NDJSON = "application/x-ndjson"
# A logger answers a request within STORE_TIMEOUT_SECONDS and some seconds; one that waits for a slow search engine may
# have it set to minutes.
_TIMEOUT = urllib3.Timeout(connect=10.0, read=300.0)
# 408: the body took too long. 429 and 5xx: overloaded, restarting, or no search engine.
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_TOO_LARGE, _INTERNAL = 413, 500
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
# An internal error may be one of the moment (a restart), or one of this feedback, which would never be answered.
_MOST_INTERNAL = 3
_SHOWN_ERROR = 200


class UploadError(CommandError):
    """The logger can't be reached, or takes none of the feedback; the text is one line."""


class Fate(Enum):
    """The result of uploading a feedback."""

    ACCEPTED = "accepted"
    NO_PREDICTION = "no prediction"
    """Accepted: it is stored, and joined as soon as its prediction arrives. None is known so far."""
    SHARED_KEY = "shared key"
    """Accepted: it is joined to the first of several predictions with this key."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fate of one feedback, with the logger's error if it is rejected."""

    fate: Fate
    error: str = ""


_VERDICTS: dict[Fate, Verdict] = {fate: Verdict(fate) for fate in Fate if fate is not Fate.REJECTED}


class FeedbackClient:
    """Sends feedback as NDJSON. Thread-safe.

    ``common`` are fields that all feedback has. User and password, or a token as the user's password, may be in the
    URL; otherwise ``token`` is sent as a bearer token. ``patience`` is how long nothing may be accepted until it gives
    up (seconds); ``wait`` waits for some seconds, and returns whether to stop; ``tell`` receives a line per outage.
    Raises UploadError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        common: Mapping[str, str],
        token: str,
        *,
        patience: float,
        wait: Callable[[float], bool],
        tell: Callable[[str], None],
    ) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise UploadError("--url: expected a URL such as http://seldon-request-logger.seldon-logs")
        address = f"[{host}]" if ":" in host else host
        path = parts.path.rstrip("/").removesuffix(FEEDBACK_PATH)
        self.url = f"{parts.scheme}://{address}{f':{port}' if port else ''}{path}{FEEDBACK_PATH}"
        """The URL of requests without parameters and credentials."""
        self._query = f"?{urlencode(common)}" if common else ""
        self._headers = {"Content-Type": _NDJSON, **_authorization(parts.username, parts.password, token)}
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, maxsize=8)
        self._patience = patience
        self._wait = wait
        self._tell = tell

    def send(self, bodies: Sequence[bytes]) -> list[Verdict]:
        """Return the verdict on each feedback, when all are final.

        Raises UploadError if there is no answer in time, or one that concerns no single feedback.
        """
        verdicts: list[Verdict | None] = [None] * len(bodies)
        left = list(range(len(bodies)))
        outage = _Outage(self._patience)
        internal: dict[int, int] = {}
        while left:
            answer = self._post([bodies[number] for number in left])
            if answer.status == _TOO_LARGE:
                return [*self._parts(bodies, left, verdicts)]
            results = _results(answer, len(left))
            if results is None:
                self._check(answer)
                self._pause(outage, answer)
                continue
            again, why = [], answer.error
            for number, (status, verdict) in zip(left, results, strict=True):
                if status == _INTERNAL:
                    internal[number] = internal.get(number, 0) + 1
                if status in _RETRIED and internal.get(number, 0) < _MOST_INTERNAL:
                    again.append(number)
                    why = verdict.error
                else:
                    verdicts[number] = verdict
            if len(again) < len(left):
                outage = _Outage(self._patience)
            left = again
            if left:
                self._pause(outage, replace(answer, error=why[:_SHOWN_ERROR]))
        return [verdict for verdict in verdicts if verdict is not None]

    def _parts(self, bodies: Sequence[bytes], left: list[int], verdicts: list[Verdict | None]) -> list[Verdict]:
        """Send what is left of a request that is too large in halves."""
        if len(left) == 1:
            verdicts[left[0]] = Verdict(Fate.REJECTED, "body: larger than the logger accepts")
        else:
            half = len(left) // 2
            for numbers in (left[:half], left[half:]):
                found = self.send([bodies[number] for number in numbers])
                for number, verdict in zip(numbers, found, strict=True):
                    verdicts[number] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _post(self, bodies: Sequence[bytes]) -> _Answer:
        try:
            response = self._pool.request(
                "POST", self.url + self._query, body=b"\n".join(bodies), headers=self._headers, redirect=False
            )
        except urllib3.exceptions.LocationParseError:
            raise UploadError("--url: expected a URL such as http://seldon-request-logger.seldon-logs") from None
        except urllib3.exceptions.SSLError as error:
            raise UploadError(f"{self.url}: {_why(error)}") from None
        except urllib3.exceptions.HTTPError as error:
            return _Answer(0, None, {}, _why(error))
        try:
            content = loads(response.data)
        except ValueError:
            content = None
        given = content.get("error") if isinstance(content, dict) else None
        text = given if isinstance(given, str) else (response.reason or "")
        return _Answer(response.status, content, response.headers, text[:_SHOWN_ERROR])

    def _check(self, answer: _Answer) -> None:
        """Raise UploadError for an answer that a retry can't change."""
        if answer.status == 0 or answer.status in _RETRIED:
            return
        hint = {
            401: "; set INGEST_TOKEN to the logger's",
            403: "; is the namespace one that the logger accepts?",
            404: "; is it the URL of a request logger?",
        }.get(answer.status, "")
        if 300 <= answer.status < 400:
            hint = "; expected a URL that does not redirect"
        if answer.status == 200:
            raise UploadError(f"{self.url}: expected the answer of a request logger")
        raise UploadError(f"{self.url}: answered {answer.status}: {answer.error}{hint}")

    def _pause(self, outage: _Outage, answer: _Answer) -> None:
        """Wait before a retry. Raises UploadError where the time is up, or the upload is stopped."""
        why = f"answered {answer.status}: {answer.error}" if answer.status else answer.error
        if outage.is_over:
            raise UploadError(f"{self.url}: {why}; given up after {self._patience:.0f} s, run the command again later")
        seconds = outage.next_wait(_retry_after(answer.headers.get("Retry-After")))
        if outage.waits == 1:
            self._tell(f"{self.url}: {why}; retrying")
        if self._wait(seconds):
            raise UploadError("stopped")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An HTTP answer; ``status`` 0 if there is none. ``error`` is one line."""

    status: int
    content: Any
    headers: Mapping[str, str]
    error: str


class _Outage:
    """A time in which nothing is accepted: how long it lasts, and how long to wait before the next attempt."""

    def __init__(self, patience: float) -> None:
        self._until = monotonic() + patience
        self.waits = 0

    @property
    def is_over(self) -> bool:
        return monotonic() >= self._until

    def next_wait(self, asked: float | None) -> float:
        """Return the seconds to wait: as asked by the logger, else twice as long as before, with some jitter."""
        self.waits += 1
        doubled = min(_FIRST_WAIT * 2 ** (self.waits - 1), _LONGEST_WAIT)
        seconds = doubled * random.uniform(0.5, 1.0) if asked is None else min(asked, 2 * _LONGEST_WAIT)  # noqa: S311
        return max(0.0, min(seconds, self._until - monotonic()))


def _results(answer: _Answer, count: int) -> list[tuple[int, Verdict]] | None:
    """Return the status and verdict of each feedback; None if the answer doesn't have them."""
    content = answer.content
    if not isinstance(content, dict):
        return None
    listed = content.get("results", content.get("events"))
    if listed is None:
        return (
            [(200, _VERDICTS[Fate.ACCEPTED])] * count
            if answer.status == 200 and content.get("accepted") == count
            else None
        )
    if not isinstance(listed, list) or len(listed) != count:
        return None
    results = []
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("status"), int):
            return None
        status = entry["status"]
        if status == 200:
            verdict = _VERDICTS[_fate(entry)]
        else:
            verdict = Verdict(Fate.REJECTED, str(entry.get("error") or f"status {status}"))
        results.append((status, verdict))
    return results


def _fate(entry: Mapping[str, Any]) -> Fate:
    """Return the fate of an accepted feedback. A logger that has it only on disk does not know its prediction."""
    if entry.get("prediction") == "not_found":
        return Fate.NO_PREDICTION
    return Fate.SHARED_KEY if entry.get("shared_key") is True else Fate.ACCEPTED


def _authorization(user: str | None, password: str | None, token: str) -> dict[str, str]:
    if user is not None or password is not None:
        pair = f"{unquote(user or '')}:{unquote(password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header: seconds, or a date of HTTP."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def _why(error: Exception) -> str:
    """Return why there is no answer, in one line."""
    match error:
        case urllib3.exceptions.NewConnectionError():
            return "can't be reached"
        case urllib3.exceptions.TimeoutError():
            return "did not answer in time"
        case urllib3.exceptions.ProtocolError():
            return "closed the connection without an answer"
        case _:
            return (str(error).splitlines() or [type(error).__name__])[0][:_SHOWN_ERROR]
