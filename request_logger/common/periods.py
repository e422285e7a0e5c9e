"""Names of the indices per month or day (INDEX_PERIOD). Pure code.

A document whose first event is of January 2026 is stored in ``<index>-2026.01`` or ``<index>-2026.01.31``. The index
without a period belongs to the name, too: it was created before INDEX_PERIOD was set.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from time import time_ns

from request_logger.common.names import MAX_INDEX_BYTES, marked

PERIODS = ("none", "month", "day")

_FORMS = {"month": "%Y.%m", "day": "%Y.%m.%d"}
# Including .v2 and so on: the copies that `request-logger check` recommends.
_PERIOD = re.compile(r"-(2[0-9]{3}\.(?:0[1-9]|1[0-2])(?:\.(?:0[1-9]|[12][0-9]|3[01]))?)(?:\.v[0-9]+)?$", re.ASCII)
_COPY = re.compile(r"\.v[0-9]+$", re.ASCII)
_EPOCH, _DAY_NANOS = date(1970, 1, 1).toordinal(), 86_400 * 10**9
# Earlier than CloudEvents, which began in 2017.
_FIRST_DAY = date(2015, 1, 1).toordinal()
_LONGEST = len("-2026.01.31")


def day_of(time: int | None) -> date:
    """Return the day (UTC) of a time (nanoseconds since 1970); today if there is none.

    Also today for a time after tomorrow or long ago, as from a wrong clock, so that no sender can create more indices
    than there have been days.
    """
    today = _EPOCH + time_ns() // _DAY_NANOS
    number = 0 if time is None else _EPOCH + time // _DAY_NANOS
    return date.fromordinal(number if _FIRST_DAY <= number <= today + 1 else today)


def has_period(index: str) -> bool:
    """Return whether a name ends with a period, as the names of indices per month or day do."""
    return _PERIOD.search(index) is not None


def stem(index: str) -> str:
    """Return the part before the period: the name, or a form with a hash if it is too long or ends with a period."""
    if has_period(index) or len(index.encode()) > MAX_INDEX_BYTES - _LONGEST:
        return marked(index, MAX_INDEX_BYTES - _LONGEST)
    return index


def index_at(index: str, day: date, period: str) -> str:
    """Return the index of a document whose first event is of a day (UTC)."""
    form = _FORMS.get(period)
    return index if form is None else f"{stem(index)}-{day:{form}}"


def without_period(name: str) -> str:
    """Return an index's name without its period and the number of a copy; of a long name only its form with a hash."""
    return _COPY.sub("", _PERIOD.sub("", name))


def pattern(index: str) -> str:
    """Return the glob that matches all period indices of a name, and few others, which `is_of` filters out."""
    return f"{stem(index)}-2*"


def is_of(name: str, index: str) -> bool:
    """Return whether ``name`` is a period index (or such an alias) of ``index``."""
    match = _PERIOD.search(name)
    return match is not None and name == f"{stem(index)}-{match[1]}"


def end_of(name: str) -> datetime | None:
    """Return the end (UTC, exclusive) of the period in an index's name, None if it has none."""
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
    """Return the patterns of all indices of INDEX_NAME; an empty list if it isn't set."""
    if not index_name:
        return []
    return [index_name] if period == "none" else [index_name, pattern(index_name)]
