"""Ranking: what the sums give is what scikit-learn computes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scorers.base import Row, UnscorableError
from scorers.ranking import Ranking
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of

M = 12


@pytest.mark.parametrize("k", [None, 5])
@pytest.mark.parametrize("form", ["scores", "items", "objects"])
def test_equals_scikit_learn(k: int | None, form: str) -> None:
    """NDCG, mean average precision and the hits of 2,000 rankings, written in each of the ways."""
    gains, scores = oracle.ranking_pairs(M, seed=0)
    pairs = []
    for gain, score in zip(gains.tolist(), scores.tolist(), strict=True):
        items = [f"item {j}" for j in range(M)]
        graded = dict(zip(items, gain, strict=True))
        if form == "scores":
            pairs.append((Row(gain), Row(score)))
        elif form == "objects":
            pairs.append((Row(graded), Row(dict(zip(items, score, strict=True)))))
        else:
            pairs.append((Row(graded), Row([items[j] for j in np.argsort(score)[::-1]])))
    oracle.assert_equal(metrics_of(Ranking(k=k), pairs), oracle.ranking(gains, scores, k))


@pytest.mark.parametrize(
    ("truth", "prediction", "names", "rank", "average_precision"),
    [
        ("b", ["a", "b", "c"], (), 2, 1 / 2),
        (["b", "c"], ["a", "b", "c"], (), 2, (1 / 2 + 2 / 3) / 2),
        (["b", "z"], ["b", "a"], (), 1, 1 / 2),
        (7, [5, 6, 7], (), 3, 1 / 3),
        ("7", [5, 7.0], (), 2, 1 / 2),
        ("z", ["a", "b"], (), None, 0.0),
        ("b", [0.1, 0.9, 0.4], ("a", "b", "c"), 1, 1.0),
        (2, [0.1, 0.9, 0.4], ("a", "b", "c"), 2, 1 / 2),
        (2, [0.1, 0.9, 0.4], (), 2, 1 / 2),
        ("a", "a", (), 1, 1.0),
        ({"a": 0, "b": 3}, [["a", "b"]], (), 2, 1 / 2),
    ],
)
def test_ranks(
    truth: object, prediction: object, names: tuple[str, ...], rank: int | None, average_precision: float
) -> None:
    """The rank of the first relevant item; none found is a reciprocal rank of 0."""
    fields = Ranking().score(Row(truth), Row(prediction, names))
    assert fields.get("truth_rank") == rank
    assert fields["reciprocal_rank"] == (1 / rank if rank else 0.0)
    assert fields["average_precision"] == pytest.approx(average_precision)
    assert fields["correct"] == int(rank == 1)


def test_the_first_item_decides_what_is_correct() -> None:
    """However many relevant ones follow it."""
    assert Ranking().score(Row(["a", "b"]), Row(["a", "b", "c"]))["correct"] == 1
    assert Ranking().score(Row(["a", "b"]), Row(["c", "a", "b"]))["correct"] == 0


@pytest.mark.parametrize("factor", [2.0**1023, 2.0**-1070])
def test_gains_of_any_size(factor: float) -> None:
    """NDCG is a ratio: it doesn't depend on the unit of the gains, nor does their sum overflow."""
    gains, scores = {"a": 1.0, "b": 1.5, "c": 0.5}, ["c", "a", "b"]
    known = Ranking().score(Row(gains), Row(scores))
    assert Ranking().score(Row({item: gain * factor for item, gain in gains.items()}), Row(scores)) == known


def test_ndcg_counts_relevant_items_that_are_not_listed() -> None:
    """The ideal order has all of them, up to k."""
    fields = Ranking().score(Row(["a", "b"]), Row(["a"]))
    assert fields["ndcg"] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert Ranking(k=1).score(Row(["a", "b"]), Row(["a"]))["ndcg"] == 1.0
    assert Ranking(scores=True).score(Row([0, 1]), Row([2, 5]))["truth_rank"] == 1


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [([], ["a"]), ({"a": 0}, ["a"]), ({"a": -1, "b": 1}, ["a"]), ("a", []), ("a", ["a", "a"]), ("a", None),
     ("a", [0.5, float("nan")]), ("a", {"a": "x"}), ("a", [["a"], ["b"]]), ([0, 0], [0.5, 0.2])],
)  # fmt: skip
def test_unscorable(truth: object, prediction: object) -> None:
    """Nothing relevant, an item twice, no scores."""
    with pytest.raises(UnscorableError):
        Ranking().score(Row(truth), Row(prediction))


@pytest.mark.parametrize("options", [{"k": 0}, {"k": True}, {"scores": 1}])
def test_wrong_options(options: dict[str, object]) -> None:
    """A wrong option is named."""
    with pytest.raises(ValueError, match=rf"option {next(iter(options))}\b"):
        Ranking(**options)  # type: ignore[arg-type]
