"""Windows to compare a time span with: reference data, the span before it, the same weekdays, or a chosen period."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.scope import DEPLOYMENT, NAMESPACE, Scope, is_time
from request_logger.common.times import utc_text

REFERENCE_INDICES = "reference-log-*"
_PERIOD = "DATE..DATE"
_STEP = re.compile(r"([+-])(\d+)([yMwdhms])|/([yMwdhms])")
_MONTHS = {"y": 12, "M": 1}
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_WEEK = timedelta(weeks=1)


class Against(StrEnum):
    """What a window is compared with, where it is not a period that the user names."""

    REFERENCE = "reference"
    PREVIOUS = "previous"
    SAME_WEEKDAY = "same-weekday"


@dataclass(frozen=True, slots=True)
class Windows:
    """The documents to judge, those to compare them with, and the name of the latter.

    ``fixed`` is the name if it always selects the same documents; empty for a window that moves with the time.
    """

    current: Scope
    reference: Scope
    name: str
    fixed: str = ""


def windows_of(scope: Scope, against: str, now: datetime | None = None) -> Windows:
    """Return a scope and what it is compared with. ``against``: a value of `Against`, or a period ``DATE..DATE``.

    ``reference`` is the deployment's reference data. ``previous`` is the time span of the same length before the scope.
    ``same-weekday`` is the scope's span as many whole weeks earlier as it is long. Without a start, the scope starts
    where the period ends. Raises BadQueryError.
    """
    if against == Against.REFERENCE:
        return Windows(scope, _reference_data(scope), against, against)
    if against in (Against.PREVIOUS, Against.SAME_WEEKDAY):
        return _earlier(scope, against, now or datetime.now(UTC))
    start, dots, end = against.partition("..")
    if not dots or not is_time(start) or not is_time(end):
        raise BadQueryError(
            f"--against: expected {', '.join(Against)} or {_PERIOD} such as 2026-01-01..2026-02-01, found {against!r}"
        )
    now = now or datetime.now(UTC)
    if instant(start, now) >= instant(end, now):
        raise BadQueryError(f"--against: expected a period that starts before it ends, found {against!r}")
    current = scope if scope.start else replace(scope, start=end)
    fixed = "" if "now" in against else against
    return Windows(current, replace(scope, start=start, end=end), against, fixed)


def _reference_data(scope: Scope) -> Scope:
    names = {path: value for each in scope.filters for path, value in each.get("term", {}).items()}
    if scope.filters and DEPLOYMENT not in names:
        raise BadQueryError("--against reference: expected a deployment as the target")
    if not scope.filters and "inference-log-*" not in scope.indices.split(","):
        raise BadQueryError("--against reference: expected a deployment as the target, found an index")
    # Reference data belongs to a deployment, not to one of its predictors.
    kept = tuple({"term": {path: names[path]}} for path in (NAMESPACE, DEPLOYMENT) if path in names)
    return Scope(REFERENCE_INDICES, kept)


def _earlier(scope: Scope, against: str, now: datetime) -> Windows:
    if not scope.start:
        raise BadQueryError(f"--against {against}: expected --from, too, since it says how long a window is")
    start, end = instant(scope.start, now), instant(scope.end, now) if scope.end else now
    length = end - start
    if length <= timedelta():
        raise BadQueryError(f"--from: expected a time before the end of the window, found {scope.start!r}")
    back = length if against == Against.PREVIOUS else math.ceil(length / _WEEK) * _WEEK
    # Both are fixed to this moment: with date math, each search would see another window.
    current = replace(scope, start=utc_text(start, "milliseconds"), end=utc_text(end, "milliseconds"))
    try:
        reference = replace(
            scope, start=utc_text(start - back, "milliseconds"), end=utc_text(end - back, "milliseconds")
        )
    except OverflowError:
        raise BadQueryError(f"--from: expected a later time, found {scope.start!r}") from None
    return Windows(current, reference, f"{against}: {reference.start}..{reference.end}")


def instant(text: str, now: datetime) -> datetime:
    """Return the time that a text which `is_time` accepts stands for, as search engines read it; without a zone: UTC.

    Raises BadQueryError for a time that no calendar has.
    """
    if not text.startswith("now"):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    found = now.astimezone(UTC)
    try:
        for sign, count, unit, rounding in _STEP.findall(text):
            found = _rounded(found, rounding) if rounding else _moved(found, int(f"{sign}{count}"), unit)
    except (OverflowError, ValueError):
        raise BadQueryError(f"expected a time since the year 1, found {text!r}") from None
    return found


def _moved(moment: datetime, count: int, unit: str) -> datetime:
    if unit not in _MONTHS:
        return moment + count * _UNITS[unit]
    months = moment.year * 12 + moment.month - 1 + count * _MONTHS[unit]
    first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    # The last day of a month that is too short, as search engines do.
    return first.replace(day=min(moment.day, (after - first).days))


def _rounded(moment: datetime, unit: str) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "y":
            return day.replace(month=1, day=1)
        case "M":
            return day.replace(day=1)
        case "w":
            return day - timedelta(days=day.weekday())
        case "d":
            return day
        case "h":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "m":
            return moment.replace(second=0, microsecond=0)
    return moment.replace(microsecond=0)
