"""Scripts about mappings: accepted values by type, new fields, limits, changes of mappings."""

from __future__ import annotations

from request_logger.store.indices.templates import additions, dead_letter_mapping, mapping
from tests.simulation.conversation import Step
from tests.simulation.script import Script, act, at, bulk, get, mget, or_read, put

_VALUES = (
    "1",
    "-1",
    "1.5",
    "300",
    "2147483648",
    "9223372036854775808",
    '"1"',
    '"1.5"',
    '"x"',
    '""',
    "true",
    '"true"',
    "null",
    "[]",
    "[1,2]",
    '["x","y"]',
    "[[1],[2]]",
    "{}",
    '{"b":1}',
    '[{"b":1}]',
    '[1,{"b":1}]',
    '"2026-01-02"',
    '"2026-01-02T03:04:05.123Z"',
    '"2026-01-02T03:04:05+02:00"',
    '"2026-13-02"',
    '"2026/01/02"',
    "1700000000000",
)
_TYPES: dict[str, dict[str, object]] = {
    "long": {"type": "long"},
    "integer": {"type": "integer"},
    "byte": {"type": "byte"},
    "double": {"type": "double"},
    "float": {"type": "float"},
    "boolean": {"type": "boolean"},
    "keyword": {"type": "keyword"},
    "keyword-fields": {"type": "keyword", "fields": {"number": {"type": "long"}}},
    "text": {"type": "text"},
    "date": {"type": "date"},
    "object": {"properties": {"b": {"type": "long"}}},
    "disabled": {"type": "object", "enabled": False},
    "nested": {"type": "nested", "properties": {"b": {"type": "long"}}},
    "double-lenient": {"type": "double", "ignore_malformed": True},
    "long-lenient": {"type": "long", "ignore_malformed": True},
    "date-lenient": {"type": "date", "ignore_malformed": True},
    "no-coerce": {"type": "long", "coerce": False},
    "unindexed": {"type": "keyword", "index": False, "doc_values": False},
}


def _types() -> Script:
    fields = {f"f{number}": field for number, field in enumerate(_TYPES.values())}
    steps = [
        _each("sim-a", *(f'{{"f{number}":{value}}}' for value in _VALUES), ids=f"{name}-")
        for number, name in enumerate(_TYPES)
    ]
    return Script("types", (put("/sim-a", {"mappings": {"properties": fields}}), *steps))


def _each(index: str, *sources: str, ids: str = "") -> Step:
    return bulk(*(line for n, source in enumerate(sources) for line in (act("index", index, f"{ids}{n}"), source)))


_LONG = "<<w*32767>>"

