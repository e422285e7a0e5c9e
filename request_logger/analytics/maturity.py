"""How complete the labels of a time window are, by its age: labels come late, and those of young windows are biased.

Of each window of predictions, what counts are the labels whose delay its youngest prediction has outlived: the windows
are censored on the right, at ages that differ. So the share that is labelled within a delay is that of Kaplan and Meier
(1958) over intervals of delays, where each window is at risk as long as it is old enough. Most predictions never get a
label: completeness is relative to the share within the age of the oldest window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import PREDICTION_DATE, Query, Scope
from request_logger.analytics.selection import PREDICTION, any_of, exists, without
from request_logger.common.mapped_fields import DELAY

DELAY_FIELD = f"metrics.{DELAY}"
COMPLETE = 0.95
"""The share of the labels that a window has to have, of those that it will have, to be mature."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# Ends of the intervals of delays (seconds), each at most twice the one before: what is said of an age is said of the
# greatest end that it has reached.
EDGES = (
    *(k * _MINUTE for k in (1, 2, 5, 10, 15, 30)),
    *(k * _HOUR for k in (1, 2, 3, 6, 9, 12, 18)),
    *(k * _DAY for k in (1, 1.5, 2, 3, 4, 5, 7, 10, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180, 270, 365, 548, 730)),
)  # fmt: skip
# Windows (seconds) to choose from: the shortest that gives at most _MOST_WINDOWS. Each has a bucket per interval, and
# old search engines allow 10,000 buckets in one answer.
_WINDOWS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY)
_MOST_WINDOWS = 200
# Documents of wrong clocks, and the first days of a deployment, say nothing about all others: the oldest predictions
# that count are as old as this share of all.
_OLDEST = 0.01
# The curve has levelled off if it is complete before this share of the oldest age. Where labels still come at the
# greatest age, nobody knows how many will.
_LEVEL = 0.8
# Fewer labels show no share of 0.95: its standard error would be over 0.03.
_LEAST_LABELS = 50
# Documents with feedback but without a delay are left out of all counts. More than this share would move the curve.
_MOST_UNKNOWN = 0.05

NO_PREDICTIONS = "there are no predictions"
NO_DELAYS = "no feedback has a delay: request-logger rescore adds it to documents that are stored"
UNKNOWN_DELAYS = (
    "over 5 % of the feedback has no delay: it was stored before there were any (request-logger rescore adds them), or"
    " it has an earlier time than its prediction"
)
FEW_LABELS = f"there are fewer than {_LEAST_LABELS} labels whose delay all predictions of their time have outlived"
NOT_LEVEL = "labels still come at the age of the oldest predictions, so that nobody knows how many will"


