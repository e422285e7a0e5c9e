"""Scripts about indices that are closed, deleted, blocked or behind an alias."""

from __future__ import annotations

from tests.simulation.conversation import Step
from tests.simulation.script import (
    FLAT,
    LENIENT,
    Script,
    act,
    alias,
    at,
    bulk,
    every_way,
    get,
    mget,
    one,
    or_read,
    post,
    put,
)


def _drop(index: str) -> Step:
    return Step("DELETE", f"/{index}")


def _asked(name: str) -> tuple[Step, ...]:
    """Send every request of the program about an index, and every kind of write."""
    return (
        every_way(name),
        mget((name, "1"), (name, "none")),
        get(f"/{name}/_mapping"),
        get(f"/{name}/_settings", **FLAT),
        put(f"/{name}/_settings", {"index.mapping.total_fields.limit": 2000}),
        put(f"/{name}/_mapping", {"properties": {"z": {"type": "long"}}}),
        put(f"/{name}"),
        get(f"/{name},{name}-2*/_alias", **LENIENT),
    )


def _block(name: str, *, end: str = "null") -> tuple[Step, ...]:
    return (
        one(),
        put("/sim-a/_settings", {f"index.blocks.{name}": True}),
        *_asked("sim-a"),
        bulk(act("create", "sim-a", "2"), {"new": 1}, act("create", "sim-b", "2"), {"new": 1}),
        put("/sim-a/_settings", {f"index.blocks.{name}": None}),
        every_way("sim-a", "2"),
        put("/sim-a/_settings", {f"index.blocks.{name}": True}),
        _drop("sim-a"),
        put("/sim-a/_settings", {f"index.blocks.{name}": None}),
    )


INDICES = (
    Script(
        "closed",
        (
            one(),
            post("/sim-a/_close"),
            *_asked("sim-a"),
            get("/sim-a/_alias"),
            get("/sim-*/_alias", **LENIENT),
            post("/sim-a/_open"),
            every_way("sim-a", "1"),
            post("/sim-a/_close"),
            _drop("sim-a"),
            one(),
            post("/sim-none/_close"),
            post("/sim-none/_open"),
        ),
    ),
    Script(
        "deleted",
        (
            one(),
            bulk(act("index", "sim-a", "1", **at(0)), {"a": 2}),
            _drop("sim-a"),
            _drop("sim-a"),
            *_asked("sim-none"),
            bulk(act("index", "sim-a", "1", **at(1)), {"a": 3}),
            bulk(act("update", "sim-a", "1"), or_read({"a": 3})),
            mget(("sim-a", "1")),
        ),
    ),
    Script("alias-of-one", (one(), alias("sim-a", alias="sim-one"), *_asked("sim-one"), _drop("sim-one"))),
    Script(
        "alias-of-two",
        (
            one(),
            put("/sim-b"),
            alias("sim-a", "sim-b", alias="sim-two"),
            *_asked("sim-two"),
            get("/sim-two/_alias"),
            get("/sim-a/_alias"),
        ),
    ),
    Script(
        "alias-with-a-write-index",
        (
            one(),
            put("/sim-b"),
            alias("sim-a", alias="sim-two"),
            alias("sim-b", alias="sim-two", is_write_index=True),
            *_asked("sim-two"),
            alias("sim-a", alias="sim-two", is_write_index=True),
            alias("sim-b", alias="sim-two", is_write_index=False),
            every_way("sim-two"),
            get("/sim-a,sim-b/_alias"),
        ),
    ),
    Script(
        "alias-that-is-not-written-to",
        (
            one(),
            alias("sim-a", alias="sim-one", is_write_index=False),
            every_way("sim-one"),
            mget(("sim-one", "1")),
            post("/_aliases", {"actions": [{"remove": {"index": "sim-a", "alias": "sim-one"}}]}),
            every_way("sim-one"),
            get("/sim-one/_alias"),
            post("/_aliases", {"actions": [{"add": {"index": "sim-none", "alias": "sim-x"}}]}),
            post("/_aliases", {"actions": [{"add": {"index": "sim-a", "alias": "sim-one"}}]}),
            put("/sim-a/_alias/sim-y"),
            get("/sim-y/_alias"),
            Step("DELETE", "/sim-a/_alias/sim-y"),
            get("/sim-y/_alias"),
        ),
    ),
    Script(
        "alias-of-a-closed-one",
        (
            one(),
            one("sim-b"),
            alias("sim-a", alias="sim-one"),
            alias("sim-a", "sim-b", alias="sim-two"),
            post("/sim-a/_close"),
            *_asked("sim-one"),
            *_asked("sim-two"),
        ),
    ),
    Script(
        "routing-required",
        (
            put("/sim-a", {"mappings": {"_routing": {"required": True}}}),
            bulk(act("index", "sim-a", "1", routing="1"), {"a": 1}),
            *_asked("sim-a"),
        ),
    ),
    Script("block-write", _block("write")),
    Script("block-read-only-allow-delete", _block("read_only_allow_delete")),
    Script("block-read-only", _block("read_only")),
    Script("block-metadata", _block("metadata")),
    Script(
        "first-document-of-a-blocked-index",
        (
            put("/sim-a"),
            put("/sim-a/_settings", {"index.blocks.metadata": True}),
            bulk(act("create", "sim-a", "1"), {}),
            put("/sim-a/_settings", {"index.blocks.metadata": None}),
            bulk(act("create", "sim-a", "1"), {}),
            put("/sim-a/_settings", {"index.blocks.metadata": True}),
            bulk(act("create", "sim-a", "2"), {}, act("create", "sim-a", "3"), {"a": 1}),
            put("/sim-a/_settings", {"index.blocks.metadata": None}),
            put("/sim-b", {"mappings": {"properties": {"a": {"type": "long"}}}}),
            put("/sim-b/_settings", {"index.blocks.metadata": True}),
            bulk(
                act("create", "sim-b", "1"),
                {},
                act("create", "sim-b", "2"),
                {"a": 1},
                act("create", "sim-b", "3"),
                {"b": 1},
            ),
            put("/sim-b/_settings", {"index.blocks.metadata": None}),
        ),
    ),
    Script(
        "blocks-that-end",
        (
            put("/sim-a"),
            put("/sim-a/_settings", {"index.blocks.metadata": True}),
            put("/sim-a/_settings", {"index.blocks.metadata": None, "index.blocks.write": None}),
            put("/sim-a/_settings", {"index.blocks.metadata": True}),
            put("/sim-a/_settings", {"index.blocks.write": None}),
            put("/sim-a/_settings", {"index.blocks.metadata": True, "index.number_of_replicas": 0}),
            put("/sim-a/_settings", {"index.blocks.metadata": None, "index.blocks.read_only": None}),
            put("/sim-a/_settings", {"index.blocks.metadata": None}),
            bulk(act("create", "sim-a", "1"), {"a": 1}),
        ),
    ),
)
