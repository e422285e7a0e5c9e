"""Lists the deployments of some documents: what each has, who scored it, and its headline figure with an interval.

Each deployment has its own figure. One over several deployments would be of unrelated models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from request_logger.analytics.buckets import Segment, fill
from request_logger.analytics.conditions import where
from request_logger.analytics.consistency import Group, Judgement, groups_of, judge, judgement_of
from request_logger.analytics.estimate_json import as_json
from request_logger.analytics.estimates import Estimate, estimates, needs_folds, statistics_of, with_folds
from request_logger.analytics.jackknife import fetch_folds
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import (
    DEPLOYMENT,
    NAMESPACE,
    PREDICTION_DATE,
    PREDICTOR,
    Query,
    Scope,
    find_scope,
    scored_by,
)
from request_logger.analytics.selection import IN_BATCHES, PREDICTION, WITH_FEEDBACK, any_of, exists, having, without
from request_logger.analytics.surface import Control, Surface
from request_logger.analytics.tasks import Task, metrics_of
from request_logger.analytics.vocabularies import DISJOINT, are_disjoint
from request_logger.common.chunks import chunks
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.common.times import utc_text
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader
from scorers.classification import MATRIX

Report = dict[str, Any]

# As many as a page or a terminal shows, and one search for the figures of each scorer (`buckets.fill`).
MOST_LISTED = 50
# Deployments that are read at most: thousands of names are those of a sender that makes them up.
_MOST_READ = 5_000
# With up to 28 buckets for each deployment these pages stay below the 10,000 buckets that old search engines allow.
_PAGE = 200
# Deployments that are counted and judged one by one: each takes a few searches, most of which only count.
_MOST_ALONE = 5
# Predictors and scorers of a deployment that are named.
_MOST_NAMED = 10

_PREDICTORS = {"terms": {"field": PREDICTOR, "size": _MOST_NAMED}}
_SCORERS = {"terms": {"field": "metrics.scorer", "size": _MOST_NAMED}}
_REASONS = {"terms": {"field": "metrics.unscorable", "size": 1}}
_LAST_SEEN = {"max": {"field": PREDICTION_DATE}}
_UNSCORABLE = exists("metrics.unscorable")
_SCORED = without(_UNSCORABLE, exists("metrics.scorer"))
_SOURCES: Mapping[str, str] = {"namespace": NAMESPACE, "deployment": DEPLOYMENT}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment: its names (empty where its documents have none), and counts of its documents."""

    namespace: str
    name: str
    predictors: tuple[str, ...]
    predictions: int
    with_feedback: int
    scored: int
    in_batches: int
    scorers: Mapping[str, int]
    """The number of documents per scorer, the most first."""
    unscorable: str
    """The most frequent reason why feedback could not be scored; empty without any."""
    last_seen: datetime | None

    @property
    def only(self) -> Query:
        """The query for its documents."""
        return _only(self.namespace, self.name)

    @property
    def target(self) -> str:
        """What selects it in every command; empty without a name."""
        return f"{self.namespace}/{self.name}" if self.namespace and self.name else self.name

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions (`conditions.where`) that select it in addition to the target: of the names that it lacks."""
        if self.name:
            return () if self.namespace else ("namespace=",)
        return (f"namespace={self.namespace}", "deployment=")


@dataclass(frozen=True, slots=True)
class Deployments:
    """The deployments with predictions, the most first; ``is_cut``: there are more, which were not read."""

    found: list[Deployment]
    is_cut: bool = False

    @property
    def are_several(self) -> bool:
        """Whether one report over all of them would be of several models.

        Documents without a namespace are those of the deployment of the same name, if there is only one.
        """
        names = {each.name for each in self.found}
        return len(names) > 1 or len({each.namespace for each in self.found if each.namespace}) > 1 or self.is_cut


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Which documents are listed; see `find_scope` for the fields, and `conditions.where`; ``surface`` of the notes."""

    target: str = ""
    start: str | None = None
    end: str | None = None
    where: tuple[str, ...] = ()
    surface: Surface = Surface.TERMINAL


