"""Building blocks of scripts: requests in the form that the program sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tests.simulation.conversation import KINDS, Step


@dataclass(frozen=True)
class Script:
    """Named requests, and the kinds of engines that support them."""

    name: str
    steps: tuple[Step, ...]
    kinds: tuple[str, ...] = KINDS


def bulk(*lines: Any) -> Step:
    """Send a _bulk of these lines."""
    return Step("POST", "/_bulk", lines=lines)


def put(path: str, body: Any = None) -> Step:
    """Send a PUT."""
    return Step("PUT", path, body)


def get(path: str, **params: str) -> Step:
    """Send a GET."""
    return Step("GET", path, params=params)


def post(path: str, body: Any = None) -> Step:
    """Send a POST."""
    return Step("POST", path, body)


def mget(*pairs: tuple[str, str]) -> Step:
    """Ask for documents by index and id."""
    return post("/_mget", {"docs": [{"_index": index, "_id": id} for index, id in pairs]})


def act(action: str, index: str, id: str, **more: Any) -> dict[str, Any]:
    """Return an action line."""
    return {action: {"_index": index, "_id": id, **more}}


def at(seq_no: int, term: int = 1) -> dict[str, int]:
    """Return the condition of a write."""
    return {"if_seq_no": seq_no, "if_primary_term": term}


def or_read(source: Any) -> str:
    """Return the second line of an update that creates or reads a document, as the program writes it."""
    text = source if isinstance(source, str) else orjson.dumps(source).decode()
    return f'{{"doc":{{}},"_source":true,"upsert":{text}}}'


LENIENT = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "open"}
FLAT = {"flat_settings": "true"}
READ = '{"doc":{},"_source":true}'


def every_way(index: str, id: str = "1") -> Step:
    """Send one action of each kind to an index."""
    return bulk(
        act("create", index, f"{id}-new"),
        {"a": 1},
        act("index", index, f"{id}-plain"),
        {"a": 1},
        act("index", index, id, **at(0)),
        {"a": 2},
        act("update", index, id),
        or_read({"a": 3}),
        act("update", index, f"{id}-none"),
        READ,
        act("delete", index, id, **at(0)),
        act("delete", index, f"{id}-none"),
    )


def refused_beside(*pairs: Any) -> Step:
    """Send a bulk with a valid action before and after these lines."""
    return bulk(act("create", "sim-a", "first"), {"a": 1}, *pairs, act("index", "sim-a", "last"), {"a": 1})


def one(index: str = "sim-a") -> Step:
    """Create a document."""
    return bulk(act("create", index, "1"), {"a": 1})


def alias(*names: str, alias: str, **more: Any) -> Step:
    """Give indices an alias."""
    return post("/_aliases", {"actions": [{"add": {"index": name, "alias": alias, **more}} for name in names]})
