"""The interface of the model engine for simulations: restart, wipe, counters, unreadable answers."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from tests.simulation.conversation import KINDS
from tests.simulation.model_engine import ModelEngine, UnreadableAnswer

CREATE = b'{"create":{"_index":"a","_id":"1"}}\n{"n":[1,{"m":2}]}\n'
READ = b'{"update":{"_index":"a","_id":"1"}}\n{"doc":{},"_source":true}\n'


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> ModelEngine:
    return ModelEngine(request.param, now=lambda: 0.0)


def item(engine: ModelEngine, body: bytes) -> dict[str, Any]:
    """Send a _bulk of one action; return its item."""
    status, answer = engine.request("POST", "/_bulk", body)
    assert status == 200
    result: dict[str, Any]
    ((result,),) = (tuple(one.values()) for one in answer["items"])
    return result


def replace(seq_no: int, term: int) -> bytes:
    """Return a conditional write."""
    line = {"index": {"_index": "a", "_id": "1", "if_seq_no": seq_no, "if_primary_term": term}}
    return json.dumps(line).encode() + b'\n{"n":2}\n'


def test_answers_are_new_objects(engine: ModelEngine) -> None:
    """Changing an answer changes neither stored documents nor later answers."""
    engine.request("PUT", "/a", b'{"mappings":{"properties":{"n":{"type":"object","enabled":false}}}}')
    assert item(engine, CREATE)["result"] == "created"
    first = item(engine, READ)
    first["get"]["_source"]["n"].append("changed")
    first["_shards"]["total"] = "changed"
    engine.documents()["a", "1"]["n"].clear()
    _, mapping = engine.request("GET", "/a/_mapping")
    mapping["a"]["mappings"]["properties"].clear()
    assert item(engine, READ)["get"]["_source"] == {"n": [1, {"m": 2}]}
    assert item(engine, READ)["_shards"] == {"total": 2, "successful": 1, "failed": 0}
    assert engine.request("GET", "/a/_mapping")[1]["a"]["mappings"]["properties"] == {
        "n": {"type": "object", "enabled": False}
    }
    assert engine.documents() == {("a", "1"): {"n": [1, {"m": 2}]}}


def test_a_restart_keeps_documents_and_increments_terms(engine: ModelEngine) -> None:
    """A conditional write with the earlier version succeeds, and its new version has the new term."""
    item(engine, b'{"create":{"_index":"a","_id":"1"}}\n{"n":1}\n')
    engine.restart()
    again = item(engine, replace(0, 1))
    assert (again["status"], again["_seq_no"], again["_primary_term"]) == (200, 1, 2)
    assert item(engine, replace(1, 1))["status"] == 409
    assert item(engine, replace(1, 2))["status"] == 200
    assert engine.documents() == {("a", "1"): {"n": 2}}


def test_wiped_it_has_nothing(engine: ModelEngine) -> None:
    """No documents, indices, templates, aliases and settings remain; the counters do."""
    item(engine, CREATE.replace(b'[1,{"m":2}]', b"1"))
    engine.request("PUT", "/_index_template/t", b'{"index_patterns":["a*"]}')
    engine.request("POST", "/_aliases", b'{"actions":[{"add":{"index":"a","alias":"b"}}]}')
    engine.request("PUT", "/_cluster/settings", b'{"persistent":{"action.auto_create_index":"false"}}')
    engine.wipe()
    assert engine.documents() == {}
    assert engine.request("GET", "/a/_mapping")[0] == 404
    assert engine.request("GET", "/b/_alias")[0] == 404
    assert engine.request("GET", "/_index_template/t")[0] == 404
    created = item(engine, CREATE.replace(b'[1,{"m":2}]', b"1"))
    assert (created["result"], created["_seq_no"], created["_primary_term"]) == ("created", 0, 1)
    assert engine.writes == 2
    assert engine.counts["bulk"] == 2


def test_an_answer_that_the_program_cannot_parse_is_raised(engine: ModelEngine) -> None:
    """A whole number of 400 digits is stored, and every answer with it is unreadable."""
    engine.request("PUT", "/a", b'{"mappings":{"properties":{"n":{"type":"object","enabled":false}}}}')
    digits = b"9" * 400
    body = b'{"update":{"_index":"a","_id":"1"}}\n{"doc":{},"_source":true,"upsert":{"n":' + digits + b"}}\n"
    for sent in (body, body):
        with pytest.raises(UnreadableAnswer) as raised:
            engine.request("POST", "/_bulk", sent)
        assert raised.value.status == 200
        assert raised.value.answer["items"][0]["update"]["get"]["_source"] == {"n": f"number {digits.decode()}"}
    with pytest.raises(UnreadableAnswer):
        engine.request("POST", "/_mget", b'{"docs":[{"_index":"a","_id":"1"}]}')
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(b"9" * 400)
    assert engine.writes == 1
    # An answer without the source is readable.
    assert item(engine, b'{"index":{"_index":"a","_id":"1"}}\n{"n":1}\n')["result"] == "updated"


def test_a_body_that_is_too_long_is_413(engine: ModelEngine) -> None:
    """As with http.max_content_length, the answer is empty and nothing is executed."""
    engine.max_content_length = len(CREATE) - 1
    assert engine.request("POST", "/_bulk", CREATE) == (413, "")
    engine.max_content_length += 1
    assert engine.request("POST", "/_bulk", CREATE)[0] == 200


def test_a_refused_document_leaves_no_field(engine: ModelEngine) -> None:
    """A document that is refused at its last value adds no field to the mapping."""
    item(engine, b'{"create":{"_index":"a","_id":"1"}}\n{"n":1}\n')
    refused = item(engine, b'{"create":{"_index":"a","_id":"2"}}\n{"m":{"o":1},"n":"x"}\n')
    assert refused["status"] == 400
    assert engine.request("GET", "/a/_mapping")[1] == {"a": {"mappings": {"properties": {"n": {"type": "long"}}}}}


@pytest.mark.parametrize("kind", KINDS)
def test_two_engines_answer_alike(kind: str) -> None:
    """The same requests get the same answers, whatever the clock."""
    engines = [ModelEngine(kind, now=lambda: 0.0), ModelEngine(kind, now=lambda: 1e9)]
    for body in (CREATE, READ, replace(0, 1), replace(7, 7), READ):
        one, other = (engine.request("POST", "/_bulk", body) for engine in engines)
        assert one == other
