"""Intervals of means over classes: of one class that class's own, and of several about those of a bootstrap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.class_averages import (
    corrected_interval,
    drawn_interval,
    intervals_by_class,
    macro_interval,
    specificity_interval,
    weighted_interval,
)
from request_logger.analytics.intervals import Interval, NoInterval
from request_logger.analytics.shares import Dependence, f1_interval, share_interval
from request_logger.scoring.registry import build

NAMES = ("balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
METRICS = {metric.name: metric for metric in build("binary", {}).metrics}


def value(name: str, matrix: dict[str, dict[str, int]]) -> float:
    found = METRICS[name].compute({"matrix": matrix})
    assert isinstance(found, float)
    return found


def matrix_of(table: Any) -> dict[str, dict[str, int]]:
    return {
        f"c{k}": {f"c{j}": int(count) for j, count in enumerate(row) if count}
        for k, row in enumerate(table)
        if any(row)
    }


def found(name: str, matrix: dict[str, dict[str, int]]) -> Interval:
    interval = macro_interval(name, value(name, matrix), matrix)
    assert isinstance(interval, Interval)
    assert 0.0 <= interval.low <= value(name, matrix) <= interval.high <= 1.0
    return interval


@pytest.mark.parametrize("name", NAMES)
def test_one_class(name: str) -> None:
    """Its own interval."""
    share = share_interval(40, 40)
    assert share is not None
    low = share.low if name != "f1_macro" else 2 * share.low / (1 + share.low)
    assert (found(name, {"a": {"a": 40}}).low, found(name, {"a": {"a": 40}}).high) == (pytest.approx(low), 1.0)


def test_two_classes() -> None:
    """Recalls are independent: the distances to the limits add up as squares; or those of Agresti and Caffo."""
    matrix = {"a": {"a": 30, "b": 10}, "b": {"a": 5, "b": 45}}
    counts = ((30, 40), (45, 50))
    interval = found("balanced_accuracy", matrix)
    shares = [((hits + 1) / (n + 2), n + 2) for hits, n in counts]
    half = stats.norm.ppf(0.975) * math.sqrt(sum(p * (1 - p) / n for p, n in shares)) / 2
    center = sum(p for p, _ in shares) / 2
    for end, sign in (("low", -1), ("high", 1)):
        distance = np.hypot(*(getattr(share_interval(hits, n), end) - hits / n for hits, n in counts)) / 2
        mover = value("balanced_accuracy", matrix) + sign * distance
        assert getattr(interval, end) == pytest.approx(
            sign * max(sign * mover, sign * (center + sign * half)), rel=1e-9
        )
    assert interval.high == pytest.approx(center + half, rel=1e-9)


def test_many_small_classes() -> None:
    """Eight classes whose documents are right say nothing of two with one miss each: these are allowed for."""
    matrix = {f"c{k}": {f"c{k}": 6} for k in range(8)} | {"x": {"x": 1, "c0": 1}, "y": {"y": 1, "c1": 1}}
    for name, true in (("balanced_accuracy", 0.97), ("recall_macro", 0.97)):
        assert found(name, matrix).high > true
    few = macro_interval("f1_macro", value("f1_macro", matrix), matrix)
    assert few is NoInterval.FEW_PER_CLASS
    enough = {label: {said: 2 * count for said, count in row.items()} for label, row in matrix.items()}
    assert found("f1_macro", enough).high > value("f1_macro", enough)


def test_micro_specificity() -> None:
    """A linear function of the accuracy, and so are its limits; nor that of a metric of a user's own."""
    matrix = {"a": {"a": 30, "b": 10}, "b": {"a": 5, "b": 45}, "c": {"c": 3, "a": 1}}
    accuracy = share_interval(78, 94)
    assert accuracy is not None and accuracy.error is not None
    of = build("multiclass", {}).metrics
    (metric,) = (each for each in of if each.name == "specificity_micro")
    whole = metric.compute({"matrix": matrix})
    assert isinstance(whole, float)
    for k, single in ((3, whole), (2, 75 / 90)):
        known = matrix if k == 3 else {label: matrix[label] for label in "ab"}
        limits = specificity_interval(single, known)
        expected = accuracy if k == 3 else share_interval(75, 90)
        assert limits is not None and expected is not None and expected.error is not None
        # Of the three classes, one is rare: these documents may lack a fourth.
        ends = [1 - (1 - expected.low) / (k - 1), 1 - (1 - expected.high) / (3 if k == 3 else 1)]
        assert [limits.low, limits.high] == pytest.approx(ends, rel=1e-12)
        assert limits.error == pytest.approx(expected.error / (k - 1), rel=1e-12)
    assert specificity_interval(0.9, matrix) is None
    assert specificity_interval(1.0, {"a": {"a": 5}}) is None
    assert specificity_interval(1.0, {}) is None


def test_a_design_effect() -> None:
    """Documents that belong together are as many fewer, with Student's t of the folds."""
    matrix = {"a": {"a": 30, "b": 10}, "b": {"a": 5, "b": 45}}
    twice = {label: {said: 2 * count for said, count in row.items()} for label, row in matrix.items()}
    for name in NAMES:
        one = macro_interval(name, value(name, matrix), matrix, Dependence(1.0, 19))
        two = macro_interval(name, value(name, twice), twice, Dependence(2.0, 19))
        assert isinstance(one, Interval) and isinstance(two, Interval)
        assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=1e-9)
        assert one.high - one.low > found(name, matrix).high - found(name, matrix).low


