"""Judges whether the documents of each model were scored alike: figures over a part of them may be wrong.

A scorer sees one pair at a time. What it can't tell is unscorable, and such pairs are seldom a random part: of the
labels 1 and 2, only those of 2. Others it reads differently: a probability that is exactly 1 as an answer. Only the
documents of a model together show it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import PREFIX
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import any_of, exists, having, without
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.scoring.evidence import SLIPS
from scorers.auto import most_general
from scorers.base import Metric, Terms
from scorers.reasons import Reason

# Of the predictions without a probability: a log loss of at most 36 for each changes the mean by less than 0.04.
_MOST_PARTIAL = 0.001
# The fields that only some readings of a prediction have -> the fields that come with each.
_PARTIAL = {
    "log_loss": ("log_loss", "brier", "score_bin", "calibration_bin"),
    "reciprocal_rank": ("reciprocal_rank", "truth_rank"),
    "ranked_probability_score": ("ranked_probability_score",),
}
_CLASSES = "classes=NAME|NAME"
# The reasons that select pairs by what is in them -> the option that the text names, as an example.
_SELECTING = {
    Reason.POSITIVE_UNKNOWN: "positive_label=NAME",
    Reason.TRUTH_NO_COLUMN: _CLASSES,
    Reason.TRUTH_BETWEEN_CLASSES: _CLASSES,
    Reason.PREDICTION_BETWEEN_CLASSES: _CLASSES,
    Reason.INDICATOR_UNKNOWN: "indicator=true",
    Reason.SCORES_UNKNOWN: "scores=true",
    Reason.PREDICTION_NOT_PROBABILITY: "logits=true",
}
_NO_NAME = "CLASS_"
_UNSCORABLE = f"{PREFIX}unscorable"
_LABELS = (f"{PREFIX}truth_label", f"{PREFIX}predicted_label")
_UNNAMED = tuple({"prefix": {label: _NO_NAME}} for label in _LABELS)
_WITH_TRUTH = without({"term": {f"{PREFIX}basis": "reward"}})
_SCORED = without(exists(_UNSCORABLE))
_PARTS = {
    "blocked": {"terms": {_UNSCORABLE: [*_SELECTING]}},
    # A correct answer is one class, so a pair of a class with a name and one without makes neither.
    "by_column": having(_SCORED, *_UNNAMED),
    "by_name": without(any_of(*_UNNAMED), _SCORED, *map(exists, _LABELS)),
}
"""What documents of a group are counted by."""
_PAGE = 200
# Models that the notes name; a report over many has one line for the others.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Group:
    """The documents of one model that one scorer read: their number, and of the scored ones what they have.

    ``origin`` has its namespace, deployment, predictor and model as far as they are known; ``blocked`` has the numbers
    of unscorable documents by reason, ``having`` those of scored ones by field; ``by_column`` and ``by_name`` count
    those whose classes have columns only, and names only.
    """

    origin: tuple[tuple[str, str], ...]
    scorer: str
    scored: int
    blocked: Mapping[str, int]
    having: Mapping[str, int]
    by_column: int
    by_name: int

    @property
    def partial(self) -> dict[str, float]:
        """The fields that some scored documents have, and others don't, with the share of those that don't."""
        known = self.having["correct"]
        return {name: (known - n) / known for name in _PARTIAL if 0 < (n := self.having[name]) < known}

    @property
    def is_named_twice(self) -> bool:
        """Whether some documents have the classes' names, and others only their columns."""
        return bool(self.by_column and self.by_name)

    def command(self, scorer: str = "") -> str:
        """Return the command that scores the documents of this model again, by default as SCORER says."""
        options = [f"--{name} {shlex.quote(value)}" for name, value in self.origin]
        named = ["--scorer", shlex.quote(scorer)] if scorer else []
        return " ".join(["request-logger rescore", *options, *named])

    @property
    def name(self) -> str:
        """The model, for people."""
        return "/".join(value for _, value in self.origin) or "documents without an origin"


