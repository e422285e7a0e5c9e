"""What no decoder knows is stored as it came: as JSON where it is JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import parts_of
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of

UNKNOWN = {"turns": [{"from": "human", "value": [{"type": "text", "text": "Capital of France?"}]}]}
JSON: list[Any] = [UNKNOWN, {"": {"a..b": [1, None]}}, [1, [2, "x"]], [], {}, 5, 0.5, True, None, "text", [[{"x": 1}]]]


def content_of(body: bytes, part: str = "request", content_type: str = "application/json") -> dict[str, Any]:
    headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
    [made] = parts_of(from_headers(headers, Body(body, content_type, len(body)), Settings()))
    return made.content


@pytest.mark.parametrize("value", JSON, ids=repr)
def test_json(value: Any) -> None:
    """Any JSON value is the payload, with the reason."""
    content = content_of(json.dumps(value).encode())
    assert content["payload"] == value
    assert content["undecodable"]
    assert "instance" not in content


@pytest.mark.parametrize("part", ["request", "response", "outlier", "drift", "feedback"])
def test_every_part(part: str) -> None:
    """A list is no message of any part."""
    assert content_of(b"[1, 2]", part)["payload"] == [1, 2]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"data: {}\n\n", b"[" * 300 + b"]" * 300])
def test_what_is_no_json_is_base64(body: bytes) -> None:
    """With its content type; so is JSON that is too deep to be stored."""
    payload = content_of(body, content_type="text/plain")["payload"]
    assert payload == {"base64": base64.b64encode(body).decode(), "content_type": "text/plain"}


@pytest.mark.parametrize("names", [[0, 1, 2], ["0", "1", "2"], [-1, 1], ["1.0", "2.0"]], ids=str)
@pytest.mark.parametrize("rows", [[[2]], [[2], [0]], [2]], ids=str)
def test_a_label_with_the_names_of_classes(names: list[Any], rows: list[Any]) -> None:
    """Of several names none is that of a single value."""
    body = json.dumps({"data": {"names": names, "ndarray": rows}}).encode()
    headers = {name.lower(): value for name, value in event("response", "r1", "iris").items()}
    parts = parts_of(from_headers(headers, Body(body, "application/json", len(body)), Settings()))
    assert all(part.content["elements"] is None for part in parts)
    assert parts[0].content["names"] == list(map(str, names))


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"payload_dropped": {"bytes": 5}}, "the response's payload was not stored: response.payload_dropped says why"),
        ({"payload": {"data": {"ndarray": [[1]]}}, "dataType": "number"}, "the response has no instance"),
    ],
)
def test_what_is_missing_is_said(response: Any, reason: str) -> None:
    """A payload that is there is not called missing."""
    document = {"response": response, "feedback": {"truth": {"data": {"ndarray": [[1]]}}}}
    metrics = score(document, Chooser("auto", None))
    assert metrics is not None
    assert metrics["unscorable"] == reason


@pytest.mark.engine
def test_on_an_engine(server: Server, index: Index, deployment: str) -> None:
    """The engine keeps each value in its place."""
    sender = Sender(server.url)
    for number, value in enumerate(JSON):
        body = json.dumps(value).encode()
        assert sender.send(event("request", f"r{number}", deployment), body)[0] == 200
    name = index_of(deployment)
    found = index.documents(name)
    for number, value in enumerate(JSON):
        request = found[name, f"r{number}"]["request"]
        assert request["payload"] == value
        assert "unindexed" not in request
