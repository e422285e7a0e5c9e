"""Differences of two groups from sums alone, against what scipy and resamples of the pairs themselves say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from request_logger.analytics.contrasts import Contrast, Difference, Form, NoTest, outcome
from request_logger.analytics.differences import contrasts
from request_logger.analytics.estimates import estimates
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


def contrast(metric: Metric, a: Any, b: Any) -> Contrast:
    found = contrasts([metric], a, b)[metric.name]
    assert isinstance(found, Contrast), found
    return found


def at_once(metric: Metric, a: Any, b: Any) -> Difference:
    found = outcome(contrast(metric, a, b), Form.FIXED)
    assert isinstance(found, Difference), found
    return found


def limits(found: Difference) -> tuple[float, float]:
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
    found = at_once(rmse, *sums)
    squares = [(said - truths) ** 2 for truths, said in groups]
    roots = [np.sqrt(each.mean()) for each in squares]
    deviations = [each.std(ddof=1) / (2 * root) for each, root in zip(squares, roots, strict=True)]
    expected = stats.ttest_ind_from_stats(roots[1], deviations[1], N[1], roots[0], deviations[0], N[0], equal_var=False)
    assert found.value == pytest.approx(roots[1] - roots[0], rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    errors = [each / np.sqrt(n) for each, n in zip(deviations, N, strict=True)]
    freedom = np.hypot(*errors) ** 4 / sum(e**4 / (n - 1) for e, n in zip(errors, N, strict=True))
    half = stats.t.ppf(0.975, freedom) * np.hypot(*errors)
    assert limits(found) == pytest.approx((found.value - half, found.value + half), rel=1e-9)
    drawn = [resampled(rmses, *group, generator) for group in groups]
    wanted = np.quantile(drawn[1] - drawn[0], LIMITS)
    assert limits(found) == pytest.approx(wanted.tolist(), abs=0.15 * half)
    assert contrast(rmse, *sums).variances == pytest.approx([each**2 for each in deviations], rel=1e-9)


@pytest.mark.parametrize("better", [0.0, 0.25])
def test_f1(better: float) -> None:
    """Dealing the counts anew is dealing the documents: the p-value of a permutation test of the pairs."""
    generator = np.random.default_rng(12)
    scorer, groups = build("binary", {}), []
    for n, skill in zip(N, (0.6, 0.6 + better), strict=True):
        truths = (generator.random(n) < 0.3).astype(int)
        groups.append((truths, np.where(generator.random(n) < skill, truths, generator.integers(0, 2, n))))
    for name, average, all_of in (("f1", "binary", f1s), ("f1_macro", "macro", macro_f1s)):
        sums = [answers_of(scorer, *group) for group in groups]
        found = at_once(metric_of(scorer, name), *sums)
        assert found == at_once(metric_of(scorer, name), *sums)  # the seed is fixed
        values = [metrics.f1_score(*group, average=average) for group in groups]
        assert found.value == pytest.approx(values[1] - values[0], abs=1e-9)
        wanted = permuted(all_of, groups, found.value)
        assert found.p_value == pytest.approx(wanted, abs=0.03), name
        assert (found.p_value < 0.05) == (better > 0) == (found.interval.low > 0)
        assert found.test == "permutation"
        drawn = [resampled(all_of, *group, generator) for group in groups]
        deviation = (drawn[1] - drawn[0]).std()
        assert contrast(metric_of(scorer, name), *sums).error == pytest.approx(deviation, rel=0.1)


def permuted(of: Any, groups: Any, value: float) -> float:
    """The share of permutations of all pairs whose difference is as large."""
    generator = np.random.default_rng(1)
    truths, said = (np.concatenate(side) for side in zip(*groups, strict=True))
    orders = generator.permuted(np.tile(np.arange(len(truths)), (DRAWS, 1)), axis=1)
    a, b = orders[:, : N[0]], orders[:, N[0] :]
    apart = of(truths[b], said[b]) - of(truths[a], said[a])
    return float((np.abs(apart) >= abs(value) - 1e-12).mean())


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
    found = at_once(metric, *sums)
    values = [metrics.f1_score(*group, average="macro") for group in groups]
    assert found.value == pytest.approx(values[1] - values[0], abs=1e-9)
    drawn = [resampled(lambda t, p: f1s(t, p).mean(axis=1), *group, generator) for group in groups]
    wanted = np.quantile(drawn[1] - drawn[0], LIMITS)
    assert limits(found) == pytest.approx(wanted.tolist(), abs=0.06 * (wanted[1] - wanted[0]))
    z = found.value / drawn_error(drawn)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.5)
    assert contrast(metric, *sums).sizes == N
    needed = contrast(metric, *sums).variances
    assert sum(needed) == pytest.approx(sum(n * each.var() for n, each in zip(N, drawn, strict=True)), rel=0.1)


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
    assert contrasts([metric_of(scorer, name)], sums, sums) == {}


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
    found = at_once(metric, *sums)
    inside = {
        "precision": lambda truths, said: said == 1,
        "recall": lambda truths, said: truths == 1,
        "specificity": lambda truths, said: truths == 0,
        "accuracy": lambda truths, said: truths >= 0,
    }[name]
    hits = [(truths == said)[inside(truths, said)] for truths, said in groups]
    table = [[each.sum(), (~each).sum()] for each in hits]
    assert (found.test, found.interval.method) == ("chi-squared", "score")
    assert found.value == pytest.approx(hits[1].mean() - hits[0].mean(), abs=1e-12)
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert contrast(metric, *sums).variances == pytest.approx([each.var() for each in hits], rel=1e-9)


def test_means() -> None:
    """Welch's test of scipy, over the values of the documents."""
    generator = np.random.default_rng(16)
    scorer, groups = build("regression", {}), []
    for n, spread in zip(N, (1.0, 1.2), strict=True):
        truths = generator.normal(10, 3, n)
        groups.append((truths, truths + generator.normal(0.2, spread, n)))
    metric = metric_of(scorer, "mae")
    sums = [answers_of(scorer, *group) for group in groups]
    found = at_once(metric, *sums)
    errors = [np.abs(said - truths) for truths, said in groups]
    expected = stats.ttest_ind(errors[1], errors[0], equal_var=False)
    interval = expected.confidence_interval()
    assert (found.test, found.interval.method) == ("Welch t", "Welch t")
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert limits(found) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert contrast(metric, *sums).variances == pytest.approx([each.var(ddof=1) for each in errors], rel=1e-9)


