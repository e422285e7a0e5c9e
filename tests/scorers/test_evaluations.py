"""What evaluations of one prediction are stored as, and the agreement that adds up from it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from request_logger.analytics.accumulator import Accumulator
from request_logger.analytics.evaluations import kappa_interval
from request_logger.analytics.intervals import Interval, NoInterval
from request_logger.common.json import dumps, loads
from scorers.base import Metric
from scorers.evaluations import MAX_PAIRED_RATERS, Rating, cohen_kappa, fields_of, metrics_of, pair_of

NAME = "helpful"
# Krippendorff's example (2011) of four observers and twelve units, None where one hasn't judged.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


class Evaluations:
    """The metrics of the name, as an accumulator wants them; the fields are nested in documents."""

    metrics: tuple[Metric, ...] = metrics_of(NAME, ("1",))


def flat(fields: dict[str, Any], prefix: str = f"evaluations.{NAME}.") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def figures(predictions: list[list[Rating]]) -> dict[str, Any]:
    accumulator = Accumulator(Evaluations())
    for ratings in predictions:
        accumulator.add(flat(fields_of(ratings)))
    return accumulator.values()


def test_krippendorffs_own_example() -> None:
    """The values are those of the package krippendorff 0.8, and of his paper: 0.743 and 0.849."""
    predictions = [
        [Rating(str(rater), float(row[unit] or 0)) for rater, row in enumerate(OBSERVERS) if row[unit] is not None]
        for unit in range(12)
    ]
    found = figures(predictions)
    assert found["alpha_nominal"] == pytest.approx(0.743421052631579, abs=1e-12)
    assert found["alpha_interval"] == pytest.approx(0.8491071428571428, abs=1e-12)


@pytest.mark.parametrize(
    ("matrix", "kappa", "error"),
    [
        ([[20, 5], [10, 15]], 0.4, 0.016128**0.5),
        ([[30, 4, 1], [6, 25, 5], [0, 7, 22]], 0.6531966224366708, 0.004040582205046429**0.5),
        ([[0, 50], [70, 0]], -0.9459459459459462, 0.003227043994619474**0.5),
    ],
)
def test_kappa_and_its_interval(matrix: list[list[int]], kappa: float, error: float) -> None:
    """The values are those of statsmodels 0.14's cohens_kappa; the interval is about as long as its error says."""
    table = {str(a): {str(b): n for b, n in enumerate(row) if n} for a, row in enumerate(matrix)}
    assert cohen_kappa(table) == pytest.approx(kappa, abs=1e-12)
    interval = kappa_interval(table)
    assert isinstance(interval, Interval)
    assert -1 <= interval.low < kappa < interval.high <= 1
    # That of an agreement of 0 or 1 is wider: those that have not occurred are allowed for.
    assert 0.8 < (interval.high - interval.low) / (2 * 1.96 * error) < (1.3 if kappa > 0 else 2)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, NoInterval.ALL_EQUAL),
        ({"yes": {"yes": 9}}, NoInterval.ALL_EQUAL),
        ({"yes": {"yes": 40}, "no": {"no": 4}}, NoInterval.FEW_OTHERS),
        ({str(k): {str(k): 9} for k in range(21)}, NoInterval.MANY_CELLS),
    ],
)
def test_no_interval_of_kappa(table: dict[str, dict[str, int]], why: NoInterval) -> None:
    assert kappa_interval(table) is why


def test_perfect_agreement_of_few() -> None:
    """It is no certainty."""
    found = kappa_interval({"yes": {"yes": 5}, "no": {"no": 5}})
    assert isinstance(found, Interval)
    assert found.low < 0.8
    assert found.high == 1.0


numbers = st.one_of(st.integers(-12, 12).map(float), st.floats(allow_nan=False, allow_infinity=False))
ratings = st.builds(
    Rating,
    st.sampled_from(["a", "b", "c", 'quoted "d"']),
    st.none() | numbers,
    st.sampled_from(["", "yes", "no", "a#1"]),
    st.sampled_from(["", "human", "judge", "code"]),
    st.booleans(),
)


@given(st.lists(ratings, max_size=8), st.randoms(use_true_random=False))
def test_fields_are_plain_and_independent_of_the_order(found: list[Rating], shuffler: random.Random) -> None:
    """Whatever the numbers: no field is infinite, which JSON has no word for."""
    fields = fields_of(found)
    assert loads(dumps(fields)) == fields
    shuffled = list(found)
    shuffler.shuffle(shuffled)
    # Whether the sum of the largest doubles overflows depends on their order; that of stored evaluations is fixed.
    if all(abs(rating.value or 0.0) < 1e150 for rating in found):
        assert fields_of(shuffled) == fields
    for pair in fields.get("rater_pairs", []):
        assert len(pair_of(pair)) == 4
    assert all(math.isfinite(value) for value in flat(fields).values() if isinstance(value, float))


def test_a_tie_has_no_label() -> None:
    """Nor does a measurement, which is no category."""
    yes, no = Rating("a", label="yes", source="human"), Rating("b", label="no", source="judge")
    fields = fields_of([yes, no])
    assert "label" not in fields
    assert (fields["human"], fields["judge"]) == ({"label": "yes"}, {"label": "no"})
    assert fields_of([yes, no, Rating("c", label="no")])["label"] == "no"
    assert fields_of([Rating("a", 4.0)])["label"] == "4"
    assert "label" not in fields_of([Rating("a", 4.5)])
    assert "label" not in fields_of([Rating("a", 400.0)])


def test_failed_evaluations_count_as_such() -> None:
    fields = fields_of([Rating("a", failed=True, source="judge"), Rating("b", 1.0)])
    assert (fields["raters"], fields["failed"], fields["value"], fields["source"]) == (1, 1, 1.0, "judge")
    assert "judge" not in fields


def test_pairs_of_few_raters_alone() -> None:
    """Their number grows with the square; alpha needs none."""
    many = [Rating(str(k), 1.0) for k in range(MAX_PAIRED_RATERS + 1)]
    assert len(fields_of(many[:-1])["rater_pairs"]) == MAX_PAIRED_RATERS * (MAX_PAIRED_RATERS - 1) // 2
    assert "rater_pairs" not in fields_of(many)


def test_two_raters_of_many_predictions_equal_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    human = generator.integers(0, 3, 200)
    judge = np.where(generator.random(200) < 0.7, human, generator.integers(0, 3, 200))
    predictions = [
        [Rating("h", label=f"l{a}", source="human"), Rating("j", label=f"l{b}", source="judge")]
        for a, b in zip(human, judge, strict=True)
    ]
    found = figures(predictions)
    assert found["judge_kappa"] == pytest.approx(cohen_kappa_score(human, judge), abs=1e-12)
    assert found["judge_agreement"] == pytest.approx((human == judge).mean(), abs=1e-12)


def test_the_share_of_a_label() -> None:
    """Of the predictions that have one."""
    found = figures([[Rating("a", 1.0)], [Rating("a", 0.0)], [Rating("a", 0.5)], [Rating("a", 1.0)]])
    assert found["share[1]"] == pytest.approx(2 / 3)
    assert found["mean"] == pytest.approx(0.625)
