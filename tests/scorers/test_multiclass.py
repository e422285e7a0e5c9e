"""Multiclass: what the sums give is what scikit-learn computes, and each shape of a pair is understood."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from scorers.base import Row, UnscorableError
from scorers.labels import MAX_LABEL, class_names, label
from scorers.multiclass import Multiclass
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of
from tests.scorers.test_binary import VALUES


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("form", ["probabilities", "logits", "one_hot_truth", "named"])
def test_equals_scikit_learn(classes: int, form: str) -> None:
    """All metrics of 2,000 pairs."""
    truths, logits = oracle.multiclass_pairs(classes, seed=classes)
    probabilities = oracle.softmax(logits)
    shown = logits if form == "logits" else probabilities
    names = tuple(f"name {chr(97 + k)}" for k in range(classes)) if form == "named" else ()
    pairs = []
    for y, row in zip(truths.tolist(), shown.tolist(), strict=True):
        truth: object = [int(k == y) for k in range(classes)] if form == "one_hot_truth" else y
        pairs.append((Row(names[y] if names else truth), Row(row, names)))
    found = metrics_of(Multiclass(logits=True if form == "logits" else None), pairs)
    oracle.assert_equal(found, oracle.multiclass(truths, probabilities, names))


def test_macro_counts_a_class_that_is_never_predicted() -> None:
    """As scikit-learn: 0 in the macro precision; its own precision is not defined and absent."""
    pairs = [(0, 0), (1, 0), (2, 2)]
    found = metrics_of(Multiclass(), [(Row(y), Row(p)) for y, p in pairs])
    truths, answers = zip(*pairs, strict=True)
    macro = sk.precision_score(truths, answers, average="macro", zero_division=0)
    assert found["precision_macro"] == pytest.approx(macro)
    assert "precision" not in found["per_class"]["CLASS_1"]
    assert "log_loss" not in found


def test_no_documents_give_no_metrics() -> None:
    """0/0 is absent everywhere."""
    assert metrics_of(Multiclass(), []) == {"per_class": {}, "confusion_matrix": {}}


@pytest.mark.parametrize(
    ("truth", "prediction", "names", "truth_label", "predicted_label"),
    [
        (4, 8, (), "CLASS_4", "CLASS_8"),
        (1, 1.0, (), "CLASS_1", "CLASS_1"),
        (True, "1", (), "CLASS_1", "CLASS_1"),
        (-0.0, 0, (), "CLASS_0", "CLASS_0"),
        (2.1, 2.3000000000000003, (), "CLASS_2.1", "CLASS_2.3000000000000003"),
        ("cat", "dog", (), "cat", "dog"),
        ("other", "1", (), "other", "CLASS_1"),
        ("0123", "123", (), "0123", "CLASS_123"),
        ("1_0", "inf", (), "1_0", "inf"),
        ("1.2.3", "-x", (), "1.2.3", "-x"),
        ("1e999", ".", (), "1e999", "."),
        ([[7]], 7, (), "CLASS_7", "CLASS_7"),
        ([0, 0, 1], [0.1, 0.2, 0.7], (), "CLASS_2", "CLASS_2"),
        ([0, 0, 1], [0, 0, 0, 1], (), "CLASS_2", "CLASS_3"),
        (2, [0.1, 0.2, 0.7], (), "CLASS_2", "CLASS_2"),
        ("2", [0.1, 0.2, 0.7], (), "CLASS_2", "CLASS_2"),
        (2, [0.1, 0.2, 0.7], ("a", "b", "c"), "c", "c"),
        ("b", [0.1, 0.2, 0.7], ("a", "b", "c"), "b", "c"),
        ("d", [0.1, 0.2, 0.7], ("a", "b", "c"), "d", "c"),
        ("2.0", [0.1, 0.2, 0.7], ("a", "b", "c"), "c", "c"),
        (1, [0.1, 0.2, 0.7], ("1", "2", "3"), "1", "3"),
        (1, [0.1, 0.2, 0.7], ("1.0", "2.0", "2.5"), "1.0", "2.5"),
        ("2", [0.1, 0.2, 0.7], ("1.0", "2.0", "2.5"), "2.0", "2.5"),
        (2.5, [0.1, 0.2, 0.7], ("1.0", "2.0", "2.5"), "2.5", "2.5"),
        (0, [0.1, 0.2, 0.7], ("a", "b"), "CLASS_0", "CLASS_2"),
        (0, [0.1, 0.2, 0.7], ("a", "a", "b"), "CLASS_0", "CLASS_2"),
        ([0, 1], [0.5, 0.5], (), "CLASS_1", "CLASS_0"),
        ([False, True], [0.1, 0.9], (), "CLASS_1", "CLASS_1"),
        ({"a": 0, "b": 1}, [0.1, 0.9], ("b", "a"), "b", "a"),
        ("cat", {"cat": 0.9, "dog": 0.1}, (), "cat", "cat"),
    ],
)
def test_labels(
    truth: object, prediction: object, names: tuple[str, ...], truth_label: str, predicted_label: str
) -> None:
    """One class has one name, however it is written; right is one true positive, wrong one of each other."""
    fields = Multiclass().score(Row(truth), Row(prediction, names))
    assert (fields["truth_label"], fields["predicted_label"]) == (truth_label, predicted_label)
    if truth_label == predicted_label:
        assert (fields["correct"], fields["true_positive"]) == (1, [truth_label])
        assert not {"false_negative", "false_positive", "true_negative"} & set(fields)
    else:
        assert (fields["correct"], fields["false_negative"]) == (0, [truth_label])
        assert fields["false_positive"] == [predicted_label]


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        (None, 1, "truth is null"),
        (1, None, "prediction is null"),
        ([], [0.1, 0.9], "truth is empty"),
        (0, [], "prediction is empty"),
        (float("nan"), float("nan"), "not a class"),
        (0, [0.9, float("nan"), 0.1], "column 1 of the prediction"),
        ([None, 1], [0.1, 0.9], "column 0 of the truth"),
        (0, [[0.1, 0.9], [0.5, 0.5]], "column 0"),
        ([1, 1, 0], [0.1, 0.2, 0.7], "multilabel"),
        ([0, 0, 0], [0.1, 0.2, 0.7], "multilabel"),
        ("cat", [0.1, 0.2, 0.7], "option classes"),
        ("cat", 2, "option classes"),
        (2, "cat", "option classes"),
        (0, [1e308, 1e308], "too large"),
        (0, {"a": {"b": 1}, "c": 2}, "column 0"),
        (0, ["a", "b"], "column 0"),
        (9, [0.1, 0.2, 0.7], "none of the 3 columns"),
        (1, 0.7, "between two classes"),
    ],
)
def test_unscorable(truth: object, prediction: object, text: str) -> None:
    """What can't be scored says why."""
    with pytest.raises(UnscorableError, match=text):
        Multiclass().score(Row(truth), Row(prediction))


