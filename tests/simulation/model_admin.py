"""Administration requests of the model engine: indices, mappings, settings, aliases, pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.simulation.model_flavour import Refusal, bad_argument
from tests.simulation.model_index import ModelIndex
from tests.simulation.model_names import listed, read_index
from tests.simulation.model_settings import check_settings, flat, nested, str_of
from tests.simulation.model_state import State

Json = dict[str, Any]
Params = Mapping[str, str]

_METADATA_BLOCKS = ("index.blocks.metadata", "index.blocks.read_only", "index.blocks.read_only_allow_delete")
_DONE = {"acknowledged": True}


def _changing(state: State) -> tuple[str, ...]:
    """Return the blocks that forbid changes to the metadata of an index."""
    return (
        ("read_only", "metadata") if state.flavour.is_elastic else ("read_only", "read_only_allow_delete", "metadata")
    )


def _not_blocked(indices: Iterable[ModelIndex], *names: str) -> None:
    for index in indices:
        blocked = index.block(*names)
        if blocked is not None:
            raise blocked


def put_index(state: State, name: str, body: Json) -> Json:
    """Make an index."""
    if name in state.indices:
        _not_blocked([state.indices[name]], *_changing(state))
    unknown = [key for key in body if key not in ("mappings", "settings", "aliases")]
    if unknown:
        raise Refusal(400, "parse_exception", f"unknown key [{unknown[0]}] for create index")
    state.make(name, body)
    return {**_DONE, "shards_acknowledged": True, "index": name}


def delete_index(state: State, expression: str, params: Params) -> Json:
    """Remove indices."""
    if expression in state.aliases():
        text = f"The provided expression [{expression}] matches an alias, specify the concrete indices instead."
        raise bad_argument(text)
    indices = listed(state, expression, params)
    _not_blocked(indices, "read_only", "metadata")
    for index in indices:
        del state.indices[index.name]
    state.aliases_changed()
    return dict(_DONE)


def close_index(state: State, expression: str, params: Params) -> Json:
    """Close indices."""
    indices = listed(state, expression, params)
    _not_blocked(indices, *_changing(state))
    for index in indices:
        if not index.closed:
            index.closed = True
            index.term += 1
            index.settings["index.verified_before_close"] = "true"
    return {**_DONE, "shards_acknowledged": True, "indices": {index.name: {"closed": True} for index in indices}}


def open_index(state: State, expression: str, params: Params) -> Json:
    """Open indices; this increments their primary terms."""
    for index in listed(state, expression, params):
        if index.closed:
            index.closed = False
            index.settings.pop("index.verified_before_close", None)
            index.reopen()
    return {**_DONE, "shards_acknowledged": True}


def get_mapping(state: State, expression: str, params: Params) -> Json:
    """Show mappings."""
    indices = listed(state, expression, params)
    _not_blocked(indices, "metadata")
    return {index.name: {"mappings": index.mapping.as_json()} for index in indices}


def put_mapping(state: State, expression: str, body: Json, params: Params) -> Json:
    """Merge fields into mappings."""
    indices = listed(state, expression, params)
    _not_blocked(indices, *_changing(state))
    for index in indices:
        index.mapping.merge(body)
    return dict(_DONE)


def get_settings(state: State, expression: str, params: Params) -> Json:
    """Show settings, flat if ``flat_settings`` is true."""
    made = {}
    indices = listed(state, expression, params)
    _not_blocked(indices, "metadata")
    for index in indices:
        settings = dict(index.settings)
        made[index.name] = {"settings": settings if params.get("flat_settings") == "true" else nested(settings)}
    return made


def put_settings(state: State, expression: str, body: Json, params: Params) -> Json:
    """Change settings; null resets one."""
    changes = flat(body.get("settings", body))
    indices = listed(state, expression, params)
    check_settings(state.flavour, changes)
    if "index.number_of_shards" in changes:
        raise bad_argument("Can't update non dynamic settings [[index.number_of_shards]] for open indices")
    if not _only_unblocks(state, changes):
        _not_blocked(indices, *_changing(state))
    for index in indices:
        for name, value in changes.items():
            if value is None:
                index.settings.pop(name, None)
            else:
                index.settings[name] = str_of(value)
        index.settings_changed()
    return dict(_DONE)


def _only_unblocks(state: State, changes: Json) -> bool:
    """Return whether a blocked index accepts these changes of settings."""
    if len(changes) == 1:
        return next(iter(changes)) in _METADATA_BLOCKS
    # Elasticsearch accepts any changes next to one of these.
    return not state.flavour.unblocks_one_by_one and any(name in changes for name in _METADATA_BLOCKS[1:])


def get_alias(state: State, expression: str, params: Params) -> tuple[int, Json]:
    """List indices with their aliases."""
    indices = listed(state, expression, params)
    _not_blocked(indices, "metadata")
    made = {
        index.name: {"aliases": {alias: dict(about) for alias, about in index.aliases.items()}} for index in indices
    }
    return 200, made


def change_aliases(state: State, body: Json) -> Json:
    """Add and remove aliases atomically."""
    before = {index.name: dict(index.aliases) for index in state.indices.values()}
    try:
        return _changed_aliases(state, body)
    except Refusal:
        for name, aliases in before.items():
            state.indices[name].aliases = aliases
        state.aliases_changed()
        raise


def _changed_aliases(state: State, body: Json) -> Json:
    for action in body["actions"]:
        ((kind, about),) = action.items()
        names = about.get("indices") or [about["index"]]
        indices = listed(state, ",".join(names), {})
        if kind == "remove" and not any(about["alias"] in index.aliases for index in indices):
            raise Refusal(404, "aliases_not_found_exception", f"aliases [{about['alias']}] missing")
        for index in indices:
            if kind == "add":
                if about["alias"] in state.indices:
                    text = f"Invalid alias name [{about['alias']}]: an index or data stream exists with the same name"
                    more = {} if state.flavour.is_elastic else {"index": about["alias"]}
                    raise Refusal(400, "invalid_alias_name_exception", text, **more)
                more = {"is_write_index": about["is_write_index"]} if "is_write_index" in about else {}
                index.aliases[about["alias"]] = more
            elif kind == "remove":
                index.aliases.pop(about["alias"], None)
            else:
                del state.indices[index.name]
        state.aliases_changed()
    for alias, behind in state.aliases().items():
        if sum(index.aliases[alias].get("is_write_index", False) for index in behind) > 1:
            raise Refusal(500, "illegal_state_exception", f"alias [{alias}] has more than one write index")
    return {**_DONE, "errors": False} if state.flavour.is_elastic else dict(_DONE)


def put_pipeline(state: State, name: str, body: Json) -> Json:
    """Make an ingest pipeline."""
    state.pipelines[name] = body
    return dict(_DONE)


def put_cluster_settings(state: State, body: Json) -> Json:
    """Change settings of the cluster."""
    for name, value in {**body.get("persistent", {}), **body.get("transient", {})}.items():
        if value is None:
            state.cluster.pop(name, None)
        else:
            state.cluster[name] = str_of(value)
    shown = {name: str_of(value) for name, value in body.get("persistent", {}).items() if value is not None}
    return {**_DONE, "persistent": nested(shown), "transient": {}}


def mget(state: State, body: Json) -> Json:
    """Look up documents by index and id."""
    docs = []
    for one in body["docs"]:
        name, id = one["_index"], one["_id"]
        head: Json = {"_index": name, "_id": id}
        if state.flavour.has_types:
            head = {"_index": name, "_type": "_doc", "_id": id}
        try:
            index = read_index(state, name)
            if index.mapping.routing_required and "routing" not in one:
                text = f"routing is required for [{index.name}]"
                if state.flavour.has_types:
                    raise Refusal(500, "null_pointer_exception", "null")
                raise Refusal(400, "routing_missing_exception", text, index=index.name)
        except Refusal as refusal:
            if state.flavour.has_types:
                head["_type"] = None
            docs.append({**head, "error": refusal.with_root()})
            continue
        head["_index"] = index.name
        found = index.get(id)
        if found is None:
            docs.append({**head, "found": False})
            continue
        docs.append(
            {
                **head,
                "_version": found.version,
                "_seq_no": found.seq_no,
                "_primary_term": found.term,
                "found": True,
                "_source": found.source,
            }
        )
    return {"docs": docs}


def search(state: State, name: str, body: Json) -> Json:
    """Answer a search of one index for numbers, which no document has. Raises Refusal."""
    index = read_index(state, name)
    clauses = body["query"]["bool"]["should"]
    fields = [field for clause in clauses for inner in clause.values() for field in inner]
    if not state.flavour.searches_doc_values and not all(map(index.mapping.has_points, fields)):
        cause = {"type": "query_shard_exception", "reason": "failed to create query", "index": index.name}
        raise Refusal(400, "search_phase_execution_exception", "all shards failed", root_cause=[cause])
    return {
        "took": 0,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
    }


def health(state: State) -> Json:
    """Show the health of the cluster."""
    return {"cluster_name": "model", "status": "green", "timed_out": False, "number_of_nodes": 1}
