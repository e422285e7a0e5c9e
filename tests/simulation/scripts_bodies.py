"""Scripts about limits of the JSON parser: numbers, keys, depth, malformed lines."""

from __future__ import annotations

from tests.simulation.conversation import KINDS, Step
from tests.simulation.script import READ, Script, act, at, bulk, get, mget, or_read, put, refused_beside

_OFF = {"mappings": {"properties": {"o": {"type": "object", "enabled": False}}}}
_DOUBLES = {
    "mappings": {
        "properties": {
            "d": {"type": "double", "ignore_malformed": True},
            "e": {"type": "double"},
            "l": {"type": "long"},
            "k": {"type": "keyword"},
        }
    }
}


def _ways(number: int, source: str) -> tuple[Step, ...]:
    create, index, update = (f"{way}{number}" for way in ("c", "i", "u"))
    return (
        refused_beside(act("create", "sim-a", create), source),
        refused_beside(act("index", "sim-a", index), source),
        refused_beside(act("index", "sim-a", "last", **at(0)), source),
        refused_beside(act("update", "sim-a", update), or_read(source)),
        mget(("sim-a", create), ("sim-a", index), ("sim-a", update)),
        bulk(act("update", "sim-a", create), or_read({"b": 1}), act("update", "sim-a", update), READ),
    )


# Elasticsearch 7.10 has no limit.
_LIMITED = ("opensearch", "elasticsearch9")


def _parser(name: str, *sources: str, kinds: tuple[str, ...] = KINDS) -> Script:
    steps = [step for number, source in enumerate(sources) for step in _ways(number, f'{{"o":{source}}}')]
    return Script(name, (put("/sim-a", _OFF), *steps), kinds)


BODIES = (
    _parser("whole-numbers", *(f"<<9*{digits}>>" for digits in (308, 309, 400, 1000, 1001, 4300)), "-<<9*1000>>"),
    _parser("fractions", "1.<<3*997>>", "1.<<3*998>>", "1.<<3*999>>", "1.<<3*1001>>", "1e400", "-1e400", "1e-400"),
    _parser("keys", '{"<<k*50000>>":1}', '{"<<k*50001>>":1}', '{"a":[{"<<é*50001>>":1}]}'),
    _parser("depth", *("[" * depth + "]" * depth for depth in (20, 21)), '[1,["x",{"a":' * 11 + "1" + "}]]" * 11),
    _parser("greatest-depth", *(f'<<{{"a":*{depth}>>1<<}}*{depth}>>' for depth in (900, 999, 1000)), kinds=_LIMITED),
    _parser("characters", '"\\ud800"', '"\\u0000"', "NaN", "'x'", "[1,]", "01", '"\t"', "tru"),
    Script(
        "numbers-that-are-indexed",
        (
            put("/sim-a", _DOUBLES),
            *(
                refused_beside(act("create", "sim-a", f"{name}{number}"), f'{{"{name}":{value}}}')
                for name in "delk"
                for number, value in enumerate(("<<9*308>>", "<<9*309>>", "<<9*30>>", "1e400", "1e40", '"x"'))
            ),
            *(
                bulk(act("create", "sim-b", f"{number}"), f'{{"f{number}":{value}}}')
                for number, value in enumerate(("<<9*309>>", "<<9*30>>", "9223372036854775808", "1e400", "1e40"))
            ),
            get("/sim-b/_mapping"),
        ),
    ),
    Script(
        "broken-lines",
        (
            put("/sim-a"),
            *(
                refused_beside(act("create", "sim-a", "1"), source)
                for source in ('{"a":1', '{"a":1}}', "[1]", "1", '"x"', "null", "{", "x", "{}", '{"a":1}   ')
            ),
            *(
                refused_beside(act("update", "sim-a", "2"), body)
                for body in (
                    '{"doc":{},"upsert":{"a":}}',
                    '{"doc":[]}',
                    '{"doc":{},"upsert":[1]}',
                    '{"doc":{},"upsert":1}',
                    "{}",
                    '{"upsert":{"a":1}}',
                    '{"doc":{},"x":1}',
                    "[1]",
                )
            ),
            *(
                refused_beside(line, {"a": 1})
                for line in (
                    "{}",
                    "[]",
                    "x",
                    '{"create":{"_id":"3"}}',
                    '{"create":{"_index":"sim-a","_id":"3","x":1}}',
                    '{"create":1}',
                    "",
                    '{"index":{"_index":"sim-a","_id":"3","if_seq_no":0}}',
                    '{"create":{"_index":"sim-a","_id":"4","if_seq_no":0,"if_primary_term":1}}',
                    '{"index":{"_index":"sim-a","_id":"3","if_seq_no":-1,"if_primary_term":1}}',
                )
            ),
            Step("POST", "/_bulk"),
            Step("POST", "/_bulk", ""),
            Step("POST", "/_bulk", "\n"),
            Step("POST", "/_bulk", '{"delete":{"_index":"sim-a","_id":"1"}}'),
            Step("POST", "/_bulk", '{"create":{"_index":"sim-a","_id":"5"}}\n{"a":1}'),
            Step("POST", "/_bulk", '{"create":{"_index":"sim-a","_id":"6"}}\n'),
            Step("POST", "/_bulk", '\n{"create":{"_index":"sim-a","_id":"7"}}\r\n{"a":1}\r\n\n'),
            mget(*(("sim-a", id) for id in ("first", "last", "1", "2", "3", "4", "5", "6", "7"))),
        ),
    ),
)
