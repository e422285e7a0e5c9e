"""Feedback coverage and delay: how many predictions have feedback, how it was scored, how late it arrives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.queries import VALUES_ONLY, QueryRunner
from request_logger.analytics.scope import FEEDBACK_DATE, PREDICTION_DATE, Query, Scope
from request_logger.analytics.selection import FAILED, FEEDBACK, PREDICTION, WITH_FEEDBACK, any_of, exists, without
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.search_answers import check_aggregations, check_total
from scorers.base import Terms

# The documents that one search returns at most (`index.max_result_window`).
MOST_READ = 10_000
# Of more, so many random ones: the share of these within a time is that of all to within 0.02 (two standard errors at
# 0.5), and to read 10,000 took as long as all other figures of a page.
SAMPLE = 2_500
# Fixed, so that a repeated report gives the same figures.
_SEED = 20_260_102
_TIMES = {"prediction": PREDICTION_DATE, "feedback": FEEDBACK_DATE}


_UNSCORABLE = without(FAILED, exists("metrics.unscorable"))
_SCORED = without(any_of(exists("metrics.unscorable"), FAILED), exists("metrics.scorer"))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts of documents; docs/report.md defines a prediction and when it has feedback."""

    predictions: int
    with_feedback: int
    scored: int
    by_truth: int
    by_reward: int
    unscorable: int
    feedback_only: int
    """Feedback without a stored prediction (yet)."""
    failed: int
    """Failed requests, which are in none of the other counts."""

    @property
    def share(self) -> float | None:
        """The share of the predictions that have feedback, None without predictions."""
        return self.with_feedback / self.predictions if self.predictions else None


@dataclass(frozen=True, slots=True)
class Delay:
    """Time from prediction to feedback, in seconds.

    ``n`` documents have both times and ``mean`` is over all of them. ``sample`` has the sorted delays of all documents,
    or of a random choice of SAMPLE where there are more than MOST_READ.
    """

    n: int
    mean: float
    sample: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Return the smallest delay that at least this share of the sample is within (seconds)."""
        return self.sample[max(math.ceil(len(self.sample) * share) - 1, 0)]

    def within(self, seconds: float) -> float:
        """Return the share of the sample whose feedback arrived within ``seconds``."""
        return sum(delay <= seconds for delay in self.sample) / len(self.sample)


def coverage(runner: QueryRunner, scope: Scope) -> Coverage:
    """Count predictions and feedback. Raises what :class:`QueryRunner` raises."""
    queries: dict[str, Query] = {
        "with_feedback": WITH_FEEDBACK,
        # While documents are written, two counts may be of slightly different times: not more have feedback than exist.
        "predictions": without(FEEDBACK, PREDICTION),
        "scored": _SCORED,
        "by_truth": {"bool": {"filter": [_SCORED, {"term": {"metrics.basis": "truth"}}]}},
        "by_reward": {"bool": {"filter": [_SCORED, {"term": {"metrics.basis": "reward"}}]}},
        "unscorable": _UNSCORABLE,
        "feedback_only": without(any_of(PREDICTION, FAILED), FEEDBACK),
        "failed": FAILED,
    }
    found = runner.counts(scope, queries)
    return Coverage(**{**found, "predictions": found["predictions"] + found["with_feedback"]})


def reasons(runner: QueryRunner, scope: Scope, most: int = 10) -> list[tuple[str, int]]:
    """Return the ``most`` most frequent reasons why feedback could not be scored, with their counts."""
    reasons = Terms("unscorable")
    counts = runner.fetch(scope, [reasons], _UNSCORABLE)[reasons]
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def delay(runner: QueryRunner, scope: Scope, *more: Query) -> Delay | None:
    """Return how late feedback arrives; None where no document has both times. Raises what :class:`QueryRunner` raises.

    Subtracting two fields would need a script, so the mean is the difference of two means (exact), and the distribution
    comes from the documents themselves.
    """
    both = (*more, exists(PREDICTION_DATE), exists(FEEDBACK_DATE), PREDICTION)
    means = {name: {"avg": {"field": field}} for name, field in _TIMES.items()}
    body: dict[str, Any] = {
        "size": MOST_READ,
        **VALUES_ONLY,
        "docvalue_fields": [{"field": field, "format": "epoch_millis"} for field in _TIMES.values()],
    }
    answer = runner.search(scope, {"aggs": means, "track_total_hits": True}, *both)
    total = check_total(answer)
    if not total:
        return None
    if total <= MOST_READ:
        shown = runner.search(scope, body, *both)
    else:
        shown = runner.sample(scope, {**body, "size": SAMPLE}, _SEED, *both, total=total)
    averages = check_aggregations(means, answer)
    mean = (averages["feedback"]["value"] - averages["prediction"]["value"]) / 1000
    delays = sorted(_delay(hit.get("fields")) for hit in shown["hits"]["hits"])
    return Delay(total, mean, tuple(delays))


def _delay(fields: Any) -> float:
    try:
        prediction, feedback = (float(fields[field][0]) for field in _TIMES.values())
    except (KeyError, IndexError, TypeError, ValueError):
        raise StoreUnavailableError("the engine's answer to a search can't be used: a hit lacks its times") from None
    return (feedback - prediction) / 1000
