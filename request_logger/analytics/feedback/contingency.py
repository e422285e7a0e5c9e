"""The test whether the predictions with feedback are a random part of all: Pearson's chi-squared. Pure code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from request_logger.analytics import chi_squared
from request_logger.analytics.feedback.cells import Cell
from request_logger.analytics.feedback.strata import Stratum, strata_of

# The usual rule for Pearson's test: with fewer expected, its distribution is not chi-squared.
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class SelectionTest:
    """Labelled against unlabelled predictions by stratum: the test, and the lowest and highest share with a truth.

    ``cramers_v`` is the effect: 0 where feedback doesn't depend on the stratum, 1 where it decides.
    """

    chi_squared: float
    freedom: int
    p_value: float
    cramers_v: float
    lowest: Stratum
    highest: Stratum


def selection_test(cells: Sequence[Cell], effect: float = 1.0) -> SelectionTest | None:
    """Return the test; None where fewer than two strata have enough predictions, or all or none have a truth.

    Strata are chosen by the expected counts, never by those found, or chance would choose them. ``effect`` is the
    design effect by which chi-squared is divided (Rao and Scott 1981), where predictions come in batches.
    """
    n = sum(cell.predictions for cell in cells)
    labelled = sum(cell.with_truth for cell in cells)
    if not 0 < labelled < n:
        return None
    rarer = min(labelled, n - labelled) / n
    strata = strata_of(cells, lambda stratum: stratum.predictions * rarer >= _LEAST_EXPECTED).strata
    if len(strata) < 2:
        return None
    share = labelled / n
    statistic = math.fsum(
        (stratum.with_truth - stratum.predictions * share) ** 2 / (stratum.predictions * share * (1 - share))
        for stratum in strata
    )
    freedom = len(strata) - 1
    ordered = sorted(strata, key=lambda stratum: stratum.with_truth / stratum.predictions)
    adjusted = statistic / effect
    return SelectionTest(
        adjusted, freedom, chi_squared.above(adjusted, freedom), math.sqrt(statistic / n), ordered[0], ordered[-1]
    )