FIELDS = (
    _types(),
    Script(
        "dynamic",
        (
            *(bulk(act("index", "sim-a", str(n)), f'{{"f{n}":{value}}}') for n, value in enumerate(_VALUES)),
            get("/sim-a/_mapping"),
        ),
    ),
    Script(
        "dynamic-conflicts",
        (
            _each(
                "sim-a",
                '{"a":1,"b":"x","c":{"d":1},"e":true,"g":1.5,"h":"2026-01-02"}',
                '{"a":"x"}',
                '{"a":"7"}',
                '{"b":1}',
                '{"b":{"x":1}}',
                '{"c":1}',
                '{"c":null}',
                '{"c":[]}',
                '{"c":[{"d":2},{"d":"x"}]}',
                '{"c":[{"d":2},3]}',
                '{"e":"x"}',
                '{"e":1}',
                '{"g":"x"}',
                '{"h":"x"}',
                '{"h":"2027-01-02T00:00:00Z"}',
                '{"c.d":5}',
                '{"c.z":5}',
                '{"a.z":5}',
                '{"c":{"d.q":5}}',
                '{"n":null,"m":[],"o":{},"p":[null]}',
                '{"n":{"a":1},"m":{"a":1}}',
            ),
            get("/sim-a/_mapping"),
            # A refused document adds none of its fields.
            _each("sim-a", '{"aa":1,"a":"x"}', '{"zz":1,"a":"x"}'),
            get("/sim-a/_mapping"),
        ),
    ),
    Script(
        "names-of-fields",
        (
            *(
                bulk(act("index", "sim-a", str(n)), source)
                for n, source in enumerate(
                    (
                        '{"":1}',
                        '{" ":1}',
                        '{"a.":1}',
                        '{".b":1}',
                        '{"x..y":1}',
                        '{".":1}',
                        '{"..":1}',
                        '{"s. .b":1}',
                        '{"o":{"":1}}',
                        '{"o":{".":1}}',
                        '{"":{"a":1}}',
                        '{"_id":1}',
                        '{"_source":1}',
                        '{"o":{"_id":1}}',
                        '{"_x":1}',
                        '{"a b":1}',
                        '{"a*":1}',
                        '{"../../etc":1}',
                        '{"p.b":1,"p":{"c":2}}',
                        '{"q":1,"q.b":2}',
                        '{"r.b":2,"r":1}',
                        '{" a":1}',
                        '{"a ":1}',
                        '{"\\u0000":1}',
                        '{"é\\n":1}',
                        '{"_field_names":1}',
                        '{"_routing":"x"}',
                        '{"s._id":1}',
                        '{"s. ":1}',
                    )
                )
            ),
        ),
    ),
    Script(
        "dotted-names-without-values",
        tuple(
            step
            for source in (
                '{"o.p":null}',
                '{"q.p":[]}',
                '{"r.p":{}}',
                '{"s":{"p":null}}',
                '{"t.p":[null]}',
                '{"u.p.q":null}',
                '{"v":{"p.q":null}}',
                '{"w.p.q":[]}',
                '{"o":1,"q":1}',
                '{"s":1}',
                '{"t":1}',
                '{"r":1}',
                '{"u":1}',
                '{"v":1}',
                '{"w":1}',
            )
            for step in (bulk(act("index", "sim-a", "1"), source), get("/sim-a/_mapping"))
        ),
    ),
    Script(
        "dynamic-strict",
        (
            put(
                "/sim-a",
                {
                    "mappings": {
                        "dynamic": "strict",
                        "properties": {
                            "a": {"type": "long"},
                            "o": {"properties": {}},
                            "t": {"dynamic": True, "properties": {}},
                        },
                    }
                },
            ),
            _each(
                "sim-a",
                '{"a":1}',
                '{"b":1}',
                '{"o":{"x":1}}',
                '{"t":{"x":1}}',
                '{"b":null}',
                '{"b":[]}',
                '{"b":{}}',
                '{"a.b":1}',
                '{"t":{"o":{"p":1}}}',
                "{}",
                '{"x.y":1}',
                '{"o.x":1}',
            ),
            bulk(act("update", "sim-a", "u"), or_read({"b": 1}), act("create", "sim-a", "v"), {"b": 1}),
            bulk(act("index", "sim-a", "0", **at(0)), {"b": 1}, act("index", "sim-a", "0", **at(77)), {"b": 1}),
        ),
    ),
    Script(
        "dynamic-false",
        (
            put(
                "/sim-a",
                {"mappings": {"dynamic": False, "properties": {"a": {"type": "long"}, "o": {"properties": {}}}}},
            ),
            _each(
                "sim-a", '{"b":1}', '{"b":{"c":1}}', '{"o":{"x":1}}', '{"a":"x"}', '{"x..y":1}', '{"a.b":1}', '{"":1}'
            ),
            put("/sim-b", {"mappings": dead_letter_mapping()}),
            _each(
                "sim-b",
                '{"@timestamp":"2026-01-02T03:04:05.123+00:00","index":"i","id":"d","reason":"r","document":"{}","x":{"":1}}',
            ),
            get("/sim-a,sim-b/_mapping"),
        ),
    ),
    Script(
        "field-limit",
        (
            put(
                "/sim-a",
                {
                    "settings": {"index.mapping.total_fields.limit": 5},
                    "mappings": {"properties": {"a": {"type": "long"}, "o": {"properties": {"b": {"type": "long"}}}}},
                },
            ),
            _each("sim-a", '{"c":1,"d":1}', '{"e":1}', '{"c":2}', '{"o":{"z":1}}', '{"a":1}', '{"o":{}}', '{"x":{}}'),
            bulk(act("update", "sim-a", "u"), or_read({"y": 1})),
            put("/sim-a/_mapping", {"properties": {"q": {"type": "long"}}}),
            put("/sim-a/_settings", {"index.mapping.total_fields.limit": 7}),
            _each("sim-a", '{"t":"x"}', '{"v":1}'),
            put(
                "/sim-b",
                {
                    "settings": {"index.mapping.total_fields.limit": 1},
                    "mappings": {"properties": {"a": {"type": "long"}, "b": {"type": "long"}}},
                },
            ),
        ),
    ),
    Script(
        "depth-of-fields",
        (
            _each("sim-a", *('{"a":' * depth + "1" + "}" * depth for depth in (19, 20, 21, 22))),
            _each(
                "sim-b",
                '{"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t":1}',
                '{"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u":1}',
            ),
        ),
    ),
    Script(
        "immense-terms",
        (
            put(
                "/sim-a",
                {
                    "mappings": {
                        "properties": {
                            "k": {"type": "keyword"},
                            "i": {"type": "keyword", "ignore_above": 8000},
                            "t": {"type": "text"},
                            "u": {"type": "keyword", "index": False, "doc_values": False},
                        }
                    }
                },
            ),
            _each(
                "sim-a",
                f'{{"k":"{_LONG}"}}',
                '{"k":"<<w*32766>>"}',
                '{"k":"<<é*16384>>"}',
                f'{{"i":"{_LONG}"}}',
                f'{{"t":"{_LONG}"}}',
                f'{{"u":"{_LONG}"}}',
                f'{{"new":"{_LONG}"}}',
                f'{{"k":["a","{_LONG}"]}}',
            ),
        ),
    ),
    Script(
        "put-mapping",
        (
            put(
                "/sim-a",
                {"mappings": {"properties": {"a": {"type": "long"}, "o": {"properties": {"b": {"type": "keyword"}}}}}},
            ),
            put("/sim-a/_mapping", {"properties": {"n": {"type": "double", "ignore_malformed": True}}}),
            put("/sim-a/_mapping", {"properties": {"a": {"type": "keyword"}}}),
            put("/sim-a/_mapping", {"properties": {"a": {"properties": {"x": {"type": "long"}}}}}),
            put("/sim-a/_mapping", {"properties": {"o": {"type": "long"}}}),
            put("/sim-a/_mapping", {"properties": {"o": {"properties": {"b": {"type": "long"}}}}}),
            put(
                "/sim-a/_mapping",
                {"properties": {"o": {"properties": {"c": {"type": "long"}}}}, "date_detection": False},
            ),
            put("/sim-a/_mapping", {"properties": {"x": {"type": "no-such-type"}}}),
            put("/sim-a/_mapping", {"properties": {"x": {"type": "long", "no_such": 1}}}),
            put("/sim-a/_mapping", {"no_such": 1}),
            put("/sim-a/_mapping", {"properties": {"a": {"type": "long"}}}),
            put(
                "/sim-a/_mapping",
                {"dynamic_templates": [{"n": {"match_mapping_type": "long", "mapping": {"type": "keyword"}}}]},
            ),
            put("/sim-none/_mapping", {"properties": {"a": {"type": "long"}}}),
            bulk(act("index", "sim-a", "1"), {"dyn": 1, "day": "2026-01-02"}),
            get("/sim-a/_mapping"),
            get("/sim-none/_mapping"),
        ),
    ),
    Script(
        "our-mapping",
        (
            put("/sim-a", {"mappings": mapping(), "settings": {"index.mapping.total_fields.limit": 2000}}),
            get("/sim-a/_mapping"),
            bulk(
                act("index", "sim-b", "1"),
                {
                    "@timestamp": "2026-01-02T03:04:05.100Z",
                    "RequestId": "r",
                    "request": {"elements": {"a": 1, "b": "x"}},
                },
            ),
            put("/sim-b/_settings", {"index.mapping.total_fields.limit": 2000}),
            put(
                "/sim-b/_mapping",
                additions(
                    {
                        "properties": {
                            "@timestamp": {"type": "date"},
                            "RequestId": {"type": "text"},
                            "request": {
                                "properties": {
                                    "elements": {"properties": {"a": {"type": "long"}, "b": {"type": "text"}}}
                                }
                            },
                        }
                    }
                ),
            ),
            get("/sim-b/_mapping"),
            _each(
                "sim-a",
                '{"@timestamp":"x"}',
                '{"metrics":{"correct":1,"error":"x","error_rate":1,"label":"l","unscorable":"u"}}',
                '{"metrics":{"correct":300}}',
                '{"metrics":{"correct":true}}',
                '{"metrics":5}',
                '{"request":{"payload":5,"elements":{"a":1,"b":"t"}}}',
                '{"request":{"payload":{"x":[1,{"":2}]},"elements":{"a":"x","b":7,"c":true}}}',
                '{"request":{"elements":{"a":{"z":1}}}}',
                '{"request":{"elements":{"c":"y","d":"2026-01-02","e":null,"f":[],"g":[1,"x"]}}}',
                '{"request":{"names":[["a"],["b"]],"names2":{"a":1}}}',
                '{"feedback":{"reward":"x","truth":[1,{"a":2}],"item":"3","items":3.7}}',
                '{"feedback":{"reward":{"a":1}}}',
                '{"RequestId":{"a":1}}',
                '{"request":5}',
                '{"response":[{"ce-time":"x"},{"ce-time":5}]}',
                '{"metrics":{"reward_agrees":"no"}}',
                '{"request":{"elements":{"h":<<9*400>>}}}',
            ),
            get("/sim-a/_mapping"),
            mget(("sim-a", "0"), ("sim-a", "1"), ("sim-a", "9")),
        ),
    ),
)