def test_how_far_numbers_are_classes() -> None:
    """Up to 2^63, as the engines' integers; a larger number is none, and a text that is one is only text."""
    assert [label(sign * 2**63) for sign in (1, -1)] == ["CLASS_9223372036854775808", "CLASS_-9223372036854775808"]
    assert label("9" * 18) == f"CLASS_{'9' * 18}"
    assert label("9" * 20) == "9" * 20
    for sign in (1, -1):
        with pytest.raises(UnscorableError, match="not a class"):
            label(sign * (2**63 + 1))


def test_how_long_texts_are_classes() -> None:
    """Up to 512 characters; a longer one is cut to as many, and two that begin alike stay different."""
    assert label("x" * MAX_LABEL) == "x" * MAX_LABEL
    one, other = label("x" * MAX_LABEL + "1"), label("x" * MAX_LABEL + "2")
    assert (len(one), len(other)) == (MAX_LABEL, MAX_LABEL)
    assert one != other


def test_whose_names_classes_have() -> None:
    """The option's, else the response's where each column has one of its own; one column is no class of that name."""
    row = Row([0.2, 0.8], ("no", "yes"))
    assert class_names(row, 2, ()) == ("no", "yes")
    assert class_names(row, 2, ("a", "b")) == ("a", "b")
    assert class_names(row, 3, ()) == ()
    assert class_names(Row([0.2, 0.8], ("x", "x")), 2, ()) == ()
    assert class_names(Row([0.8], ("proba",)), 1, ()) == ()


def test_a_class_that_the_model_does_not_have() -> None:
    """It has the probability 0 and no rank, and counts as a miss in top-k and as 0 in MRR."""
    pairs = [(Row("d"), Row([0.1, 0.2, 0.7], ("a", "b", "c"))), (Row("c"), Row([0.1, 0.2, 0.7], ("a", "b", "c")))]
    fields = Multiclass().score(*pairs[0])
    assert fields["reciprocal_rank"] == 0.0
    assert "truth_rank" not in fields
    assert fields["truth_probability"] == 0.0
    found = metrics_of(Multiclass(), pairs)
    assert found["top_1_accuracy"] == found["accuracy"] == found["top_5_accuracy"] == found["mrr"] == 0.5


