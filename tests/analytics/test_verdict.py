"""Verdicts of comparisons: which group is better, what can't be told, and how many documents would show it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from request_logger.analytics.comparison_text import verdict_line
from request_logger.analytics.contrasts import ALPHA, LEAST_SEQUENTIAL, POWER, Contrast, Form, NoTest, detectable
from request_logger.analytics.verdict import contrast_as_json, verdict
from request_logger.scoring.registry import build
from scorers.base import Metric

NAMES = ("old", "new")
Z = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)


def metric_of(scorer: str, name: str) -> Metric:
    return next(each for each in build(scorer, {}).metrics if each.name == name)


ACCURACY = metric_of("multiclass", "accuracy")


def apart(value: float, error: float = 0.01, sizes: tuple[int, ...] = (1000, 800)) -> Contrast:
    return Contrast(value, error, sizes, (0.25,) * len(sizes), "t")


@pytest.mark.parametrize(
    ("scorer", "name", "difference", "better"),
    [
        ("multiclass", "accuracy", 0.1, "new"),
        ("multiclass", "accuracy", -0.1, "old"),
        ("regression", "rmse", 0.1, "old"),
        ("regression", "rmse", -0.1, "new"),
        ("regression", "mean_error", 0.1, None),
    ],
)
@pytest.mark.parametrize("form", list(Form))
def test_which_is_better(scorer: str, name: str, difference: float, better: str | None, form: Form) -> None:
    """By the metric's direction; a metric without one differs, and neither group is better."""
    found = verdict(NAMES, metric_of(scorer, name), apart(difference), form)
    assert (found["metric"], found["by"], found["form"], found["differ"]) == (name, "groups", form.value, True)
    assert found["p_value"] < ALPHA
    assert found.get("better") == better
    assert not {"needed", "detectable", "reason"} & found.keys()


@given(st.floats(-0.1, 0.1), st.sampled_from(Form))
def test_differ_is_what_p_value_and_interval_say(difference: float, form: Form) -> None:
    contrast = apart(difference)
    found, row = verdict(NAMES, ACCURACY, contrast, form), contrast_as_json(contrast, form)
    assert found["p_value"] == row["p_value"]
    if abs(row["p_value"] - ALPHA) > 1e-9:
        assert found["differ"] == (row["p_value"] < ALPHA) == (row["low"] > 0 or row["high"] < 0)


def test_what_can_not_be_told() -> None:
    """The difference that these documents show with 80 %; no size that follows from the difference they have."""
    contrast = apart(0.01)
    found = verdict(NAMES, ACCURACY, contrast, Form.FIXED)
    assert found["differ"] is False
    assert found["detectable"] == pytest.approx(Z * 0.01, rel=1e-9) == detectable(contrast, Form.FIXED)
    assert "needed" not in found
    assert verdict(NAMES, ACCURACY, contrast, Form.SEQUENTIAL)["detectable"] > found["detectable"]


@pytest.mark.parametrize("sizes", [(1000, 800), (200, 200), (100, 1900)])
def test_sizes_to_detect_a_difference(sizes: tuple[int, int]) -> None:
    """That of statsmodels for their ratio; what is missing is counted from each group."""
    found = verdict(NAMES, ACCURACY, apart(0.001, sizes=sizes), Form.FIXED, delta=0.02)
    ratio = sizes[1] / sizes[0]
    first = Z**2 * 0.25 * (1 + 1 / ratio) / 0.02**2
    assert found["needed"] == [int(np.ceil(first)), int(np.ceil(first * ratio))]
    assert found["more"] == [max(need - have, 0) for need, have in zip(found["needed"], sizes, strict=True)]
    assert found["detect"] == 0.02


def test_pairs_to_detect_a_difference() -> None:
    """The variance is that of the differences, and what is missing is counted from the pairs."""
    found = verdict(NAMES, ACCURACY, apart(0.001, sizes=(60,)), Form.FIXED, by="pairs", delta=0.05)
    needed = int(np.ceil(Z**2 * 0.25 / 0.05**2))
    assert (found["by"], found["needed"], found["more"]) == ("pairs", needed, needed - 60)


