"""Differences of two groups from sums alone, against what scipy and bootstraps of the pairs themselves say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from request_logger.analytics.differences import difference, variance_of
from request_logger.analytics.intervals import Difference
from request_logger.analytics.label_averages import COOCCURRENCES
from request_logger.scoring.registry import build
from scorers.base import Metric
from tests.analytics.sums import answers_of

N = (500, 700)
DRAWS = 2000
LIMITS = (0.025, 0.975)


def metric_of(scorer: Any, name: str) -> Metric:
    found: Metric = next(each for each in scorer.metrics if each.name == name)
    return found


def resampled(of: Any, truths: Any, said: Any, generator: np.random.Generator) -> Any:
    """A metric of documents that are drawn from the pairs with replacement, many times.

    ``of`` computes it for all draws at once: its arguments have one more axis, the first.
    """
    draws = generator.integers(0, len(truths), (DRAWS, len(truths)))
    return of(truths[draws], said[draws])


def rmses(truths: Any, said: Any) -> Any:
    return np.sqrt(((said - truths) ** 2).mean(axis=1))


def f1s(truths: Any, said: Any) -> Any:
    """F1 of each draw, and of each label where there is a third axis."""
    return 2 * (truths & said).sum(axis=1) / (truths.sum(axis=1) + said.sum(axis=1))


def macro_f1s(truths: Any, said: Any) -> Any:
    return (f1s(truths, said) + f1s(1 - truths, 1 - said)) / 2


def limits(found: Difference | None) -> tuple[float, float]:
    assert found is not None
    return found.interval.low, found.interval.high


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_rmse(noise: float) -> None:
    """Welch's test of the roots, each with the variance of the delta method, to 1e-9; near a bootstrap of the pairs."""
    generator = np.random.default_rng(11)
    scorer, groups = build("regression", {}), []
    for n, spread in zip(N, (2.8, noise), strict=True):
        truths = generator.normal(10, 3, n)
        groups.append((truths, truths + generator.normal(0.2, spread, n)))
    rmse = metric_of(scorer, "rmse")
    sums = [answers_of(scorer, *group) for group in groups]
    found = difference(rmse, *sums)
    squares = [(said - truths) ** 2 for truths, said in groups]
    roots = [np.sqrt(each.mean()) for each in squares]
    deviations = [each.std(ddof=1) / (2 * root) for each, root in zip(squares, roots, strict=True)]
    expected = stats.ttest_ind_from_stats(roots[1], deviations[1], N[1], roots[0], deviations[0], N[0], equal_var=False)
    assert found is not None
    assert found.value == pytest.approx(roots[1] - roots[0], rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    errors = [each / np.sqrt(n) for each, n in zip(deviations, N, strict=True)]
    freedom = np.hypot(*errors) ** 4 / sum(e**4 / (n - 1) for e, n in zip(errors, N, strict=True))
    half = stats.t.ppf(0.975, freedom) * np.hypot(*errors)
    assert limits(found) == pytest.approx((found.value - half, found.value + half), rel=1e-9)
    drawn = [resampled(rmses, *group, generator) for group in groups]
    wanted = np.quantile(drawn[1] - drawn[0], LIMITS)
    assert limits(found) == pytest.approx(wanted.tolist(), abs=0.15 * half)
    assert variance_of(rmse, *sums) == pytest.approx(sum(each**2 for each in deviations), rel=1e-9)


@pytest.mark.parametrize("better", [0.0, 0.25])
def test_f1(better: float) -> None:
    """Drawing the four counts is drawing the documents: the same interval within a tenth of its width, same p-value."""
    generator = np.random.default_rng(12)
    scorer, groups = build("binary", {}), []
    for n, skill in zip(N, (0.6, 0.6 + better), strict=True):
        truths = (generator.random(n) < 0.3).astype(int)
        groups.append((truths, np.where(generator.random(n) < skill, truths, generator.integers(0, 2, n))))
    for name, average, all_of in (("f1", "binary", f1s), ("f1_macro", "macro", macro_f1s)):
        sums = [answers_of(scorer, *group) for group in groups]
        found = difference(metric_of(scorer, name), *sums)
        assert found == difference(metric_of(scorer, name), *sums)  # the seed is fixed
        assert found is not None
        values = [metrics.f1_score(*group, average=average) for group in groups]
        assert found.value == pytest.approx(values[1] - values[0], abs=1e-9)
        drawn = [resampled(all_of, *group, generator) for group in groups]
        apart = drawn[1] - drawn[0]
        wanted = np.quantile(apart, LIMITS)
        assert limits(found) == pytest.approx(wanted.tolist(), abs=0.1 * (wanted[1] - wanted[0])), name
        chance = 2 * min((apart <= 0).mean(), (apart >= 0).mean())
        assert found.p_value == pytest.approx(chance, abs=0.05), name
        assert (found.p_value < 0.05) == (better > 0)
        assert found.test == "bootstrap"


def test_labels() -> None:
    """Averages over labels: normal, with the variances of the two groups' own intervals."""
    generator = np.random.default_rng(13)
    scorer, groups = build("multilabel", {"indicator": True}), []
    for n, skill in zip(N, (0.6, 0.75), strict=True):
        truths = generator.integers(0, 2, (n, 4))
        # A document is hard or easy for all of its labels.
        knows = generator.random((n, 1)) < skill
        groups.append((truths, np.where(knows, truths, generator.integers(0, 2, (n, 4)))))
    metric = metric_of(scorer, "f1_macro")
    sums = [answers_of(scorer, *group, COOCCURRENCES) for group in groups]
    found = difference(metric, *sums)
    assert found is not None
    values = [metrics.f1_score(*group, average="macro") for group in groups]
    assert found.value == pytest.approx(values[1] - values[0], abs=1e-9)
    drawn = [resampled(lambda t, p: f1s(t, p).mean(axis=1), *group, generator) for group in groups]
    wanted = np.quantile(drawn[1] - drawn[0], LIMITS)
    assert limits(found) == pytest.approx(wanted.tolist(), abs=0.06 * (wanted[1] - wanted[0]))
    z = found.value / drawn_error(drawn)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.5)
    needed = variance_of(metric, *sums)
    assert needed == pytest.approx(sum(n * each.var() for n, each in zip(N, drawn, strict=True)), rel=0.1)


