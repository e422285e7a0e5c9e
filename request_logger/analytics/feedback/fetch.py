"""Fetches the cells of a task from the search engine: one composite aggregation over label, bin and truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from request_logger.analytics.feedback.cells import CALIBRATION_BIN, SCORE_BIN, Cell, Cells, Sums
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import PREFIX
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import PREDICTION, exists

_AT = "prediction."
LABEL, PROBABILITY, VALUE = f"{_AT}label", f"{_AT}probability", f"{_AT}value"
_POSITIVE = f"{_AT}positive_probability"
_TRUTH = f"{PREFIX}truth_label"
# Weighted figures of more classes would take more buckets than a report can read in a second, and each stratum would
# have hardly any truths.
MOST_LABELS = 200
# A sum of probabilities is off by its rounding.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Population:
    """The cells of the predictions whose label is stored, and the class that is the positive one, where there is one.

    ``problem`` says why there are no cells.
    """

    cells: Cells = field(default_factory=lambda: Cells(()))
    positive: str | None = None
    problem: str = ""


def fetch_population(runner: QueryRunner, scope: Scope, *more: Query) -> Population:
    """Return the population of a scope whose predictions have one label each.

    Raises what :class:`QueryRunner` raises.
    """
    only = (PREDICTION, exists(LABEL), *more)
    aggs = {
        "labels": {"cardinality": {"field": LABEL, "precision_threshold": 1000}},
        "scored": {"filter": exists(f"{_AT}{SCORE_BIN}")},
        "binned": {"filter": exists(f"{_AT}{CALIBRATION_BIN}")},
    }
    found = runner.aggregate(scope, aggs, *only)
    labels = found.get("labels", {}).get("value", 0)
    if labels > MOST_LABELS:
        return Population(problem=f"the predictions have over {MOST_LABELS} labels")
    is_binary = bool(found.get("scored", {}).get("doc_count"))
    bins = SCORE_BIN if is_binary else CALIBRATION_BIN if found.get("binned", {}).get("doc_count") else ""
    # All figures are of the same documents, though more may arrive meanwhile.
    cells, positive, n = runner.at_one_time(
        scope, lambda: (*_cells(runner, scope, bins, only), runner.count(scope, *only)), *only
    )
    if cells.predictions != n:
        return Population(problem="a prediction may have several labels, or several truths")
    return Population(cells, positive if is_binary else None)


@dataclass(slots=True)
class _Parts:
    """What the buckets of one cell add up to, and the sum of the probabilities of the positive class."""

    cell: Cell
    truths: dict[str, int]
    positive: float = 0.0


def _cells(runner: QueryRunner, scope: Scope, bins: str, only: tuple[Query, ...]) -> tuple[Cells, str | None]:
    sources: dict[str, Any] = {"label": {"terms": {"field": LABEL}}}
    if bins:
        sources["bin"] = {"terms": {"field": f"{_AT}{bins}", "missing_bucket": True}}
    sources["truth"] = {"terms": {"field": _TRUTH, "missing_bucket": True}}
    aggs = {
        "confidence": {"extended_stats": {"field": PROBABILITY}},
        "positive": {"sum": {"field": _POSITIVE}},
    }
    known: dict[tuple[str, int | None], _Parts] = {}
    for bucket in runner.pages(scope, sources, aggs, *only):
        key = bucket["key"]
        number = key.get("bin")
        label, of_bin = str(key["label"]), None if number is None else int(number)
        parts = known.setdefault((label, of_bin), _Parts(Cell(label, of_bin, 0), {}))
        _add(parts, int(bucket["doc_count"]), None if key["truth"] is None else str(key["truth"]), bucket)
    cells = [replace(parts.cell, truths=parts.truths) for parts in known.values()]
    return Cells(cells, bins), _positive(list(known.values()))


def _add(parts: _Parts, count: int, truth: str | None, bucket: dict[str, Any]) -> None:
    stats = bucket["confidence"]
    sums = Sums(int(stats["count"]), float(stats["sum"] or 0.0), float(stats["sum_of_squares"] or 0.0))
    cell = replace(parts.cell, predictions=parts.cell.predictions + count, confidence=parts.cell.confidence + sums)
    if truth is not None:
        parts.truths[truth] = parts.truths.get(truth, 0) + count
        cell = replace(cell, labelled=cell.labelled + sums)
        if truth == cell.label:
            cell = replace(cell, correct=cell.correct + sums)
    parts.cell = cell
    parts.positive += float(bucket["positive"]["value"] or 0.0)


def _positive(parts: list[_Parts]) -> str | None:
    """Return the label whose probability is that of the positive class; None if no prediction has it."""
    labels = sorted({each.cell.label for each in parts})
    for label in labels:
        own = [each for each in parts if each.cell.label == label and each.cell.confidence.n]
        total = sum(each.cell.confidence.total for each in own)
        if own and abs(total - sum(each.positive for each in own)) <= _SAME * total:
            return label
    return None
