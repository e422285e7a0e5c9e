"""Multilabel: what the sums give is what scikit-learn computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from scorers.base import Row, UnscorableError
from scorers.multilabel import Multilabel
from tests.scorers.aggregate import metrics_of
from tests.scorers.test_binary import VALUES

N, L = 2_000, 6
NAMES = tuple(f"tag {k}" for k in range(L))


@pytest.mark.parametrize("form", ["rows", "named", "sets", "indexes", "logits"])
def test_equals_scikit_learn(form: str) -> None:
    """All metrics of 2,000 pairs, written in each of the ways."""
    rng = np.random.default_rng(0)
    truths = (rng.random((N, L)) < [0.5, 0.3, 0.2, 0.1, 0.4, 0.05]).astype(int)
    logits = rng.normal(-1, 1, (N, L)) + 2 * truths
    scores = 1 / (1 + np.exp(-logits))
    answers = (scores >= 0.5).astype(int)
    scorer, names = Multilabel(), NAMES
    if form == "rows":
        names = tuple(f"CLASS_{k}" for k in range(L))
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
        scorer, names = Multilabel(indicator=False), tuple(f"CLASS_{k}" for k in range(L))
        pairs = [(Row(_indexes(y)), Row(_indexes(p))) for y, p in zip(truths, answers, strict=True)]
    found = metrics_of(scorer, pairs)
    filled = (truths | answers).any(axis=1)
    expected = {
        "subset_accuracy": sk.accuracy_score(truths, answers),
        "jaccard": sk.jaccard_score(truths[filled], answers[filled], average="samples", zero_division=0),
        "labels_per_document": truths.sum() / N,
    }
    if form != "indexes":
        expected["hamming_loss"] = sk.hamming_loss(truths, answers)
    if form not in ("indexes", "sets"):
        expected["brier"] = ((scores - truths) ** 2).mean()
        expected["log_loss"] = np.mean([sk.log_loss(truths[:, k], scores[:, k]) for k in range(L)])
    for average in ("macro", "micro", "weighted"):
        for part, function in (
            ("precision", sk.precision_score),
            ("recall", sk.recall_score),
            ("f1", sk.f1_score),
            ("jaccard", sk.jaccard_score),
        ):
            expected[f"{part}_{average}"] = function(truths, answers, average=average, zero_division=0)
    assert {name: found.get(name) for name in expected} == {
        name: pytest.approx(value, abs=1e-9) for name, value in expected.items()
    }
    _, _, f1, support = sk.precision_recall_fscore_support(truths, answers)
    for k, name in enumerate(names):
        assert found["per_class"][name]["f1"] == pytest.approx(f1[k], abs=1e-9)
        assert found["per_class"][name]["support"] == support[k]


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
    with pytest.raises(ValueError, match=f"option {next(iter(options))}"):
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
