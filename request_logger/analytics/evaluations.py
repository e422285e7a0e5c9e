"""The evaluations of predictions: their names, and the estimates of each with intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from request_logger.analytics.class_averages import corrected_interval
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import DRAWS, Estimate, estimates, statistics_of, with_folds
from request_logger.analytics.intervals import Found, Interval, NoInterval
from request_logger.analytics.jackknife import fetch_folds
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import PREFIX
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import FAILED, without
from request_logger.analytics.shares import share_interval
from request_logger.analytics.tasks import Task
from scorers import evaluations as roll_ups
from scorers.base import Metric, Terms
from scorers.classification import class_counts

NAME_FIELD = f"{PREFIX}evaluated"
# Labels whose share is computed, the most frequent first: a label is one of few, or it is a text.
MOST_LABELS = 20
# The labels of a table by segment, where there is no mean.
_MOST_SHOWN = 3
_MEAN = "mean"
# More labels than these have over 400 cells, which few documents fill.
_MOST_RATED_LABELS = 20
# Fixed, so that a repeated report gives the same intervals.
_SEED = 20_260_102
_OPTION = re.compile(r"evaluations\.(?P<name>[\w-]+)(?:\.(?P<metric>\w+)|\[(?P<label>.+)\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class EvaluationTask(Task):
    """The documents that have an evaluation of one name: ``name`` is that name, ``count`` their number."""

    @property
    def only(self) -> Query:
        """The query for these documents; failed requests aren't predictions."""
        return without(FAILED, {"term": {NAME_FIELD: self.name}})


def evaluation_names(runner: QueryRunner, scope: Scope) -> dict[str, int]:
    """Return the number of documents per name of an evaluation, the most frequent first."""
    names = Terms(NAME_FIELD.removeprefix(PREFIX))
    counts: dict[str, int] = runner.fetch(scope, [names], without(FAILED))[names]
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def evaluation_task(runner: QueryRunner, scope: Scope, name: str, count: int = 0) -> EvaluationTask:
    """Return the task of the evaluations with a name, with the share of each label that these documents have."""
    task = EvaluationTask(name, count, ())
    need = roll_ups.labels(name)
    labels: dict[str, int] = runner.fetch(scope, [need], task.only)[need]
    frequent = sorted(labels, key=lambda label: (-labels[label], label))[:MOST_LABELS]
    return replace(task, metrics=roll_ups.metrics_of(name, tuple(frequent)))


def shown(task: EvaluationTask, answers: Answers) -> tuple[Metric, ...]:
    """Return the metrics of a table by segment: the mean, or without one the shares of the most frequent labels."""
    if any(estimate.name == _MEAN for estimate in estimates(task.metrics[:1], answers)):
        return task.metrics[:1]
    return tuple(metric for metric in task.metrics if metric.name.startswith("share["))[:_MOST_SHOWN]


def estimates_of(task: EvaluationTask, answers: Answers) -> list[Estimate]:
    """Return the estimates of a name's evaluations: means, agreement, and the share of each label.

    A share is that of the documents with the label among those with any; a document without a majority of its raters
    has none.
    """
    matrix = answers[roll_ups.judge_matrix(task.name)]
    return [_with_interval(estimate, matrix) for estimate in estimates(task.metrics, answers)]


def _with_interval(estimate: Estimate, matrix: dict[str, dict[str, int]]) -> Estimate:
    """Return an estimate of the judge against people with its interval; others unchanged."""
    total = sum(sum(row.values()) for row in matrix.values())
    if estimate.name == "judge_agreement":
        hits = sum(row.get(label, 0) for label, row in matrix.items())
        return replace(estimate, n=total, interval=share_interval(hits, total), why=None)
    if estimate.name == "judge_kappa":
        found = kappa_interval(matrix)
        if isinstance(found, Interval):
            return replace(estimate, n=total, interval=found, why=None)
        return replace(estimate, n=total, interval=None, why=found)
    return estimate


def with_alphas(
    runner: QueryRunner, scope: Scope, task: EvaluationTask, answers: Answers, found: Sequence[Estimate]
) -> list[Estimate]:
    """Return estimates with the intervals of Krippendorff's alphas: the jackknife over the folds of the documents.

    Only the documents with two evaluations or more count. Raises what :class:`QueryRunner` raises.
    """
    metrics = [metric for metric in task.metrics if metric.name in roll_ups.ALPHAS]
    if not any(each.name in roll_ups.ALPHAS for each in found):
        return list(found)
    rated = {"bool": {"should": [{"exists": {"field": f"{PREFIX}{field}"}} for field in roll_ups.agreed(task.name)]}}
    only: Query = {"bool": {"filter": [task.only, rated]}}
    count = runner.count(scope, only)
    folds = fetch_folds(runner, scope, statistics_of(metrics), only, count, are_together=False)
    alphas = {each.name: replace(each, n=count) for each in found if each.name in roll_ups.ALPHAS}
    alphas = {each.name: each for each in with_folds(alphas.values(), metrics, answers, folds)}
    return [alphas.get(each.name, each) for each in found]


