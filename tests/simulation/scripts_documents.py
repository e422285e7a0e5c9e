"""Scripts about documents: each action on existing and missing documents, with right and stale versions."""

from __future__ import annotations

from tests.simulation.script import READ, Script, act, at, bulk, get, mget, or_read, post, put, refused_beside

DOCUMENTS = (
    Script(
        "create",
        (
            bulk(act("create", "sim-a", "1"), {"a": 1}),
            bulk(act("create", "sim-a", "1"), {"a": 2}),
            bulk(act("create", "sim-a", "2"), {"a": 3}, act("create", "sim-a", "2"), {"a": 4}),
            mget(("sim-a", "1"), ("sim-a", "2")),
        ),
    ),
    Script(
        "index",
        (
            bulk(act("index", "sim-a", "1"), {"a": 1}),
            bulk(act("index", "sim-a", "1"), {"a": 2}),
            bulk(act("index", "sim-a", "1", **at(1)), {"a": 3}),
            bulk(act("index", "sim-a", "1", **at(1)), {"a": 4}),
            bulk(act("index", "sim-a", "1", **at(2, 2)), {"a": 4}),
            bulk(act("index", "sim-a", "1", **at(7)), {"a": 4}),
            bulk(act("index", "sim-a", "none", **at(0)), {"a": 4}),
            bulk(act("index", "sim-none", "1", **at(0)), {"a": 4}),
            mget(("sim-a", "1"), ("sim-none", "1")),
        ),
    ),
    Script(
        "update",
        (
            bulk(act("update", "sim-a", "1"), or_read({"a": 1, "b": {"c": [1, None]}})),
            bulk(act("update", "sim-a", "1"), or_read({"a": 2})),
            bulk(act("update", "sim-a", "1"), READ),
            bulk(act("update", "sim-a", "none"), READ),
            bulk(act("update", "sim-none", "1"), READ),
            get("/sim-none/_mapping"),
            bulk(act("index", "sim-a", "1", **at(0)), {"a": 9}),
            bulk(act("update", "sim-a", "1"), or_read({"a": 2})),
            bulk(act("update", "sim-a", "2"), '{"doc":{},"upsert":{"a":1}}'),
            bulk(act("update", "sim-a", "2"), '{"doc":{},"upsert":{"a":2}}'),
            bulk(act("update", "sim-a", "2"), '{"doc":{"a":5,"b":{"c":6}},"_source":true}'),
            bulk(act("update", "sim-a", "2"), '{"doc":{"b":{"d":7}},"_source":true}'),
            bulk(act("update", "sim-a", "2"), '{"doc":{"b":{"d":7}},"_source":true}'),
            bulk(act("update", "sim-a", "2", **at(0)), '{"doc":{"b":{"d":8}}}'),
            bulk(act("update", "sim-a", "2", **at(4)), '{"doc":{"b":{"d":9}}}'),
            bulk(act("update", "sim-a", "none", **at(4)), '{"doc":{"b":{"d":9}}}'),
            mget(("sim-a", "1"), ("sim-a", "2")),
        ),
    ),
    Script(
        "delete",
        (
            bulk(act("index", "sim-a", "1"), {"a": 1}, act("index", "sim-a", "2"), {"a": 2}),
            bulk(act("delete", "sim-a", "1", **at(1))),
            bulk(act("delete", "sim-a", "1", **at(0, 2))),
            bulk(act("delete", "sim-a", "1", **at(0))),
            bulk(act("delete", "sim-a", "1", **at(0))),
            bulk(act("delete", "sim-a", "1")),
            bulk(act("delete", "sim-a", "none", **at(0))),
            bulk(act("delete", "sim-a", "none")),
            bulk(act("delete", "sim-none", "1", **at(0))),
            bulk(act("delete", "sim-none", "1")),
            get("/sim-none/_mapping"),
            bulk(act("delete", "sim-a", "2")),
            bulk(act("create", "sim-a", "2"), {"a": 3}),
            bulk(act("update", "sim-a", "1"), or_read({"a": 4})),
            bulk(act("index", "sim-a", "2", **at(1)), {"a": 5}),
        ),
    ),
    Script(
        "one-id-several-times",
        (
            bulk(
                act("create", "sim-a", "1"),
                {"a": 1},
                act("update", "sim-a", "1"),
                or_read({"a": 2}),
                act("index", "sim-a", "1", **at(0)),
                {"a": 3},
                act("index", "sim-a", "1", **at(0)),
                {"a": 4},
                act("update", "sim-a", "1"),
                READ,
                act("delete", "sim-a", "1", **at(1)),
                act("update", "sim-a", "1"),
                READ,
                act("update", "sim-a", "1"),
                or_read({"a": 5}),
                act("create", "sim-a", "1"),
                {"a": 6},
            ),
            mget(("sim-a", "1")),
        ),
    ),
    Script(
        "order-of-items",
        (
            bulk(
                act("create", "sim-b", "1"),
                {"a": 1},
                act("delete", "sim-none", "1"),
                act("create", "sim-a", "1"),
                {"a": 1},
                act("index", "sim-b", "1", **at(5)),
                {"a": 2},
                act("update", "sim-a", "2"),
                READ,
                act("index", "Sim-Upper-sim-", "1"),
                {"a": 2},
                act("update", "sim-b", "2"),
                or_read({"a": 1}),
                act("create", "sim-a", "3"),
                {"a": {"b": 1}},
                act("delete", "sim-a", "1"),
            ),
            bulk({"index": {"_index": "sim-a", "_id": "4"}}, {"a": 1}, {"delete": {"_id": "1", "_index": "sim-b"}}),
        ),
    ),
    Script(
        "mget",
        (
            bulk(act("create", "sim-a", "1"), {"a": [1, None], "b": {"c": []}}, act("create", "sim-c", "1"), {"a": 1}),
            post("/sim-c/_close"),
            post("/_aliases", {"actions": [{"add": {"index": "sim-a", "alias": "sim-one"}}]}),
            put("/sim-b", {"mappings": {"_routing": {"required": True}}}),
            post("/_aliases", {"actions": [{"add": {"indices": ["sim-a", "sim-b"], "alias": "sim-two"}}]}),
            mget(("sim-a", "1"), ("sim-a", "2"), ("sim-none", "1"), ("sim-c", "1"), ("sim-one", "1"), ("sim-two", "1")),
            mget(("sim-b", "1"), ("Sim-", "1"), ("sim-a", "<<x*513>>")),
            mget(("sim-none", "1")),
            post("/_mget", {"docs": []}),
            post("/_mget", {}),
        ),
    ),
    Script(
        "long-ids",
        tuple(
            refused_beside(*pair)
            for size in (512, 513)
            for pair in (
                (act("create", "sim-a", f"<<x*{size}>>"), {"a": 1}),
                (act("index", "sim-a", f"<<é*{size // 2}>>{'x' * (size % 2)}"), {"a": 1}),
                (act("index", "sim-a", f"<<y*{size}>>", **at(0)), {"a": 1}),
                (act("update", "sim-a", f"<<z*{size}>>"), or_read({"a": 1})),
                (act("update", "sim-a", f"<<v*{size}>>"), READ),
                (act("delete", "sim-a", f"<<w*{size}>>", **at(0))),
                (act("index", "sim-a", ""), {"a": 1}),
            )
            for pair in [pair if isinstance(pair, tuple) else (pair,)]
        ),
    ),
)