class UnknownMaturityError(BadQueryError):
    """Only mature predictions are asked for, and it is unknown which are."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """The predictions of one window: ``age`` is that of the youngest (seconds), ``delays`` the labels per interval."""

    age: float
    predictions: int
    delays: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Maturity:
    """The share of predictions that is labelled within each delay of ``edges`` (seconds), at the time ``now``.

    ``age`` is the delay within which COMPLETE of the labels have come, None where ``problem`` says why it is unknown.
    """

    now: datetime
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    labels: int
    age: float | None
    problem: str | None

    @property
    def cutoff(self) -> datetime | None:
        """The time before which predictions are mature; None if that is unknown."""
        return None if self.age is None else self.now - timedelta(seconds=self.age)

    @property
    def only(self) -> Query | None:
        """The query for mature predictions; None if these are unknown."""
        if self.cutoff is None:
            return None
        return {"range": {PREDICTION_DATE: {"lt": _millis(self.cutoff), **_MILLIS}}}

    def is_mature(self, end: datetime) -> bool | None:
        """Return whether the window of predictions before ``end`` is mature; None if that is unknown."""
        return None if self.cutoff is None else end <= self.cutoff


def shares_within(cohorts: Sequence[Cohort], edges: Sequence[float]) -> list[float]:
    """Return the share labelled within each edge that some cohort has outlived, 1 - product of (1 - labels / at risk).

    A cohort is at risk in an interval if all of its predictions are old enough for the end of it; its labels of later
    intervals don't count, since not all of them can have come.
    """
    shares: list[float] = []
    unlabelled = [cohort.predictions for cohort in cohorts]
    left = 1.0
    for k, edge in enumerate(edges):
        old = [i for i, cohort in enumerate(cohorts) if cohort.age >= edge]
        at_risk = sum(unlabelled[i] for i in old)
        if not old:
            break
        left *= 1.0 - sum(cohorts[i].delays[k] for i in old) / at_risk if at_risk else 1.0
        for i in old:
            unlabelled[i] -= cohorts[i].delays[k]
        shares.append(1.0 - left)
    return shares


def maturity_of(cohorts: Sequence[Cohort], unknown: int, now: datetime, edges: Sequence[float] = EDGES) -> Maturity:
    """Return the maturity of cohorts; ``unknown`` is the number of documents with feedback whose delay is unknown."""
    oldest = _oldest(cohorts)
    reached = tuple(edge for edge in edges if edge <= oldest)
    shares = shares_within(cohorts, reached)
    labels = sum(
        count for cohort in cohorts for edge, count in zip(reached, cohort.delays, strict=False) if cohort.age >= edge
    )
    told = sum(sum(cohort.delays) for cohort in cohorts)
    age = next((edge for edge, share in zip(reached, shares, strict=True) if share >= COMPLETE * shares[-1]), None)
    problem = None
    if not told:
        problem = NO_DELAYS
    elif unknown > _MOST_UNKNOWN * (told + unknown):
        problem = UNKNOWN_DELAYS
    elif labels < _LEAST_LABELS:
        problem = FEW_LABELS
    elif age is None or age > _LEVEL * reached[-1]:
        problem = NOT_LEVEL
    return Maturity(now, reached, tuple(shares), labels, None if problem else age, problem)


def _oldest(cohorts: Sequence[Cohort]) -> float:
    """Return the age that _OLDEST of the predictions have reached."""
    total = sum(cohort.predictions for cohort in cohorts)
    reached = 0
    for cohort in sorted(cohorts, key=lambda each: -each.age):
        reached += cohort.predictions
        if reached >= _OLDEST * total:
            return cohort.age
    return 0.0


def only_mature(scope: Scope, *found: Maturity | None) -> Scope:
    """Return the mature documents of a scope, by all of ``found``. Raises UnknownMaturityError, with the reason."""
    for each in found:
        if each is None or each.only is None:
            raise UnknownMaturityError(f"--mature: {NO_PREDICTIONS if each is None else each.problem}")
        scope = scope.having(each.only)
    return scope


def find_maturity(runner: QueryRunner, scope: Scope, now: datetime | None = None) -> Maturity | None:
    """Return the maturity of a scope's predictions, whatever its time span is; None without predictions.

    Older predictions than those of the span show how long labels take. Raises what :class:`QueryRunner` raises.
    """
    now = now or datetime.now(UTC)
    # Before the greatest edge nothing would count.
    # From the start of a day, so that the search engine knows its answers of the same day again.
    earliest = (now - timedelta(seconds=EDGES[-1])).replace(hour=0, minute=0, second=0, microsecond=0)
    lookback = {"range": {PREDICTION_DATE: {"gte": _millis(earliest), **_MILLIS}}}
    whole = Scope(scope.indices, (*scope.filters, lookback))
    told = without(_UNKNOWN, PREDICTION)
    ends: dict[str, Any] = {name: {name: {"field": PREDICTION_DATE}} for name in ("min", "max")}
    found = runner.aggregate(whole, ends, PREDICTION)
    if not found or found["min"]["value"] is None:
        return None
    span = (found["max"]["value"] - found["min"]["value"]) / 1000
    seconds = next((each for each in _WINDOWS if span <= each * (_MOST_WINDOWS - 1)), None)
    if seconds is None:
        seconds = int(span / (_MOST_WINDOWS - 1)) + 1
    unknown = runner.count(whole, _UNKNOWN, PREDICTION)
    return maturity_of(_cohorts(runner, whole, seconds, now, told), unknown, now)


# Evaluations alone aren't labels, and have no delay.
_UNKNOWN = without(exists(DELAY_FIELD), any_of(exists("metrics.scorer"), exists("metrics.unscorable")))
_MILLIS = {"format": "epoch_millis"}


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _cohorts(runner: QueryRunner, scope: Scope, seconds: int, now: datetime, told: Query) -> list[Cohort]:
    bounds = [0.0, *EDGES]
    ranges = [{"key": str(k), "from": bounds[k], "to": bounds[k + 1]} for k in range(len(EDGES))]
    aggs = {
        "windows": {
            "date_histogram": {"field": PREDICTION_DATE, "fixed_interval": f"{seconds}s", "min_doc_count": 1},
            "aggs": {"delays": {"range": {"field": DELAY_FIELD, "ranges": ranges}}},
        }
    }
    found = runner.aggregate(scope, aggs, told)
    cohorts = []
    for bucket in found.get("windows", {}).get("buckets", []):
        by_key = {each["key"]: int(each["doc_count"]) for each in bucket["delays"]["buckets"]}
        counts = tuple(by_key.get(str(k), 0) for k in range(len(EDGES)))
        age = now.timestamp() - bucket["key"] / 1000 - seconds
        cohorts.append(Cohort(age, int(bucket["doc_count"]), counts))
    return cohorts
