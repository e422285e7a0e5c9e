"""Bad input: a clear one-line error, or stored as it came; the process lives on."""

from __future__ import annotations

import base64
import json
import os
import time

import pytest

from tests.helpers import Index, Sender, event, index_of, ndarray

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("missing", "named"), [(("Ce-Requestid", "Ce-Id"), "Ce-Requestid"), (("Ce-Type",), "Ce-Type")])
def test_missing_header_is_named(sender: Sender, deployment: str, missing: tuple[str, ...], named: str) -> None:
    """No id or no type is a 400 with one line of JSON that names the header and what was expected."""
    headers = {name: value for name, value in event("request", "r1", deployment).items() if name not in missing}
    status, body = sender.send(headers, ndarray([[1]]))
    assert status == 400
    assert body.count(b"\n") == 1
    error = json.loads(body)["error"]
    assert named in error
    assert "expected" in error


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"data": {', id="broken JSON"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[1, 2, 3]", id="an array"),
        pytest.param(b"\xff\xfe\x80", id="no UTF-8"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"{" * 100_000, id="deeply nested"),
    ],
)
def test_undecodable_body_is_stored_as_it_came(sender: Sender, index: Index, deployment: str, body: bytes) -> None:
    """A body that can't be decoded is stored byte for byte, with the reason."""
    assert sender.send(event("request", "r1", deployment), body) == (200, b"")
    document = index.documents(index_of(deployment))[index_of(deployment), "r1"]
    payload = document["request"]["payload"]
    # What is JSON is stored as JSON.
    assert payload == json.loads(body) if isinstance(payload, list) else base64.b64decode(payload["base64"]) == body
    assert document["request"]["undecodable"]
    assert document["@timestamp"] == "2026-01-02T03:04:05.100Z"


UNSTORABLE = [
    pytest.param(b'{"jsonData":%s}' % (b"9" * digits), id=f"{digits} digits") for digits in (309, 310, 1000, 1001, 4301)
] + [
    pytest.param(b'{"jsonData":-1e400}', id="1e400"),
    pytest.param(b'{"data":{"ndarray":[[NaN,%s]],"names":["a","b"]}}' % (b"8" * 1500), id="elements"),
    pytest.param(b'{"jsonData":{"%s":1}}' % (b"k" * 50_001), id="key"),
    pytest.param(b'{"instances":[1],"%s":1}' % (b"k" * 60_000), id="field"),
    pytest.param(b'{"data":{"ndarray":[[1]],"names":["%s"]}}' % (b"n" * 50_001), id="name of a column"),
    pytest.param(b'{"reward":%s,"truth":%s}' % (b"7" * 310, b"6" * 310), id="reward"),
]


@pytest.mark.parametrize("part", ["request", "response", "feedback"])
@pytest.mark.parametrize("body", UNSTORABLE)
def test_what_no_engine_gives_back(sender: Sender, index: Index, deployment: str, body: bytes, part: str) -> None:
    """It is stored in another form; the events before and after it lack nothing, on the same document, too."""
    assert sender.send(event("outlier", "r1", deployment), b'{"data":{"is_outlier":[0]}}') == (200, b"")
    started = time.monotonic()
    assert sender.send(event(part, "r1", deployment), body) == (200, b"")
    assert sender.send(event(part, "r2", deployment), body) == (200, b"")
    assert sender.send(event("request", "r3", deployment), ndarray([[1]])) == (200, b"")
    assert time.monotonic() - started < 5
    found = {id: source for (_, id), source in index.documents(index_of(deployment)).items()}
    assert found.keys() == {"r1", "r2", "r3"}
    assert {"outlier", part} <= found["r1"].keys()
    # Once more: what is known of the document comes from the engine.
    assert sender.send(event("outlier", "r1", deployment), b"{}")[0] == 200


def test_garbage_of_a_megabyte_is_stored_as_size_and_hash(sender: Sender, index: Index, deployment: str) -> None:
    """Over the limit only the size and the SHA-256 are kept, also of a chunked body; the process lives on."""
    garbage = os.urandom(1_000_000)
    assert sender.send(event("request", "r1", deployment), garbage)[0] == 200
    assert sender.send(event("request", "r2", deployment), garbage, chunked=True)[0] == 200
    for _, source in index.documents(index_of(deployment)).items():
        dropped = source["request"]["payload_dropped"]
        assert dropped["bytes"] == 1_000_000
        assert len(dropped["sha256"]) == 64
        assert "MAX_PAYLOAD_BYTES" in dropped["reason"]
    assert sender.send(event("request", "r3", deployment), ndarray([[1]]))[0] == 200


def test_unknown_type_is_taken_and_dropped(sender: Sender, index: Index, deployment: str) -> None:
    """An event of no known kind is answered 200, since sending it again can't help, and not stored."""
    headers = event("request", "r1", deployment, Ce_Type="io.seldon.serving.inference.metrics")
    assert sender.send(headers, ndarray([[1]])) == (200, b"")
    assert index.documents(index_of(deployment)) == {}


def test_unscorable_feedback_says_why(sender: Sender, index: Index, deployment: str) -> None:
    """A truth that doesn't fit is stored, with the reason in words."""
    sender.send(event("response", "r1", deployment), ndarray([[0.2, 0.8]], ["no", "yes"]))
    truth = {"truth": {"data": {"ndarray": [[0, 0, 0, 1]]}}}
    assert sender.send(event("feedback", "r1", deployment), json.dumps(truth).encode())[0] == 200
    document = index.documents(index_of(deployment))[index_of(deployment), "r1"]
    assert document["metrics"]["unscorable"] == document["metrics"]["error"]
    assert document["feedback"]["truth"] == truth["truth"]
