"""The report's section on the selection of feedback, as JSON: see docs/selection.md for each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from request_logger.analytics.buckets import by_ranges, quantile_edges
from request_logger.analytics.feedback import audit as audits
from request_logger.analytics.feedback import numbers
from request_logger.analytics.feedback.audit_queries import AUDITED
from request_logger.analytics.feedback.cells import Cells, Sums, edges_of
from request_logger.analytics.feedback.contingency import selection_test
from request_logger.analytics.feedback.estimated import calibration_gap, estimated
from request_logger.analytics.feedback.fetch import LABEL, VALUE, Population, fetch_population
from request_logger.analytics.feedback.strata import Stratum, strata_of
from request_logger.analytics.feedback.weighted import Weights, weighted_metrics, weights_of
from request_logger.analytics.fields import Field
from request_logger.analytics.formatting import percent
from request_logger.analytics.intervals import Interval, NoInterval
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments
from request_logger.analytics.scope import FEEDBACK_DATE, Scope
from request_logger.analytics.selection import PREDICTION, exists
from request_logger.analytics.shares import INDEPENDENT, Dependence
from request_logger.analytics.tasks import Task
from request_logger.documents.folds import FOLDS

Json = dict[str, Any]

# A figure over a smaller part of the predictions says so.
_FEW_COVERED = 0.2
# Fewer truths have an interval wider than .2: what the probabilities promise is shown with it.
_FEW_TRUTHS = 100
# Post-stratified figures of fewer truths would rest on a single stratum or two.
LEAST_TRUTHS = 20
# False in one report of a thousand: a warning that is often false is not read.
WARNS_BELOW = 0.001
# A field that most documents of a batch share.
_BATCH = "RequestId.keyword"
# Error fields of a regression by the metric that is their mean.
_ERRORS = {"mean_error": "error", "mae": "absolute_error", "mse": "squared_error"}


def selection_report(
    runner: QueryRunner, scope: Scope, tasks: Sequence[Task], reports: Sequence[Json], *, are_together: bool
) -> Json | None:
    """Return the section; None where no prediction has a ``prediction`` object and none is audited.

    ``reports`` are the figures of the ``tasks`` over all feedback. Raises what :class:`QueryRunner` raises.
    """
    if scope.date_field == FEEDBACK_DATE:
        # Predictions without feedback are in no time span.
        return None
    labels, values = _objects(runner, scope)
    audit = audits.find_audit(runner, scope)
    if not (labels or values or audit):
        return None
    known = {
        report["scorer"]: _together(report, are_together=are_together) for report in reports if "metrics" in report
    }
    usable = [task for task in tasks if task.name in known]
    section: Json = {}
    if audit is not None:
        section["audit"] = audits.audit_report(runner, audit, [(task, known[task.name]) for task in usable])
    scored = [task for task in tasks if task.name != "reward"]
    if len(scored) > 1:
        return {**section, "reason": "the predictions have more than one scorer: choose one deployment"}
    report = next((each for each in reports if scored and each["scorer"] == scored[0].name), {})
    if "reason" in report:
        return {**section, "reason": report["reason"]}
    together = known.get(scored[0].name, {}) if scored else {}
    if values and not labels:
        return section | _numbers(runner, scope, report, together)
    if labels:
        section |= _classes(runner, scope, report, together, are_together=are_together)
        if audit is not None and "reason" not in section["audit"] and "reason" not in section:
            section["audit"] |= _powered(runner, audit, together)
    return section


def has_selection(runner: QueryRunner, scope: Scope) -> bool:
    """Return whether there is anything to report: `prediction` objects, or an audit."""
    return scope.date_field != FEEDBACK_DATE and (
        any(_objects(runner, scope)) or audits.find_audit(runner, scope) is not None
    )


def _objects(runner: QueryRunner, scope: Scope) -> tuple[int, int]:
    """Return how many predictions have a `prediction` object with a label, and with a number."""
    counts = runner.counts(scope, {"labels": exists(LABEL), "values": exists(VALUE)}, PREDICTION)
    return counts["labels"], counts["values"]


def coverage_note(counts: Json) -> str:
    """Return the note on figures over a small part of the predictions, given the report's coverage; empty without."""
    share = counts["share"]
    if share is None or share >= _FEW_COVERED:
        return ""
    return (
        f"The figures are over the {percent(share)} of the predictions that have feedback"
        f" ({counts['with_feedback']:,} of {counts['predictions']:,}): the others may differ, see selection.md."
    )


