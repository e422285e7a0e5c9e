"""How often slices are found where there are none, simulated without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.random import Generator

from request_logger.analytics.fields import Field
from request_logger.analytics.rollups import MomentSums
from request_logger.analytics.slices.counting import Counted
from request_logger.analytics.slices.effects import Measure
from request_logger.analytics.slices.parts import Part
from request_logger.analytics.slices.search import FALSE_DISCOVERIES, _tested, _worse

FIELDS, VALUES, N, RUNS = 6, 4, 1500, 120
MEASURE = Measure("accuracy", "correct", -1, is_share=True)


def sums(values: Any) -> MomentSums:
    return MomentSums(len(values), float(values.sum()), float(values.sum()), 0.0, 1.0)


def counted(columns: Any, correct: Any) -> Iterator[Counted]:
    """All values of all fields, and all pairs, as an engine would count them."""
    parts = [
        (Part(Field(f"f{k}", f"f{k}", is_number=False), str(v), str(v)), columns[:, k] == v)
        for k in range(FIELDS)
        for v in range(VALUES)
    ]
    whole = sums(correct)
    for part, inside in parts:
        yield Counted((part,), sums(correct[inside]), whole)
    for (one, inside), (other, also) in combinations(parts, 2):
        if one.field != other.field:
            yield Counted((one, other), sums(correct[inside & also]), whole)


def found(generator: Generator, wrong_by: float = 0.2) -> set[str]:
    """The slices that are found where f0 = 0 and f1 = 0 have this share of errors, and all others .2."""
    columns = generator.integers(0, VALUES, (N, FIELDS))
    chance = np.where((columns[:, 0] == 0) & (columns[:, 1] == 0), wrong_by, 0.2)
    correct = (generator.random(N) >= chance).astype(float)
    slices = _worse(_tested(counted(columns, correct), MEASURE), MEASURE)
    return {", ".join(f"{part.field.name} = {part.label}" for part in each.parts) for each in slices}


def test_nothing_to_find() -> None:
    """In at most about 10 % of the samples something is found: 234 slices are looked at in each."""
    generator = np.random.default_rng(17)
    false = sum(bool(found(generator)) for _ in range(RUNS))
    assert false <= FALSE_DISCOVERIES * RUNS + 3 * np.sqrt(FALSE_DISCOVERIES * (1 - FALSE_DISCOVERIES) * RUNS)


def test_something_to_find() -> None:
    """A pair with half of its answers wrong is found in nearly all samples, and few pairs that refine its parts are."""
    generator = np.random.default_rng(18)
    samples = [found(generator, 0.5) for _ in range(20)]
    assert sum("f0 = 0, f1 = 0" in each for each in samples) >= 18
    others = {"f0 = 0", "f1 = 0", "f0 = 0, f1 = 0"}
    assert sum(len(each - others) for each in samples) <= 0.3 * sum(len(each) for each in samples)
