"""Regression: what the sums give is what scikit-learn computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from scorers.base import Row, UnscorableError
from scorers.regression import Regression
from tests.scorers import oracle
from tests.scorers.aggregate import metrics_of


def test_equals_scikit_learn() -> None:
    """All metrics of 2,000 pairs."""
    truths, answers = oracle.regression_pairs(seed=0)
    pairs = zip(map(Row, truths.tolist()), map(Row, answers.tolist()), strict=True)
    found = metrics_of(Regression(quantile=0.9), pairs)
    oracle.assert_equal(found, oracle.regression(truths, answers, quantile=0.9))


@pytest.mark.parametrize(("mean", "digits"), [(1e4, 1e-7), (1e7, 1e-9), (1e9, 1e-9)])
def test_offset_keeps_the_digits_of_r2(mean: float, digits: float) -> None:
    """With a truth far from 0, the squares of y cancel; those of y minus the offset do not."""
    rng = np.random.default_rng(1)
    truths = rng.normal(mean, 1, oracle.N)
    answers = truths + rng.normal(0, 0.5, oracle.N)
    pairs = [(Row(y), Row(p)) for y, p in zip(truths.tolist(), answers.tolist(), strict=True)]
    r2 = sk.r2_score(truths, answers)
    assert metrics_of(Regression(offset=mean), pairs)["r2"] == pytest.approx(r2, abs=1e-9)
    plain = metrics_of(Regression(), pairs).get("r2")
    if mean < 1e6:
        assert plain == pytest.approx(r2, abs=digits)
    else:
        assert plain is None or abs(plain - r2) > 1e-6


def test_several_outputs_equal_uniform_average() -> None:
    """Lists of numbers: the means over the outputs, without the fields that only one number has."""
    truths, answers = oracle.regression_pairs(seed=2, outputs=3)
    pairs = zip(map(Row, truths.tolist()), map(Row, answers.tolist()), strict=True)
    oracle.assert_equal(metrics_of(Regression(), pairs), oracle.regression(truths, answers))
    assert "absolute_percentage_error" not in Regression().score(Row([0, 1]), Row([1, 1]))


def test_fields_of_one_pair() -> None:
    """Every field, in numbers that can be checked by hand."""
    assert Regression(offset=1, quantile=0.25).score(Row([["4"]]), Row([2])) == {
        "truth": 4.0,
        "prediction": 2.0,
        "error": -2.0,
        "absolute_error": 2.0,
        "squared_error": 4.0,
        "absolute_percentage_error": 0.5,
        "absolute_truth": 4.0,
        "symmetric_percentage_error": 2 / 3,
        "quantile_loss": 0.5,
        "truth_centered": 3.0,
        "truth_squared": 9.0,
    }
    assert "absolute_percentage_error" not in Regression().score(Row(0), Row(2))
    plain = Regression().score(Row(4), Row(2))
    assert (plain["truth_centered"], plain["truth_squared"]) == (4.0, 16.0)


def test_errors_relative_to_truths_of_zero() -> None:
    """Both are 0: no error; one is 0: the greatest. Without truths other than 0 there is no WMAPE."""
    score = Regression().score
    assert [score(Row(y), Row(p))["symmetric_percentage_error"] for y, p in ((0, 0), (0, -3), (5, 0), (-2, 2))] == [
        0.0, 2.0, 2.0, 2.0,
    ]  # fmt: skip
    assert score(Row(1e153), Row(-1e153))["symmetric_percentage_error"] == 2.0
    assert "wmape" not in metrics_of(Regression(), [(Row(0), Row(1))])
    assert metrics_of(Regression(), [(Row(0), Row(1)), (Row(-4), Row(-3))])["wmape"] == 0.5


def test_wmape_of_documents_that_differ_is_absent() -> None:
    """Documents of a version before it have errors, and no absolute truth."""
    (wmape,) = (metric for metric in Regression.metrics if metric.name == "wmape")
    assert wmape.compute({"errors": 3.0, "error_count": 2, "truths": 4.0, "n": 2}) == 0.75
    assert wmape.compute({"errors": 3.0, "error_count": 2, "truths": 4.0, "n": 1}) is None


def test_r2_of_documents_that_differ_is_absent() -> None:
    """Documents of several outputs have errors, and no truth to measure them by: beside them no R2 is right."""
    single, several = (Row(1), Row(2)), (Row([1, 2]), Row([2, 4]))
    assert "r2" in metrics_of(Regression(), [single, (Row(3), Row(3))])
    assert "r2" not in metrics_of(Regression(), [single, (Row(3), Row(3)), several])
    assert "r2" not in metrics_of(Regression(), [several])


def test_r2_of_a_constant_truth_is_absent() -> None:
    """There is no spread to explain: 0/0, also when rounding leaves a little."""
    for truth in (0.1, 1234567.1, 0.0):
        assert "r2" not in metrics_of(Regression(), [(Row(truth), Row(k / 7)) for k in range(50)])


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        (None, 1, "truth is None"),
        (1, "a", "prediction is 'a'"),
        (float("nan"), 1, "truth is nan"),
        (1, float("inf"), "prediction is inf"),
        ([1, 2], [1, 2, 3], "2 numbers, the prediction 3"),
        ([1, 2], 1, "2 numbers, the prediction 1"),
        ([], [], "0 numbers"),
        ([1, None], [1, 2], "truth of output 1 "),
        ([1, 2], [None, 2], "prediction of output 0 "),
        (1e200, 0, "too large"),
        ([1.7e308, 1.6e308], [1.7e308, 1.6e308], "2 outputs are too large to be added up"),
        (1e200, 1e200, "too large"),
        ({"a": 1}, 1, "not a number"),
    ],
)
def test_unscorable(truth: object, prediction: object, text: str) -> None:
    """What can't be scored says why."""
    with pytest.raises(UnscorableError, match=text):
        Regression().score(Row(truth), Row(prediction))


@pytest.mark.parametrize("options", [{"offset": "a"}, {"offset": float("inf")}, {"quantile": 2}, {"quantile": None}])
def test_wrong_options(options: dict[str, object]) -> None:
    """A wrong option is named."""
    with pytest.raises(ValueError, match=rf"option {next(iter(options))}\b"):
        Regression(**options)  # type: ignore[arg-type]


@given(st.floats(), st.floats(), st.floats(-1e6, 1e6), st.floats(0, 1))
def test_fields_are_finite(truth: float, prediction: float, offset: float, quantile: float) -> None:
    """No pair of doubles gives a field that JSON or a mapping would refuse."""
    try:
        fields = Regression(offset, quantile).score(Row(truth), Row(prediction))
    except UnscorableError:
        return
    assert all(math.isfinite(value) for value in fields.values())
