"""Multilabel: what the sums give is what scikit-learn computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.base import Row, UnscorableError
from scorers.multilabel import Multilabel
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of
from tests.scorers.test_binary import VALUES

L = 6
NAMES = tuple(f"tag {k}" for k in range(L))


@pytest.mark.parametrize("form", ["rows", "named", "sets", "indexes", "logits"])
def test_equals_scikit_learn(form: str) -> None:
    """All metrics of 2,000 pairs, written in each of the ways."""
    truths, logits = oracle.multilabel_pairs(L, seed=0)
    scores = 1 / (1 + np.exp(-logits))
    answers = (scores >= 0.5).astype(int)
    scorer, names = Multilabel(), NAMES
    if form == "rows":
        names = oracle.class_names(L)
        pairs = [(Row(y), Row(p)) for y, p in zip(truths.tolist(), scores.tolist(), strict=True)]
    elif form == "logits":
        scorer = Multilabel(logits=True)
        pairs = [(Row(y), Row(p, NAMES)) for y, p in zip(truths.tolist(), logits.tolist(), strict=True)]
    elif form == "named":
        pairs = [(Row(_names(y)), Row(p, NAMES)) for y, p in zip(truths, scores.tolist(), strict=True)]
    elif form == "sets":
        scorer = Multilabel(classes=NAMES)
        pairs = [(Row(_names(y)), Row(_names(p))) for y, p in zip(truths, answers, strict=True)]
    else:
        scorer, names = Multilabel(indicator=False), oracle.class_names(L)
        pairs = [(Row(_indexes(y)), Row(_indexes(p))) for y, p in zip(truths, answers, strict=True)]
    if form in ("sets", "indexes"):
        wanted = oracle.multilabel_answers(truths, answers, names)
    else:
        wanted = oracle.multilabel(truths, scores, names)
    if form == "indexes":
        del wanted["hamming_loss"]
    oracle.assert_equal(metrics_of(scorer, pairs), wanted)


def _indexes(row: np.ndarray) -> list[int]:
    return [int(k) for k in np.flatnonzero(row)]


def _names(row: np.ndarray) -> list[str]:
    return [NAMES[k] for k in np.flatnonzero(row)]


@pytest.mark.parametrize(
    ("truth", "prediction", "names", "actual", "predicted"),
    [
        (["a", "b"], ["b", "c"], (), ["a", "b"], ["b", "c"]),
        ("a", ["a"], (), ["a"], ["a"]),
        (["a", "a"], ["a"], (), ["a"], ["a"]),
        ([], ["a"], (), [], ["a"]),
        ([], [], (), [], []),
        ([3, "4"], [4], (), ["CLASS_3", "CLASS_4"], ["CLASS_4"]),
        ([[1, 0, 1]], [[0.9, 0.5, 0.1]], (), ["CLASS_0", "CLASS_2"], ["CLASS_0", "CLASS_1"]),
        ([True, False], [1, 1], (), ["CLASS_0"], ["CLASS_0", "CLASS_1"]),
        ({"x": 1, "y": 0}, {"x": 0.2, "y": 0.8}, (), ["x"], ["y"]),
        (["y"], [0.2, 0.8], ("x", "y"), ["y"], ["y"]),
        ("y", [0.2, 0.8], ("x", "y"), ["y"], ["y"]),
        ([], [0.2, 0.8], ("x", "y"), [], ["y"]),
        ([], [1, 0, 1], (), [], ["CLASS_0", "CLASS_2"]),
        ([1, 3], [0.2, 0.8, 0.1, 0.9], (), ["CLASS_1", "CLASS_3"], ["CLASS_1", "CLASS_3"]),
        (1, [0.2, 0.8, 0.1], (), ["CLASS_1"], ["CLASS_1"]),
        ([1, 0, 1], [], (), ["CLASS_0", "CLASS_1"], []),
        ([0, 1], ["y"], ("x", "y"), ["y"], ["y"]),
        (["z"], [0.2, 0.8], ("x", "y"), ["z"], ["y"]),
    ],
)
def test_sets(
    truth: object, prediction: object, names: tuple[str, ...], actual: list[str], predicted: list[str]
) -> None:
    """Each way to write a set of labels."""
    fields = Multilabel().score(Row(truth), Row(prediction, names))
    assert (fields.get("truth_label", []), fields.get("predicted_label", [])) == (actual, predicted)
    assert fields["correct"] == int(actual == predicted)
    assert fields.get("true_positive", []) == sorted({*actual} & {*predicted})
    assert fields.get("false_negative", []) == sorted({*actual} - {*predicted})
    assert fields.get("false_positive", []) == sorted({*predicted} - {*actual})
    assert ("jaccard" in fields) == bool(actual or predicted)


@pytest.mark.parametrize("row", [[1.3, -0.2], [0.2, 1.5], [-0.1, 0.9]])
def test_scores_that_are_no_probabilities(row: list[float]) -> None:
    """They decide by the threshold, and have no losses."""
    fields = Multilabel(indicator=True).score(Row([1, 0]), Row(row))
    said = [f"CLASS_{k}" for k, value in enumerate(row) if value >= 0.5]
    assert fields["predicted_label"] == said
    assert fields["hamming_loss"] == np.mean([(value >= 0.5) != y for value, y in zip(row, [1, 0], strict=True)])
    assert {"log_loss", "brier"}.isdisjoint(fields)


@pytest.mark.parametrize(
    ("scorer", "truth", "prediction", "text"),
    [
        (Multilabel(), None, ["a"], "truth is null"),
        (Multilabel(), ["a"], None, "prediction is null"),
        (Multilabel(), ["a", None], ["a"], "not a class"),
        (Multilabel(), ["a"], [0.2, 0.8], "option classes"),
        (Multilabel(), [0.4, 1], [0.2, 0.8], "other values"),
        (Multilabel(indicator=True), [1, 0], [1, 0, 0], "2 columns, the prediction 3"),
        (Multilabel(classes=("a", "b", "c")), [1, 0], [0.2, 0.8], "2 columns, but the option classes 3"),
        (Multilabel(), [1, 0], [0.2, float("nan")], "not a class"),
        (Multilabel(), [[1, 0], [0, 1]], [1, 0], "not a class"),
    ],
)
def test_unscorable(scorer: Multilabel, truth: object, prediction: object, text: str) -> None:
    """What can't be scored says why."""
    with pytest.raises(UnscorableError, match=text):
        scorer.score(Row(truth), Row(prediction))


@pytest.mark.parametrize(
    "options", [{"threshold": -1}, {"classes": "ab"}, {"indicator": "x"}, {"logits": None}, {"classes": ("a", "a")}]
)
def test_wrong_options(options: dict[str, object]) -> None:
    """A wrong option is named."""
    with pytest.raises(ValueError, match=rf"option {next(iter(options))}\b"):
        Multilabel(**options)  # type: ignore[arg-type]


@given(truth=VALUES, prediction=VALUES, names=st.lists(st.text(max_size=2), max_size=4).map(tuple))
def test_any_pair_is_scored_or_unscorable(truth: object, prediction: object, names: tuple[str, ...]) -> None:
    """No other exception."""
    try:
        fields = Multilabel().score(Row(truth), Row(prediction, names))
    except UnscorableError as error:
        assert str(error)
        return
    assert 0 <= fields.get("hamming_loss", 0) <= 1
