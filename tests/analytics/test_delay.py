"""Quantiles and shares of feedback delays, and feedback coverage."""

from __future__ import annotations

import numpy as np
import pytest

from request_logger.analytics.coverage import Coverage, Delay


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0])
def test_quantiles(n: int, share: float) -> None:
    """Those of numpy's inverted distribution function: a delay of the sample, not one between two of them."""
    sample = np.sort(np.random.default_rng(n).exponential(100, n))
    delay = Delay(n, float(sample.mean()), tuple(sample.tolist()))
    assert delay.quantile(share) == np.quantile(sample, share, method="inverted_cdf")


def test_within() -> None:
    """The bound itself is within it."""
    delay = Delay(4, 2.5, (1.0, 2.0, 3.0, 4.0))
    assert [delay.within(seconds) for seconds in (0.5, 1.0, 2.5, 3.0, 9.0)] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_share_of_coverage() -> None:
    """Undefined without predictions."""
    assert Coverage(8, 2, 2, 1, 1, 0, 5, 3).share == 0.25
    assert Coverage(0, 0, 0, 0, 0, 0, 5, 3).share is None
