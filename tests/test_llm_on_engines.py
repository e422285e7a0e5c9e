"""Calls of a language model on a real engine: each is one document, searched, summed up and scored."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator

import pytest

from tests.helpers import Index, Sender, Server, event, index_of
from tests.payloads.llm.test_streams import CHUNKS, sent

pytestmark = pytest.mark.engine

ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Where is the tower?"}], "temperature": 0})
# As KServe's agent labels a stream.
STREAM = sent(*CHUNKS)
CUT = STREAM[: STREAM.index(b'"finish_reason": "stop"')]
EMBEDDINGS = json.dumps({
    "object": "list", "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4},
    "data": [{"index": index, "embedding": [0.5] * 8} for index in range(2)],
}).encode()  # fmt: skip


@pytest.fixture(scope="module")
def searching(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server that indexes texts, and removes names."""
    server = make_server(TEXT_SEARCH="true", REDACT="drop:/tow[a-z]+/")
    yield server
    server.stop()


def test_calls(searching: Server, index: Index, deployment: str) -> None:
    """A whole stream, a cut one, a compressed one, sent twice and backwards; and a batch of embeddings."""
    sender = Sender(searching.url)
    bodies = {"whole": STREAM, "cut": CUT, "gzip": gzip.compress(STREAM)}
    for _ in range(2):
        for id, answer in bodies.items():
            parts = {"feedback": b'{"truth": ["Paris \\u00e9"]}', "response": answer, "request": ASKED.encode()}
            for part, body in parts.items():
                assert sender.send(event(part, id, deployment), body)[0] == 200
        assert sender.send(event("request", "e", deployment), b'{"model": "e", "input": ["a", "b"]}')[0] == 200
        assert sender.send(event("response", "e", deployment), EMBEDDINGS)[0] == 200
    name = index_of(deployment)
    index.refresh()
    found = {id: source for (_, id), source in index.documents(name).items()}
    assert found.keys() == {*bodies, "e-item-0", "e-item-1"}
    for id in bodies:
        source = found[id]
        assert source["response"]["instance"] == source["response"]["searchable_text"] == "Paris é"
        assert source["request"]["instance"] == "Where is the [redacted]?"
        assert source["latency_seconds"] == 0.1
        assert source["metrics"]["correct"] == 1
        assert "unindexed" not in source["response"]
    assert {id: found[id]["response"]["elements"]["stream"] for id in bodies} == {
        "whole": "complete", "cut": "cut", "gzip": "complete",
    }  # fmt: skip
    assert [found[f"e-item-{row}"]["response"]["instance"] for row in range(2)] == [8, 8]
    assert found["e-item-0"]["response"]["payload"]["data"][1]["embedding"] == {"dimensions": 8}
    for field, word, count in (
        ("response.searchable_text", "paris", 3),
        ("response.searchable_text", "lyon", 0),
        ("request.searchable_text", "where", 3),
        ("request.searchable_text", "tower", 0),
    ):
        assert index.count(name, {"match": {field: word}}) == count, (field, word)
    sums = {
        "tokens": {"sum": {"field": "response.elements.total_tokens"}},
        "latency": {"max": {"field": "latency_seconds"}},
        "reasons": {"terms": {"field": "response.elements.finish_reason"}},
    }
    answer = index.aggregate(name, sums)
    assert answer["tokens"]["value"] == 2 * 5 + 4
    assert answer["latency"]["value"] == 0.1
    assert [(bucket["key"], bucket["doc_count"]) for bucket in answer["reasons"]["buckets"]] == [("stop", 2)]
