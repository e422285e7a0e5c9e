"""Figures as people read them: the same in the terminal and on the page."""

from __future__ import annotations

from typing import Any

_STEPS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_ABBREVIATIONS = {
    name.lower(): name for name in ("AUC", "ECE", "F1", "MAE", "MAP", "MAPE", "MCC", "MRR", "MSE", "NDCG", "R2", "RMSE")
}


def number(value: float | None) -> str:
    """Write a number with four digits that count; ``-`` where there is none."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def interval(found: Any) -> str:
    """Write the interval of a metric, ``-`` where it has none."""
    return f"{number(found['low'])} to {number(found['high'])}" if "low" in found else "-"


def percent(share: float | None) -> str:
    """Write a share as a percentage."""
    return "-" if share is None else f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{sign}{seconds / size:.3g} {unit}"
    return f"{sign}{seconds * 1000:.3g} ms"


def p_value(value: float) -> str:
    """Write a p-value; a tiny one only by its bound."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def words(name: str) -> str:
    """Write a metric's name in words: ``f1_macro`` is ``F1 macro``."""
    return " ".join(_ABBREVIATIONS.get(word, word) for word in name.split("_"))
