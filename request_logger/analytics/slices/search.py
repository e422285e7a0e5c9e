"""Finds the worst slices of one task on one half of the folds, and confirms them on the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from request_logger.analytics.buckets import Segment, fill
from request_logger.analytics.contrasts import ALPHA
from request_logger.analytics.corrections import benjamini_hochberg
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import having
from request_logger.analytics.slices.counting import Counted, count_pairs, count_parts
from request_logger.analytics.slices.effects import Effect, Measure, effect_of, interval_of, rest_of
from request_logger.analytics.slices.parts import Part, parts_of
from request_logger.analytics.slices.shrinkage import Shrinkage
from request_logger.documents.folds import FOLD, FOLDS

_HALF = FOLDS // 2
FINDING: Query = {"range": {FOLD: {"lt": _HALF}}}
CONFIRMING: Query = {"range": {FOLD: {"gte": _HALF}}}
# Fewer documents, or a smaller share of them, don't make a slice: what they show is hardly worth the look.
LEAST_DOCUMENTS = 30
LEAST_SHARE = 0.01
# Of the slices that are found, a share of at most this is expected to be false (Benjamini and Hochberg).
FALSE_DISCOVERIES = 0.1
# Pairs are looked at of the fields whose parts differ most: 45 pairs of fields, not 4,950.
_PAIRED_FIELDS = 10
# More slices than a table can usefully show.
MOST_FOUND = 50
# Documents whose values decide which parts are looked at. An edge is then off by less than 1 % of the documents.
_SAMPLE = 20_000
# Parts that were tested, with their effects and sums.
Tested = dict[tuple[Part, ...], tuple[Effect, MomentSums]]


class Rank(StrEnum):
    """The order of slices."""

    EFFECT = "effect"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice that is worse than the rest: its effect where it was found, and where it was looked at again.

    ``adjusted`` is the p-value where it was found, corrected for all slices that were looked at; ``again`` the one on
    the other half, corrected for all slices that were found. ``shrunk`` is the effect where it was found, shrunk.
    """

    parts: tuple[Part, ...]
    found: Effect
    adjusted: float
    shrunk: float
    second: Effect | None = None
    interval: tuple[float, float] | None = None
    again: float = 1.0

    @property
    def is_confirmed(self) -> bool:
        """Whether the other half of the folds shows it as well."""
        return self.second is not None and self.second.worse > 0 and self.again < ALPHA

    @property
    def cost(self) -> float:
        """The sum over its documents of both halves that equal quality would save."""
        sizes = self.found.n + (self.second.n if self.second else 0)
        return sizes * self.shrunk


@dataclass(frozen=True, slots=True)
class Search:
    """The slices of a task, the worst first, with what was looked at.

    ``tested`` single parts of ``fields`` fields, and ``pairs`` of them; ``worse`` is how many are worse, of which
    MOST_FOUND are looked at again.
    """

    found: list[Slice] = field(default_factory=list)
    fields: int = 0
    tested: int = 0
    pairs: int = 0
    worse: int = 0


def find_slices(
    runner: QueryRunner,
    scope: Scope,
    only: Query,
    fields: Sequence[Field],
    measure: Measure,
    documents: int,
    rank: Rank = Rank.EFFECT,
) -> Search:
    """Return the worst slices among ``documents`` that have a fold. Raises what :class:`QueryRunner` raises."""
    groups = parts_of(runner, scope, fields, having(only, _sample(documents)))
    finding = having(only, FINDING)
    tested = _tested(count_parts(runner, scope, finding, groups, measure.field), measure)
    singles, looked_at = len(tested), {part.field for parts in tested for part in parts}
    promising = _promising(tested)
    pairs = [[part for part in group if (part,) in tested and not part.is_missing] for group in groups]
    chosen = [group for group in pairs if group and group[0].field in promising]
    tested |= _tested(count_pairs(runner, scope, finding, chosen, measure.field), measure)
    found = _worse(tested, measure)
    ranked = sorted(found, key=lambda each: -(each.shrunk if rank is Rank.EFFECT else each.cost))[:MOST_FOUND]
    confirmed = _looked_at_again(runner, scope, having(only, CONFIRMING), ranked, measure)
    # Those that the other half shows as well are first; sorted is stable.
    listed = sorted(confirmed, key=lambda each: not each.is_confirmed)
    return Search(listed, len(looked_at), singles, len(tested) - singles, len(found))


