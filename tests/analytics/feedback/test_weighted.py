"""Post-stratified figures: those of scikit-learn with weights, and the variance of the linearized metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.feedback.strata import Stratum, strata_of
from request_logger.analytics.feedback.weighted import MOST_WEIGHT, weighted_metrics, weights_of
from request_logger.analytics.shares import Dependence
from tests.analytics.feedback.made import cells_of

BALANCE_SIZE = 69.34812760055478
RNG = np.random.RandomState(5)
LABELS = np.array(["a", "b", "c"])
# Stratum -> its predicted label, its predictions, and the truths of those that are known.
STRATA = [("a", 600, 40), ("a", 300, 60), ("b", 90, 9), ("b", 400, 12), ("c", 50, 30)]
TRUTHS = [RNG.choice(LABELS, m, p=np.where(label == LABELS, 0.6, 0.2)) for label, _, m in STRATA]
SAID = np.concatenate([np.full(m, label) for label, _, m in STRATA])
TRUE = np.concatenate(TRUTHS)
OF = np.repeat(np.arange(len(STRATA)), [m for *_, m in STRATA])


def made() -> list[Stratum]:
    found = []
    for (label, n, _), truths in zip(STRATA, TRUTHS, strict=True):
        pairs: dict[tuple[str, str], int] = {}
        for truth in truths:
            pairs[label, str(truth)] = pairs.get((label, str(truth)), 0) + 1
        found.append(Stratum(label, None, n, pairs))
    return found


def per_document() -> Any:
    return np.array([n / m for _, n, m in STRATA])[OF]


def test_accuracy_is_the_formula() -> None:
    """sum W_b r_b, and the variance sum W_b^2 r_b (1 - r_b) / (m_b - 1)."""
    found = weighted_metrics(made(), weights_of(made()))[0]
    n = sum(size for _, size, _ in STRATA)
    shares = np.array([size / n for _, size, _ in STRATA])
    rates = np.array([(truths == label).mean() for (label, *_), truths in zip(STRATA, TRUTHS, strict=True)])
    sizes = np.array([m for *_, m in STRATA])
    assert found.name == "accuracy"
    assert found.value == pytest.approx((shares * rates).sum(), abs=1e-12)
    assert found.variance == pytest.approx((shares**2 * rates * (1 - rates) / (sizes - 1)).sum(), rel=1e-12)


ORACLES: dict[str, Callable[..., float]] = {
    "precision_macro": lambda t, s, w: sk.precision_score(t, s, average="macro", sample_weight=w, zero_division=0),
    "recall_macro": lambda t, s, w: sk.recall_score(t, s, average="macro", sample_weight=w, zero_division=0),
    "f1_macro": lambda t, s, w: sk.f1_score(t, s, average="macro", sample_weight=w, zero_division=0),
}


def test_averages_are_those_of_scikit_learn() -> None:
    found = {each.name: each for each in weighted_metrics(made(), weights_of(made()))}
    for name, oracle in ORACLES.items():
        assert found[name].value == pytest.approx(oracle(TRUE, SAID, per_document()), abs=1e-12)


@pytest.mark.parametrize("label", LABELS)
def test_one_class_is_that_of_scikit_learn(label: str) -> None:
    found = {each.name: each for each in weighted_metrics(made(), weights_of(made()), label)}
    weights = per_document()
    for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        value = score(label == TRUE, label == SAID, sample_weight=weights)
        assert found[name].value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_variance_is_that_of_the_linearized_metric(name: str) -> None:
    """The derivative by each document's weight, by differences of scikit-learn's value."""
    weights, step = per_document(), 1e-4
    slopes = []
    for k in range(len(TRUE)):
        up, down = weights.copy(), weights.copy()
        up[k] += step
        down[k] -= step
        slopes.append((ORACLES[name](TRUE, SAID, up) - ORACLES[name](TRUE, SAID, down)) / (2 * step))
    z = np.array(slopes)
    variance = sum((n / m) ** 2 * m * z[k == OF].var(ddof=1) for k, (_, n, m) in enumerate(STRATA))
    found = {each.name: each for each in weighted_metrics(made(), weights_of(made()))}
    assert found[name].variance == pytest.approx(variance, rel=1e-6)


def test_interval_is_as_wide_as_its_variance() -> None:
    """Wilson's for as many documents, which for many is the normal one; documents that belong together widen it."""
    found = weighted_metrics(made(), weights_of(made()))[0]
    alone, together = found.interval(), found.interval(Dependence(4.0))
    assert alone is not None and together is not None
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * math.sqrt(found.variance), rel=0.05)
    assert together.high - together.low == pytest.approx(2 * (alone.high - alone.low), rel=0.1)


