"""Text: matches, shared words and edits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.base import Row, UnscorableError
from scorers.text import Text, normalize
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of


def test_equals_scikit_learn() -> None:
    """All metrics of 2,000 pairs: those that it has, SQuAD's and the textbook's."""
    truths, answers = oracle.text_pairs(seed=0)
    pairs = list(zip(map(Row, truths), map(Row, answers), strict=True))
    expected = oracle.text(truths, answers)
    oracle.assert_equal(metrics_of(Text(normalize=True), pairs), expected)
    oracle.assert_equal(metrics_of(Text(normalize=False), pairs), {**expected, "accuracy": expected["exact_match"]})


@given(st.text(max_size=80), st.text(max_size=80))
def test_edits_of_any_characters(first: str, second: str) -> None:
    """Characters are code points, of any plane."""
    assert Text().score(Row(first), Row(second))["edit_distance"] == oracle.table_distance(first, second)


@given(
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=80), st.lists(st.sampled_from(["a", "b", "ab"]), max_size=80)
)
def test_edits_are_those_of_the_table(first: list[str], second: list[str]) -> None:
    """The library and the textbook agree on characters and on words, also beyond the 64 of a machine word."""
    truth, prediction = " ".join(first), " ".join(second)
    fields = Text().score(Row(truth), Row(prediction))
    assert fields["edit_distance"] == oracle.table_distance(truth, prediction)
    assert fields["word_errors"] == oracle.table_distance(first, second)


def test_edits_of_long_texts() -> None:
    """The option max_characters allows texts of any length."""
    rng = random.Random(0)
    first = "".join(rng.choices("abcdefgh", k=10_000))
    second = first[:3_000] + first[3_100:] + "x" * 50
    assert Text(max_characters=10_000).score(Row(first), Row(second))["edit_distance"] == 150


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (
            "The cat sat.",
            "cat sat",
            {"correct": 1, "exact_match": 0, "normalized_match": 1, "token_f1": 1.0, "edit_distance": 5,
             "edit_similarity": 1 - 5 / 12, "word_errors": 2, "truth_words": 3, "truth_characters": 12},
        ),
        ("kitten", "sitting", {"edit_distance": 3, "token_f1": 0.0, "correct": 0}),
        ("a b b", "b b c", {"token_f1": 0.8, "word_errors": 2}),
        ("", "", {"correct": 1, "exact_match": 1, "token_f1": 1.0, "edit_similarity": 1.0}),
        ("", "xyz", {"correct": 0, "token_f1": 0.0, "edit_distance": 3, "edit_similarity": 0.0, "truth_words": 0}),
        (["Paris", "City of Paris"], "city of paris", {"correct": 1, "token_f1": 1.0, "edit_distance": 2}),
        (["x"], ["x"], {"correct": 1}),
    ],
)  # fmt: skip
def test_fields(truth: object, prediction: object, expected: dict[str, float]) -> None:
    """Fields that can be checked by hand."""
    fields = Text(normalize=True).score(Row(truth), Row(prediction))
    assert {name: fields[name] for name in expected} == pytest.approx(expected)


def test_normalize() -> None:
    """As SQuAD: lower case, no punctuation, no articles, single spaces; words that hold an article stay."""
    assert normalize("  The theatre, a\nbanana: AN end!") == "theatre banana end"


def test_rates_are_sums_by_sums() -> None:
    """The word error rate is all errors by all words, not the mean of the rates."""
    found = metrics_of(Text(), [(Row("a b c d"), Row("a b c x")), (Row("e"), Row("f"))])
    assert found["word_error_rate"] == pytest.approx(2 / 5)
    assert found["character_error_rate"] == pytest.approx(2 / 8)
    assert found["accuracy"] == 0.0


def test_long_texts_have_no_edits() -> None:
    """Beyond max_characters the matches remain."""
    fields = Text(max_characters=5).score(Row("abcdef"), Row("abcdef"))
    assert fields["exact_match"] == 1
    assert "edit_distance" not in fields
    for options in ({"max_characters": 0}, {"normalize": 1}):
        with pytest.raises(ValueError, match=f"option {next(iter(options))}"):
            Text(**options)


@pytest.mark.parametrize(
    ("truth", "prediction"), [(1, "a"), ("a", None), (["a", 2], "a"), ([], "a"), ("a", ["a", "b"])]
)
def test_unscorable(truth: object, prediction: object) -> None:
    """Only text is text."""
    with pytest.raises(UnscorableError):
        Text().score(Row(truth), Row(prediction))