def list_deployments(
    engine: EngineReader, settings: Settings, options: ListOptions, *, only_own: bool = False
) -> Report:
    """Return the deployments as JSON. Raises BadQueryError for an invalid option, StoreUnavailableError."""
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, options.target, options.start, options.end, only_own=only_own)

    def read() -> Report:
        chosen = where(runner, scope, options.where)
        return deployments_report(runner, chosen, settings, find_deployments(runner, chosen), options.surface)

    report = runner.settled(read, scope.indices)
    left_out = runner.left_out.as_json()
    return {
        "target": options.target,
        "indices": scope.indices,
        **{name: value for name, value in (("from", options.start), ("to", options.end)) if value},
        **({"where": list(options.where)} if options.where else {}),
        **report,
        **({"left_out": left_out, "notes": [left_out_note(left_out), *report["notes"]]} if left_out else {}),
    }


def find_deployments(runner: QueryRunner, scope: Scope) -> Deployments:
    """Return the deployments that have predictions. Raises what :class:`QueryRunner` raises."""
    sources = {name: {"terms": {"field": field, "missing_bucket": True}} for name, field in _SOURCES.items()}
    named = list(runner.pages(scope, sources, None, PREDICTION, size=_PAGE, most=_MOST_READ))
    if len(named) <= _MOST_ALONE:
        # In the buckets of all, the same figures take several times as long.
        found = [_counted_alone(runner, scope, each) for each in named]
    else:
        aggs = {
            "predictors": _PREDICTORS,
            "with_feedback": {"filter": WITH_FEEDBACK},
            "scored": {"filter": _SCORED, "aggs": {"scorers": _SCORERS}},
            "in_batches": {"filter": IN_BATCHES},
            "unscorable": _REASONS,
            "last_seen": _LAST_SEEN,
        }
        pages = runner.pages(scope, sources, aggs, PREDICTION, size=_PAGE, most=_MOST_READ)
        found = [_deployment(each) for each in pages]
    found.sort(key=lambda each: (-each.predictions, each.namespace, each.name))
    return Deployments(found, is_cut=len(found) == _MOST_READ)


def _only(namespace: str, name: str) -> Query:
    named = {NAMESPACE: namespace, DEPLOYMENT: name}
    lacking = [exists(field) for field, value in named.items() if not value]
    terms: list[Query] = [{"term": {field: value}} for field, value in named.items() if value]
    return {"bool": {"filter": terms, "must_not": lacking}}


def _counted_alone(runner: QueryRunner, scope: Scope, bucket: Mapping[str, Any]) -> Deployment:
    """Return a deployment by searches of its documents alone; ``bucket`` has its names and predictions."""
    key = bucket["key"]
    own = scope.having(_only(str(key.get("namespace") or ""), str(key.get("deployment") or "")), PREDICTION)
    counts = runner.counts(own, {"with_feedback": WITH_FEEDBACK, "scored": _SCORED, "in_batches": IN_BATCHES})
    # A document that was written since the predictions were counted must not make a share larger than 1.
    found = {name: {"doc_count": min(count, int(bucket["doc_count"]))} for name, count in counts.items()}
    scorers = runner.aggregate(own, {"scorers": _SCORERS}, _SCORED)
    reasons = runner.aggregate(own, {"unscorable": _REASONS}, _UNSCORABLE)
    others = runner.aggregate(own, {"predictors": _PREDICTORS, "last_seen": _LAST_SEEN})
    # Whose indices are deleted meanwhile has no answers.
    nothing: dict[str, Any] = {"predictors": {}, "last_seen": {}, "unscorable": {}}
    return _deployment({**nothing, **bucket, **others, **reasons, **found, "scored": {**found["scored"], **scorers}})


