"""Durations in command lines, such as 36h, 90d or 26w."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from request_logger.errors import CommandError

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def duration(option: str, text: str) -> timedelta:
    """Read hours, days or weeks, such as 36h, 90d, 26w. Raises CommandError that names the option."""
    match = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    if match is None or int(match[1]) == 0:
        raise CommandError(f"{option}: expected hours, days or weeks such as 36h, 90d or 26w, found {text!r}")
    try:
        found = int(match[1]) * _UNITS[match[2]]
        datetime.now(UTC) - found
    except OverflowError:
        raise CommandError(f"{option}: expected a time since the year 1, found {text!r}") from None
    return found
