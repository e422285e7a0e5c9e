"""How often a comparison errs: the short form of `python -m bench.type_one`, whose seeds are fixed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.type_one import CASES, DAILY, PAGE, POWERS, SIZES, Case, Values, every_day, one_look, power, power_rows, rows
from request_logger.analytics.contrasts import Contrast, Form
from request_logger.analytics.differences import contrasts
from request_logger.analytics.estimates import value_of
from request_logger.analytics.fold_contrast import FoldSums, folds_contrast
from request_logger.documents.folds import FOLDS

RUNS = 200
# 0.05 and three standard errors of a share of RUNS.
MOST = 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5


def case_of(name: str, metric: str) -> Case:
    (found,) = (case for case in CASES if case.name == name and metric in case.metrics)
    return Case(found.name, found.scorer, (metric,), found.draw)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("right in 90 %", "accuracy"),
        ("right in 99 %", "accuracy"),
        ("t4 errors", "mse"),
        ("lognormal errors", "mse"),
        ("1 % positive, calibrated", "log_loss"),
        ("10 % positive, AUC .92", "auc"),
    ],
)
def test_equal_models_with_one_look(name: str, metric: str, sizes: tuple[int, int]) -> None:
    """A difference in 5 % at most; Welch's test alone shows one in up to 35 % of small canaries."""
    found, _ = one_look(case_of(name, metric), sizes, RUNS)[metric]
    assert found <= MOST


@pytest.mark.parametrize("daily", DAILY)
@pytest.mark.parametrize(("name", "metric"), [("right in 90 %", "accuracy"), ("lognormal errors", "mse")])
def test_equal_models_every_day(name: str, metric: str, daily: tuple[int, int]) -> None:
    """At most 5 % on any of 30 days; the test for one look shows a difference far more often."""
    found = every_day(case_of(name, metric), daily, 40)[metric]
    assert found[Form.SEQUENTIAL] <= 0.05
    if metric == "accuracy":
        assert found[Form.FIXED] > 0.15


def test_rows_of_batches() -> None:
    """Batches of 20 rows that are all alike, over folds; taken as independent, they differ in over half of all runs."""
    accuracy = case_of("right in 90 %", "accuracy").declared[0]
    shown = {"folds": 0, "rows": 0}
    for run in range(RUNS):
        generator = np.random.default_rng((1, run))
        sums, wholes = [], []
        for batches in (200, 260):
            right = np.repeat(generator.random(batches) < 0.8, 20).astype(float)
            places = np.repeat(generator.integers(0, FOLDS, batches), 20)
            parts = [right[places == k] for k in range(FOLDS)]
            answers = tuple(Values("correct", part).answers(len(part)) for part in parts)
            sums.append(FoldSums(answers, tuple(map(len, parts)), len(right)))
            wholes.append(Values("correct", right).answers(len(right)))
        folds = folds_contrast(accuracy, sums[0], sums[1], wholes)
        independent = contrasts([accuracy], *wholes)["accuracy"]
        for name, found in (("folds", folds), ("rows", independent)):
            assert isinstance(found, Contrast) and found.once is not None
            shown[name] += found.once.p_value < 0.05
    assert shown["folds"] <= MOST * RUNS
    assert shown["rows"] > RUNS / 2


def test_rare_classes() -> None:
    """Of 5 % positives, with a small canary: a bootstrap shows a difference in 18 %."""
    found, _ = one_look(case_of("5 % positive", "f1"), (100, 1000), 60)["f1"]
    assert found <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.parametrize(
    ("name", "metric", "worse"), [("right in 90 %", "accuracy", 0.03), ("normal errors", "mae", 0.1)]
)
def test_power(name: str, metric: str, worse: float) -> None:
    """The sizes of `--detect` show the difference in 80 % (for daily looks, already in the last look alone)."""
    for found in power(case_of(name, metric), (100, 300), 150, worse).values():
        assert found[1] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.metrics[-1]}")
def test_sums_of_a_sample(case: Case) -> None:
    """The sums of the first documents have the metric's value near the model's, so the case is what its name says."""
    answers = case.draw(np.random.default_rng(1), 20_000, 0.0).answers(20_000)
    values = {metric.name: value_of(metric, answers) for metric in case.declared}
    share = re.search(r"right in (\d+) %", case.name)
    if share:
        assert values == {"accuracy": pytest.approx(int(share[1]) / 100, abs=0.005)}
    area = re.search(r"AUC (\.\d+)", case.name)
    if area:
        assert values["auc"] == pytest.approx(float(area[1]), abs=0.01)
    assert None not in values.values()


def test_the_table_has_all_cases() -> None:
    """In the order of the benchmark, each metric once."""
    table = PAGE.read_text(encoding="utf-8").split("<!-- type one")[1].split("<!-- end of type one")[0]
    listed = re.findall(r"^\| (.*?) \| `(\w+)` \|", table, re.MULTILINE)
    assert listed == [(case.name, metric) for case in CASES for metric in case.metrics]
    assert next(rows((), 1, 1)) in table
    powers = PAGE.read_text(encoding="utf-8").split("<!-- power")[1].split("<!-- end of power")[0]
    listed = re.findall(r"^\| (.*?) \| `(\w+)` \|", powers, re.MULTILINE)
    assert listed == [(name, metric) for name, metric, _ in POWERS]
    assert next(power_rows(1)) in powers
