"""Random conversations, which find differences that no script covers. A seed determines all of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.simulation.conversation import Step
from tests.simulation.model_engine import ModelEngine
from tests.simulation.script import FLAT, LENIENT, READ, act, alias, at, bulk, get, mget, or_read, post, put

_INDICES = ("sim-a", "sim-b", "sim-a-2026.01")
_ALIASES = ("sim-x", "sim-a-2026.02")
_NAMES = (*_INDICES * 3, *_ALIASES, "sim-none", "Sim-sim-")
_IDS = ("1", "2", "3")
_SCALARS = (1, 1.5, "x", "2026-01-02", True, None)
_VALUES = (*_SCALARS, [], [1, 2], ["x", None], {}, {"m": 1}, {"m": "x"}, [{"m": 1}], [1, "x"])
_FIELDS = ("f", "g", "h", "o.p", "o")
_MOSTLY = 0.95
_BLOCKS = ("write", "read_only_allow_delete", "metadata")


def steps(seed: int, engine: ModelEngine, count: int) -> Iterator[Step]:
    """Yield ``count`` requests. ``engine`` must have answered the earlier ones: it provides current versions."""
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.choices((_bulk, _mget, _ask, _change), (12, 2, 2, 4))[0]
        yield kind(chance, engine)


def _bulk(chance: random.Random, engine: ModelEngine) -> Step:
    lines: list[Any] = []
    for _ in range(chance.randint(1, 5)):
        lines += _action(chance, engine)
    return bulk(*lines)


def _action(chance: random.Random, engine: ModelEngine) -> list[Any]:
    name, id = chance.choice(_NAMES), chance.choice(_IDS)
    if name in _ALIASES and name not in engine.state.aliases() and chance.random() < _MOSTLY:
        # A write would create an index of this name, and no alias could have it later.
        name = chance.choice(_INDICES)
    condition = _condition(chance, engine, name, id)
    match chance.choice(("create", "index", "replace", "begin", "read", "delete", "remove")):
        case "create":
            return [act("create", name, id), _source(chance)]
        case "index":
            return [act("index", name, id), _source(chance)]
        case "replace":
            return [act("index", name, id, **condition), _source(chance)]
        case "begin":
            return [act("update", name, id), or_read(_source(chance))]
        case "read":
            return [act("update", name, id), READ]
        case "delete":
            return [act("delete", name, id)]
    return [act("delete", name, id, **condition)]


def _condition(chance: random.Random, engine: ModelEngine, name: str, id: str) -> dict[str, int]:
    index = engine.state.indices.get(name) or next(iter(engine.state.aliases().get(name, ())), None)
    found = index.get(id) if index is not None else None
    if found is None or chance.random() < 0.2:
        return at(chance.randint(0, 5), chance.randint(1, 2))
    return at(found.seq_no, found.term)


def _source(chance: random.Random) -> dict[str, Any]:
    return {chance.choice(_FIELDS): chance.choice(_VALUES) for _ in range(chance.randint(0, 2))}


def _mget(chance: random.Random, _engine: ModelEngine) -> Step:
    return mget(*((chance.choice(_NAMES), chance.choice(_IDS)) for _ in range(chance.randint(1, 4))))


def _ask(chance: random.Random, _engine: ModelEngine) -> Step:
    name = chance.choice(_NAMES)
    return chance.choice(
        (
            get(f"/{name}/_mapping"),
            get(f"/{name}/_settings", **FLAT),
            get(f"/{name},{name}-2*/_alias", **LENIENT),
            get("/sim-none,sim-none-2*,sim-a,sim-a-2*/_alias", **LENIENT),
        )
    )


def _change(chance: random.Random, _engine: ModelEngine) -> Step:
    name, other = chance.choice(_INDICES), chance.choice(_ALIASES)
    block = f"index.blocks.{chance.choice(_BLOCKS)}"
    fields = {chance.choice(("f", "g", "h")): {"type": chance.choice(("long", "double", "keyword"))}}
    return chance.choice(
        (
            put(f"/{name}"),
            Step("DELETE", f"/{name}"),
            post(f"/{name}/_close"),
            post(f"/{name}/_open"),
            post(f"/{name}/_open"),
            alias(name, alias=other),
            alias(name, alias=other, is_write_index=chance.random() < 0.7),
            post("/_aliases", {"actions": [{"remove": {"index": name, "alias": other}}]}),
            put(f"/{name}/_settings", {block: True}),
            *(put(f"/{name}/_settings", {f"index.blocks.{each}": None}) for each in _BLOCKS),
            put(f"/{name}/_settings", {f"index.blocks.{each}": None for each in _BLOCKS}),
            put(f"/{name}/_settings", {"index.mapping.total_fields.limit": chance.randint(1, 8)}),
            put(f"/{name}/_mapping", {"properties": fields}),
            put(
                "/_index_template/sim-t",
                {
                    "index_patterns": ["sim-a*"],
                    "priority": 903,
                    "template": {
                        "settings": {"index.number_of_replicas": chance.randint(0, 1)},
                        "mappings": {"properties": fields},
                    },
                },
            ),
        )
    )
