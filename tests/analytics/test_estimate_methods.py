"""Which method gives a metric's interval, and the bounds of the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from request_logger.analytics.baselines import baselines
from request_logger.analytics.class_averages import intervals_by_class, percentile_interval
from request_logger.analytics.estimates import (
    bootstrap_matrix,
    estimates,
    is_proportion,
    size_of,
)
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.label_averages import COOCCURRENCES
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.scoring.registry import build
from scorers.base import Bucket, Count, Metric, Sum, SumBy
from scorers.classification import CELLS, MATRIX
from tests.analytics.sums import answers_of

N = 60


def case(name: str) -> tuple[Any, Any, Any]:
    """A scorer with truths and predictions of its kind."""
    generator = np.random.default_rng(41)
    if name == "binary":
        said: Any = generator.random(N)
        return build(name, {"probabilities": True}), (generator.random(N) < said).astype(int), said
    if name == "multiclass":
        said = generator.dirichlet((1, 1, 1), N)
        return build(name, {}), np.array([generator.choice(3, p=row) for row in said]), said
    if name == "multilabel":
        truths = generator.integers(0, 2, (N, 3))
        return build(name, {"indicator": True}), truths, np.where(generator.random((N, 3)) < 0.7, truths, 1 - truths)
    if name == "ranking":
        return build(name, {"scores": True}), generator.integers(0, 4, N), generator.random((N, 4))
    truths = generator.normal(5, 2, N)
    return build("regression", {}), truths, truths + generator.normal(0, 1, N)


METHODS = {
    "binary": {
        "accuracy": "Wilson",
        "precision": "Wilson",
        "recall": "Wilson",
        "specificity": "Wilson",
        "f1": "Wilson on Jaccard",
        "auc": "Newcombe 5, bins",
        "log_loss": "Student t, log scale",
        "brier": "Student t, logit scale",
        "f1_macro": "MOVER of Wilson",
        "balanced_accuracy": "MOVER of Wilson",
        "f1_micro": "Wilson",
        "f1_weighted": "Wilson, scaled",
        "mcc": "Dirichlet draws",
        "ece": "bound on chance",
        "auc_bound": NoInterval.NO_ESTIMATE,
    },
    "multiclass": {"accuracy": "Wilson", "kappa": "Dirichlet draws", "log_loss": "Student t, log scale"},
    "multilabel": {
        "f1_macro": "MOVER of Wilson",
        "precision_micro": "Wilson, delta method",
        "subset_accuracy": "Wilson",
    },
    "ranking": {"hit_at_1": "Wilson", "hit_at_3": "Wilson", "ndcg": "Student t, logit scale"},
    "regression": {
        "mse": "Student t, log scale",
        "rmse": "Student t, log scale",
        "mean_error": "Student t",
        "r2": NoInterval.NO_METHOD,
    },
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    """Named as the docs do; the value is within the interval, and the interval within the metric's bounds."""
    scorer, truths, said = case(name)
    found = {each.name: each for each in estimates(scorer.metrics, answers_of(scorer, truths, said, COOCCURRENCES))}
    methods = {each: found[each].interval.method if found[each].interval else found[each].why for each in METHODS[name]}
    assert methods == METHODS[name]
    by_name = {metric.name: metric for metric in scorer.metrics}
    for each in found.values():
        assert each.bounds == by_name[each.name].bounds
        assert each.higher_is_better == by_name[each.name].higher_is_better
        if each.interval is not None:
            assert each.bounds[0] <= each.interval.low <= each.value <= each.interval.high <= each.bounds[1], each.name


def test_few_documents_per_class() -> None:
    """Weighted means have no interval then; the macro means and the accuracy have."""
    scorer, truths, said = case("multiclass")
    for n, why in ((29, NoInterval.FEW_PER_CLASS), (60, None)):
        answers = answers_of(scorer, truths[:n], said[:n])
        found = {each.name: each for each in estimates(scorer.metrics, answers)}
        assert (found["precision_weighted"].why, found["f1_weighted"].why) == (why, why)
        assert found["precision_macro"].interval is not None