def test_enough_is_none_more() -> None:
    found = verdict(NAMES, ACCURACY, apart(0.001), Form.FIXED, delta=0.5)
    assert found["more"] == [0, 0]


@pytest.mark.parametrize("form", list(Form))
def test_a_reason_instead_of_a_test(form: Form) -> None:
    """Nobody is better, and there is no p-value; the sizes are still known where the variances are."""
    found = verdict(NAMES, ACCURACY, NoTest("because"), form, delta=0.1)
    assert found == {"metric": "accuracy", "by": "groups", "form": form.value, "reason": "because", "differ": False}
    few = verdict(NAMES, ACCURACY, apart(0.5, sizes=(20, 20)), form, delta=0.1)
    assert few["differ"] is False and "p_value" not in few and "at least" in few["reason"]
    assert few["needed"][0] >= 20
    assert contrast_as_json(apart(0.5, sizes=(20, 20)), form).keys() == {"difference", "reason"}


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("sign", [1, -1])
def test_no_interval_is_wider_than_the_metric(form: Form, sign: int) -> None:
    """Two values between -1 and 1 differ by 2 at most; values beyond the declared bounds keep their difference."""
    row = contrast_as_json(apart(sign * 1.9, 0.2), form, (-1.0, 1.0))
    assert max(abs(row["low"]), abs(row["high"])) == 2.0
    row = contrast_as_json(apart(sign * 2.5, 0.2), form, (-1.0, 1.0))
    assert row["low"] <= row["difference"] <= row["high"]
    free = contrast_as_json(apart(sign * 1.9, 0.2), form)
    assert max(abs(free["low"]), abs(free["high"])) > 2.0


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "mcc", "auc", "mse"])
def test_no_text_says_that_there_is_no_difference(form: Form, name: str) -> None:
    """Of too few documents least of all, whatever the metric."""
    metric = metric_of("regression" if name == "mse" else "binary", name)
    for contrast in (apart(0.118, 0.066, (60, 60)), apart(0.0, 0.066, (600, 600)), NoTest("because")):
        line = verdict_line(verdict(NAMES, metric, contrast, form), NAMES)
        assert line.startswith("Not enough data to tell: ")
        assert "o difference in" not in line


def test_the_first_look() -> None:
    """Every day from LEAST_SEQUENTIAL documents on."""
    least = LEAST_SEQUENTIAL
    assert "reason" in verdict(NAMES, ACCURACY, apart(0.5, sizes=(least - 1, least)), Form.SEQUENTIAL)
    assert verdict(NAMES, ACCURACY, apart(0.5, sizes=(least, least)), Form.SEQUENTIAL)["better"] == "new"


def test_lines() -> None:
    """What the last line says."""
    found = verdict(NAMES, ACCURACY, apart(0.5), Form.FIXED)
    assert verdict_line(found, NAMES) == "new is better: accuracy, p < 0.0001."
    found = verdict(NAMES, ACCURACY, apart(0.01), Form.FIXED, delta=0.02)
    assert verdict_line(found, NAMES) == (
        "Not enough data to tell: accuracy, p 0.3173; these documents show a difference of 0.02802 with a probability"
        " of 80 %. To show a difference of 0.02, 11,038 of old and 8,830 of new are needed, 10,038 and 8,030 more than"
        " there are."
    )
    found = verdict(NAMES, ACCURACY, apart(0.01, sizes=(60,)), Form.SEQUENTIAL, by="pairs", delta=0.02)
    line = verdict_line(found, NAMES)
    assert line.startswith("Not enough data to tell: accuracy by pairs; the test needs at least 100 pairs, found 60.")
    assert line.endswith(" more than there are.")
    found = verdict(NAMES, ACCURACY, apart(0.01), Form.FIXED, delta=1e-200)
    assert verdict_line(found, NAMES).endswith(" No realistic number of documents shows a difference of 1e-200.")
    found = verdict(NAMES, metric_of("regression", "mean_error"), apart(0.5), Form.FIXED)
    assert verdict_line(found, NAMES) == "The two differ: mean error, p < 0.0001."