@dataclass(slots=True)
class Judgement:
    """What the figures of each scorer must do without.

    ``reasons``: why there are none. ``fields``: those whose metrics are refused. ``notes``: why, and what helps.
    ``warnings``: of models whose documents several scorers read, so that no scorer has the figures of all.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    fields: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def kept(self, scorer: str, metrics: Iterable[Metric]) -> tuple[Metric, ...]:
        """Return the metrics of a scorer that all of its documents are in."""
        refused = self.fields.get(scorer, set())
        return tuple(metric for metric in metrics if refused.isdisjoint(_fields_of(metric)))


def judge(runner: QueryRunner, scope: Scope) -> Judgement:
    """Return the judgement on a scope's documents. Raises what :class:`QueryRunner` raises."""
    return Judgement() if _are_alike(runner, scope) else judgement_of(groups_of(runner, scope, ORIGIN_KEYWORDS))


def _are_alike(runner: QueryRunner, scope: Scope) -> bool:
    """Return whether one scorer read all documents alike, by counts, which take little time."""
    scorers = Terms("scorer")
    names: dict[str, int] = runner.fetch(scope, [scorers], _WITH_TRUTH)[scorers]
    if len(names) != 1:
        return not names
    fields = {name: having(_SCORED, exists(f"{PREFIX}{name}")) for name in ("correct", *_PARTIAL)}
    only: list[Query] = [_WITH_TRUTH, {"term": {f"{PREFIX}scorer": next(iter(names))}}]
    found = runner.counts(scope, {**_PARTS, **fields}, *only)
    group = Group((), "", 0, {}, {name: found[name] for name in fields}, found["by_column"], found["by_name"])
    return not (found["blocked"] or group.partial or group.is_named_twice)


def judgement_of(groups: Sequence[Group]) -> Judgement:
    """Return the judgement on groups, one per model and scorer. Pure."""
    judgement = Judgement()
    for scorer in dict.fromkeys(group.scorer for group in groups):
        own = [group for group in groups if group.scorer == scorer]
        _judge_blocked(own, judgement)
        _judge_partial(own, judgement)
        _judge_names(own, judgement)
    _judge_choice(groups, judgement)
    return judgement


def comparable(
    runner: QueryRunner, scope: Scope, groups: Sequence[Query], scorer: str, metrics: Iterable[Metric]
) -> tuple[Metric, ...]:
    """Return the metrics of a scorer that all documents of some groups are in.

    Raises BadQueryError where there are no figures, and what :class:`QueryRunner` raises.
    """
    judgement = judge(runner, scope.having(any_of(*groups)))
    if scorer in judgement.reasons:
        raise BadQueryError(judgement.reasons[scorer])
    return judgement.kept(scorer, metrics)


def groups_of(runner: QueryRunner, scope: Scope, origins: Mapping[str, str]) -> list[Group]:
    """Return the groups of a scope's documents with a truth, the largest first.

    ``origins`` are the fields of the origin by name.
    """
    counted = {name: {"value_count": {"field": f"{PREFIX}{name}"}} for name in ("correct", *_PARTIAL)}
    inner = {
        "scored": counted,
        "blocked": {"reasons": {"terms": {"field": _UNSCORABLE, "size": len(_SELECTING)}}},
    }
    aggs = {
        name: {"filter": query, **({"aggs": inner[name]} if name in inner else {})}
        for name, query in {"scored": _SCORED, **_PARTS}.items()
    }
    sources: dict[str, Any] = {
        name: {"terms": {"field": path, "missing_bucket": True}} for name, path in origins.items()
    }
    sources["scorer"] = {"terms": {"field": f"{PREFIX}scorer"}}
    pages = runner.pages(scope, sources, aggs, _WITH_TRUTH, size=_PAGE)
    found = [_group(bucket) for bucket in pages]
    return sorted(found, key=lambda group: (-group.scored, group.origin, group.scorer))