def test_sizes() -> None:
    """Documents of a mean or share; of precision and recall the trials; none where several sizes matter."""
    scorer, truths, said = case("binary")
    answers = answers_of(scorer, truths, said)
    sizes = {metric.name: size_of(metric, answers) for metric in scorer.metrics}
    assert (sizes["accuracy"], sizes["log_loss"]) == (N, N)
    assert sizes["recall"] == truths.sum()
    assert sizes["specificity"] == N - truths.sum()
    assert sizes["precision"] == (said >= 0.5).sum()
    assert (sizes["auc"], sizes["ece"], sizes["mcc"]) == (None, None, None)
    scorer, truths, said = case("ranking")
    answers = answers_of(scorer, truths, said)
    assert {size_of(metric, answers) for metric in scorer.metrics if metric.name.startswith("hit_at")} == {N}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1], True),
        ([0, 0], True),
        ([1, 1], True),
        ([0, 0.5], False),
        ([0, 2], False),
        ([-1, 1], False),
        ([2, -1], False),
        ([1.5, 1.5, -1.5, 3], False),
    ],
)
def test_proportions(values: list[float], expected: bool) -> None:
    """Only values of 0 and 1."""
    metric = next(each for each in build("regression", {}).metrics if each.name == "mean_error")
    x = np.array(values, dtype=float)
    sums = MomentSums(len(x), *map(float, (x.sum(), (x * x).sum(), x.min(), x.max())))
    assert is_proportion(metric, {Moments("error"): sums}) is expected
    assert is_proportion(metric, {}) is False


def matrix_of(cells: int, each: int = 50) -> dict[Any, Any]:
    """The answers of documents in so many cells of a confusion matrix."""
    labels = [f"c{k}" for k in range(cells)]
    return {
        MATRIX["matrix"]: {label: {label: each} for label in labels},
        CELLS["n"]: cells * each,
    }


def kappa() -> Metric:
    return next(metric for metric in build("multiclass", {}).metrics if metric.name == "kappa")


@pytest.mark.parametrize(
    ("cells", "draws"), [(2, 1000), (30, 1000), (31, 967), (150, 200), (151, 200), (400, 200), (401, 0)]
)
def test_draws_of_large_matrices(cells: int, draws: int) -> None:
    """Cells times draws are bounded, with 200 draws at the least; there are none of more than 400 cells."""
    found = bootstrap_matrix([kappa()], matrix_of(cells)).get("kappa", [])
    assert len(found) == draws
    assert len(bootstrap_matrix([kappa()], matrix_of(cells), draws=100).get("kappa", [])) == min(draws, 100)


def test_no_draws() -> None:
    """Without draws, documents or a metric of the matrix; and for documents with several labels."""
    assert bootstrap_matrix([kappa()], matrix_of(2), draws=0) == {}
    assert bootstrap_matrix([kappa()], matrix_of(1, 1)) == {}
    assert bootstrap_matrix([kappa()], {}) == {}
    others = [metric for metric in build("multiclass", {}).metrics if metric.name == "accuracy"]
    assert bootstrap_matrix(others, matrix_of(2)) == {}
    assert bootstrap_matrix([kappa()], {**matrix_of(2), Count("correct"): 99}) == {}
    assert set(bootstrap_matrix([kappa()], {**matrix_of(2), Count("correct"): 100})) == {"kappa"}