def drawn_error(drawn: list[Any]) -> float:
    return float(np.hypot(*(each.std() for each in drawn)))


@pytest.mark.parametrize("name", ["r2", "ece", "auc_bound"])
def test_what_sums_do_not_tell(name: str) -> None:
    """No difference is better than a wrong one."""
    generator = np.random.default_rng(14)
    if name == "r2":
        scorer = build("regression", {})
        truths = generator.normal(0, 1, 100)
        said: Any = truths + generator.normal(0, 1, 100)
    else:
        scorer = build("binary", {})
        said = generator.random(100)
        truths = (generator.random(100) < said).astype(int)
    sums = answers_of(scorer, truths, said)
    assert difference(metric_of(scorer, name), sums, sums) is None


@pytest.mark.parametrize("name", ["precision", "recall", "specificity", "accuracy"])
def test_shares(name: str) -> None:
    """Pearson's chi-squared of scipy; precision, recall and specificity are shares of the binary scorer's counts."""
    generator = np.random.default_rng(15)
    scorer, groups = build("binary", {}), []
    for n, skill in zip(N, (0.5, 0.6), strict=True):
        truths = (generator.random(n) < 0.4).astype(int)
        groups.append((truths, np.where(generator.random(n) < skill, truths, generator.integers(0, 2, n))))
    metric = metric_of(scorer, name)
    sums = [answers_of(scorer, *group) for group in groups]
    found = difference(metric, *sums)
    inside = {
        "precision": lambda truths, said: said == 1,
        "recall": lambda truths, said: truths == 1,
        "specificity": lambda truths, said: truths == 0,
        "accuracy": lambda truths, said: truths >= 0,
    }[name]
    hits = [(truths == said)[inside(truths, said)] for truths, said in groups]
    table = [[each.sum(), (~each).sum()] for each in hits]
    assert found is not None
    assert (found.test, found.interval.method) == ("chi-squared", "Newcombe")
    assert found.value == pytest.approx(hits[1].mean() - hits[0].mean(), abs=1e-12)
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert variance_of(metric, *sums) == pytest.approx(sum(each.var() for each in hits), rel=1e-9)


def test_means() -> None:
    """Welch's test of scipy, over the values of the documents."""
    generator = np.random.default_rng(16)
    scorer, groups = build("regression", {}), []
    for n, spread in zip(N, (1.0, 1.2), strict=True):
        truths = generator.normal(10, 3, n)
        groups.append((truths, truths + generator.normal(0.2, spread, n)))
    metric = metric_of(scorer, "mae")
    sums = [answers_of(scorer, *group) for group in groups]
    found = difference(metric, *sums)
    errors = [np.abs(said - truths) for truths, said in groups]
    expected = stats.ttest_ind(errors[1], errors[0], equal_var=False)
    interval = expected.confidence_interval()
    assert found is not None
    assert (found.test, found.interval.method) == ("Welch t", "Welch t")
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert limits(found) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert variance_of(metric, *sums) == pytest.approx(sum(each.var(ddof=1) for each in errors), rel=1e-9)


def test_the_least_p_value_of_a_bootstrap() -> None:
    """Where all draws are on one side: 2 / (draws + 1), since a finite number of draws never shows 0."""
    scorer = build("binary", {})
    truths = np.tile([0, 1], 100)
    right, wrong = (
        answers_of(scorer, truths, said) for said in (truths, np.where(np.arange(200) < 20, truths, 1 - truths))
    )
    for name in ("f1", "kappa"):
        up, down = difference(metric_of(scorer, name), wrong, right), difference(metric_of(scorer, name), right, wrong)
        assert up is not None and down is not None
        assert up.p_value == down.p_value == pytest.approx(2 / 1001, rel=1e-12)
        assert up.value == pytest.approx(-down.value) and up.value > 0
        same = difference(metric_of(scorer, name), right, right)
        assert same is not None
        assert same.value == 0.0
        assert same.p_value > 0.9
