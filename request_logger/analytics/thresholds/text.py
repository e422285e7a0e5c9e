"""The figures of thresholds in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics.formatting import number

NAMES = {"value": "value per prediction", "f1": "F1"}
_AREAS = {"average_precision": "Average precision", "gini": "Gini", "ks": "KS"}


def sentences(found: dict[str, Any]) -> Iterator[str]:
    """Yield the areas with their bounds, and the best threshold."""
    yield from (_area(found[name], title) for name, title in _AREAS.items() if name in found)
    best = found["best"]
    value = number(best.get(best["by"]))
    yield f"The best threshold is {threshold(best.get('threshold'))}: {NAMES[best['by']]} {value}."


def _area(found: dict[str, Any], title: str) -> str:
    interval = f"; 95 % interval {number(found['low'])} to {number(found['high'])}" if "low" in found else ""
    return (
        f"{title} {number(found['value'])} (by the bins of the score; exactly between {number(found['least'])} and"
        f" {number(found['most'])}){interval}."
    )


def threshold(value: float | None) -> str:
    """Return a threshold as text."""
    return "above all scores" if value is None else number(value)