def _deployment(bucket: Mapping[str, Any]) -> Deployment:
    key, last = bucket["key"], bucket["last_seen"].get("value")
    return Deployment(
        namespace=str(key.get("namespace") or ""),
        name=str(key.get("deployment") or ""),
        predictors=tuple(sorted(_counts(bucket["predictors"]))),
        predictions=int(bucket["doc_count"]),
        with_feedback=int(bucket["with_feedback"]["doc_count"]),
        scored=int(bucket["scored"]["doc_count"]),
        in_batches=int(bucket["in_batches"]["doc_count"]),
        scorers=_counts(bucket["scored"].get("scorers", {})),
        unscorable=next(iter(_counts(bucket["unscorable"])), ""),
        last_seen=None if last is None else datetime.fromtimestamp(last / 1000, UTC),
    )


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in found.get("buckets", [])}


def deployments_report(
    runner: QueryRunner, scope: Scope, settings: Settings, known: Deployments, surface: Surface
) -> Report:
    """Return deployments as JSON: ``deployments``, at most MOST_LISTED, and ``notes`` on what is left out.

    Each has a ``headline``, the first metric of its main scorer, with its interval or the reason why there is none.
    """
    listed, rest = known.found[:MOST_LISTED], known.found[MOST_LISTED:]
    judgements = _judgements(runner, scope, listed)
    headlines: dict[str, Report] = {}
    for scorer in dict.fromkeys(name for each in listed for name in _main_scorer(each)):
        own = [each for each in listed if scorer in _main_scorer(each)]
        headlines |= _headlines(runner, scope, settings, scorer, own, judgements)
    notes = []
    if rest or known.is_cut:
        more = "over " if known.is_cut else ""
        notes.append(
            f"{more}{len(rest):,} more deployments with {sum(each.predictions for each in rest):,} predictions are not"
            f" listed: name a target, or select with {Control.CONDITION.on(surface)} or {Control.START.on(surface)}."
        )
    return {
        "deployments": [_as_json(each, judgements[_key(each)], headlines.get(_key(each))) for each in listed],
        **({"deployments_left_out": len(rest)} if rest else {}),
        "notes": notes,
    }


def several(
    runner: QueryRunner, scope: Scope, settings: Settings, target: str, what: str, surface: Surface = Surface.TERMINAL
) -> Report | None:
    """Return the list of the deployments (`deployments_report`) where ``target`` selects several; None for one.

    ``what`` is the start of the note: "A report is", say.
    """
    # With a slash it names one deployment.
    known = Deployments([]) if "/" in target else find_deployments(runner, scope)
    if not known.are_several:
        return None
    listed = deployments_report(runner, scope, settings, known, surface)
    first = next((each["target"] for each in listed["deployments"] if each["target"]), "")
    one = f", such as {first}" if first else ""
    note = f"{what} of one deployment, and there are {len(known.found):,}: choose one as target{one}."
    return {**listed, "notes": [note, *listed["notes"]]}


def _key(each: Deployment) -> str:
    # Neither part of a name contains a slash.
    return f"{each.namespace}/{each.name}"


def _main_scorer(each: Deployment) -> tuple[str, ...]:
    return tuple(each.scorers)[:1]


def _as_json(each: Deployment, judgement: Judgement, headline: Report | None) -> Report:
    scorer = next(iter(each.scorers), "")
    reason = judgement.reasons.get(scorer) or _why_none(each, judgement)
    seen = each.last_seen
    return {
        "target": each.target,
        **({"where": list(each.conditions)} if each.conditions else {}),
        "namespace": each.namespace,
        "deployment": each.name,
        "predictors": list(each.predictors),
        "predictions": each.predictions,
        "with_feedback": each.with_feedback,
        "scored": each.scored,
        "scorers": dict(each.scorers),
        **({"last_seen": utc_text(seen, "seconds")} if seen else {}),
        "headline": headline or {"reason": reason},
        **({"warnings": judgement.warnings} if judgement.warnings else {}),
    }