def test_all_correct_has_an_interval() -> None:
    """It isn't a point: the variance is 0, so Kish's sample size stands for the truths."""
    strata = [Stratum("a", None, 100, {("a", "a"): 10}), Stratum("b", None, 300, {("b", "b"): 10})]
    weights = weights_of(strata)
    found = weighted_metrics(strata, weights)[0]
    interval = found.interval()
    assert interval is not None
    assert (found.value, found.variance, found.size) == (1.0, 0.0, weights.effective_n)
    assert interval.low < 0.9


def test_weights_and_sample_size_are_those_of_balance() -> None:
    """balance 0.23, Sample.adjust(method="poststratify") of these strata, and Kish's design effect of its weights."""
    strata = [
        Stratum(k, None, n, {(k, k): m}) for k, n, m in (("a", 600, 30), ("b", 300, 60), ("c", 90, 9), ("d", 10, 5))
    ]
    weights = weights_of(strata)
    assert weights.weights == pytest.approx([20.0, 5.0, 10.0, 2.0], rel=1e-12)
    assert weights.effective_n == pytest.approx(BALANCE_SIZE, rel=1e-9)
    assert weights.cut == 0


def test_weights_are_cut() -> None:
    """A truth counts at most ten times the mean one; then all are scaled to the predictions."""
    strata = [Stratum("a", None, 1000, {("a", "a"): 995}), Stratum("b", None, 9000, {("b", "a"): 5})]
    weights = weights_of(strata)
    assert weights.cut == 0.9
    raw = np.array([1000 / 995, MOST_WEIGHT * 10])
    counts = np.array([995, 5])
    assert weights.weights == pytest.approx(raw * 10_000 / (raw * counts).sum())
    assert np.dot(weights.weights, counts) == pytest.approx(10_000)


def test_strata_have_enough_truths_each() -> None:
    """Per label up to ten ranges of bins; those with few truths are merged, and their share is told."""
    n = 2000
    bins = RNG.randint(0, 100, n)
    said = np.where(bins >= 50, "yes", "no").tolist()
    known = (RNG.random_sample(n) < np.where(bins < 50, 0.3, 0.02)).tolist()
    truth = [s if k else None for s, k in zip(said, known, strict=True)]
    cells = cells_of(said, truth, bins.tolist(), np.full(n, 0.7))
    found = strata_of(cells.cells)
    assert all(stratum.with_truth >= 5 for stratum in found.strata)
    assert sum(stratum.predictions for stratum in found.strata) == n
    assert sum(stratum.with_truth for stratum in found.strata) == sum(known)
    by_label = {label: [s for s in found.strata if s.label == label] for label in ("no", "yes")}
    assert 5 < len(by_label["no"]) <= 10
    assert 1 <= len(by_label["yes"]) < 5
    assert 0.4 < found.merged <= said.count("yes") / n
    spans = [stratum.bins for stratum in by_label["no"] if stratum.bins]
    assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_rare_labels_are_one_stratum() -> None:
    said = [*["a"] * 50, *["b"] * 4, *["c"] * 4]
    cells = cells_of(said, said, [0] * 58, np.full(58, 0.5))
    assert [(s.label, s.predictions) for s in strata_of(cells.cells).strata] == [("a", 50), ("", 8)]
    few = cells_of(said[:54], said[:54], [0] * 54, np.full(54, 0.5))
    assert [(s.label, s.predictions) for s in strata_of(few.cells).strata] == [("", 54)]
    assert not strata_of(cells_of(["a"] * 4, ["a"] * 4, [0] * 4, np.full(4, 0.5)).cells).strata


@pytest.mark.parametrize("seed", range(40))
def test_any_cells_give_figures_or_none(seed: int) -> None:
    """Values within 0 and 1, in an interval that has them and isn't a point, whatever is labelled."""
    state = np.random.RandomState(seed)
    n = int(state.randint(1, 400))
    labels = LABELS[: state.randint(1, 4)]
    said = state.choice(labels, n).tolist()
    share = state.choice([0.0, 0.02, 0.3, 1.0])
    right = state.choice([0.0, 0.5, 1.0])
    truth = [
        (s if state.random_sample() < right else str(state.choice(LABELS))) if state.random_sample() < share else None
        for s in said
    ]
    cells = cells_of(said, truth, state.randint(0, 100, n).tolist(), state.random_sample(n))
    found = strata_of(cells.cells)
    if not found.strata:
        assert cells.with_truth < 5
        return
    assert sum(stratum.predictions for stratum in found.strata) == n
    for each in weighted_metrics(found.strata, weights_of(found.strata)):
        interval = each.interval()
        assert interval is not None
        assert -1e-9 <= interval.low - 1e-12 <= each.value <= interval.high + 1e-12 <= 1 + 1e-9, each
        assert interval.high - interval.low > 1e-3