def _together(report: Json, *, are_together: bool) -> Mapping[str, Dependence | NoInterval]:
    """Return by metric how far documents belong together, as the figures over all feedback found it."""
    if not are_together:
        return {}
    return {
        each["name"]: Dependence(each["design_effect"], FOLDS - 1) if "design_effect" in each else NoInterval.NOT_SPLIT
        for each in report["metrics"]
    }


def _classes(
    runner: QueryRunner,
    scope: Scope,
    report: Json,
    together: Mapping[str, Dependence | NoInterval],
    *,
    are_together: bool,
) -> Json:
    population = fetch_population(runner, scope)
    if population.problem:
        return {"reason": population.problem}
    cells = population.cells
    found: Json = {**_coverage(report, cells.predictions, cells.with_truth)}
    if report and not cells.with_truth:
        return {**found, "reason": "no scored prediction has both a `prediction` object and a true class"}
    strata = strata_of(cells.cells)
    weights = weights_of(strata.strata) if strata.strata else None
    found["strata"] = [_stratum(cells, stratum) for stratum in strata.strata]
    if 0 < cells.with_truth < cells.predictions:
        effect = cells.predictions / max(_batches(runner, scope), 1) if are_together else 1.0
        found["test"] = _test(cells, max(effect, 1.0))
        found["bounds"] = {
            "low": cells.hits / cells.predictions,
            "high": (cells.hits + cells.predictions - cells.with_truth) / cells.predictions,
        }
        if weights is None or cells.with_truth < LEAST_TRUTHS:
            found["not_weighted"] = f"fewer than {LEAST_TRUTHS} predictions with a `prediction` object have a truth"
        else:
            found |= _weighted(strata.strata, weights, population, report, together)
            found |= {"merged": strata.merged, "cut": weights.cut, "effective_n": weights.effective_n}
    if cells.with_truth < min(_FEW_TRUTHS, cells.predictions):
        found["estimated"] = _estimated(population)
    return found


def _coverage(report: Json, predictions: int, with_truth: int) -> Json:
    return {
        "scorer": report.get("scorer"),
        "predictions": predictions,
        "with_truth": with_truth,
        "share": with_truth / predictions if predictions else None,
        "without_object": max(report.get("documents", 0) - with_truth, 0),
    }


def _stratum(cells: Cells, stratum: Stratum) -> Json:
    found: Json = {"label": stratum.label}
    if stratum.bins is not None:
        found["from"], found["to"] = edges_of(cells.bins, *stratum.bins)
    known = stratum.with_truth
    return {**found, "predictions": stratum.predictions, "with_truth": known, "share": known / stratum.predictions}


def _batches(runner: QueryRunner, scope: Scope) -> int:
    """Return about how many batches the predictions with a label are from."""
    aggs = {"batches": {"cardinality": {"field": _BATCH, "precision_threshold": 40_000}}}
    return int(runner.aggregate(scope, aggs, PREDICTION, exists(LABEL)).get("batches", {}).get("value", 0))


def _test(cells: Cells, effect: float) -> Json | None:
    test = selection_test(cells.cells, effect)
    if test is None:
        return None
    found: Json = {
        "chi_squared": test.chi_squared,
        "degrees_of_freedom": test.freedom,
        "p_value": test.p_value,
        "cramers_v": test.cramers_v,
        "lowest": _stratum(cells, test.lowest),
        "highest": _stratum(cells, test.highest),
    }
    return {**found, "warning": test.p_value < WARNS_BELOW}