def _why_none(each: Deployment, judgement: Judgement) -> str:
    if judgement.warnings:
        counts = " and ".join(f"{name} ({count:,})" for name, count in each.scorers.items())
        return f"scored by {counts}: each has a part"
    if each.scorers:
        return f"the scorer {next(iter(each.scorers))} is unknown here: set SCORER or SCORERS_CONFIG"
    if each.unscorable:
        return f"can't be scored: {each.unscorable}"
    return "feedback without a truth or reward" if each.with_feedback else "no feedback yet"


def _judgements(runner: QueryRunner, scope: Scope, listed: Sequence[Deployment]) -> dict[str, Judgement]:
    """Return by deployment the judgement on its documents (`consistency.judge`), of many by one search for all."""
    if len(listed) <= _MOST_ALONE:
        return {_key(each): judge(runner, scope.having(each.only)) for each in listed}
    groups: dict[str, list[Group]] = {_key(each): [] for each in listed}
    chosen = scope.having(any_of(*(each.only for each in listed)))
    for group in groups_of(runner, chosen, ORIGIN_KEYWORDS):
        origin = dict(group.origin)
        key = f"{origin.get('namespace', '')}/{origin.get('deployment', '')}"
        if key in groups:
            groups[key].append(group)
    return {key: judgement_of(own) for key, own in groups.items()}


def _headlines(
    runner: QueryRunner,
    scope: Scope,
    settings: Settings,
    scorer: str,
    own: Sequence[Deployment],
    judgements: Mapping[str, Judgement],
) -> dict[str, Report]:
    """Return by deployment the first shown metric of a scorer; without those whose figures can't be trusted."""
    task = Task(scorer, 0, metrics_of(scorer, settings))
    # Where several scorers read one model's documents, the figure of one is that of a part.
    judged = [
        each for each in own if scorer not in judgements[_key(each)].reasons and not judgements[_key(each)].warnings
    ]
    tasks = {_key(each): replace(task, metrics=judgements[_key(each)].kept(scorer, task.metrics)) for each in judged}
    known = [each for each in judged if tasks[_key(each)].shown]
    if not known:
        return {}
    metrics = {tasks[_key(each)].shown[0].name: tasks[_key(each)].shown[0] for each in known}
    is_of_classes = MATRIX["matrix"] in statistics_of(task.metrics)
    statistics = list(dict.fromkeys([*statistics_of(metrics.values()), *(MATRIX.values() if is_of_classes else ())]))
    segments = [Segment(_key(each), each.target, 0, each.only, {}) for each in known]
    only = scored_by(scorer)
    at_once = len(segments) if len(segments) > _MOST_ALONE else 1
    filled = [each for some in chunks(segments, at_once) for each in fill(runner, scope, statistics, some, [only])]
    headlines: dict[str, Report] = {}
    for each, segment in zip(known, filled, strict=True):
        metric = tasks[_key(each)].shown[0]
        if are_disjoint(segment.answers.get(MATRIX["matrix"])):
            headlines[_key(each)] = {"scorer": scorer, "name": metric.name, "reason": DISJOINT}
            continue
        answers = segment.answers | fetch_cooccurrences(runner, scope, segment.answers, only, segment.only)
        found: list[Estimate] = estimates([metric], answers)
        are_together = bool(each.in_batches or settings.fold_key)
        if are_together or needs_folds(found):
            chosen = having(only, segment.only)
            needs = statistics_of([metric])
            folds = fetch_folds(runner, scope, needs, chosen, segment.count, are_together=are_together)
            found = with_folds(found, [metric], answers, folds)
        headlines |= {_key(each): {"scorer": scorer, **_kept(as_json(estimate))} for estimate in found}
    return headlines


def _kept(found: Mapping[str, Any]) -> Report:
    """Return an estimate without what it lacks, and without the best constant, which other sums would be needed for."""
    return {name: value for name, value in found.items() if value is not None and name != "baseline"}
