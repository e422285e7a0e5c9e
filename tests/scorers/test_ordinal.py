"""Ordinal: what the sums give is what scikit-learn computes."""

from __future__ import annotations

import numpy as np
import pytest

from scorers.base import Row, UnscorableError
from scorers.ordinal import Ordinal
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of

NAMES = ("bad", "fair", "good", "very good", "best")


@pytest.mark.parametrize("form", ["numbers", "labels", "probabilities"])
def test_equals_scikit_learn(form: str) -> None:
    """All metrics of 2,000 ratings, written in each of the ways."""
    truths, answers = oracle.ordinal_pairs(seed=0)
    rows = np.random.default_rng(1).random((len(truths), 5)) * 0.2
    rows[np.arange(len(truths)), answers] += 1
    rows /= rows.sum(axis=1, keepdims=True)
    wanted = oracle.ordinal(truths, answers, () if form == "numbers" else NAMES)
    if form == "numbers":
        pairs = [(Row(y), Row(p + 0.25)) for y, p in zip(truths.tolist(), answers.tolist(), strict=True)]
    elif form == "labels":
        pairs = [(Row(NAMES[y]), Row(NAMES[p])) for y, p in zip(truths, answers, strict=True)]
    else:
        pairs = [(Row(y), Row(p, NAMES)) for y, p in zip(truths.tolist(), rows.tolist(), strict=True)]
        below = np.cumsum(rows, axis=1)[:, :-1]
        happened = truths[:, None] <= np.arange(4)
        wanted["ranked_probability_score"] = ((below - happened) ** 2).mean()
    oracle.assert_equal(metrics_of(Ordinal(classes=NAMES if form == "labels" else ()), pairs), wanted)


def test_levels() -> None:
    """Numbers are their own levels, also below 0; text needs an order."""
    fields = Ordinal().score(Row("-2"), Row([[1.4]]))
    assert (fields["truth"], fields["prediction"], fields["off_by"]) == (-2, 1, 3)
    assert (fields["truth_label"], fields["predicted_label"]) == ("CLASS_-2", "CLASS_1")
    named = Ordinal(classes=NAMES).score(Row(0), Row(3.6))
    assert (named["truth_label"], named["predicted_label"], named["off_by"]) == ("bad", "best", 4)
    one_hot = Ordinal().score(Row([0, 1, 0]), Row([0, 0, 1]))
    assert one_hot["off_by"] == 1
    assert "ranked_probability_score" not in one_hot
    assert "quadratic_weighted_kappa" not in metrics_of(Ordinal(), [(Row(1), Row(1))])


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        ("good", 2, "not a number"),
        (None, 2, "not a number"),
        (2, float("nan"), "finite"),
        ([], 1, "truth is empty"),
        (2, [0.1, None], "column 1"),
        (1e9, 1, "beyond"),
    ],
)
def test_unscorable(truth: object, prediction: object, text: str) -> None:
    """What can't be scored says why."""
    with pytest.raises(UnscorableError, match=text):
        Ordinal().score(Row(truth), Row(prediction))


def test_label_outside_the_order() -> None:
    """A level that is none of the classes is no level; options are checked."""
    for truth in ("awful", 7, None):
        with pytest.raises(UnscorableError):
            Ordinal(classes=NAMES).score(Row(truth), Row("good"))
    for options in ({"classes": ("a",)}, {"logits": "x"}):
        with pytest.raises(ValueError, match="option"):
            Ordinal(**options)