def test_the_least_p_value_of_a_permutation() -> None:
    """Where no dealing has as large a difference: 1 / (dealings + 1), since a finite number never shows 0."""
    scorer = build("binary", {})
    truths = np.tile([0, 1], 100)
    right, wrong = (
        answers_of(scorer, truths, said) for said in (truths, np.where(np.arange(200) < 20, truths, 1 - truths))
    )
    for name in ("f1", "kappa"):
        up, down = (at_once(metric_of(scorer, name), *pair) for pair in ((wrong, right), (right, wrong)))
        assert up.p_value == down.p_value == pytest.approx(1 / 1000, rel=1e-12)
        assert up.value == pytest.approx(-down.value) and up.value > 0
        same = contrasts([metric_of(scorer, name)], wrong, wrong)[name]
        assert isinstance(same, Contrast) and same.once is not None
        assert (same.value, same.once.p_value) == (0.0, 1.0)
        # Two perfect models: there is nothing to deal, and no interval of width 0.
        assert isinstance(contrasts([metric_of(scorer, name)], right, right)[name], NoTest)


@given(st.lists(st.integers(0, 40), min_size=8, max_size=8), st.sampled_from(["f1", "f1_macro", "mcc", "kappa"]))
@settings(max_examples=25, deadline=None)
def test_permutations_and_intervals_agree(counts: list[int], name: str) -> None:
    """The p-value is below 0.05 exactly where the interval excludes 0; never a point, never another value."""
    scorer, groups = build("binary", {}), []
    for four in (counts[:4], counts[4:]):
        truths = np.repeat([0, 0, 1, 1], four)
        groups.append((truths, np.repeat([0, 1, 0, 1], four)))
    assume(all(len(truths) for truths, _ in groups))
    found = contrasts([metric_of(scorer, name)], *(answers_of(scorer, *group) for group in groups)).get(name)
    if not isinstance(found, Contrast):
        return
    once = found.once
    assert once is not None
    assert once.interval.low < found.value < once.interval.high
    assert (once.p_value < 0.05) == (once.interval.low > 0 or once.interval.high < 0)
    if name == "f1":
        values = [metrics.f1_score(*group) for group in groups]
        assert found.value == pytest.approx(values[1] - values[0], abs=1e-9)


