"""Judges the fields: how far each has drifted beyond noise, and the quality of its data. Pure code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from request_logger.analytics.corrections import benjamini_hochberg
from request_logger.analytics.drift import distances
from request_logger.analytics.drift.baselines import Baseline, Counts, Kind
from request_logger.analytics.drift.candidates import Candidate, Role
from request_logger.analytics.drift.chance import beyond_range, least_unlikely, new_values
from request_logger.analytics.intervals import z_of

# The conventional limits of the PSI: below the first nothing happened, above the second a model is reviewed.
MODERATE, MAJOR = 0.1, 0.25
# The share of fields with a verdict of drift that may be false, and the level of the noise floor.
ALPHA = 0.05
# Documents of a side below which a distribution is not judged: a tenth of them expects ten documents.
LEAST_DOCUMENTS = 100
# With more documents on both sides any difference is significant: the distance alone decides.
MOST_TESTED = 100_000
# Changes of data quality (shares of the documents) that are too small to matter.
LEAST_CHANGE = 0.01
# The share of values beyond the reference's is above this many of its documents with a probability of 0.0005.
_BEYOND = 10
# A category whose cells have fewer of the reference's values is an id or a text rather than a category.
_LEAST_COVERED = 0.5


class Level(StrEnum):
    """How much a field's distribution has changed, in ascending order."""

    NONE = "none"
    MODERATE = "moderate"
    MAJOR = "major"
    UNKNOWN = "unknown"


class Check(StrEnum):
    """What is checked of the quality of data: each is a share of the documents, or of the values."""

    MISSING = "missing"
    NEW_VALUES = "new values"
    OUT_OF_RANGE = "out of range"
    NOT_INDEXED = "not indexed"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Problem:
    """A check that failed: the share on both sides, the ``limit`` of its change, and what is known of the values."""

    check: Check
    reference: float
    current: float
    limit: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Distances:
    """How far two distributions are apart, and what chance alone gives.

    ``threshold`` is that of the PSI for drift, ``floor`` the noise in it. ``adjusted`` is ``p_value`` for all fields
    that were tested; both are None for more than MOST_TESTED documents.
    """

    psi: float
    jensen_shannon: float
    l_infinity: float
    kolmogorov_smirnov: float | None
    floor: float
    threshold: float
    p_value: float | None
    adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """The judgement of a field; without ``distances`` there is a ``reason``. ``problems`` don't change the level."""

    name: str
    role: Role
    level: Level
    baseline: Baseline | None
    current: Counts | None
    distances: Distances | None = None
    reason: str = ""
    problems: tuple[Problem, ...] = ()


def judge(
    fields: Sequence[Candidate], baselines: Mapping[str, Baseline], counts: Mapping[str, Counts]
) -> list[FieldDrift]:
    """Return the judgement of each field, in their order."""
    found = [_field(each, baselines.get(each.path), counts.get(each.path), len(fields)) for each in fields]
    tested = {
        each.name: each.distances.p_value for each in found if each.distances and each.distances.p_value is not None
    }
    adjusted = dict(zip(tested, benjamini_hochberg(list(tested.values())), strict=True))
    return [_with_level(each, adjusted.get(each.name)) for each in found]


def _field(each: Candidate, baseline: Baseline | None, current: Counts | None, fields: int) -> FieldDrift:
    known = FieldDrift(each.name, each.role, Level.UNKNOWN, baseline, current)
    if baseline is None or current is None:
        return replace(known, reason="no document of the reference has it")
    if each.current not in (None, baseline.cells.kind):
        problem = Problem(Check.TYPE, 0.0, 1.0, 0.0, f"{baseline.cells.kind} in the reference, {each.current} now")
        return replace(known, reason="it has another type", problems=(problem,))
    known = replace(known, problems=tuple(_problems(baseline, current, fields)))
    reason = _reason(baseline, current)
    return replace(known, reason=reason) if reason else replace(known, distances=_distances(baseline, current))


def _reason(baseline: Baseline, current: Counts) -> str:
    """Return why the distributions can't be compared; empty if they can."""
    for side, counts in (("of the reference", baseline.counts), ("documents now", current)):
        if counts.present < LEAST_DOCUMENTS or not counts.values:
            return f"fewer than {LEAST_DOCUMENTS} {side} have it"
    return "most of its values are rare: an id?" if _is_id(baseline) else ""