def _weighted(
    strata: Sequence[Stratum],
    weights: Weights,
    population: Population,
    report: Json,
    together: Mapping[str, Dependence | NoInterval],
) -> Json:
    naive = {each["name"]: each for each in report.get("metrics", [])}
    return {
        "weighted": [
            {
                "name": each.name,
                "value": each.value,
                **_limits(None if isinstance(own, NoInterval) else each.interval(own)),
                "over_feedback": naive[each.name],
            }
            for each in weighted_metrics(strata, weights, population.positive)
            if each.name in naive
            for own in [together.get(each.name, INDEPENDENT)]
        ]
    }


def _limits(interval: Interval | None) -> Json:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _estimated(population: Population) -> Json | None:
    metrics = estimated(population.cells, population.positive)
    if not metrics:
        return None
    gap = calibration_gap(population.cells)
    return {"metrics": metrics, "calibrated_on": population.cells.with_truth, "calibration_gap": gap}


def _powered(runner: QueryRunner, audit: audits.Audit, together: Mapping[str, Dependence | NoInterval]) -> Json:
    """Return the PPI++ figure and the bounds of the audit's accuracy."""
    audited = fetch_population(runner, audit.scope, AUDITED)
    everything = fetch_population(runner, audit.scope)
    if audited.problem or everything.problem or not audited.cells.predictions:
        return {}
    own = together.get("accuracy", INDEPENDENT)
    powered = audits.powered_accuracy(audited.cells, everything.cells, own)
    n, known, hits = audited.cells.predictions, audited.cells.with_truth, audited.cells.hits
    bounds = {"low": hits / n, "high": (hits + n - known) / n} if known < n else None
    return {"powered_accuracy": powered, "bounds": bounds}


def _numbers(runner: QueryRunner, scope: Scope, report: Json, together: Mapping[str, Dependence | NoInterval]) -> Json:
    field = Field("value", VALUE, is_number=True)
    only = (PREDICTION, exists(VALUE))
    edges = quantile_edges(runner, scope, field, numbers.RANGES, *only)
    statistics = [Moments(name) for name in _ERRORS.values()]
    ranges = []
    for segment in by_ranges(runner, scope, statistics, field, edges, *only):
        low, high = segment.key
        moments = {each.field: segment.answers[each] for each in statistics}
        errors = {name: Sums(found.n, found.total, found.squares) for name, found in moments.items()}
        ranges.append(numbers.Range(low, high, segment.count, errors))
    predictions, with_truth = (sum(getattr(each, name) for each in ranges) for name in ("predictions", "with_truth"))
    found = _coverage(report, predictions, with_truth)
    if with_truth == predictions:
        return found
    merged, share = numbers.merged(ranges)
    found["strata"] = [_range(each) for each in merged]
    if not merged or with_truth < LEAST_TRUTHS:
        return {
            **found,
            "not_weighted": f"fewer than {LEAST_TRUTHS} predictions with a `prediction` object have a truth",
        }
    weights = weights_of(merged)
    naive = {each["name"]: each for each in report.get("metrics", [])}
    rows = []
    for name, error in _ERRORS.items():
        if name in naive:
            own = together.get(name, INDEPENDENT)
            value, interval = numbers.weighted_mean(
                merged, weights, error, INDEPENDENT if isinstance(own, NoInterval) else own
            )
            limits = {} if isinstance(own, NoInterval) else _limits(interval)
            rows.append({"name": name, "value": value, **limits, "over_feedback": naive[name]})
    return {**found, "weighted": rows, "merged": share, "cut": weights.cut, "effective_n": weights.effective_n}


def _range(each: numbers.Range) -> Json:
    return {
        "from": each.low,
        "to": each.high,
        "predictions": each.predictions,
        "with_truth": each.with_truth,
        "share": each.with_truth / each.predictions,
    }
