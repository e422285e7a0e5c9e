"""What the model engine answers about indices, mappings, settings, aliases, templates and pipelines."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.simulation.model_flavour import Refusal, bad_argument, no_index
from tests.simulation.model_names import listed, read_index
from tests.simulation.model_state import State, check_settings, flat, nested, str_of

Json = dict[str, Any]
Params = Mapping[str, str]

_DONE = {"acknowledged": True}


def put_index(state: State, name: str, body: Json) -> Json:
    """Make an index."""
    unknown = [key for key in body if key not in ("mappings", "settings", "aliases")]
    if unknown:
        raise Refusal(400, "parse_exception", f"unknown key [{unknown[0]}] for create index")
    state.make(name, body)
    return {**_DONE, "shards_acknowledged": True, "index": name}


def delete_index(state: State, expression: str, params: Params) -> Json:
    """Remove indices."""
    if expression in state.aliases():
        text = f"The provided expression [{expression}] matches an alias, specify the corresponding concrete indices instead."
        raise bad_argument(text)
    for index in listed(state, expression, params):
        if index.has_block("read_only"):
            blocked = index.block("read_only")
            assert blocked is not None
            raise blocked
        del state.indices[index.name]
    state.aliases_changed()
    return dict(_DONE)


def close_index(state: State, expression: str, params: Params) -> Json:
    """Close indices."""
    indices = listed(state, expression, params)
    for index in indices:
        index.closed = True
    return {**_DONE, "shards_acknowledged": True, "indices": {index.name: {"closed": True} for index in indices}}


def open_index(state: State, expression: str, params: Params) -> Json:
    """Open indices; each has a new primary then."""
    for index in listed(state, expression, params):
        if index.closed:
            index.closed = False
            index.term += 1
    return {**_DONE, "shards_acknowledged": True}


def get_mapping(state: State, expression: str, params: Params) -> Json:
    """Show mappings."""
    return {
        index.name: {"mappings": copy.deepcopy(index.mapping.as_json())} for index in listed(state, expression, params)
    }


def put_mapping(state: State, expression: str, body: Json, params: Params) -> Json:
    """Add to mappings."""
    for index in listed(state, expression, params):
        blocked = index.block("read_only", "read_only_allow_delete", "metadata")
        if blocked is not None:
            raise blocked
        index.mapping.merge(copy.deepcopy(body))
    return dict(_DONE)


def get_settings(state: State, expression: str, params: Params) -> Json:
    """Show settings, flat where ``flat_settings`` says so."""
    made = {}
    for index in listed(state, expression, params):
        settings = dict(index.settings)
        made[index.name] = {"settings": settings if params.get("flat_settings") == "true" else nested(settings)}
    return made


def put_settings(state: State, expression: str, body: Json, params: Params) -> Json:
    """Change settings; null resets one."""
    changes = flat(body.get("settings", body))
    indices = listed(state, expression, params)
    check_settings(changes)
    if "index.number_of_shards" in changes:
        raise bad_argument("Can't update non dynamic settings [[index.number_of_shards]] for open indices")
    only_blocks = all(name.startswith("index.blocks.") for name in changes)
    for index in indices:
        blocked = None if only_blocks else index.block("read_only", "read_only_allow_delete", "metadata")
        if blocked is not None:
            raise blocked
    for index in indices:
        for name, value in changes.items():
            if value is None:
                index.settings.pop(name, None)
            else:
                index.settings[name] = str_of(value)
        index.settings_changed()
    return dict(_DONE)


def get_alias(state: State, expression: str, params: Params) -> tuple[int, Json]:
    """List indices with their aliases."""
    asked = expression.split(",")
    made: Json = {}
    for index in listed(state, expression, params):
        aliases = {name: dict(about) for name, about in index.aliases.items()}
        made[index.name] = {"aliases": aliases}
    del asked
    return 200, made


def change_aliases(state: State, body: Json) -> Json:
    """Add and remove aliases."""
    for action in body["actions"]:
        ((kind, about),) = action.items()
        names = about.get("indices") or [about["index"]]
        for index in listed(state, ",".join(names), {}):
            if kind == "add":
                more = {"is_write_index": about["is_write_index"]} if "is_write_index" in about else {}
                # One that has it keeps what isn't said anew.
                index.aliases[about["alias"]] = more
            elif kind == "remove":
                index.aliases.pop(about["alias"], None)
            else:
                del state.indices[index.name]
        state.aliases_changed()
    return dict(_DONE)


def get_template(state: State, name: str) -> Json:
    """Show an index template."""
    found = state.templates.get(name)
    if found is None:
        text = f"index template matching [{name}] not found"
        raise Refusal(404, "resource_not_found_exception", text)
    shown = copy.deepcopy(found)
    inner = shown.get("template", {})
    if "settings" in inner:
        inner["settings"] = nested({key: str_of(value) for key, value in flat(inner["settings"]).items()})
    shown.setdefault("composed_of", [])
    return {"index_templates": [{"name": name, "index_template": shown}]}


def put_template(state: State, name: str, body: Json) -> Json:
    """Make an index template, or replace it."""
    if "index_patterns" not in body:
        raise bad_argument("Required [index_patterns]")
    state.templates[name] = copy.deepcopy(body)
    return dict(_DONE)


def delete_template(state: State, name: str) -> Json:
    """Remove an index template."""
    if state.templates.pop(name, None) is None:
        raise Refusal(404, "index_template_missing_exception", f"index_template [{name}] missing")
    return dict(_DONE)


def put_pipeline(state: State, name: str, body: Json) -> Json:
    """Make an ingest pipeline."""
    state.pipelines[name] = copy.deepcopy(body)
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


def health(state: State) -> Json:
    """Say how the cluster is."""
    return {"cluster_name": "model", "status": "green", "timed_out": False, "number_of_nodes": 1}


def missing(expression: str) -> Refusal:
    """Return the refusal for an index that isn't there."""
    return no_index(expression)
