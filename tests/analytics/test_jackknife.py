"""Intervals from the spread between folds, against a jackknife of the documents themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from request_logger.analytics.estimates import Estimate, estimates, needs_folds, statistics_of, with_folds
from request_logger.analytics.intervals import Interval, NoInterval
from request_logger.analytics.jackknife import Folds, design_effect, jackknife_interval, merged, without_each
from request_logger.analytics.label_averages import COOCCURRENCES
from request_logger.analytics.means import mean_interval, unseen
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.analytics.shares import Dependence, share_interval
from request_logger.scoring.registry import build
from tests.analytics.sums import answers_of
from tests.analytics.test_estimate_methods import case

K = 20
N = 400
FOLD = np.random.default_rng(2).integers(0, K, N)
UNBOUNDED = (-math.inf, math.inf)


def jackknife(of: Callable[[Any], float], to: Callable[[Any], Any] = lambda v: v) -> tuple[float, float]:
    """The value of all documents, and Student's half width on a scale, both from the documents themselves."""
    values = to(np.array([of(k != FOLD) for k in range(K)]))
    error = math.sqrt((K - 1) / K * ((values - values.mean()) ** 2).sum())
    return float(to(of(np.ones(N, dtype=bool)))), float(stats.t.ppf(0.975, K - 1)) * error


def folds_of(scorer: Any, truths: Any, said: Any, *, together: bool = False) -> Folds:
    parts = [answers_of(scorer, truths[k == FOLD], said[k == FOLD]) for k in range(K)]
    sizes = tuple(int((k == FOLD).sum()) for k in range(K))
    return Folds(without_each(parts), sizes, are_together=together)


def by_name(scorer: Any, truths: Any, said: Any, *, together: bool = False) -> dict[str, Estimate]:
    answers = answers_of(scorer, truths, said)
    found = estimates(scorer.metrics, answers, draws=100)
    folds = folds_of(scorer, truths, said, together=together)
    return {each.name: each for each in with_folds(found, scorer.metrics, answers, folds, draws=100)}


def limits(found: Estimate) -> tuple[float, float]:
    assert found.interval is not None, found.why
    return found.interval.low, found.interval.high


def test_r2() -> None:
    """It is 1 minus a quotient: symmetric on the scale of its logarithm, but for large errors that didn't occur."""
    generator = np.random.default_rng(4)
    truths = generator.normal(50, 10, N)
    said = truths + generator.normal(1, 3, N)
    found = by_name(build("regression", {}), truths, said)["r2"]
    whole, half = jackknife(lambda chosen: sk.r2_score(truths[chosen], said[chosen]), lambda value: np.log(1 - value))
    squares = (said - truths) ** 2
    sums = MomentSums(N, *map(float, (squares.sum(), (squares * squares).sum(), squares.min(), squares.max())))
    more_below, more_above = unseen(sums)
    assert more_above > more_below > 0
    ends = whole + half * (1 + more_above), whole - half * (1 + more_below)
    assert limits(found) == pytest.approx([1 - math.exp(each) for each in ends], rel=1e-9)


def test_r2_of_heavy_tails() -> None:
    """As for the MSE, there is none: the folds have seen no more of the tail than the documents."""
    truths = np.random.default_rng(4).normal(50, 10, N)
    said = truths + np.random.default_rng(5).standard_t(2, N)
    found = by_name(build("regression", {}), truths, said)
    assert found["r2"].why is found["mse"].why is NoInterval.LARGE_VALUES
    (alone,) = (metric for metric in build("regression", {}).metrics if metric.name == "r2")
    assert Moments("squared_error") in statistics_of([alone])


def test_quadratic_kappa() -> None:
    generator = np.random.default_rng(5)
    truths = generator.integers(0, 5, N)
    said = np.clip(truths + generator.integers(-1, 2, N), 0, 4)
    found = by_name(build("ordinal", {}), truths, said)["quadratic_weighted_kappa"]
    whole, half = jackknife(
        lambda chosen: sk.cohen_kappa_score(truths[chosen], said[chosen], weights="quadratic"),
        lambda value: np.log(1 - value),
    )
    assert limits(found) == pytest.approx((1 - math.exp(whole + half), 1 - math.exp(whole - half)), rel=1e-9)


