"""A _bulk of the model: the lines are read whole, then the actions are carried out one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, invalid, no_index
from tests.simulation.model_index import ModelIndex
from tests.simulation.model_json import ParseError, parse
from tests.simulation.model_names import closed, write_index
from tests.simulation.model_state import State

Json = dict[str, Any]

_MOST_ID_BYTES = 512
_ACTIONS = frozenset({"create", "index", "update", "delete"})
_META = frozenset(
    {"_index", "_id", "routing", "if_seq_no", "if_primary_term", "require_alias", "pipeline", "retry_on_conflict", "version",
     "version_type", "_source", "dynamic_templates"}
)  # fmt: skip
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
    """Read a body. Raises Refusal, which is that of the whole bulk."""
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
    _validate(actions)
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
        at = (meta.get("if_seq_no", -2), meta.get("if_primary_term", 0))
    id = meta.get("_id")
    return Action(kind, meta.get("_index") or "", id if id.__class__ is str else str(id), at, "routing" in meta)


def _read_update(line: bytes, flavour: Flavour) -> Json:
    try:
        body = parse(line, flavour)
    except ParseError as error:
        raise _broken(flavour, error.limit) from None
    if body.__class__ is not dict:
        raise bad_argument("Malformed update")
    for key, value in body.items():
        if key not in _BODY:
            raise Refusal(400, "x_content_parse_exception", f"[UpdateRequest] unknown field [{key}]")
        if key in ("doc", "upsert") and value.__class__ is not dict:
            raise Refusal(400, "x_content_parse_exception", f"[UpdateRequest] {key} doesn't support values")
    return body  # type: ignore[no-any-return]


def _broken(flavour: Flavour, limit: bool = False) -> Refusal:
    return Refusal(400, "x_content_parse_exception" if flavour.is_elastic else "json_parse_exception", "broken")


def _validate(actions: list[Action]) -> None:
    if not actions:
        raise invalid("no requests added")
    problems = []
    for action in actions:
        if not action.index:
            problems.append("index is missing")
        if (
            len(action.id) > _MOST_ID_BYTES // 4
            and action.kind != "delete"
            and len(action.id.encode()) > _MOST_ID_BYTES
        ):
            problems.append("id is too long, must be no longer than 512 bytes")
        if action.at is not None and action.kind == "create":
            problems.append("create operations do not support compare and set")
        if action.kind == "update" and action.body is not None and "doc" not in action.body:
            problems.append("script or doc is missing")
    if problems:
        raise invalid(*problems)


def run(state: State, actions: list[Action]) -> Json:
    """Carry out the actions; return the answer."""
    refused: dict[str, Refusal] = {}
    for action in actions:
        _make_missing(state, action, refused)
    items = []
    errors = False
    for action in actions:
        item = _item(state, action, refused)
        errors = errors or "error" in item
        items.append({action.kind: item})
    return {"took": 0, "errors": errors, "items": items}


def _make_missing(state: State, action: Action, refused: dict[str, Refusal]) -> None:
    name = action.index
    if name in state.indices or name in refused or name in state.aliases() or action.kind == "delete":
        return
    try:
        state.make_for_write(name)
    except Refusal as refusal:
        refused[name] = refusal


def _item(state: State, action: Action, refused: dict[str, Refusal]) -> Json:
    head: Json = {"_index": action.index, "_id": action.id}
    if state.flavour.has_types:
        head = {"_index": action.index, "_type": "_doc", "_id": action.id}
    try:
        if action.index in refused:
            raise refused[action.index]
        index = write_index(state, action.index)
        if index is None:
            raise no_index(action.index)
        head["_index"] = index.name
        head.update(_carried_out(state, index, action))
    except Refusal as refusal:
        head["status"] = refusal.status
        head["error"] = refusal.cause()
    return head


def _carried_out(state: State, index: ModelIndex, action: Action) -> Json:
    if index.closed:
        raise closed(index.name)
    if index.mapping.routing_required and not action.routed:
        raise Refusal(400, "routing_missing_exception", f"routing is required for [{index.name}]", index=index.name)
    if index.data_stream and action.kind != "create" and action.index == index.data_stream:
        raise bad_argument("only write ops with an op_type of create are allowed in data streams")
    if index.pipeline != "_none":
        dropped = _piped(state, index, action)
        if dropped is not None:
            return dropped
    if index.blocked:
        blocked = index.block("read_only", "read_only_allow_delete", "write")
        if blocked is not None:
            raise blocked
    return _done(index, action)


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


def _piped(state: State, index: ModelIndex, action: Action) -> Json | None:
    """Put what is to be stored through the index's pipeline; return the answer of an action that it drops."""
    if action.kind == "delete" or (action.kind == "update" and (action.body is None or "upsert" not in action.body)):
        return None
    pipeline = state.pipelines.get(index.pipeline)
    if pipeline is None:
        raise bad_argument(f"pipeline with id [{index.pipeline}] does not exist")
    for processor in pipeline.get("processors", ()):
        if "drop" in processor:
            return {
                "_version": -3,
                "result": "noop",
                "_shards": {"total": 0, "successful": 0, "failed": 0},
                "status": 200,
            }
        if "fail" in processor:
            raise Refusal(500, "fail_processor_exception", str(processor["fail"].get("message")))
    return None
