"""The scorer for rankings: an ordered list of items, some of which are relevant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scorers.base import Fields, Metric, Row, UnscorableError, mean_of, number, share_at_most, shown
from scorers.labels import column_label, label, numbers, scalar_label
from scorers.options import check_count, check_flag
from scorers.reasons import Reason
from scorers.structured import check_comparable_text


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores an ordered list of items, such as search hits or recommendations, by the relevant items.

    The prediction is a list of items (text or numbers), best first, an object of item -> score, or a list of scores
    (with a fraction, or with ``scores`` set). The truth is the relevant item or a list of relevant items, an object of
    item -> gain, or for a list of scores a list of gains of the same length. An item with a gain above 0 is relevant.

    Options: ``k``, the length to which the list is cut for ndcg, precision and recall, by default not at all.
    ``scores``, whether the prediction's list has scores (true) or items (false).
    """

    name: ClassVar[str] = "ranking"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("ndcg", "ndcg"),
        mean_of("map", "average_precision"),
        mean_of("mrr", "reciprocal_rank"),
        *(share_at_most(f"hit_at_{k}", "truth_rank", k, of="reciprocal_rank") for k in (1, 3, 5, 10)),
        mean_of("precision_at_k", "precision_at_k"),
        mean_of("recall_at_k", "recall_at_k"),
    )

    k: int | None = None
    scores: bool | None = None

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        check_count("k", self.k)
        check_flag("scores", self.scores)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair.

        ``truth_rank`` is the 1-based rank of the first relevant item; if none is listed, it is omitted and
        ``reciprocal_rank`` is 0. ``ndcg`` is the sum of gain / log2(1 + rank), divided by that of the ideal order
        (linear gains, as scikit-learn's ``ndcg_score``; ties are kept in their order), ``average_precision`` is the sum
        of the precisions at the relevant ranks, divided by the number of relevant items. Raises UnscorableError if no
        item is relevant, an item occurs twice, or the lists can't be read.
        """
        listed = _row_of_one(prediction.value)
        check_comparable_text(_row_of_one(truth.value), listed)
        names = prediction.names if self._has_scores(listed) and len(prediction.names) == len(listed) else ()
        ranked = self._ranked(listed, names)
        gains = self._gains(_row_of_one(truth.value), listed, names)
        relevant = {item for item, gain in gains.items() if gain > 0}
        if not relevant:
            text = f"the truth {shown(truth.value)} names no relevant item"
            raise UnscorableError(text, reason=Reason.TRUTH_NOT_RELEVANT)
        ranks = [rank for rank, item in enumerate(ranked, start=1) if item in relevant]
        cut = self.k or max(len(ranked), len(gains))
        found = sum(rank <= cut for rank in ranks)
        ideal = _discounted(sorted(gains.values(), reverse=True)[:cut])
        fields: Fields = {
            "correct": int(ranks[:1] == [1]),
            "reciprocal_rank": 1.0 / ranks[0] if ranks else 0.0,
            "ndcg": _discounted([gains.get(item, 0.0) for item in ranked[:cut]]) / ideal,
            "average_precision": math.fsum(n / rank for n, rank in enumerate(ranks, start=1)) / len(relevant),
            "precision_at_k": found / (self.k or len(ranked)),
            "recall_at_k": found / len(relevant),
        }
        if ranks:
            fields["truth_rank"] = ranks[0]
        return fields

    def _ranked(self, listed: Any, names: tuple[str, ...]) -> list[str]:
        if isinstance(listed, Mapping):
            scored = {label(item): number(score, f"score of {item}") for item, score in listed.items()}
            items = sorted(scored, key=lambda item: -scored[item])
        elif self._has_scores(listed):
            numbers(listed, "prediction")
            order = sorted(range(len(listed)), key=lambda column: -listed[column])
            items = [column_label(column, names) for column in order]
        else:
            items = [label(item) for item in (listed if isinstance(listed, (list, tuple)) else [listed])]
        if not items or len(set(items)) < len(items):
            text = f"the prediction {shown(listed)} is empty or has an item twice"
            raise UnscorableError(text, reason=Reason.PREDICTION_NOT_RANKED)
        return items

    def _has_scores(self, listed: Any) -> bool:
        if not isinstance(listed, (list, tuple)):
            return False
        if self.scores is not None:
            return self.scores
        return any(isinstance(item, float) and not item.is_integer() for item in listed)

    def _gains(self, truth: Any, listed: Any, names: tuple[str, ...]) -> dict[str, float]:
        if isinstance(truth, Mapping):
            gains = {scalar_label(item, names): number(gain, f"gain of {item}") for item, gain in truth.items()}
        elif not isinstance(truth, (list, tuple)):
            return {scalar_label(truth, names): 1.0}
        elif self._has_scores(listed) and len(truth) == len(listed):
            gains = {column_label(k, names): number(gain, f"gain {k}") for k, gain in enumerate(truth)}
        else:
            return {scalar_label(item, names): 1.0 for item in truth}
        if min(gains.values(), default=0.0) < 0:
            text = f"the truth {shown(truth)} has a gain below 0"
            raise UnscorableError(text, reason=Reason.TRUTH_GAIN_BELOW_ZERO)
        return gains


def _row_of_one(value: Any) -> Any:
    while isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple, dict)):
        value = value[0]
    return value


def _discounted(gains: Sequence[float]) -> float:
    """Return the discounted cumulative gain: the sum of gain / log2(1 + rank)."""
    return math.fsum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains, start=1))