def test_rows_that_are_no_probabilities() -> None:
    """Answers in whole numbers have neither rank nor probability, other scores have a rank."""
    assert set(Multiclass().score(Row(0), Row([0, 3, 1]))) == {
        "correct", "truth_label", "predicted_label", "false_negative", "false_positive",
    }  # fmt: skip
    scores = Multiclass().score(Row(0), Row([0.5, 0.9, 0.7]))
    assert scores["truth_rank"] == 3
    assert "probability" not in scores
    assert "truth_rank" not in Multiclass(probabilities=False).score(Row(0), Row([0.1, 0.9]))
    assert Multiclass(probabilities=True).score(Row(1), Row([0, 1]))["probability"] == 1
    assert Multiclass(logits=False).score(Row(1), Row([2.5, 1.5])).keys() >= {"truth_rank"}
    assert "probability" not in Multiclass(logits=False).score(Row(1), Row([2.5, 1.5]))


@pytest.mark.parametrize("row", [[-0.5, 0.9, 0.6], [-3.0, -1.0, -2.0], [0.5, 1.5, 0.25], [-1.0, 3.0, 0.5]])
def test_logits_are_seen_by_one_value(row: list[float]) -> None:
    """One below 0 or above 1 is enough, also where the row adds up to 1."""
    fields = Multiclass().score(Row(0), Row(row))
    assert fields["truth_probability"] == pytest.approx(softmax(row)[0], rel=1e-12)


def test_ties_rank_as_the_answer_breaks_them() -> None:
    """The first of equals is the answer, and so has the better rank: top-1 is the accuracy."""
    row = Row([0.25, 0.25, 0.25, 0.25])
    assert [Multiclass().score(Row(k), row)["truth_rank"] for k in range(4)] == [1, 2, 3, 4]
    assert Multiclass().score(Row(1), row)["correct"] == 0


def test_option_classes() -> None:
    """Names given by the option name indexes, columns and labels alike, before the response's own."""
    scorer = Multiclass(classes=("cat", "dog", "cow"))
    assert scorer.score(Row("dog"), Row(1))["true_positive"] == ["dog"]
    assert scorer.score(Row(2), Row([0.1, 0.2, 0.7], ("t:0", "t:1", "t:2")))["true_positive"] == ["cow"]
    for options in ({"classes": "abc"}, {"classes": ("a",)}, {"logits": 0}, {"probabilities": 1}):
        with pytest.raises(ValueError, match=rf"option {next(iter(options))}\b"):
            Multiclass(**options)


def test_long_labels_are_cut_apart() -> None:
    """A text too long for a keyword is cut, and two that differ stay different."""
    fields = Multiclass().score(Row("x" * 9_000 + "a"), Row("x" * 9_000 + "b"))
    assert fields["correct"] == 0
    assert len(fields["truth_label"]) == len(fields["predicted_label"]) == 512
    assert fields["truth_label"] != fields["predicted_label"]


def test_ten_thousand_classes() -> None:
    """A long row is scored in milliseconds, with the same values."""
    rng = np.random.default_rng(3)
    row = rng.dirichlet(np.ones(10_000))
    names = tuple(f"c{k}" for k in range(10_000))
    started = time.perf_counter()
    fields = Multiclass().score(Row("c77"), Row(row.tolist(), names))
    assert time.perf_counter() - started < 0.1
    assert fields["log_loss"] == pytest.approx(-math.log(row[77]))
    assert fields["truth_rank"] == 1 + (row > row[77]).sum()
    assert fields["brier"] == pytest.approx((row**2).sum() - 2 * row[77] + 1)


@given(truth=VALUES, prediction=VALUES, names=st.lists(st.text(max_size=2), max_size=4).map(tuple))
def test_any_pair_is_scored_or_unscorable(truth: object, prediction: object, names: tuple[str, ...]) -> None:
    """No other exception, and nothing that JSON or a mapping would refuse."""
    try:
        fields = Multiclass().score(Row(truth), Row(prediction, names))
    except UnscorableError as error:
        assert str(error)
        return
    assert all(
        value is not None and (not isinstance(value, float) or math.isfinite(value)) for value in fields.values()
    )
    assert fields["correct"] == int(fields["truth_label"] == fields["predicted_label"])
