"""What counts as drift, and how often that is said where nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.drift.baselines import Baseline, Cells, Counts, Kind
from request_logger.analytics.drift.candidates import Candidate, Role
from request_logger.analytics.drift.judgement import ALPHA, MOST_TESTED, FieldDrift, Level, judge

EDGES = tuple(stats.norm.ppf(np.arange(1, 10) / 10))
NUMBER = Cells("request.elements.x", Kind.NUMBER, EDGES, -4.0, 4.0)
COLORS = ("red", "green", "blue")
CATEGORY = Cells("request.elements.x", Kind.CATEGORY, values=COLORS, known=COLORS)


def counts(cells: tuple[int, ...], *, documents: int = 0, **fields: int) -> Counts:
    present = sum(cells)
    return replace(Counts(documents or present, present, 0, cells), **fields)


def judged(cells: Cells, before: Counts, after: Counts, current: Kind | None = None) -> FieldDrift:
    each = Candidate(cells.field, Role.INPUT, cells.kind, current or cells.kind)
    return judge([each], {cells.field: Baseline(cells, before, "2026-01-01T00:00:00Z")}, {cells.field: after})[0]


@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (20_000, 500), (300, 150)])
def test_false_alarms(n: int, m: int) -> None:
    """Of 100 fields without a change, looked at 20 times, less than 5 % are said to have drifted: hardly any."""
    generator = np.random.default_rng(5)
    found = []
    for _ in range(20):
        fields, baselines, current = [], {}, {}
        for k in range(100):
            path = f"request.elements.f{k}"
            cells = replace(NUMBER, field=path)
            before, after = (tuple(map(int, generator.multinomial(size, np.full(10, 0.1)))) for size in (n, m))
            fields.append(Candidate(path, Role.INPUT, Kind.NUMBER, Kind.NUMBER))
            baselines[path] = Baseline(cells, counts(before, below=0, above=0), "")
            current[path] = counts(after)
        found += judge(fields, baselines, current)
    assert len(found) == 2000
    assert sum(each.level is not Level.NONE for each in found) / len(found) <= ALPHA / 10


def test_a_change_is_found() -> None:
    """A shift by half a standard deviation is major drift with 1,000 documents, in one of many fields."""
    generator = np.random.default_rng(5)
    before, after = (np.histogram(generator.normal(shift, 1, 1000), [-99, *EDGES, 99])[0] for shift in (0.0, 0.6))
    found = judged(NUMBER, counts(tuple(map(int, before))), counts(tuple(map(int, after))))
    assert found.level is Level.MAJOR and found.distances is not None
    assert found.distances.adjusted == found.distances.p_value
    assert found.distances.p_value == pytest.approx(stats.chi2_contingency([before, after]).pvalue, rel=1e-9)
    few = judged(NUMBER, counts(tuple(map(int, before // 20))), counts(tuple(map(int, after // 20))))
    assert (few.level, few.reason) == (Level.UNKNOWN, "fewer than 100 of the reference have it")


def test_many_documents_have_no_p_value() -> None:
    """A difference that is significant but small is no drift; a large one is, without a p-value."""
    size = MOST_TESTED + 10
    small = judged(CATEGORY, counts((size, size, size, 0)), counts((size, size + 3000, size, 0)))
    assert small.level is Level.NONE and small.distances is not None and small.distances.p_value is None
    assert judged(CATEGORY, counts((size, size, size, 0)), counts((size, 4 * size, size, 0))).level is Level.MAJOR


def test_quality_of_data() -> None:
    """Missing values, new values, numbers out of range, values that could not be indexed, another type: each named."""
    usual = counts((400, 300, 300, 0))

    def problems(found: FieldDrift) -> dict[str, tuple[float, float]]:
        return {each.check.value: (each.reference, each.current) for each in found.problems}

    assert judged(CATEGORY, usual, usual).problems == ()
    missing = judged(CATEGORY, usual, counts((400, 300, 300, 0), documents=1250))
    # The values that are there are distributed as before.
    assert problems(missing) == {"missing": (0.0, 0.2)} and missing.level is Level.NONE
    assert judged(CATEGORY, usual, counts((400, 300, 300, 0), documents=1005)).problems == ()
    new = judged(CATEGORY, usual, replace(counts((390, 290, 290, 30)), unseen=30, examples=("pink", "grey")))
    assert problems(new) == {"new values": (0.0, 0.03)} and new.problems[0].detail == "pink, grey"
    tenths = counts((100,) * 10)
    wide = judged(NUMBER, tenths, replace(tenths, below=5, above=15))
    assert problems(wide) == {"out of range": (0.0, 0.02)} and wide.problems[0].detail == "5 below -4, 15 above 4"
    assert wide.level is Level.NONE
    assert judged(NUMBER, tenths, replace(tenths, below=5, above=5)).problems == ()
    assert problems(judged(NUMBER, tenths, replace(tenths, ignored=50))) == {"not indexed": (0.0, 0.05)}
    other = judged(NUMBER, tenths, tenths, Kind.CATEGORY)
    assert problems(other) == {"type": (0.0, 1.0)} and other.reason == "it has another type"
    assert other.level is Level.UNKNOWN
    gone = judged(NUMBER, tenths, counts((0,) * 10, documents=1000))
    assert problems(gone) == {"missing": (0.0, 1.0)} and gone.reason.startswith("fewer than 100 documents now")


@pytest.mark.parametrize("fields", [1, 40])
def test_the_limit_of_a_share(fields: int) -> None:
    """Two-sided, at a level of .05 for all fields together; a share that changes by less has no problem."""
    cells = [replace(CATEGORY, field=f"request.elements.x{k}") for k in range(fields)]
    candidates = [Candidate(each.field, Role.INPUT, Kind.CATEGORY, Kind.CATEGORY) for each in cells]
    before, after = counts((40, 30, 20, 0), documents=100), counts((30, 20, 20, 0), documents=100)
    baselines = {each.field: Baseline(each, before, "2026-01-01T00:00:00Z") for each in cells}
    found = judge(candidates, baselines, {each.field: after for each in cells})
    limit = stats.norm.ppf(1 - ALPHA / fields / 2) * np.sqrt(0.2 * 0.8 * (1 / 100 + 1 / 100))
    assert [[each.limit for each in field.problems] for field in found] == [[pytest.approx(limit)]] * fields
    fewer = counts((34, 28, 20, 0), documents=100)
    assert judge(candidates, baselines, {each.field: fewer for each in cells})[0].problems == ()


def test_what_can_not_be_judged() -> None:
    """A field that one side has nothing of; and no documents at all, without which nothing is missing."""
    each = Candidate(CATEGORY.field, Role.INPUT, Kind.CATEGORY, Kind.CATEGORY)
    baseline = Baseline(CATEGORY, counts((400, 300, 300, 0)), "2026-01-01T00:00:00Z")
    for known, now in (({}, {CATEGORY.field: counts((1, 0, 0, 0))}), ({CATEGORY.field: baseline}, {})):
        (found,) = judge([each], known, now)
        assert (found.level, found.reason) == (Level.UNKNOWN, "no document of the reference has it")
    empty = judged(CATEGORY, counts((400, 300, 300, 0)), counts((0, 0, 0, 0)))
    assert (empty.problems, empty.reason) == ((), "fewer than 100 documents now have it")


def test_an_id_is_no_category() -> None:
    """Most values of an id are in no cell: its distribution says nothing."""
    new = replace(counts((5, 5, 5, 985)), unseen=980, examples=("u1",))
    found = judged(CATEGORY, counts((5, 5, 5, 985)), new)
    assert (found.level, found.reason) == (Level.UNKNOWN, "most of its values are rare: an id?")


def test_rare_values_do_not_look_like_drift() -> None:
    """Values that too few documents have are one cell, whose count is not zero by chance."""
    values = tuple(f"v{k}" for k in range(30))
    cells = Cells("request.elements.x", Kind.CATEGORY, values=values, known=values)
    found = judged(cells, counts((9000, *(34,) * 29, 14)), counts((180, *([2, 0] * 14), 0, 0)))
    assert found.level is Level.NONE and found.distances is not None


def of_numbers(generator: np.random.Generator, n: int, m: int) -> tuple[Cells, Counts, Counts]:
    a, b = generator.normal(size=n), generator.normal(size=m)
    edges = np.quantile(a, np.arange(1, 10) / 10)
    before, after = (counts(tuple(map(int, np.histogram(x, [-99, *edges, 99])[0]))) for x in (a, b))
    beyond = {"below": int((b < a.min()).sum()), "above": int((b > a.max()).sum())}
    return replace(NUMBER, edges=tuple(edges), low=a.min(), high=a.max()), before, replace(after, **beyond)


def of_texts(generator: np.random.Generator, n: int, m: int, values: int, power: float) -> tuple[Cells, Counts, Counts]:
    """Values whose frequencies fall by a power of their rank; cells as `choose_cells` chooses them."""
    shares = 1 / np.arange(1, values + 1) ** power
    a, b = (generator.multinomial(size, shares / shares.sum()) for size in (n, m))
    own = [k for k in np.argsort(-a)[:50] if a[k] >= 0.005 * n]
    known = tuple(str(k) for k in np.flatnonzero(a))
    before, after = (counts((*map(int, x[own]), int(x.sum() - x[own].sum()))) for x in (a, b))
    cells = replace(CATEGORY, values=tuple(map(str, own)), known=known if len(known) <= 500 else None)
    return cells, before, replace(after, unseen=None if cells.known is None else int(b[a == 0].sum()))


@pytest.mark.parametrize(("n", "m"), [(1000, 100), (200, 150), (300, 20_000), (1000, 1000)])
@pytest.mark.parametrize("kind", [(), (60, 1.0), (200, 1.0), (200, 1.5)])
def test_chance_is_neither_drift_nor_a_problem(n: int, m: int, kind: tuple[Any, ...]) -> None:
    """Few documents, rare values, small samples: nothing has changed, and hardly ever is anything said to have."""
    generator = np.random.default_rng(6)
    found = []
    for _ in range(10):
        fields, baselines, current = [], {}, {}
        for k in range(40):
            path = f"request.elements.f{k}"
            cells, before, current[path] = (of_texts if kind else of_numbers)(generator, n, m, *kind)
            fields.append(Candidate(path, Role.INPUT, cells.kind, cells.kind))
            baselines[path] = Baseline(replace(cells, field=path), before, "")
        found += judge(fields, baselines, current)
    assert sum(each.level in (Level.MODERATE, Level.MAJOR) for each in found) / len(found) <= 0.01
    assert sum(bool(each.problems) for each in found) / len(found) <= 0.03


def test_new_values_of_many_are_found() -> None:
    """A tenth of new values among hundreds of rare ones is a problem; the other values have not drifted by that."""
    cells, before, after = of_texts(np.random.default_rng(6), 5000, 5000, 200, 1.5)
    assert not judged(cells, before, after).problems and after.unseen is not None
    found = judged(cells, before, replace(after, unseen=after.unseen + 500))
    assert [each.check.value for each in found.problems] == ["new values"]


def test_baselines_survive_storing() -> None:
    """A baseline is the same after it was stored; anything else is no baseline."""
    for cells, found in ((NUMBER, counts((3,) * 10, below=0)), (CATEGORY, counts((1, 2, 3, 4)))):
        baseline = Baseline(cells, found, "2026-01-01T00:00:00Z")
        assert Baseline.of(baseline.as_json()) == baseline
    whole = Baseline(NUMBER, counts((3,) * 10), "").as_json()
    for bad in (None, [], {}, {**whole, "cells": {}}, {**whole, "counts": {**whole["counts"], "cells": [1, 2]}},
                {**whole, "counts": {**whole["counts"], "documents": "many"}},
                {**whole, "cells": {**whole["cells"], "kind": "cube"}},
                {**whole, "cells": {**whole["cells"], "edges": ["x"] * 9}}):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            Baseline.of(bad)