@pytest.mark.parametrize("name", ["binary", "multiclass", "multilabel", "ranking", "regression"])
def test_sums_without_each_fold(name: str) -> None:
    """Those of all documents but the fold's."""
    scorer, truths, said = case(name)
    fold = np.arange(len(truths)) % 3
    parts = [answers_of(scorer, truths[fold == k], said[fold == k], COOCCURRENCES) for k in range(3)]
    for k, found in enumerate(without_each(parts)):
        expected = answers_of(scorer, truths[fold != k], said[fold != k], COOCCURRENCES)
        assert set(found) == set(expected)
        for statistic in found:
            assert _plain(found[statistic]) == _plain(expected[statistic]), statistic
    assert without_each(parts[:1]) == ()
    nothing = answers_of(scorer, truths[:0], said[:0], COOCCURRENCES)
    for some in (merged(nothing, parts[0]), merged(parts[0], nothing)):
        assert all(_plain(some[each]) == _plain(parts[0][each]) for each in statistics_of(scorer.metrics))


def _plain(value: Any) -> Any:
    """A value whose numbers are compared as floating-point numbers."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (int, float)):
        return pytest.approx(value, rel=1e-12, abs=1e-12)
    return {name: _plain(getattr(value, name)) for name in value.__slots__}


def test_independent_documents_keep_their_method() -> None:
    """Only what has no other method is from the folds."""
    scorer, truths, said = case("binary")
    answers = answers_of(scorer, truths, said)
    found = estimates(scorer.metrics, answers)
    assert with_folds(found, scorer.metrics, answers, Folds((), ())) == found
    assert not needs_folds(found)


def test_documents_that_hang_together() -> None:
    """Each document twenty times: the interval is about that of one copy, and the design effect about 20."""
    generator = np.random.default_rng(9)
    truths = np.repeat(generator.integers(0, 2, N), 20)
    said = np.where(np.repeat(generator.random(N) < 0.8, 20), truths, 1 - truths)
    scorer = build("binary", {})
    parts = [answers_of(scorer, *(each[np.repeat(FOLD, 20) == k] for each in (truths, said))) for k in range(K)]
    sizes = tuple(int((k == FOLD).sum()) * 20 for k in range(K))
    answers = answers_of(scorer, truths, said)
    folds = Folds(without_each(parts), sizes, are_together=True)
    found = {each.name: each for each in with_folds(estimates(scorer.metrics, answers), scorer.metrics, answers, folds)}
    alone = {each.name: each for each in estimates(scorer.metrics, answers_of(scorer, truths[::20], said[::20]))}
    for name in ("accuracy", "recall", "f1", "f1_macro", "balanced_accuracy", "mcc", "f1_weighted"):
        own = found[name].together
        assert own is not None and own.freedom == K - 1
        assert 8 < own.effect < 45, name
        width, once = (end[1] - end[0] for end in (limits(found[name]), limits(alone[name])))
        assert 0.6 < width / once < 1.7, name
    part = estimates(scorer.metrics, parts[0], together={"accuracy": Dependence(20.0, K - 1)})
    accuracy = next(each for each in part if each.name == "accuracy")
    hits = int((truths == said)[np.repeat(FOLD, 20) == 0].sum())
    assert accuracy.interval == share_interval(hits, sizes[0], Dependence(20.0, K - 1))


def test_nothing_known() -> None:
    """Each fold counts as one document, and without folds there is one."""
    assert Folds((), (30, 50, 40), missing=0).cautious == Dependence(40.0, 2)
    assert Folds((), (), missing=40).cautious == Dependence(40.0, 1)
    scorer, truths, said = case("binary")
    reasons = {"accuracy": NoInterval.FEW_FOLDS}
    found = estimates(scorer.metrics, answers_of(scorer, truths, said), together=reasons)
    accuracy = next(each for each in found if each.name == "accuracy")
    assert (accuracy.interval, accuracy.why, accuracy.together) == (None, NoInterval.FEW_FOLDS, None)


def test_design_effect() -> None:
    """The jackknife's variance by that of independent documents; at least 1."""
    folds = Folds(tuple({} for _ in range(K)), (50,) * K)
    values = np.random.default_rng(1).normal(0.7, 0.01, K)
    variance = (K - 1) ** 2 / K * values.var(ddof=1)
    for error, least, expected in (
        (0.02, None, variance / 0.0004),
        (0.02, 1000.0, variance / 0.0004),
        (1.0, 1000.0, 1.0),
        (1.0, 4.0, 50.0),
        (0.0, 1000.0, 50.0),
        (None, None, 50.0),
    ):
        found = design_effect(values.tolist(), Interval(0.6, 0.8, "", error, least), folds)
        assert found == pytest.approx(expected, rel=1e-9)
    assert design_effect([*values.tolist()[1:], None], Interval(0.6, 0.8, "", 0.02), folds) == 50.0


