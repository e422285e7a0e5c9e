"""Indices by month or day (INDEX_PERIOD): their names, and what a name says. Pure code.

A document that an event of January 2026 begins goes to ``<index>-2026.01`` or ``<index>-2026.01.31``. The index
without a period is one more of that name: where it is there, it was made before the setting was.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from request_logger.common.names import MAX_INDEX_BYTES, marked

PERIODS = ("none", "month", "day")

_FORMS = {"month": "%Y.%m", "day": "%Y.%m.%d"}
# With .v2 and so on: the copies that `request-logger check` advises.
_PERIOD = re.compile(r"-(2[0-9]{3}\.(?:0[1-9]|1[0-2])(?:\.(?:0[1-9]|[12][0-9]|3[01]))?)(?:\.v[0-9]+)?$", re.ASCII)
_EPOCH, _DAY_NANOS = date(1970, 1, 1).toordinal(), 86_400 * 10**9
# Before there were CloudEvents.
_FIRST_DAY = date(2015, 1, 1).toordinal()
_LONGEST = len("-2026.01.31")


def day_of(time: int | None) -> date:
    """Give the day (UTC) of a time (nanoseconds since 1970); today where there is none.

    Today also where it is later than tomorrow or long ago, as of a clock that is wrong: so no sender can make more
    indices of days than there have been days.
    """
    today = datetime.now(UTC).date()
    number = 0 if time is None else _EPOCH + time // _DAY_NANOS
    return date.fromordinal(number) if _FIRST_DAY <= number <= today.toordinal() + 1 else today


def has_period(index: str) -> bool:
    """Say whether a name ends as that of a period's index does."""
    return _PERIOD.search(index) is not None


def stem(index: str) -> str:
    """Give what stands before the period: the name, marked with a hash where it is too long or has a period itself."""
    if has_period(index) or len(index.encode()) > MAX_INDEX_BYTES - _LONGEST:
        return marked(index, MAX_INDEX_BYTES - _LONGEST)
    return index


def index_at(index: str, day: date, period: str) -> str:
    """Give the index in which a document begins on a day (UTC)."""
    form = _FORMS.get(period)
    return index if form is None else f"{stem(index)}-{day:{form}}"


def pattern(index: str) -> str:
    """Give the glob that all indices of periods match, and few others: see `is_of`."""
    return f"{stem(index)}-2*"


def is_of(name: str, index: str) -> bool:
    """Say whether an index, or an alias, is that of a period of ``index``."""
    match = _PERIOD.search(name)
    return match is not None and name == f"{stem(index)}-{match[1]}"


def end_of(name: str) -> datetime | None:
    """Give the end (UTC, not included) of the period that an index's name ends with, None where it has none."""
    match = _PERIOD.search(name)
    if match is None:
        return None
    year, month, *days = map(int, match[1].split("."))
    try:
        if days:
            return datetime(year, month, days[0], tzinfo=UTC) + timedelta(days=1)
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    except ValueError:
        return None


def with_periods(index_name: str, period: str) -> list[str]:
    """Give the patterns of all indices of INDEX_NAME; none where it is empty."""
    if not index_name:
        return []
    return [index_name] if period == "none" else [index_name, pattern(index_name)]
