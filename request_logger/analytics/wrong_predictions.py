"""Lists the documents behind figures: those of a cell of the confusion matrix or of a class, or the largest errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from request_logger.analytics.conditions import where
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import mean_field
from request_logger.analytics.maturity import find_maturity, only_mature
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import DEPLOYMENT, MODEL, NAMESPACE, PREDICTION_DATE, PREDICTOR, Query, find_scope
from request_logger.analytics.selection import any_of, exists, having
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.common.json import as_object
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader
from request_logger.store.search_answers import check_documents, check_total
from scorers.base import Sum

Report = dict[str, Any]

MOST_ROWS = 50
"""Rows per page: as many as a person looks through, and of large documents not more than a process has memory for."""
DEFAULT_ROWS = 20
# A row shows what a prediction was about; the stored document has all.
_MOST_ELEMENTS = 20
_MOST_CHARACTERS = 200
_PREFIX = "metrics."
# The error of one document where a task's first metric isn't a mean of a field, as the root mean squared error is.
_ERRORS = {"regression": "absolute_error", "ranking": "ndcg"}
# How wrong a classifier was about one document.
_LOSSES = ("log_loss", "brier", "hamming_loss")
_SOURCE = (
    "request.elements", "request.names", "request.instance", "request.meta.tags", "response.elements",
    "response.instance", "feedback.truth", "feedback.reward", "metrics", "prediction", PREDICTION_DATE, "RequestId",
    *(name.removesuffix(".keyword") for name in (NAMESPACE, DEPLOYMENT, PREDICTOR, MODEL)),
)  # fmt: skip


class Order(StrEnum):
    """Which documents come first: those that are most wrong, or the newest."""

    WORST = "worst"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Options:
    """Which documents; see `find_scope` and `conditions.where` for the first fields.

    ``truth`` and ``answer`` choose a cell (or a row, or a column) of the confusion matrix, ``label`` all that was wrong
    about a class. Without any of them, all wrong predictions are listed; of numbers, texts and rankings, which are more
    or less wrong, all. ``scorer``: empty for that of most documents. ``after``: the ``next`` of the page before.
    """

    target: str = ""
    start: str | None = None
    end: str | None = None
    by_date: str = "prediction"
    where: tuple[str, ...] = ()
    mature: bool = False
    truth: str = ""
    answer: str = ""
    label: str = ""
    scorer: str = ""
    order: Order = Order.WORST
    after: str = ""
    limit: int = DEFAULT_ROWS


def wrong_predictions(engine: EngineReader, settings: Settings, options: Options, *, only_own: bool = False) -> Report:
    """Return a page of documents as JSON: ``total``, ``documents`` and the ``next`` page's ``after``, if there is one.

    ``only_own`` restricts it to the logger's own indices, see `find_scope`. Raises BadQueryError for an invalid option,
    StoreUnavailableError.
    """
    if not 1 <= options.limit <= MOST_ROWS:
        raise BadQueryError(f"--limit: expected a number from 1 to {MOST_ROWS}, found {options.limit}")
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, options.target, options.start, options.end, options.by_date, only_own=only_own)
    scope = where(runner, scope, options.where)
    if options.mature:
        scope = only_mature(scope, find_maturity(runner, scope))

    def read() -> Report:
        tasks = tasks_of(runner, scope, settings)
        known = [task.name for task in tasks]
        if options.scorer and options.scorer not in known:
            raise BadQueryError(f"--scorer: expected one of {', '.join(known) or 'none'}, found {options.scorer!r}")
        if not tasks:
            return {"total": 0, "documents": []}
        task = next(task for task in tasks if options.scorer in ("", task.name))
        how = _way_of(task)
        body = {
            "size": options.limit + 1,
            "track_total_hits": True,
            "_source": list(_SOURCE),
            "sort": _sort(how, options.order),
            **({"search_after": _cursor(options.after)} if options.after else {}),
        }
        answer = check_documents(runner.search(scope, body, task.only, *_chosen(how, options)))
        hits = answer["hits"]["hits"]
        rows = [_row(hit, how) for hit in hits[: options.limit]]
        more = {"next": json.dumps(hits[options.limit - 1]["sort"])} if len(hits) > options.limit else {}
        return {
            "scorer": task.name,
            "scorers": known,
            "by": how.measure,
            "has_classes": how.has_classes,
            "total": check_total(answer),
            "documents": rows,
            **more,
        }

    found = runner.settled(read, scope.indices)
    left_out = runner.left_out.as_json()
    return {
        "target": options.target,
        "indices": scope.indices,
        **({"from": options.start} if options.start else {}),
        **({"to": options.end} if options.end else {}),
        **({"where": list(options.where)} if options.where else {}),
        **({"truth": options.truth} if options.truth else {}),
        **({"answer": options.answer} if options.answer else {}),
        **({"class": options.label} if options.label else {}),
        "order": options.order.value,
        **found,
        **({"left_out": left_out, "notes": [left_out_note(left_out)]} if left_out else {}),
    }


@dataclass(frozen=True, slots=True)
class _Way:
    """How documents of a task are wrong.

    ``measure``: the field of `metrics` that says how much, empty if none does; ``is_loss``: more of it is worse.
    ``wrong``: the query for those that are wrong, None where they are all more or less wrong.
    """

    measure: str
    is_loss: bool
    wrong: Query | None
    has_classes: bool


def _way_of(task: Task) -> _Way:
    fields = {need.field for metric in task.metrics for need in metric.needs.values() if hasattr(need, "field")}
    sums = {need.field for metric in task.metrics for need in metric.needs.values() if isinstance(need, Sum)}
    loss = next((name for name in _LOSSES if name in sums), "")
    if fields & {"false_positive", "predicted_label"}:
        wrong = any_of(exists(f"{_PREFIX}false_positive"), exists(f"{_PREFIX}false_negative"))
        return _Way(loss, is_loss=True, wrong=wrong, has_classes=True)
    if "correct" in sums:
        return _Way(loss, is_loss=True, wrong={"range": {f"{_PREFIX}correct": {"lt": 1}}}, has_classes=False)
    if (known := _ERRORS.get(task.name, "")) in fields and known:
        return _Way(known, is_loss=known != "ndcg", wrong=None, has_classes=False)
    means = ((mean_field(metric), metric) for metric in (*task.shown, *task.metrics))
    directed = (
        (field, metric.higher_is_better) for field, metric in means if field and metric.higher_is_better is not None
    )
    field, higher_is_better = next(directed, ("", False))
    return _Way(field, is_loss=not higher_is_better, wrong=None, has_classes=False)


def _chosen(how: _Way, options: Options) -> list[Query]:
    if (options.truth or options.answer or options.label) and not how.has_classes:
        raise BadQueryError("--truth, --answer, --class: expected none of them, since these predictions aren't classes")
    chosen: list[Query] = []
    if options.truth:
        chosen.append({"term": {f"{_PREFIX}truth_label": options.truth}})
    if options.answer:
        chosen.append({"term": {f"{_PREFIX}predicted_label": options.answer}})
    if options.label:
        sides = ("false_positive", "false_negative", "truth_label", "predicted_label")
        about = any_of(*({"term": {f"{_PREFIX}{side}": options.label}} for side in sides))
        chosen.append(having(about, how.wrong) if how.wrong else about)
    if not chosen and how.wrong is not None:
        chosen.append(how.wrong)
    if not chosen and how.measure:
        chosen.append(exists(f"{_PREFIX}{how.measure}"))
    return chosen


def _sort(how: _Way, order: Order) -> list[Query]:
    """Return a total order: documents that are equally wrong at one time are told apart by their place in the index."""
    newest = {PREDICTION_DATE: {"order": "desc", "unmapped_type": "date"}}
    worst = []
    if order is Order.WORST and how.measure:
        first = "desc" if how.is_loss else "asc"
        worst = [{f"{_PREFIX}{how.measure}": {"order": first, "unmapped_type": "double", "missing": "_last"}}]
    return [*worst, newest, {"_index": "asc"}, {"_seq_no": "asc"}]


def _cursor(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not 3 <= len(found) <= 4 or any(isinstance(each, (dict, list)) for each in found):
        raise BadQueryError("--after: expected the value of next of the page before")
    return found


def _row(hit: Mapping[str, Any], how: _Way) -> Report:
    source: Mapping[str, Any] = hit.get("_source") or {}
    scored = as_object(source.get("metrics"))
    row: Report = {
        "index": hit["_index"],
        "id": hit["_id"],
        "time": source.get(PREDICTION_DATE),
        "request_id": source.get("RequestId"),
        **{name: source.get(path.removesuffix(".keyword")) for name, path in _ORIGINS.items()},
        "request": _asked(as_object(source.get("request"))),
        "tags": _few(as_object(as_object(as_object(source.get("request")).get("meta")).get("tags"))),
        "answer": _answer(source, scored),
        "truth": _truth(source, scored),
        how.measure or "loss": scored.get(how.measure),
    }
    if "error" in scored and how.measure == "absolute_error":
        row["error"] = scored["error"]
    return {name: value for name, value in row.items() if value not in (None, {}, [])}


_ORIGINS = {"namespace": NAMESPACE, "deployment": DEPLOYMENT, "predictor": PREDICTOR, "model": MODEL}


def _asked(request: Mapping[str, Any]) -> Any:
    """Return the elements of a request, bounded; without any its instance as a text."""
    elements = as_object(request.get("elements"))
    if not elements:
        return _bounded(request.get("instance"))
    # The order of the model's columns; the search engine's is that of a hash.
    names = request.get("names")
    order = (
        {name: place for place, name in enumerate(names) if isinstance(name, str)} if isinstance(names, list) else {}
    )
    return _few(dict(sorted(elements.items(), key=lambda pair: order.get(pair[0], len(order)))))


def _answer(source: Mapping[str, Any], scored: Mapping[str, Any]) -> Any:
    said = as_object(source.get("prediction"))
    response = as_object(source.get("response"))
    return _first(
        scored.get("predicted_label"),
        _labels(scored, "true_positive", "false_positive"),
        scored.get("prediction"),
        said.get("label"),
        said.get("value"),
        _few(as_object(response.get("elements"))) or None,
        response.get("instance"),
    )


def _truth(source: Mapping[str, Any], scored: Mapping[str, Any]) -> Any:
    feedback = as_object(source.get("feedback"))
    return _first(
        scored.get("truth_label"),
        _labels(scored, "true_positive", "false_negative"),
        scored.get("truth"),
        feedback.get("truth"),
        feedback.get("reward"),
    )


def _labels(scored: Mapping[str, Any], *fields: str) -> list[Any] | None:
    """Return the labels in any of some fields of a multilabel pair."""
    found = [scored[field] for field in fields if field in scored]
    labels = [label for each in found for label in (each if isinstance(each, list) else [each])]
    return sorted(map(str, labels)) or None


def _first(*values: Any) -> Any:
    return next((_bounded(value) for value in values if value is not None), None)


def _few(found: Mapping[str, Any]) -> Report:
    return {_cut(str(name)): _bounded(value) for name, value in islice(found.items(), _MOST_ELEMENTS)}


def _bounded(value: Any) -> Any:
    """Return a number or a truth value as it is, anything else as a text that is cut where it is long."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Sequence) and len(value) > _MOST_ELEMENTS:
        return _cut(json.dumps(value[:_MOST_ELEMENTS], ensure_ascii=False), is_cut=True)
    return _cut(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def _cut(text: str, *, is_cut: bool = False) -> str:
    return f"{text[:_MOST_CHARACTERS]}…" if is_cut or len(text) > _MOST_CHARACTERS else text
