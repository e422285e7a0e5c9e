"""The scorer for rankings: an ordered list of items, some of which are relevant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scorers.base import Fields, Metric, Row, UnscorableError, finite, mean_of, number, share_at_most, shown
from scorers.labels import class_number, column_label, label, numbers, scalar_label
from scorers.options import check_count, check_flag
from scorers.reasons import Reason
from scorers.structured import check_comparable_text


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores an ordered list of items, such as search hits or recommendations, by the relevant items.

    The prediction is a list of items (text or numbers), best first, an object of item -> score, or a list of scores
    (with a fraction, or with ``scores`` set). The truth is the relevant item or a list of relevant items, an object of
    item -> gain, or for a list of scores a list of gains of the same length. An item with a gain above 0 is relevant.

    A list of different whole numbers has scores if the truth is a list of gains (as long, with a repeated one), and
    items if the truth has one of them. Where a pair says neither, it is unscorable.

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
        listed, relevant_side = _row_of_one(prediction.value), _row_of_one(truth.value)
        check_comparable_text(relevant_side, listed)
        has_scores = self._has_scores(listed, relevant_side)
        names = prediction.names if has_scores and len(prediction.names) == len(listed) else ()
        ranked = _ranked(listed, names, has_scores=has_scores)
        gains = _gains(relevant_side, listed, names, has_scores=has_scores)
        relevant = {item for item, gain in gains.items() if gain > 0}
        if not relevant:
            text = f"the truth {shown(truth.value)} names no relevant item"
            raise UnscorableError(text, reason=Reason.TRUTH_NOT_RELEVANT)
        ranks = [rank for rank, item in enumerate(ranked, start=1) if item in relevant]
        cut = self.k or max(len(ranked), len(gains))
        found = sum(rank <= cut for rank in ranks)
        gains = _scaled(gains)
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

    def _has_scores(self, listed: Any, truth: Any) -> bool:
        """Return whether a list has scores, not items. Raises UnscorableError where the pair doesn't say which."""
        if not isinstance(listed, (list, tuple)) or not listed:
            return False
        if self.scores is not None:
            return self.scores
        if any(isinstance(item, float) and not item.is_integer() for item in listed):
            return True
        if not all(isinstance(item, (int, float)) for item in listed):
            return False
        if len(set(listed)) < len(listed) or _are_gains(truth, listed):
            return True
        if _may_be_scored(truth, listed):
            text = f"the list {shown(listed)} may have scores or items"
            raise UnscorableError(text, reason=Reason.SCORES_UNKNOWN)
        return False


def _ranked(listed: Any, names: tuple[str, ...], *, has_scores: bool) -> list[str]:
    if isinstance(listed, Mapping):
        scored = {label(item): number(score, f"score of {item}") for item, score in listed.items()}
        items = sorted(scored, key=lambda item: -scored[item])
    elif has_scores:
        numbers(listed, "prediction")
        order = sorted(range(len(listed)), key=lambda column: -listed[column])
        items = [column_label(column, names) for column in order]
    else:
        items = [label(item) for item in (listed if isinstance(listed, (list, tuple)) else [listed])]
    if not items or len(set(items)) < len(items):
        text = f"the prediction {shown(listed)} is empty or has an item twice"
        raise UnscorableError(text, reason=Reason.PREDICTION_NOT_RANKED)
    return items


def _gains(truth: Any, listed: Any, names: tuple[str, ...], *, has_scores: bool) -> dict[str, float]:
    if isinstance(truth, Mapping):
        gains = {scalar_label(item, names): number(gain, f"gain of {item}") for item, gain in truth.items()}
    elif not isinstance(truth, (list, tuple)):
        return {scalar_label(truth, names): 1.0}
    elif has_scores and len(truth) == len(listed):
        gains = {column_label(k, names): number(gain, f"gain {k}") for k, gain in enumerate(truth)}
    else:
        return {scalar_label(item, names): 1.0 for item in truth}
    if min(gains.values(), default=0.0) < 0:
        text = f"the truth {shown(truth)} has a gain below 0"
        raise UnscorableError(text, reason=Reason.TRUTH_GAIN_BELOW_ZERO)
    return gains


def _scaled(gains: Mapping[str, float]) -> dict[str, float]:
    """Return gains divided by a power of two, which no ratio of them notices, so that no sum of them overflows."""
    _, exponent = math.frexp(max(gains.values()))
    return {item: math.ldexp(gain, -exponent) for item, gain in gains.items()}


def _are_gains(truth: Any, listed: Sequence[float]) -> bool:
    """Return whether a truth must be the gains of a list of scores: as many, with a fraction, a repeated one or a 0.

    A list of relevant items has no item twice.
    """
    return (
        isinstance(truth, (list, tuple))
        and len(truth) == len(listed)
        and all(isinstance(gain, (int, float)) for gain in truth)
        and (len(set(truth)) < len(truth) or any(finite(gain) and gain != int(gain) for gain in truth))
    )


def _may_be_scored(truth: Any, listed: Sequence[float]) -> bool:
    """Return whether a list of different whole numbers may have scores.

    Integers do only where the truth is as long and names none of them as an item. Decoders make floats of integers, so
    that other numbers do wherever the truth may be gains, or name their columns.
    """
    named = truth if isinstance(truth, (list, tuple)) else [truth]
    if not all(_is_number(item) for item in named):
        return False
    is_as_long = isinstance(truth, (list, tuple)) and len(truth) == len(listed)
    items = {label(item) for item in named}
    if all(isinstance(item, int) for item in listed):
        return is_as_long and items.isdisjoint(map(label, listed))
    return is_as_long or items <= {f"CLASS_{k}" for k in range(len(listed))}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and class_number(value) is not None)


def _row_of_one(value: Any) -> Any:
    while isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple, dict)):
        value = value[0]
    return value


def _discounted(gains: Sequence[float]) -> float:
    """Return the discounted cumulative gain: the sum of gain / log2(1 + rank)."""
    return math.fsum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains, start=1))
