"""The tasks of some documents: the scorers that scored them, with the metrics that each declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Query, Scope, scored_by
from request_logger.analytics.selection import exists, without
from request_logger.scoring.registry import ScorerError, registered, scorer_class
from request_logger.scoring.rules import Chooser
from request_logger.settings import Settings
from scorers.base import Metric, mean_of

MEAN_REWARD = mean_of("mean_reward", "reward", bounds=(float("-inf"), float("inf")))
# Per built-in scorer the metrics that a table by segment has room for. The first is the headline of curves and
# comparisons.
_SHOWN = {
    "binary": ("accuracy", "precision", "recall", "auc"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "multilabel": ("f1_micro", "f1_macro", "subset_accuracy"),
    "ordinal": ("accuracy", "quadratic_weighted_kappa", "mean_off_by"),
    "regression": ("rmse", "mae", "r2"),
    "ranking": ("ndcg", "mrr", "map"),
    "text": ("token_f1", "exact_match", "word_error_rate"),
    "reward": ("mean_reward",),
}
# As many as the built-in scorers show at most.
_MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Task:
    """The documents that one scorer scored: its name, their number, and the metrics that it declares."""

    name: str
    count: int
    metrics: tuple[Metric, ...]

    @property
    def only(self) -> Query:
        """The query for these documents."""
        return scored_by(self.name)

    @property
    def shown(self) -> tuple[Metric, ...]:
        """The metrics shown by default, the headline first; for an unknown scorer its first _MOST_SHOWN numbers."""
        named = {metric.name: metric for metric in self.metrics}
        chosen = _SHOWN.get(self.name) or [name for name in named if not named[name].per_class][:_MOST_SHOWN]
        return tuple(named[name] for name in chosen if name in named)


def tasks_of(runner: QueryRunner, scope: Scope, settings: Settings) -> list[Task]:
    """Return the tasks of some documents, the one with the most documents first.

    Feedback with both a reward and a truth adds the metric ``mean_reward`` to its task. A scorer that is unknown here
    (configured in another logger) has no metrics. Raises what :class:`QueryRunner` raises.
    """
    ours, rewarded = without(exists("metrics.unscorable")), exists("metrics.reward")
    counts = _by_scorer(runner, scope, ours)
    with_reward = _by_scorer(runner, scope, ours, rewarded) if counts and runner.count(scope, ours, rewarded) else {}
    found = []
    for name, count in counts.items():
        metrics = metrics_of(name, settings)
        if name in with_reward and all(metric.name != MEAN_REWARD.name for metric in metrics):
            metrics = (*metrics, MEAN_REWARD)
        found.append(Task(name, count, metrics))
    return sorted(found, key=lambda task: (-task.count, task.name))


def _by_scorer(runner: QueryRunner, scope: Scope, *only: Query) -> dict[str, int]:
    """Count documents by scorer. The search fails in an index with another type for the field, which is then left out.

    In a terms aggregation Elasticsearch 9 loses the names of all other indices instead, without a word.
    """
    pages = runner.pages(scope, {"scorer": {"terms": {"field": "metrics.scorer"}}}, None, *only)
    return {str(bucket["key"]["scorer"]): int(bucket["doc_count"]) for bucket in pages}


def metrics_of(name: str, settings: Settings) -> tuple[Metric, ...]:
    """Return the metrics of a scorer by its name in the documents; empty for an unknown one.

    A user's scorer is found by the settings SCORER and SCORERS_CONFIG.
    """
    found: Any = None
    if name in registered():
        found = scorer_class(name)
    elif settings.scorer or settings.scorers_config:
        found = next((scorer for scorer in _own(settings) if scorer.name == name), None)
    return tuple(getattr(found, "metrics", ()))


def _own(settings: Settings) -> list[Any]:
    """Return the scorers that the settings name; empty where they can't be loaded."""
    try:
        return list(Chooser(settings.scorer, settings.scorers_config or None).scorers)
    except ScorerError:
        return []