def test_draws_are_repeatable() -> None:
    """By the seed; two groups have different ones."""
    answers = matrix_of(2, 50)
    answers[MATRIX["matrix"]]["c0"]["c1"] = 10
    answers[CELLS["n"]] = 110
    one, again, other = (bootstrap_matrix([kappa()], answers, seed=seed)["kappa"] for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_rarely_defined_metrics_have_no_draws() -> None:
    """Where fewer than half of the draws have a value, their quantiles say nothing."""
    sometimes = Metric("sometimes", kappa().needs, lambda values: values["tp"].get("c0", 0.0) > 50 or None)
    assert len(bootstrap_matrix([sometimes], matrix_of(2)).get("sometimes", [])) < 700
    never = Metric("never", kappa().needs, lambda values: None)
    assert bootstrap_matrix([never], matrix_of(2)) == {}


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_percentiles(level: float) -> None:
    """As much is left out below as above."""
    found = percentile_interval(list(range(1001)), level)
    assert (found.low, found.high) == pytest.approx((500 * (1 - level), 500 * (1 + level)))


def test_intervals_by_class() -> None:
    """Those of the class's own counts; a class that was never predicted has no interval of precision."""
    scorer, truths, said = case("binary")
    table = next(metric for metric in scorer.metrics if metric.per_class)
    answers = answers_of(scorer, truths, said)
    value = table.compute({key: answers[need] for key, need in table.needs.items()})
    assert isinstance(value, dict)
    found = intervals_by_class(value)
    own = {each.name: each.interval for each in estimates(scorer.metrics, answers)}
    assert found["CLASS_1"] == {name: own[name] for name in ("precision", "recall", "f1")}
    counts = {"true_positive": 0, "false_positive": 0, "false_negative": 3}
    assert set(intervals_by_class({"a": counts})["a"]) == {"recall", "f1"}


def test_each_draw_has_all_documents() -> None:
    """Also for a scorer of a user's own, whose metric uses their number."""
    size = Metric("size", CELLS, lambda values: values["n"])
    answers = {MATRIX["matrix"]: {"a": {"a": 30, "b": 10}, "b": {"b": 5}}, CELLS["n"]: 45}
    assert bootstrap_matrix([size], answers)["size"] == pytest.approx([45.0] * 1000)


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_baselines_of_documents_without_probabilities(name: str) -> None:
    """They are in the matrix, so that the shares of classes are not those of the documents with the loss."""
    matrix = {MATRIX["matrix"]: {"a": {"a": 3}, "b": {"a": 1}}}
    expected = {"log_loss": -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), "brier": 1 - 0.75**2 - 0.25**2}[name]
    assert baselines({**matrix, Count(name): 4})[name] == pytest.approx(expected, rel=1e-12)
    assert name not in baselines({**matrix, Count(name): 3})
    assert name not in baselines(matrix)
    # The binary scorer counts one class, so that its Brier score is half of it.
    binary = {**matrix, Count(name): 4, SumBy(("truth_positive",), "score_bin"): {}}
    assert baselines(binary)[name] == pytest.approx(expected / (2 if name == "brier" else 1), rel=1e-12)


def test_baselines_of_constant_predictions() -> None:
    """The most frequent class, no skill, one of all classes; none for documents with several labels."""
    matrix = {MATRIX["matrix"]: {"a": {"a": 3}, "b": {"a": 1}}}
    assert baselines(matrix) == {
        "accuracy": 0.75,
        "mcc": 0.0,
        "kappa": 0.0,
        "quadratic_weighted_kappa": 0.0,
        "balanced_accuracy": 0.5,
    }
    assert baselines({**matrix, Count("correct"): 4}) == baselines(matrix)
    assert baselines({**matrix, Count("correct"): 3}) == {}
    assert baselines({}) == {}
    scored = {SumBy(("truth_positive",), "score_bin"): {1: Bucket(4, {"truth_positive": 1.0})}}
    assert baselines({**matrix, **scored})["auc"] == 0.5


def test_baselines_of_constant_numbers() -> None:
    """The variance of the truths, where each document has its error and its truth."""
    truths = np.array([1.0, 2.0, 4.0, 9.0])
    answers = {
        Count("truth_squared"): 4,
        Count("squared_error"): 4,
        Sum("truth_squared"): float((truths**2).sum()),
        Sum("truth_centered"): float(truths.sum()),
    }
    expected = {"mse": truths.var(), "rmse": truths.std(), "r2": 0.0}
    assert baselines(answers) == pytest.approx(expected, rel=1e-12)
    assert baselines({**answers, Count("squared_error"): 5}) == {}
    assert baselines({each: value for each, value in answers.items() if each != Sum("truth_centered")}) == {}