def _group(bucket: Mapping[str, Any]) -> Group:
    key, scored = bucket["key"], bucket["scored"]
    reasons = bucket["blocked"].get("reasons", {}).get("buckets", [])
    return Group(
        tuple((name, str(key[name])) for name in ORIGIN_KEYWORDS if key.get(name)),
        str(key["scorer"]),
        int(scored["doc_count"]),
        {str(each["key"]): int(each["doc_count"]) for each in reasons},
        {name: int(scored[name]["value"]) for name in ("correct", *_PARTIAL)},
        int(bucket["by_column"]["doc_count"]),
        int(bucket["by_name"]["doc_count"]),
    )


def _judge_blocked(groups: Sequence[Group], judgement: Judgement) -> None:
    affected = [group for group in groups if group.blocked]
    if not affected:
        return
    scorer = affected[0].scorer
    blocked = sum(sum(group.blocked.values()) for group in affected)
    pairs = blocked + sum(group.scored for group in groups)
    reason = max(affected[0].blocked, key=affected[0].blocked.__getitem__)
    text = f"{blocked:,} of {pairs:,} pairs can't be scored by {scorer}: {reason}"
    advice = f"({_named(affected)}; then: {affected[0].command(f'{scorer}:{_SELECTING[Reason(reason)]}')})"
    if blocked > SLIPS * pairs:
        judgement.reasons[scorer] = f"{text}. The others are no random part, so there are no figures {advice}"
    else:
        judgement.notes.append(f"{text}. The figures leave them out {advice}.")


def _judge_partial(groups: Sequence[Group], judgement: Judgement) -> None:
    mixed = [group for group in groups if group.partial]
    if not mixed:
        return
    first, scorer = mixed[0], mixed[0].scorer
    refused = {name for group in mixed for name, lacking in group.partial.items() if lacking > _MOST_PARTIAL}
    judgement.fields[scorer] = {field for name in refused for field in _PARTIAL[name]}
    counts = " and ".join(
        f"{first.having[name]:,} of {first.having['correct']:,} have {name}" for name in first.partial
    )
    option = "indicator=true" if scorer == "multilabel" else "probabilities=true"
    if scorer == "ordinal" or ("reciprocal_rank" not in first.partial and scorer == "multiclass"):
        option = "logits=true"
    judgement.notes.append(
        f"Of the predictions that {scorer} scored, {counts} ({_named(mixed)}), as where some probabilities are exactly"
        f" 0 or 1: metrics of these fields are of another part of the documents than the accuracy"
        f"{', so they are left out' if refused else ''}. To read all alike: {first.command(f'{scorer}:{option}')}."
    )


def _judge_names(groups: Sequence[Group], judgement: Judgement) -> None:
    both = [group for group in groups if group.is_named_twice]
    if both:
        first = both[0]
        judgement.notes.append(
            f"Classes have names in {first.by_name:,} pairs, and only columns ({_NO_NAME}0) in {first.by_column:,}"
            f" ({_named(both)}): a class may be two in the figures. To name all:"
            f" {first.command(f'{first.scorer}:{_CLASSES}')}."
        )


def _judge_choice(groups: Sequence[Group], judgement: Judgement) -> None:
    """Warn of the models that several scorers read, as `auto` does before a model has shown all its forms."""
    by_origin: dict[Any, list[Group]] = {}
    for group in groups:
        by_origin.setdefault(group.origin, []).append(group)
    several = [each for each in by_origin.values() if len(each) > 1]
    for each in several[:_MOST_NAMED]:
        counts = " and ".join(f"{group.scorer} ({group.scored:,})" for group in each)
        general = most_general(group.scorer for group in each)
        judgement.warnings.append(
            f"{each[0].name} was scored by {counts}: each has the figures of a part. To score all alike, as auto reads"
            f" the whole deployment (if it still finds several, set SCORER or a rule to {general} first):"
            f" {each[0].command()}."
        )
    if len(several) > _MOST_NAMED:
        judgement.warnings.append(f"{len(several) - _MOST_NAMED} more models were scored by several scorers each.")


def _named(groups: Sequence[Group]) -> str:
    names = [group.name for group in groups]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _fields_of(metric: Metric) -> set[str]:
    found: set[str] = set()
    for need in metric.needs.values():
        for name in ("field", "by", "fields"):
            value = getattr(need, name, None)
            found.update([value] if isinstance(value, str) else value or [])
    return found