def _sample(documents: int) -> Query:
    """Return the query for about _SAMPLE documents of the half that slices are found on."""
    folds = min(max(math.ceil(_SAMPLE * FOLDS / max(documents, 1)), 1), _HALF)
    return {"range": {FOLD: {"lt": folds}}}


def _tested(counted: Iterable[Counted], measure: Measure) -> Tested:
    found: Tested = {}
    for parts, sums, whole in counted:
        rest = rest_of(whole, sums)
        if sums.n >= max(LEAST_DOCUMENTS, LEAST_SHARE * whole.n) and rest.n >= LEAST_DOCUMENTS:
            effect = effect_of(sums, rest, measure)
            if effect is not None:
                found[parts] = effect, sums
    return found


def _promising(tested: Tested) -> set[Field]:
    least: dict[Field, float] = {}
    for (part,), (effect, _) in tested.items():
        least[part.field] = min(least.get(part.field, 1.0), effect.p_value)
    return set(sorted(least, key=lambda field: (least[field], field.path))[:_PAIRED_FIELDS])


def _worse(tested: Tested, measure: Measure) -> list[Slice]:
    effects = [effect for effect, _ in tested.values()]
    adjusted = benjamini_hochberg([effect.p_value for effect in effects])
    pairs = sum(len(parts) > 1 for parts in tested)
    shrinkage = Shrinkage.of([effect.worse for effect in effects], [effect.error for effect in effects])
    return [
        Slice(parts, effect, q, shrinkage.shrunk(effect.worse, effect.error))
        for (parts, (effect, _)), q in zip(tested.items(), adjusted, strict=True)
        if effect.worse > 0 and q <= FALSE_DISCOVERIES and _adds(parts, tested, measure, pairs)
    ]


def _adds(
    parts: tuple[Part, ...],
    tested: Tested,
    measure: Measure,
    pairs: int,
) -> bool:
    """Return whether a pair is worse than the other documents of each of its parts: else the part alone tells it.

    The level is divided by the number of pairs (Bonferroni): below one bad slice all of its pairs are bad, and of a
    thousand some differ from their part by chance.
    """
    if len(parts) == 1:
        return True
    _, sums = tested[parts]
    for part in parts:
        _, parent = tested[(part,)]
        inside = effect_of(sums, rest_of(parent, sums), measure)
        if inside is None or inside.worse <= 0 or inside.p_value >= ALPHA / pairs:
            return False
    return True


def _looked_at_again(
    runner: QueryRunner, scope: Scope, only: Query, ranked: Sequence[Slice], measure: Measure
) -> list[Slice]:
    """Return slices with what the other half of the folds shows, counted by a query for each."""
    if not ranked:
        return []
    statistic = Moments(measure.field)
    queries = [having(), *(having(*(part.only for part in each.parts)) for each in ranked)]
    segments = fill(
        runner, scope, [statistic], [Segment(k, "", 0, query, {}) for k, query in enumerate(queries)], [only]
    )
    whole: MomentSums = segments[0].answers[statistic]
    sums: list[MomentSums] = [each.answers[statistic] for each in segments[1:]]
    effects = [_least_effect(each, rest_of(whole, each), measure) for each in sums]
    again = benjamini_hochberg([effect.p_value if effect else 1.0 for effect in effects])
    return [
        Slice(
            each.parts,
            each.found,
            each.adjusted,
            each.shrunk,
            effect,
            interval_of(part, rest_of(whole, part), measure) if effect else None,
            p_value,
        )
        for each, part, effect, p_value in zip(ranked, sums, effects, again, strict=True)
    ]


def _least_effect(part: MomentSums, rest: MomentSums, measure: Measure) -> Effect | None:
    if min(part.n, rest.n) < LEAST_DOCUMENTS:
        return None
    return effect_of(part, rest, measure)
