"""Weighted means of errors: numpy's, over ranges that have enough truths each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from request_logger.analytics.feedback.cells import Sums
from request_logger.analytics.feedback.numbers import Range, merged, weighted_mean
from request_logger.analytics.feedback.weighted import weights_of
from request_logger.analytics.shares import Dependence
from tests.analytics.feedback.made import sums

STATE = np.random.RandomState(4)
SIZES = [(400, 40), (300, 3), (200, 30), (100, 2)]
ERRORS = [STATE.normal(k, 1 + k, m) for k, (_, m) in enumerate(SIZES)]


def ranges() -> list[Range]:
    edges = [None, 1.0, 2.0, 3.0, None]
    return [
        Range(edges[k], edges[k + 1], n, {"error": sums(ERRORS[k])}) for k, (n, _) in enumerate(SIZES)
    ]  # fmt: skip


def test_ranges_with_few_truths_are_merged() -> None:
    found, share = merged(ranges())
    assert [(each.low, each.high, each.predictions, each.with_truth) for each in found] == [
        (None, 1.0, 400, 40), (1.0, None, 600, 35),
    ]  # fmt: skip
    assert share == pytest.approx(0.4)
    assert merged([Range(None, None, 10, {"error": Sums(4, 1.0, 1.0)})]) == ([], 1.0)
    assert merged([]) == ([], 0.0)


def test_the_mean_is_that_of_numpy() -> None:
    found, _ = merged(ranges())
    value, interval = weighted_mean(found, weights_of(found), "error")
    groups = [ERRORS[0], np.concatenate(ERRORS[1:])]
    shares = [0.4, 0.6]
    assert value == pytest.approx(sum(w * g.mean() for w, g in zip(shares, groups, strict=True)), rel=1e-9)
    error = math.sqrt(sum(w**2 * g.var(ddof=1) / len(g) for w, g in zip(shares, groups, strict=True)))
    assert interval.error == pytest.approx(error, rel=1e-9)
    assert interval.high - interval.low == pytest.approx(2 * 1.993 * error, rel=1e-3)
    _, wide = weighted_mean(found, weights_of(found), "error", Dependence(4.0, 19))
    assert wide.high - wide.low == pytest.approx(2 * 2 * 2.093 * error, rel=1e-3)
