"""Binary: what the sums give is what scikit-learn computes, and each shape of truth and prediction is understood."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from scorers.base import Row, UnscorableError
from scorers.binary import Binary
from scorers.probabilities import score_bin
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of


@pytest.mark.parametrize("base_rate", [0.5, 0.1, 0.005])
@pytest.mark.parametrize("columns", [1, 2])
def test_equals_scikit_learn(base_rate: float, columns: int) -> None:
    """All metrics of 2,000 pairs, from scalars and from pairs of columns."""
    truths, scores = oracle.binary_pairs(base_rate, seed=columns)
    rows = [
        (Row(int(y)), Row(float(p)) if columns == 1 else Row([1 - float(p), float(p)], ("no", "yes")))
        for y, p in zip(truths, scores, strict=True)
    ]
    names = ("CLASS_0", "CLASS_1") if columns == 1 else ("no", "yes")
    oracle.assert_equal(metrics_of(Binary(), rows), oracle.binary(truths, scores, names))


def test_rare_events_keep_their_auc() -> None:
    """Scores near 0 fall into many bins on the logit scale, where equal widths would put them into one."""
    rng = np.random.default_rng(7)
    truths = (rng.random(20_000) < 0.002).astype(int)
    scores = 1 / (1 + np.exp(-(rng.normal(-7, 1.0, 20_000) + 1.2 * truths)))
    found = metrics_of(Binary(), [(Row(int(y)), Row(float(p))) for y, p in zip(truths, scores, strict=True)])
    area = sk.roc_auc_score(truths, scores)
    assert abs(found["auc"] - area) <= found["auc_bound"] < 0.05
    assert abs(found["auc"] - area) < 0.005


@pytest.mark.parametrize(
    ("truth", "prediction", "cell", "positive"),
    [
        (1, 1, "true_positive", "CLASS_1"),
        (0, 0, "true_negative", "CLASS_1"),
        (0, 1, "false_positive", "CLASS_1"),
        (1, 0, "false_negative", "CLASS_1"),
        (True, False, "false_negative", "CLASS_1"),
        ("1", "1", "true_positive", "CLASS_1"),
        (1.0, 0.0, "false_negative", "CLASS_1"),
        ([[1]], [1], "true_positive", "CLASS_1"),
        (1, 0.99, "true_positive", "CLASS_1"),
        (1, "0.99", "true_positive", "CLASS_1"),
        (1, 0.5, "true_positive", "CLASS_1"),
        (0, 0.49, "true_negative", "CLASS_1"),
        ([0, 1], [0.2, 0.8], "true_positive", "CLASS_1"),
        ([[0, 1]], [[0.2, 0.8]], "true_positive", "CLASS_1"),
        (1, [1, 0], "false_negative", "CLASS_1"),
        (1, [-3.0, 2.0], "true_positive", "CLASS_1"),
        ([True, False], [False, True], "false_positive", "CLASS_1"),
        (1, {"no": 0.1, "yes": 0.9}, "true_positive", "yes"),
    ],
)
def test_cells(truth: object, prediction: object, cell: str, positive: str) -> None:
    """The cell of a pair holds the positive class, and no other cell is there."""
    fields = Binary().score(Row(truth), Row(prediction))
    cells = {"true_positive", "true_negative", "false_positive", "false_negative"} & set(fields)
    assert cells == {cell}
    assert fields[cell] == [positive]
    assert fields["correct"] == int(cell.startswith("true"))


@pytest.mark.parametrize("truth", ["no", "yes"])
@pytest.mark.parametrize("answer", ["no", "yes"])
@pytest.mark.parametrize("positive_label", [None, "yes", "no"])
def test_labels_of_named_columns(truth: str, answer: str, positive_label: str | None) -> None:
    """Truth and answer have the names of their columns, whichever of them is the positive class."""
    row = Row([0.9, 0.1] if answer == "no" else [0.1, 0.9], ("no", "yes"))
    fields = Binary(positive_label=positive_label).score(Row(truth), row)
    assert (fields["truth_label"], fields["predicted_label"], fields["correct"]) == (truth, answer, truth == answer)
    assert fields["probability"] == 0.9
    assert fields["truth_probability"] == (0.9 if truth == answer else 0.1)


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.0, 0), (1e-9, 0), (0.5, 50), (0.51, 50), (0.49, 49), (1 - 1e-9, 99), (1.0, 99)]
)
def test_score_bins(probability: float, expected: int) -> None:
    """A hundred, the ends taking what is beyond."""
    assert score_bin(probability) == expected


def test_labels_without_names() -> None:
    """The classes are those of the indexes, also where one of them occurs in no truth."""
    fields = Binary().score(Row(0), Row(0.2))
    assert (fields["truth_label"], fields["predicted_label"]) == ("CLASS_0", "CLASS_0")
    fields = Binary().score(Row(1), Row(0.2))
    assert (fields["truth_label"], fields["predicted_label"]) == ("CLASS_1", "CLASS_0")
    turned = Binary(positive_label=0).score(Row(0), Row(0.2))
    assert (turned["truth_label"], turned["predicted_label"]) == ("CLASS_0", "CLASS_1")


@pytest.mark.parametrize(
    ("truth", "prediction", "names", "text"),
    [
        (0.5, 1, (), "neither of two"),
        (None, 1, (), "null"),
        (1, None, (), "null"),
        (float("nan"), 1, (), "not a class"),
        (1, float("nan"), (), "finite"),
        (1, [0.1, float("inf")], (), "column 1"),
        (1, [0.1, 0.2, 0.7], (), "multiclass"),
        (1, [], (), "0 columns"),
        ([], 1, (), "empty"),
        (1, 1.5, (), "logits"),
        ("ham", "spam", (), "positive_label"),
        (2, 2, (), "positive_label"),
        (0, 2, (), "positive_label"),
        ("maybe", [0.1, 0.9], ("no", "yes"), "neither 'no' nor 'yes'"),
        (2, [0.1, 0.9], (), "neither"),
        ([1, 1], [0.1, 0.9], (), "several"),
        ([0, 0], [0.1, 0.9], (), "several"),
        (1, ["a", "b"], (), "column 0"),
        (1, {"label": "x"}, (), "columns"),
        ({"a": {}}, 1, (), "column 0 of the truth"),
        (10**400, 1, (), "not a class"),
        (1, 10**400, (), "not a number"),
    ],
)
def test_unscorable(truth: object, prediction: object, names: tuple[str, ...], text: str) -> None:
    """What can't be scored says why."""
    with pytest.raises(UnscorableError, match=text):
        Binary().score(Row(truth), Row(prediction, names))


