"""Reads the times of events leniently, to the nanosecond (datetime has microseconds), and writes times as dates.

Written dates have forms that every search engine accepts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from time import time_ns
from typing import Any

# Omitted fields have their first value: 2026-01 is January 1, 00:00.
_TIME = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})"
    r"(?:[Tt ](\d{2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,18}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?)?)?$",
    re.ASCII,
)
# The three date formats of HTTP (RFC 9110, 5.6.7), which some senders use: RFC 1123 (and RFC 2822, whose day may have
# one digit and whose zone may be an offset), RFC 850 and C's asctime. The day of the week is ignored.
_HTTP_TIME = re.compile(
    r"(?:[a-z]{3,9},?\s+)?(?P<day>\d{1,2})[ -](?P<month>[a-z]{3})[ -](?P<year>\d{4}|\d{2})\s+"
    r"(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?\s*(?P<zone>GMT|UTC?|Z|[+-]\d{4})?$",
    re.ASCII | re.IGNORECASE,
)
_ASCTIME = re.compile(
    r"[a-z]{3}\s+(?P<month>[a-z]{3})\s+(?P<day>\d{1,2})\s+(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})\s+"
    r"(?:(?P<zone>GMT|UTC?|Z)\s+)?(?P<year>\d{4})$",
    re.ASCII | re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Two-digit years from 69 to 99 are of the last century, as in POSIX.
_LAST_CENTURY = 69
# The form that nearly all senders use.
_USUAL_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$", re.ASCII)
_EPOCH_MILLIS = re.compile(r"\d{5,15}$", re.ASCII)
# Forms that every search engine parses as a date by default.
_STRICT_TIME = re.compile(
    r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?)?)?)?$|\d{5,15}$", re.ASCII
)


def as_timestamp(time: str | None) -> str:
    """Return a date for ``@timestamp``: the text if search engines accept it, else its equivalent, else now."""
    key = time_key(time)
    if time and key is not None and (_USUAL_TIME.match(time) or _STRICT_TIME.match(time)):
        return time
    if key is None:
        return now()
    seconds, nanos = divmod(key, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z" if nanos else f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def now() -> str:
    """Return the current time as RFC 3339 text with milliseconds."""
    return instant(time_ns() // 10**6)


def instant(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970 as RFC 3339 text."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """Return an aware time as RFC 3339 text in UTC, with ``timespec`` as in `datetime.isoformat`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


# Consecutive events mostly have the same second.
@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def time_key(time: Any) -> int | None:
    """Return a time as nanoseconds since 1970, for ordering; None if it can't be read as a time."""
    if type(time) is not str:
        return None
    return _time_key(time) if len(time) <= 64 else _time_key.__wrapped__(time)


# The times of a document are compared again with each part that is joined to it.
@lru_cache(maxsize=8192)
def _time_key(time: str) -> int | None:
    usual = _USUAL_TIME.match(time)
    if usual is not None:
        second, fraction = usual.groups()
        nanos = _second_key(second)
        return nanos if nanos is None or fraction is None else nanos + int(fraction.ljust(9, "0"))
    return _any_time_key(time.strip())


# Consecutive events mostly have the same second.
@lru_cache(maxsize=256)
def _second_key(second: str) -> int | None:
    return _any_time_key(f"{second}Z")


def _any_time_key(time: str) -> int | None:
    if _EPOCH_MILLIS.match(time):
        return int(time) * 10**6
    match = _TIME.match(time)
    if match is None:
        return _http_time_key(time)
    *fields, fraction, zone = match.groups()
    year, month, day, hour, minute, second = (int(field) if field else None for field in fields)
    try:
        moment = datetime(
            year or 0,
            1 if month is None else month,
            1 if day is None else day,
            hour or 0,
            minute or 0,
            second or 0,
            tzinfo=_zone(zone),
        )
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
    return seconds * 10**9 + int((fraction or "0")[:9].ljust(9, "0"))


def _http_time_key(time: str) -> int | None:
    match = _HTTP_TIME.match(time) or _ASCTIME.match(time)
    if match is None or match["month"].lower() not in _MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 1900 if year >= _LAST_CENTURY else 2000
    try:
        moment = datetime(
            year,
            _MONTHS.index(match["month"].lower()) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"] or 0),
            tzinfo=_zone(match["zone"]),
        )
        return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9
    except (ValueError, OverflowError):
        return None


def _zone(zone: str | None) -> timezone:
    if zone is None or zone.upper() in ("Z", "UTC", "UT", "GMT"):
        return UTC
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0)))
