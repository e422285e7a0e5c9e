"""Formats figures as text, the same way in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_STEPS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_UNITS = {"s": "s", "m": "min", "h": "hour", "d": "day", "w": "week"}
_ABBREVIATIONS = {
    name.lower(): name
    for name in ("AUC", "Brier", "ECE", "F1", "MAE", "MAP", "MAPE", "MCC", "MRR", "MSE", "NDCG", "R2", "RMSE")
}


def number(value: float | None) -> str:
    """Return a number with four significant digits; ``-`` for None."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def interval(found: Any) -> str:
    """Return a metric's interval as ``low to high``; ``-`` where it has none."""
    return f"{number(found['low'])} to {number(found['high'])}" if "low" in found else "-"


def bounded(row: Any, part: str) -> str:
    """Return a figure of a class with its interval, if it has one."""
    known = row.get("intervals", {}).get(part)
    return number(row.get(part)) + (f" ({number(known[0])} to {number(known[1])})" if known else "")


def remarks(task: Any) -> Iterator[str]:
    """Yield why metrics of a task have no interval, and which value is as high by chance."""
    reasons: dict[str, list[str]] = {}
    for found in task.get("metrics", []):
        if "by_chance" in found:
            value = number(found["by_chance"])
            yield f"{words(found['name'])}: chance alone gives a perfectly calibrated model about {value}."
        if "no_interval" in found:
            reasons.setdefault(found["no_interval"], []).append(words(found["name"]))
    for reason, names in reasons.items():
        yield f"No interval of {', '.join(names)}: {reason}."


def percent(share: float | None) -> str:
    """Return a share (0 to 1) as a percentage."""
    return "-" if share is None else f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, from ms to days."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{sign}{seconds / size:.3g} {unit}"
    return f"{sign}{seconds * 1000:.3g} ms"


def window_length(window: str) -> str:
    """Return the length of a window, such as ``15m``, as text with its unit; ``m`` are minutes."""
    if not window[:-1].isdecimal():
        return f"a {window}"
    is_plural = window[:-1] != "1" and window[-1] in "hdw"
    return f"{window[:-1]} {_UNITS[window[-1]]}{'s' if is_plural else ''}"


def p_value(value: float) -> str:
    """Return a p-value with four decimals, or ``< 0.0001``."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def words(name: str) -> str:
    """Return a metric's name in words: ``f1_macro`` becomes ``F1 macro``."""
    return " ".join(_ABBREVIATIONS.get(word, word) for word in name.split("_"))