def test_answers_have_no_probability() -> None:
    """Exactly 0 and 1 are answers unless the option says that they are probabilities; so are integer pairs."""
    assert "log_loss" not in Binary().score(Row(1), Row(1.0))
    assert "log_loss" not in Binary().score(Row(1), Row([0, 1]))
    assert Binary().score(Row(1), Row([0.0, 1.0]))["log_loss"] == pytest.approx(0.0, abs=1e-15)
    wrong = Binary(probabilities=True).score(Row(0), Row(1))
    assert wrong["log_loss"] == pytest.approx(sk.log_loss([0], [1.0], labels=[0, 1]))
    assert (wrong["score_bin"], wrong["calibration_bin"]) == (99, 14)
    assert "brier" not in Binary(probabilities=False).score(Row(1), Row([0.2, 0.8]))
    assert "brier" not in Binary().score(Row(1), Row([0.2, 0.2]))


def test_options() -> None:
    """Each option does what it says."""
    assert Binary(threshold=0.3).score(Row(1), Row(0.3))["correct"] == 1
    assert Binary(logits=True).score(Row(1), Row(0.2))["positive_probability"] == pytest.approx(
        1 / (1 + math.exp(-0.2))
    )
    assert Binary(logits=True).score(Row(0), Row(-800.0))["positive_probability"] == 0.0
    named = Binary(classes=("ham", "spam")).score(Row("spam"), Row(0.8))
    assert (named["truth_label"], named["true_positive"]) == ("spam", ["spam"])
    turned = Binary(positive_label="no").score(Row("no"), Row([0.9, 0.1], ("no", "yes")))
    assert (turned["true_positive"], turned["positive_probability"]) == (["no"], 0.9)
    rest = Binary(positive_label="spam").score(Row("ham"), Row("eggs"))
    assert (rest["correct"], rest["true_negative"], rest["truth_label"]) == (1, ["spam"], "not spam")
    assert Binary(positive_label=0).score(Row(0), Row(0))["true_positive"] == ["CLASS_0"]
    assert Binary(positive_label="spam").score(Row("ham"), Row(0.2))["predicted_label"] == "not spam"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "a"}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"classes": ("a",)}, "classes"),
        ({"classes": ("a", "b", "c")}, "classes"),
        ({"classes": ("a", "a")}, "classes"),
        ({"classes": 3}, "classes"),
        ({"logits": 1}, "logits"),
        ({"probabilities": "no"}, "probabilities"),
        ({"positive_label": 1.5}, "positive_label"),
        ({"positive_label": "c", "classes": ("a", "b")}, "positive_label"),
    ],
)
def test_wrong_options(options: dict[str, object], text: str) -> None:
    """A wrong option is named."""
    with pytest.raises(ValueError, match=rf"option {text}\b"):
        Binary(**options)  # type: ignore[arg-type]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.just("9" * 400)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(truth=VALUES, prediction=VALUES)
def test_any_pair_is_scored_or_unscorable(truth: object, prediction: object) -> None:
    """No other exception, and nothing that JSON or a mapping would refuse."""
    try:
        fields = Binary().score(Row(truth), Row(prediction))
    except UnscorableError as error:
        assert str(error)
        return
    for value in fields.values():
        assert value is not None
        assert not isinstance(value, float) or math.isfinite(value)
    assert sum(cell in fields for cell in ("true_positive", "true_negative", "false_positive", "false_negative")) == 1
