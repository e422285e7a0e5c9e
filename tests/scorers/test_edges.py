"""Limits, names and messages of the scorers, at the last value on each side."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scorers.base import Bucket, Row, SumBy, UnscorableError, finite, share_at_most, shown
from scorers.binary import Binary
from scorers.classification import CELLS, MATRIX, confusion_matrix, single_label_metrics
from scorers.labels import class_number, numeric_text
from scorers.ordinal import Ordinal
from scorers.probabilities import auc_metrics, softmax
from scorers.ranking import Ranking
from scorers.reasons import Reason
from scorers.regression import Regression
from scorers.structured import is_structured
from scorers.text import Text, _error_rate
from tests.scorers.aggregate import metrics_of


def refusal(scorer: Any, truth: Row, prediction: Row) -> UnscorableError:
    with pytest.raises(UnscorableError) as caught:
        scorer.score(truth, prediction)
    return caught.value


def test_kappa_of_one_document() -> None:
    """The expected disagreement of one document is its own; without any there is no kappa."""
    assert metrics_of(Ordinal(), [(Row(1), Row(3))])["quadratic_weighted_kappa"] == 0.0
    (kappa,) = (metric for metric in Ordinal.metrics if metric.name == "quadratic_weighted_kappa")
    assert kappa.compute(dict.fromkeys(kappa.needs, 0)) is None


def test_levels_up_to_ten_thousand() -> None:
    """Their squares add up exactly."""
    assert Ordinal().score(Row(-10_000), Row(10_000))["off_by"] == 20_000
    for level in (10_001, -10_001):
        assert "no level is beyond 10000" in str(refusal(Ordinal(), Row(1), Row(level)))


def test_a_column_beyond_the_classes() -> None:
    """The first one is none of them."""
    two = Ordinal(classes=("low", "high"))
    assert two.score(Row([0, 1]), Row("low"))["truth_label"] == "high"
    assert "none of the classes low, high" in str(refusal(two, Row([0, 0, 1]), Row("low")))


def test_a_number_with_the_name_of_its_column() -> None:
    """The name is not that of a class."""
    assert Ordinal().score(Row(2), Row(3, ("stars",)))["prediction"] == 3


def test_options_by_name() -> None:
    with pytest.raises(ValueError, match=r"\blogits\b"):
        Ordinal(logits="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\bnormalize\b"):
        Text(normalize="x")  # type: ignore[arg-type]


def test_names_of_metrics() -> None:
    """Queries and dashboards rely on them."""
    assert [metric.name for metric in Ranking.metrics] == [
        *("ndcg", "map", "mrr", "hit_at_1", "hit_at_3", "hit_at_5", "hit_at_10", "precision_at_k", "recall_at_k"),
    ]
    declared = [(metric.name, metric.bounds, metric.higher_is_better) for metric in single_label_metrics(CELLS)]
    assert declared == [
        ("balanced_accuracy", (0.0, 1.0), True),
        ("mcc", (-1.0, 1.0), True),
        ("kappa", (-1.0, 1.0), True),
        ("baseline_accuracy", (0.0, 1.0), None),
    ]
    matrix = confusion_matrix()
    assert (matrix.name, matrix.needs, matrix.bounds) == ("confusion_matrix", MATRIX, (0.0, math.inf))
    assert share_at_most("hit_at_3", "rank", 3, of="any").compute({"hits": 3, "n": 4}) == 0.75


def test_messages_of_scores_and_gains() -> None:
    """They name the item."""
    assert "the score of b is 'x'" in str(refusal(Ranking(), Row("a"), Row({"a": 1, "b": "x"})))
    assert "the gain 1 is 'x'" in str(refusal(Ranking(), Row([0.5, "x"]), Row([0.5, 0.25])))
    assert "the gain of b is 'x'" in str(refusal(Ranking(), Row({"b": "x"}), Row(["a", "b"])))


def test_items_among_numbers() -> None:
    """One text makes a list one of items, on either side."""
    assert Ranking().score(Row([3, 3]), Row(["a", 1]))["reciprocal_rank"] == 0.0
    assert Ranking().score(Row(["a", 1.0]), Row([1.0, 2.0]))["reciprocal_rank"] == 1.0


def test_a_record_is_no_item() -> None:
    """A record in text form would count as an item that is never found."""
    assert refusal(Ranking(), Row("['a', 'b']"), Row(["a", "b"])).reason is Reason.TRUTH_STRUCTURED


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 59}... (str of 81 characters)"),
        (10**5000, "a huge number"),
    ],
    ids=["whole", "cut", "huge"],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_finite() -> None:
    assert [finite(value) for value in (True, 0, 1e308, math.inf, math.nan, 10**400, "1", None)] == [
        *(True, True, True, False, False, False, False, False),
    ]


def test_numbers_in_text() -> None:
    """A code with leading zeros is a name; the greatest index is a number."""
    figures = {"0": 0, "0.5": 0.5, "-0.5": -0.5, "00": None, "007": None, "1_0": None, "1 ": None, "": None}
    assert {text: numeric_text(text) for text in figures} == figures
    assert class_number(str(2**63)) == 2**63 and class_number(str(2**63 + 1)) is None


@pytest.mark.parametrize(("truth", "why"), [(5, Reason.TRUTH_NO_COLUMN), ("yes", Reason.TRUTH_NEITHER_CLASS)])
def test_a_truth_that_is_neither_of_two_columns(truth: Any, why: Reason) -> None:
    """A number may be a column, of which there is none."""
    assert refusal(Binary(), Row(truth), Row([0.2, 0.8])).reason is why


@pytest.mark.parametrize(("positive", "predicted"), [(None, "no"), ("yes", "no"), ("no", "yes")])
def test_the_other_class(positive: str | None, predicted: str) -> None:
    """A probability below one half speaks for the class that is not the positive one."""
    scorer = Binary(classes=("no", "yes"), positive_label=positive)
    fields = scorer.score(Row("yes"), Row(0.2))
    assert fields["predicted_label"] == predicted


def test_logits_of_any_size() -> None:
    """The exponential function of none of them overflows."""
    assert list(softmax([1000.0, 0.0, -1000.0])) == [1.0, 0.0, 0.0]
    assert list(softmax([-1000.0, -1000.0])) == [0.5, 0.5]


def test_area_of_a_tie() -> None:
    """Of two in one bin the area is one half, and may be anything."""
    area, bound = auc_metrics()
    assert (area.name, bound.name, bound.bounds) == ("auc", "auc_bound", (0.0, 0.5))
    assert area.needs == bound.needs == {"bins": SumBy(("truth_positive",), "score_bin")}
    tie = {"bins": {7: Bucket(2, {"truth_positive": 1.0})}}
    assert (area.compute(tie), bound.compute(tie)) == (0.5, 0.5)
    apart = {"bins": {7: Bucket(1, {"truth_positive": 0.0}), 8: Bucket(1, {"truth_positive": 1.0})}}
    assert (area.compute(apart), bound.compute(apart)) == (1.0, 0.0)


def test_reasons_of_gains() -> None:
    """They are the truth's, as scores are the prediction's."""
    assert refusal(Ranking(), Row({"b": "x"}), Row(["a", "b"])).reason is Reason.TRUTH_NOT_NUMBER
    assert refusal(Ranking(), Row("a"), Row({"a": "x"})).reason is Reason.PREDICTION_NOT_NUMBER


def test_no_documents_have_no_r2() -> None:
    (r2,) = (metric for metric in Regression.metrics if metric.name == "r2")
    assert r2.compute(dict.fromkeys(r2.needs, 0)) is None


@pytest.mark.parametrize(
    ("text", "structured"),
    [("[1, 2]", True), ("{'a': 1}", True), ("0.5:1:[a]", True), ("[1", False), ("1]", False), ("{a}", False)],
)
def test_structured_texts(text: str, structured: bool) -> None:
    assert is_structured(text) is structured


def test_error_rates() -> None:
    """Errors per word of the truth: more than one is possible, fewer are better."""
    for metric in (_error_rate("rate", "wrong", "words"), *Text.metrics[-2:]):
        assert set(metric.needs) == {"errors", "length", "n"}
        assert (metric.higher_is_better, metric.bounds) == (False, (0.0, math.inf))
        assert metric.compute({"errors": 3, "length": 2, "n": 1}) == 1.5


@pytest.mark.parametrize(
    ("truth", "prediction", "correct"),
    [
        (["the cat sat on a mat", "dogs never bark in the night"], "The cat sat on a mat.", 1),
        ("it is 5' long or so", "it is 5 long or so", 0),
        ("it is 'quite' long or so", "it is quite long or so", 1),
    ],
)
def test_sentences(truth: Any, prediction: str, correct: int) -> None:
    """Any of the correct texts; a mark beside a digit may be a unit."""
    assert Text().score(Row(truth), Row(prediction))["correct"] == correct
