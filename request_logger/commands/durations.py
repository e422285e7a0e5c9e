"""Durations in command lines, such as 36h, 90d, 26w, or seconds."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from request_logger.errors import CommandError

MOST_SECONDS = 7 * 86_400
"""The longest time that a command can be told to wait."""
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


def seconds(text: str) -> float:
    """Read how long to wait, as the type of an argument. Raises ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to {MOST_SECONDS}, found {text!r}")
    return found