def _is_id(baseline: Baseline) -> bool:
    counts = baseline.counts
    return baseline.cells.kind is Kind.CATEGORY and 1 - counts.cells[-1] / counts.values < _LEAST_COVERED


def _distances(baseline: Baseline, current: Counts) -> Distances:
    is_number = baseline.cells.kind is Kind.NUMBER
    merge = distances.merged_neighbours if is_number else distances.merged_rare
    groups = merge(baseline.counts.cells, current.cells)
    before, after = (distances.summed(each.cells, groups) for each in (baseline.counts, current))
    floor = distances.noise_floor(before, after, 1 - ALPHA)
    is_tested = min(baseline.counts.values, current.values) <= MOST_TESTED
    return Distances(
        distances.psi(before, after),
        distances.jensen_shannon(before, after),
        distances.l_infinity(before, after),
        distances.kolmogorov_smirnov(before, after) if is_number else None,
        floor,
        max(MODERATE, floor),
        distances.homogeneity(before, after) if is_tested else None,
    )


def _with_level(found: FieldDrift, adjusted: float | None) -> FieldDrift:
    known = found.distances
    level = Level.UNKNOWN if known is None else Level.NONE
    if known is not None:
        known = replace(known, adjusted=adjusted)
        if known.psi > known.threshold and (adjusted is None or adjusted <= ALPHA):
            level = Level.MAJOR if known.psi > max(MAJOR, known.floor) else Level.MODERATE
    return replace(found, level=level, distances=known)


def _problems(baseline: Baseline, current: Counts, fields: int) -> list[Problem]:
    before = baseline.counts
    if not before.documents or not current.documents:
        return []
    found = []
    for check, a, b in (
        (Check.MISSING, before.documents - before.present, current.documents - current.present),
        (Check.NOT_INDEXED, before.ignored, current.ignored),
    ):
        problem = _changed(check, (a, before.documents), (b, current.documents), fields)
        found += [problem] if problem else []
    return [*found, *_unknown_values(baseline, current, fields)]


def _changed(check: Check, before: tuple[int, int], after: tuple[int, int], fields: int) -> Problem | None:
    """Return the problem where a share has changed by more than LEAST_CHANGE and by more than chance gives.

    The level is that of all fields together (Bonferroni), since one false alarm in twenty fields would be one per look.
    """
    (a, n), (b, m) = before, after
    pooled = (a + b) / (n + m)
    noise = z_of(1 - ALPHA / max(fields, 1)) * math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    limit = max(LEAST_CHANGE, noise)
    # Fewer missing values than before are a change, too: a default may have been filled in.
    return Problem(check, a / n, b / m, limit) if abs(b / m - a / n) > limit else None


def _unknown_values(baseline: Baseline, current: Counts, fields: int) -> list[Problem]:
    """Return the problems with values that the reference doesn't have.

    Chance alone gives some: the more, the fewer documents there are, and the more rare values the reference has.
    """
    n, m = baseline.counts.values, current.values
    if not n or not m:
        return []
    level = ALPHA / max(fields, 1)
    if baseline.cells.kind is Kind.NUMBER:
        beyond = current.below + current.above
        noise = least_unlikely(lambda count: beyond_range(count, n, m), m, level)
        limit = max(LEAST_CHANGE, _BEYOND / n, noise / m)
        if beyond / m <= limit:
            return []
        detail = f"{current.below:,} below {baseline.cells.low:g}, {current.above:,} above {baseline.cells.high:g}"
        return [Problem(Check.OUT_OF_RANGE, 0.0, beyond / m, limit, detail)]
    # The values of an id are always new.
    if current.unseen is None or baseline.cells.known is None or _is_id(baseline):
        return []
    # At most so many values were there once. Chance brings about as many new ones per document as there were such.
    once = len(baseline.cells.known) - len(baseline.cells.values) + baseline.counts.cells[:-1].count(1)
    noise = least_unlikely(lambda count: new_values(count, once, n, m), m, level)
    limit = max(LEAST_CHANGE, _BEYOND / n, noise / m)
    share = current.unseen / m
    return [Problem(Check.NEW_VALUES, 0.0, share, limit, ", ".join(current.examples))] if share > limit else []