def kappa_interval(matrix: dict[str, dict[str, int]]) -> Found:
    """Return the interval of Cohen's kappa of two raters from drawn matrices, as that of the metric `kappa`.

    The normal one with the large-sample variance has too many misses where most labels are the same (simulated: with
    2 % positives, .70 of those of 50 documents have the true kappa, and .82 of those of 200).
    """
    kappa = roll_ups.cohen_kappa(matrix)
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    if kappa is None:
        return NoInterval.ALL_EQUAL
    if len(labels) > _MOST_RATED_LABELS:
        return NoInterval.MANY_CELLS
    counts = np.array([[matrix.get(one, {}).get(other, 0) for other in labels] for one in labels])
    weights = (counts + len(labels) ** -2).ravel()
    shares = np.random.default_rng(_SEED).dirichlet(weights, DRAWS).reshape(DRAWS, *counts.shape)
    observed = np.trace(shares, axis1=1, axis2=2)
    expected = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    n, hits = int(counts.sum()), int(np.trace(counts))
    others = n - int(max(counts.sum(axis=0).max(), counts.sum(axis=1).max()))
    drawn = ((observed - expected) / (1 - expected)).tolist()
    return corrected_interval(kappa, hits, n, others, drawn, observed.tolist())


def rater_agreement(pairs: dict[str, int]) -> list[dict[str, Any]]:
    """Return Cohen's kappa of each two raters, the pair with the most documents first.

    ``pairs`` is the number of documents per keyword of `scorers.evaluations.pair_text`.
    """
    matrices: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for text, n in pairs.items():
        try:
            one, other, first, second = roll_ups.pair_of(text)
        except (ValueError, TypeError):
            # Another program's.
            continue
        row = matrices.setdefault((one, other), {}).setdefault(first, {})
        row[second] = row.get(second, 0) + n
    found = []
    for raters, matrix in matrices.items():
        n = sum(sum(row.values()) for row in matrix.values())
        interval = kappa_interval(matrix)
        found.append(
            {
                "raters": list(raters),
                "n": n,
                "agreement": roll_ups.observed_agreement(matrix),
                "kappa": roll_ups.cohen_kappa(matrix),
                **_limits(interval),
            }
        )
    return sorted(found, key=lambda each: (-each["n"], each["raters"]))


def _limits(found: Found) -> dict[str, Any]:
    return {"low": found.low, "high": found.high} if isinstance(found, Interval) else {"no_interval": str(found)}


def judge_by_label(matrix: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return precision, recall and F1 of the judge per label, with the people's labels as the truth."""
    table: dict[str, Any] = {}
    for label, counts in class_counts({"matrix": matrix}).items():
        values = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
        table[label] = {
            "true_positive": counts.true_positive,
            "false_positive": counts.false_positive,
            "false_negative": counts.false_negative,
            **{name: value for name, value in values.items() if value is not None},
            "support": counts.support,
        }
    return table


def named_metric(runner: QueryRunner, scope: Scope, option: str) -> tuple[EvaluationTask, str] | None:
    """Return the task and the name of the metric that an option names; None where it names no evaluation.

    The forms are ``evaluations.helpful`` (the mean), ``evaluations.helpful[yes]`` (the share of a label) and
    ``evaluations.helpful.judge_kappa``. The task's metrics have such names; its count is 0 for a name that no document
    has. Raises BadQueryError for an unknown metric.
    """
    found = _OPTION.fullmatch(option)
    if found is None:
        return None
    name, label = found["name"], found["label"]
    task = evaluation_task(runner, scope, name)
    task = replace(task, count=runner.count(scope, task.only))
    metrics = task.metrics
    wanted = f"share[{label}]" if label else found["metric"] or _MEAN
    if label and all(metric.name != wanted for metric in metrics):
        # Nobody has chosen it, which is a share of 0.
        metrics = (*metrics, *roll_ups.metrics_of(name, (label,))[-1:])
    spelled = tuple(replace(metric, name=spelling(name, metric.name)) for metric in metrics)
    if all(metric.name != spelling(name, wanted) for metric in spelled):
        raise BadQueryError(f"no figure {option}: there are {', '.join(metric.name for metric in spelled)}")
    return replace(task, metrics=spelled), spelling(name, wanted)


def spelling(name: str, metric: str) -> str:
    """Return a metric of an evaluation as an option names it."""
    if metric == _MEAN:
        return f"evaluations.{name}"
    return f"evaluations.{name}{metric.removeprefix('share') if metric.startswith('share[') else f'.{metric}'}"