@pytest.mark.parametrize("name", NAMES)
def test_as_a_bootstrap(name: str) -> None:
    """With many documents of each class, the standard error and the limits are those of drawn matrices."""
    table = np.array([[700, 80, 20], [90, 500, 60], [10, 70, 470]])
    interval = found(name, matrix_of(table))
    generator = np.random.default_rng(8)
    drawn = generator.multinomial(table.sum(), table.ravel() / table.sum(), 4000).reshape(-1, 3, 3)
    values = [value(name, matrix_of(each)) for each in drawn]
    assert interval.error == pytest.approx(np.std(values), rel=0.05)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(values, (0.025, 0.975)).tolist(), abs=0.003)


def test_a_class_that_was_never_predicted() -> None:
    """Its precision counts as 0, and may be anything."""
    matrix = {"a": {"a": 50}, "b": {"a": 4}}
    assert found("precision_macro", matrix).high > 0.9
    assert found("precision_macro", matrix).low > 0.3


def test_not_of_this_name() -> None:
    """Nor a metric of a user's own that has the name and another value; nor without documents."""
    matrix = {"a": {"a": 30, "b": 10}, "b": {"a": 5, "b": 45}}
    assert macro_interval("mcc", 0.6, matrix) is None
    assert macro_interval("f1_macro", 0.1234, matrix) is None
    assert macro_interval("f1_macro", 0.0, {}) is None


def test_weighted() -> None:
    """As the accuracy, on another scale; at least as wide as what is drawn."""
    one, two = {"a": {"a": 80}}, {"a": {"a": 50, "b": 10}, "b": {"a": 10, "b": 30}}
    drawn = np.linspace(0.7, 0.9, 50)
    accuracy, scaled = share_interval(80, 80), weighted_interval(1.0, one, (1.5 * drawn).tolist(), drawn.tolist())
    assert accuracy is not None and isinstance(scaled, Interval)
    assert (scaled.low, scaled.high) == (pytest.approx(1.0 - 1.5 * (1.0 - accuracy.low)), 1.0)
    wide = np.linspace(0.1, 0.9, 50).tolist()
    own, hull = drawn_interval(0.7, (0.0, 1.0), 40, wide), weighted_interval(0.7, two, wide, wide)
    assert isinstance(own, Interval) and isinstance(hull, Interval)
    assert hull.low == own.low < 0.3


@pytest.mark.parametrize(
    ("matrix", "drawn", "why"),
    [
        ({"a": {"a": 80, "b": 20}}, [], NoInterval.MANY_CELLS),
        ({"a": {"a": 96}, "b": {"b": 4}}, [0.5, 0.6], NoInterval.FEW_OTHERS),
        ({"a": {"a": 10}, "b": {"c": 19}}, [0.5, 0.6], NoInterval.FEW_PER_CLASS),
    ],
)
def test_no_interval_of_weighted_means(matrix: Any, drawn: list[float], why: NoInterval) -> None:
    assert weighted_interval(0.7, matrix, drawn, drawn) is why


def test_drawn() -> None:
    """With many documents the percentiles; with few they are expanded, and with too few there is no interval."""
    drawn = np.random.default_rng(6).normal(0.5, 0.1, 20_000).tolist()
    many, few = (drawn_interval(0.5, (-1.0, 1.0), others, drawn) for others in (100_000, 6))
    assert isinstance(many, Interval) and isinstance(few, Interval)
    assert (many.low, many.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)).tolist(), abs=1e-4)
    half = stats.t.ppf(0.975, 5) * np.sqrt(6 / 5) * 0.1
    assert (few.low, few.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.03)
    assert drawn_interval(0.5, (-1.0, 1.0), 4, drawn) is NoInterval.FEW_OTHERS
    assert drawn_interval(0.5, (-1.0, 1.0), 40, drawn, Dependence(10.0, 19)) is NoInterval.FEW_OTHERS
    assert drawn_interval(0.5, (-1.0, 1.0), 40, []) is NoInterval.MANY_CELLS
    assert drawn_interval(0.5, (-1.0, 1.0), 40, [0.5] * 9) is NoInterval.ALL_EQUAL


def test_by_class() -> None:
    row = {"true_positive": 30, "false_positive": 10, "false_negative": 20}
    by_class = intervals_by_class({"a": row, "b": {"true_positive": 0, "false_positive": 0, "false_negative": 3}})
    assert by_class["a"] == {
        "precision": share_interval(30, 40),
        "recall": share_interval(30, 50),
        "f1": f1_interval(30, 30),
    }
    assert set(by_class["b"]) == {"recall", "f1"}


def test_accuracies_corrected_for_chance() -> None:
    """As wide as the accuracy's interval, scaled, where few documents are wrong; else as wide as the draws."""
    drawn = [0.96 + 0.0001 * k for k in range(200)]
    accuracies = [0.98 + 0.00005 * k for k in range(200)]
    accuracy = share_interval(98, 100)
    assert accuracy is not None
    found = corrected_interval(0.97, 98, 100, 50, drawn, accuracies)
    assert isinstance(found, Interval)
    assert found.low == pytest.approx(0.97 - 2 * (0.98 - accuracy.low), rel=1e-9)
    assert found.high == pytest.approx(min(0.97 + 2 * (accuracy.high - 0.98), 1.0), rel=1e-9)
    wide = drawn_interval(0.5, (-1.0, 1.0), 50, [0.01 * k for k in range(100)])
    assert isinstance(wide, Interval)
    spread = corrected_interval(0.5, 50, 100, 50, [0.01 * k for k in range(100)], [0.1 * k for k in range(100)])
    assert isinstance(spread, Interval)
    assert (spread.low, spread.high) == (wide.low, wide.high)
    assert corrected_interval(0.5, 50, 100, 4, drawn, accuracies) is NoInterval.FEW_OTHERS
    assert corrected_interval(0.97, 98, 100, 50, drawn, []) == drawn_interval(0.97, (-1.0, 1.0), 50, drawn)
