"""The _bulk API of the model engine: parse all lines, then carry out the actions in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because, invalid, no_index
from tests.simulation.model_index import ModelIndex
from tests.simulation.model_json import ParseError, parse
from tests.simulation.model_names import closed, write_index
from tests.simulation.model_state import State

Json = dict[str, Any]
Order = Callable[[list[str]], list[str]]

_MOST_ID_BYTES = 512
_NO_SEQ_NO = -2
# The `_version` that engines report for a document that a pipeline dropped.
_DROPPED, _DROPPED_CREATE = -3, -4
_ACTIONS = frozenset({"create", "index", "update", "delete"})
_META = frozenset(
    {
        "_index",
        "_id",
        "routing",
        "if_seq_no",
        "if_primary_term",
        "require_alias",
        "pipeline",
        "retry_on_conflict",
        "version",
        "version_type",
        "_source",
        "dynamic_templates",
    }
)
_BODY = frozenset({"doc", "upsert", "_source", "doc_as_upsert", "detect_noop", "script", "scripted_upsert"})


@dataclass(slots=True)
class Action:
    """One action: ``source`` of create and index, ``body`` of an update."""

    kind: str
    index: str
    id: str
    at: tuple[int, int] | None
    routed: bool
    source: bytes = b""
    body: Json | None = None


def read_lines(raw: bytes | None, flavour: Flavour) -> list[Action]:
    """Parse a body. Raises Refusal, which applies to the whole bulk."""
    if not raw:
        raise Refusal(400, "parse_exception", "request body is required")
    if not raw.endswith(b"\n"):
        raise bad_argument("The bulk request must be terminated by a newline [\\n]")
    actions: list[Action] = []
    lines = iter(raw.split(b"\n")[:-1])
    number = 0
    for line in lines:
        number += 1
        if not line or line == b"\r":
            continue
        action = _read_action(line, number, flavour)
        if action.kind != "delete":
            source = next(lines, None)
            number += 1
            if source is None:
                break
            if action.kind == "update":
                action.body = _read_update(source, flavour)
            else:
                action.source = source.removesuffix(b"\r")
        actions.append(action)
    _validate(actions, flavour)
    return actions


def _read_action(line: bytes, number: int, flavour: Flavour) -> Action:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _broken(flavour) from None
    if parsed.__class__ is not dict:
        raise bad_argument(f"Malformed action/metadata line [{number}], expected START_OBJECT")
    if len(parsed) != 1:
        raise bad_argument(f"Malformed action/metadata line [{number}], expected one action")
    ((kind, meta),) = parsed.items()
    if kind not in _ACTIONS:
        raise bad_argument(
            f"Malformed action/metadata line [{number}], expected field [create], [delete], [index] or [update]"
        )
    if meta.__class__ is not dict:
        raise bad_argument(f"Malformed action/metadata line [{number}], expected START_OBJECT")
    for key in meta:
        if key not in _META:
            raise bad_argument(f"Action/metadata line [{number}] contains an unknown parameter [{key}]")
    at = None
    if "if_seq_no" in meta or "if_primary_term" in meta:
        at = (meta.get("if_seq_no", _NO_SEQ_NO), meta.get("if_primary_term", 0))
        if at[0] < 0 and "if_seq_no" in meta:
            raise bad_argument(f"sequence numbers must be non negative. got [{at[0]}].")
    id = meta.get("_id")
    return Action(kind, meta.get("_index") or "", id if id.__class__ is str else str(id), at, "routing" in meta)


def _read_update(line: bytes, flavour: Flavour) -> Json:
    try:
        body = parse(line, flavour)
    except ParseError:
        raise _bad_update("failed to parse field [upsert]", **because("json_parse_exception", "broken")) from None
    if body.__class__ is not dict:
        raise _bad_update("Expected START_OBJECT")
    for key, value in body.items():
        if key not in _BODY:
            raise _bad_update(f"unknown field [{key}]")
        if key in ("doc", "upsert") and value.__class__ is not dict:
            raise _bad_update(f"{key} doesn't support values")
    return body


def _bad_update(text: str, **more: Any) -> Refusal:
    return Refusal(400, "x_content_parse_exception", f"[UpdateRequest] {text}", **more)


def _broken(flavour: Flavour) -> Refusal:
    if flavour.is_elastic:
        return Refusal(400, "x_content_parse_exception", "broken", **because("json_parse_exception", "broken"))
    return Refusal(400, "json_parse_exception", "broken")


def _validate(actions: list[Action], flavour: Flavour) -> None:
    if not actions:
        raise invalid("no requests added")
    problems = []
    unchecked = ("delete", "update") if flavour.has_types else ("delete",)
    for action in actions:
        if not action.index:
            problems.append("index is missing")
        long_id = len(action.id) > _MOST_ID_BYTES // 4 and len(action.id.encode()) > _MOST_ID_BYTES
        if long_id and action.kind not in unchecked:
            problems.append("id is too long, must be no longer than 512 bytes")
        if action.at is not None and action.kind == "create":
            problems.append("create operations do not support compare and set")
        if action.at is not None and (action.at[0] == _NO_SEQ_NO) != (action.at[1] == 0):
            problems.append("ifSeqNo and ifPrimaryTerm must be set together")
        if action.kind == "update" and action.body is not None and "doc" not in action.body:
            problems.append("script or doc is missing")
    if problems:
        raise invalid(*problems)


def run(state: State, actions: list[Action], pipeline_order: Order = list) -> Json:
    """Carry out the actions; return the answer. ``pipeline_order``: see `ModelEngine`."""
    # Actions that a pipeline drops or refuses take no further part.
    done = _ended(state, actions, pipeline_order)
    refused: dict[str, Refusal] = {}
    for number, action in enumerate(actions):
        if number not in done:
            _make_missing(state, action, refused)
    items = []
    errors = False
    for number, action in enumerate(actions):
        kind, item = done[number] if number in done else (action.kind, _item(state, action, refused))
        errors = errors or "error" in item
        items.append({kind: item})
    return {"took": 0, "errors": errors, "items": items}


def put_document(state: State, index: str, id: str, source: Json, *, refresh: bool) -> tuple[int, Json]:
    """Store one document with the _doc API; return the status and the answer."""
    action = Action("index", index, id, None, routed=False, source=orjson.dumps(source))
    (item,) = run(state, [action])["items"]
    answer = item["index"]
    status = answer.pop("status")
    if "error" in answer:
        raise Refusal(status, answer["error"]["type"], answer["error"]["reason"])
    return status, {**answer, "forced_refresh": True} if refresh else answer


def _ended(state: State, actions: list[Action], pipeline_order: Order) -> dict[int, tuple[str, Json]]:
    """Return the items of actions that a pipeline drops or refuses, by position in the answer.

    OpenSearch runs pipelines index by index and fills these positions in order of completion, so that the items are
    not in the order of the actions.
    """
    ends = {number: end for number, action in enumerate(actions) if (end := _piped(state, action)) is not None}
    if not ends or not state.flavour.groups_piped:
        return ends
    groups: dict[str, list[tuple[str, Json]]] = {}
    for number, end in ends.items():
        groups.setdefault(actions[number].index, []).append(end)
    answered = [end for name in pipeline_order(list(groups)) for end in groups[name]]
    return dict(zip(ends, answered, strict=True))


def _make_missing(state: State, action: Action, refused: dict[str, Refusal]) -> None:
    name = action.index
    if name in state.indices or name in refused or name in state.aliases() or action.kind == "delete":
        return
    try:
        state.make_for_write(name)
    except Refusal as refusal:
        refused[name] = refusal


def _head(state: State, index: str | None, id: str | None) -> Json:
    if state.flavour.has_types:
        return {"_index": index, "_type": "_doc", "_id": id}
    return {"_index": index, "_id": id}


def _item(state: State, action: Action, refused: dict[str, Refusal]) -> Json:
    head = _head(state, action.index, action.id)
    try:
        if action.index in refused:
            raise refused[action.index]
        index = _target(state, action)
        blocked = index.block("read_only", "read_only_allow_delete", "write") if index.blocked else None
        # Elasticsearch 8 and later check blocks before they replace an alias by its index.
        if blocked is None or not state.flavour.is_elastic:
            head["_index"] = index.name
        if blocked is not None:
            raise blocked
        head.update(_done(index, action))
    except Refusal as refusal:
        head["status"] = refusal.status
        head["error"] = refusal.cause()
    return head


def _target(state: State, action: Action) -> ModelIndex:
    index = write_index(state, action.index)
    if index is None:
        raise no_index(action.index)
    if index.data_stream == action.index and action.kind != "create":
        raise bad_argument("only write ops with an op_type of create are allowed in data streams")
    if index.closed:
        raise closed(index.name)
    if index.mapping.routing_required and not action.routed:
        raise Refusal(400, "routing_missing_exception", f"routing is required for [{index.name}]", index=index.name)
    return index


def _done(index: ModelIndex, action: Action) -> Json:
    kind = action.kind
    if kind == "create":
        return index.create(action.id, action.source)
    if kind == "index":
        return index.index(action.id, action.source, action.at)
    if kind == "delete":
        return index.delete(action.id, action.at)
    assert action.body is not None
    return index.update(action.id, action.body, action.at)


def _piped(state: State, action: Action) -> tuple[str, Json] | None:
    """Run the pipelines of an action's index; return its item if they drop or refuse it, else None.

    Older engines pass an upsert to the pipeline as an index request without an id, and some without an index.
    """
    is_update = action.kind == "update"
    if action.kind == "delete" or (is_update and (action.body is None or "upsert" not in action.body)):
        return None
    index = state.indices.get(action.index) or next(iter(state.aliases().get(action.index, ())), None)
    if index is None or not index.pipelines:
        return None
    ends = next((end for name in index.pipelines if (end := _pipeline_end(state, name)) is not None), None)
    if ends is None:
        return None
    flavour = state.flavour
    nameless = is_update and not flavour.is_elastic
    kind = "index" if nameless else action.kind
    head = _head(state, None if nameless and flavour.has_types else action.index, None if nameless else action.id)
    if ends != "drop":
        return kind, {**head, "status": ends.status, "error": ends.cause()}
    if nameless and flavour.has_types:
        error = Refusal(500, "null_pointer_exception", "null")
        return kind, {**head, "status": error.status, "error": error.cause()}
    if nameless:
        head["_id"] = "auto-generated"
    shards = {"total": 0, "successful": 0, "failed": 0}
    version = _DROPPED_CREATE if action.kind == "create" else _DROPPED
    return kind, {**head, "_version": version, "result": "noop", "_shards": shards, "status": 200}


def _pipeline_end(state: State, name: str) -> Refusal | Literal["drop"] | None:
    pipeline = state.pipelines.get(name)
    if pipeline is None:
        return bad_argument(f"pipeline with id [{name}] does not exist")
    for processor in pipeline.get("processors", ()):
        if "drop" in processor:
            return "drop"
        if "fail" in processor:
            return Refusal(500, "fail_processor_exception", str(processor["fail"].get("message")))
    return None
