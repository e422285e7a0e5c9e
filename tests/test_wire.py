"""What real senders sent, byte for byte: all of it is taken, and is in the engine as the pure functions say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from request_logger.documents.envelope import parse_structured
from request_logger.documents.event import Body, Event, from_headers, from_structured
from request_logger.settings import Settings
from tests.helpers import DATA, Index, Sender
from tests.model import in_order, without_times

pytestmark = pytest.mark.engine

PARTS = ("request", "response")
# No recording has fewer: less means that the file was not read whole.
LEAST_MESSAGES = 4
FILES = sorted(path.stem for path in (DATA / "wire").glob("*.jsonl") if path.stem != "kafka")


def messages(name: str) -> list[dict[str, Any]]:
    lines = (DATA / "wire" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def as_event(message: dict[str, Any]) -> Event:
    headers = {name.lower(): value for name, value in message["headers"]}
    raw = base64.b64decode(message["body_base64"])
    if headers.get("content-type", "").startswith("application/cloudevents+json"):
        return from_structured(parse_structured(raw), Settings())
    return from_headers(headers, Body(raw, headers.get("content-type"), len(raw)), Settings())


@pytest.mark.parametrize("name", FILES)
def test_all_that_real_senders_sent_is_stored(name: str, sender: Sender, index: Index) -> None:
    """Each request is answered 200 and empty; the documents are those of the same events one after the other."""
    index.drop("inference-log-*")
    traffic = messages(name)
    assert len(traffic) >= LEAST_MESSAGES
    for message in traffic:
        answer = sender.send(message["headers"], base64.b64decode(message["body_base64"]), message["method"])
        assert answer == (200, b""), message["note"]
    expected = in_order(as_event(message) for message in traffic)
    indices = {index_name for index_name, _ in expected}
    found = {key: source for key, source in index.documents("inference-log-*").items() if key[0] in indices}
    assert without_times(found) == expected


def test_ids_are_the_senders_text(sender: Sender, index: Index) -> None:
    """A request id is UTF-8, whatever HTTP makes of it: the document is found under what the client chose."""
    index.drop("inference-log-*")
    for message in messages("executor_seldon_rest"):
        if message["note"].startswith("seldon-rest puid"):
            answer = sender.send(message["headers"], base64.b64decode(message["body_base64"]))
            assert answer == (200, b"")
    ids = {source["RequestId"] for source in index.documents("inference-log-*").values()}
    assert {"café", 'x"y\\z', "123"} <= ids


def test_protobuf_is_decoded(sender: Sender, index: Index) -> None:
    """gRPC bodies become the same documents as JSON ones, also where a Go sender put them into a JSON string."""
    for name in ("executor_seldon_grpc", "sdk_go_forwarder"):
        index.drop("inference-log-*")
        traffic = [message for message in messages(name) if "grpc" in message["note"]]
        assert traffic
        for message in traffic:
            answer = sender.send(message["headers"], base64.b64decode(message["body_base64"]))
            assert answer == (200, b""), message["note"]
        sources = index.documents("inference-log-*").values()
        stored = [(part, source) for source in sources for part in PARTS if part in source]
        assert {part for part, _ in stored} == set(PARTS), name
        assert [source["RequestId"] for part, source in stored if "undecodable" in source[part]] == [], name