def test_equal_models_with_different_errors() -> None:
    """Documents of two such models can't be dealt out anew: with far larger variances of their own, these are used."""
    scorer = build("binary", {})
    few = np.repeat([0, 1, 1], (60, 2, 2)), np.repeat([0, 0, 1], (60, 2, 2))
    many = np.repeat([0, 0, 1, 1], (2000, 10, 10, 2000)), np.repeat([0, 1, 0, 1], (2000, 10, 10, 2000))
    sums = [answers_of(scorer, *group) for group in (few, many)]
    found = contrast(metric_of(scorer, "balanced_accuracy"), *sums)
    # Without one of its four positives the recall of the few is 1/3 or 2/3, and the balanced accuracy 1/12 off.
    own = [63 / 64 * 4 / 144, found.variances[1] / found.sizes[1]]
    assert found.variances[0] / found.sizes[0] == pytest.approx(own[0], rel=1e-9)
    assert found.error == pytest.approx(np.sqrt(sum(own)), rel=1e-9)
    assert found.once is not None
    assert (found.once.p_value > 0.05) == (found.once.interval.low < 0)


@pytest.mark.parametrize(("scale", "is_own"), [(1, False), (10, True)])
def test_the_variance_of_few_of_a_class(scale: int, is_own: bool) -> None:
    """That of five positives is as large as that by chance alone; ten times as many tell that theirs is larger."""
    few = [np.repeat(labels, scale * np.array([95, 3, 2])) for labels in ([0, 1, 1], [0, 1, 0])]
    many = [np.repeat(labels, scale * np.array([900, 10, 6, 84])) for labels in ([0, 0, 1, 1], [0, 1, 0, 1])]
    scorer = build("binary", {})
    found = contrast(metric_of(scorer, "balanced_accuracy"), *(answers_of(scorer, *group) for group in (few, many)))
    own = math.sqrt(math.fsum(v / n for v, n in zip(found.variances, found.sizes, strict=True)))
    assert found.error == pytest.approx(own if is_own else own / math.sqrt(6.5), rel=1e-9 if is_own else 0.03)


def test_a_billion_documents() -> None:
    """Beyond numpy's limit for dealing, the error is that of as many thousandths, scaled."""
    cells = [(70_000, 10_000, 20_000, 300_000), (350_000, 50_000, 110_000, 1_500_000)]
    metric = metric_of(build("binary", {}), "f1")
    errors = []
    for scale in (1, 1000):
        sums = [
            {need: count * scale for need, count in zip(metric.needs.values(), four, strict=True)} for four in cells
        ]
        errors.append(contrast(metric, *sums).error)
    assert errors[1] == pytest.approx(errors[0] / np.sqrt(1000), rel=0.1)


@pytest.mark.parametrize(("n", "unequal"), [((200, 260), False), ((150, 1500), True)])
def test_heavy_tails(n: tuple[int, int], unequal: bool) -> None:
    """Losses that rest on few documents: Student's test with one variance in groups of unequal sizes, else Welch's."""
    generator = np.random.default_rng(17)
    scorer, groups = build("regression", {}), []
    for size in n:
        truths = generator.normal(0, 1, size)
        groups.append((truths, truths + generator.lognormal(0, 1, size)))
    sums = [answers_of(scorer, *group) for group in groups]
    squares = [(said - truths) ** 2 for truths, said in groups]
    found = at_once(metric_of(scorer, "mse"), *sums)
    expected = stats.ttest_ind(squares[1], squares[0], equal_var=unequal)
    interval = expected.confidence_interval()
    assert found.test == ("Student t, one variance" if unequal else "Welch t")
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert limits(found) == pytest.approx((interval.low, interval.high), rel=1e-9)
    # Errors have both signs, and their means no such bias.
    assert at_once(metric_of(scorer, "mean_error"), *sums).test in ("Welch t", "Student t, one variance")


@settings(deadline=None, max_examples=60)
@given(st.integers(-300, 150), st.integers(-300, 150), st.integers(0, 2**32 - 1))
def test_magnitudes_up_to_the_range_of_doubles(low: int, high: int, seed: int) -> None:
    """No size of errors is an error of the report: figures are finite, or left out with what is computed from them."""
    generator = np.random.default_rng(seed)
    scorer = build("regression", {})

    def group() -> Any:
        truths = generator.normal(size=120)
        errors = generator.normal(size=120) * 10.0 ** generator.choice([low, high], size=120)
        with np.errstate(over="ignore"):
            return answers_of(scorer, truths, truths + errors)

    a, b = group(), group()
    for each in estimates(scorer.metrics, a):
        limits = (each.interval.low, each.interval.high) if each.interval else ()
        assert all(map(math.isfinite, (each.value, *limits))), each
    for name, found in contrasts(scorer.metrics, a, b).items():
        for form in Form if isinstance(found, Contrast) else ():
            tested = outcome(found, form)
            if isinstance(tested, Difference):
                assert all(map(math.isfinite, (tested.value, tested.interval.low, tested.interval.high))), name
                assert 0 <= tested.p_value <= 1, name