@pytest.mark.parametrize(
    ("values", "folds", "why"),
    [
        ([0.5 + k / 100 for k in range(K)], Folds((), (5,) * K, missing=3), NoInterval.WITHOUT_FOLD),
        ([0.5 + k / 100 for k in range(9)], Folds((), (5,) * 9), NoInterval.FEW_FOLDS),
        ([0.5 + k / 100 for k in range(K)], Folds((), (5,) * (K - 1) + (4,)), NoInterval.FEW_PER_FOLD),
        ([0.5] * K, Folds((), (5,) * K), NoInterval.ALL_EQUAL),
        ([0.5] * (K - 1) + [0.9], Folds((), (5,) * K), NoInterval.LARGE_VALUES),
        ([0.5] * (K - 1) + [None], Folds((), (5,) * K), NoInterval.FEW_FOLDS),
    ],
)
def test_no_interval(values: list[float | None], folds: Folds, why: NoInterval) -> None:
    assert jackknife_interval(0.5, values, folds, (0.0, 1.0)) is why


@pytest.mark.parametrize("bounds", [UNBOUNDED, (0.0, math.inf), (0.0, 1.0), (-math.inf, 1.0), (-1.0, 1.0), (0.0, 0.55)])
def test_scales(bounds: tuple[float, float]) -> None:
    """The interval is within the bounds, and about as wide on each scale."""
    values = (0.5 + np.random.default_rng(3).normal(0, 0.0005, K)).tolist()
    found = jackknife_interval(0.5, values, Folds((), (5,) * K), bounds)
    assert isinstance(found, Interval)
    assert bounds[0] <= found.low < 0.5 < found.high <= bounds[1]
    half = stats.t.ppf(0.975, K - 1) * (K - 1) / math.sqrt(K) * np.std(values, ddof=1)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.02)


def test_a_value_at_a_bound() -> None:
    """Its logarithm is infinite: the plain scale."""
    values = [1.0, 0.99] * 10
    assert isinstance(jackknife_interval(1.0, values, Folds((), (5,) * K), (0.0, 1.0)), Interval)


def test_a_mean_is_as_the_documents_tell() -> None:
    """Of independent documents, the jackknife and Student's t agree, but for the degrees of freedom."""
    generator = np.random.default_rng(12)
    truths = generator.normal(50, 10, N)
    said = truths + generator.normal(1, 3, N)
    found = by_name(build("regression", {}), truths, said, together=True)
    spread = answers_of(build("regression", {}), truths, said)[Moments("error")]
    own = found["mean_error"].together
    assert own is not None and 1.0 <= own.effect < 3.0
    assert found["mean_error"].interval == mean_interval(spread, UNBOUNDED, own)
