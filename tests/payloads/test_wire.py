"""The bytes of real senders: each body is decoded, or has the reason listed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.payloads import UndecodableError, decode_body, decode_message, decode_protobuf, parse_body

WIRE = Path(__file__).parents[1] / "data" / "wire"
EMPTY = "empty body"
CUT_OFF = "body is not JSON: unexpected end of data: line 1 column 13 (char 12)"
# The answer to a GET of a model's metadata, which KServe logs, too.
NO_TENSORS = "inputs: no rows"

# file and line -> the reason
UNDECODABLE = {
    "executor_seldon_rest:26": "body is not JSON: unexpected end of data: line 1 column 9 (char 8)",
    "executor_seldon_rest:27": EMPTY,
    "kafka:7": EMPTY,
    "kserve:9": EMPTY,
    "kserve_mlserver:13": CUT_OFF,
    "kserve_mlserver:16": EMPTY,
    "kserve_mlserver:17": NO_TENSORS,
    "kserve_python:9": CUT_OFF,
    "kserve_python:14": EMPTY,
    "kserve_python:15": NO_TENSORS,
    "sdk_python:2": EMPTY,
    "sdk_python:3": "message of no known protocol: it has the fields ['a']",
    "sdk_python:5": "body is neither JSON nor UTF-8 text",
    "sdk_python:8": EMPTY,
}


def messages() -> Iterator[tuple[str, bytes, str | None]]:
    """Give name, body and content type of each recorded message that carries its event in headers."""
    for path in sorted(WIRE.glob("*.jsonl")):
        for line, text in enumerate(path.read_text().splitlines()):
            record = json.loads(text)
            pairs = record["headers"].items() if isinstance(record["headers"], dict) else record["headers"]
            headers = {name.lower(): value for name, value in pairs}
            content_type = headers.get("content-type")
            if not (content_type or "").startswith("application/cloudevents"):
                yield f"{path.stem}:{line}", base64.b64decode(record["body_base64"] or ""), content_type


MESSAGES = {name: (raw, content_type) for name, raw, content_type in messages()}


@pytest.mark.parametrize("name", MESSAGES)
def test_body_has_rows_or_the_listed_reason(name: str) -> None:
    """A prediction's body has rows; a feedback's parses, and its truth has rows."""
    raw, content_type = MESSAGES[name]
    try:
        body: Any = None if content_type == "application/protobuf" else parse_body(raw, content_type)
        if isinstance(body, dict) and "reward" in body:
            items = decode_message(body["truth"]).items if "truth" in body else [body]
        else:
            items = decode_body(raw, content_type).items
    except UndecodableError as error:
        assert str(error) == UNDECODABLE.get(name)
    else:
        assert items
        assert name not in UNDECODABLE


@pytest.mark.parametrize("line", range(4))
def test_grpc_rows_are_those_of_rest(line: int) -> None:
    """The payload of a gRPC message is its REST form: decoding that gives the same rows."""
    raw, content_type = MESSAGES[f"executor_seldon_grpc:{line}"]
    decoded = decode_body(raw, content_type)
    again = decode_body(json.dumps(decoded.payload).encode())
    assert (again.items, again.names, again.data_type) == (decoded.items, decoded.names, decoded.data_type)


@pytest.mark.parametrize(("line", "whole"), [(22, 12), (23, 13)])
def test_protobuf_as_text_is_whole_when_read_byte_by_byte(line: int, whole: int) -> None:
    """The Go SDK's structured form writes protobuf as a string of its bytes: read as latin-1, nothing is lost."""
    text = (WIRE / "sdk_go_forwarder.jsonl").read_text().splitlines()[line]
    event = json.loads(base64.b64decode(json.loads(text)["body_base64"]).decode("latin-1"))
    raw, _ = MESSAGES[f"sdk_go_forwarder:{whole}"]
    assert decode_protobuf(event["data"].encode("latin-1")) == decode_protobuf(raw)


def test_protobuf_with_its_bytes_replaced_is_refused() -> None:
    """Read as UTF-8 the same string is garbage."""
    text = (WIRE / "sdk_go_forwarder.jsonl").read_text().splitlines()[23]
    event = json.loads(base64.b64decode(json.loads(text)["body_base64"]).decode(errors="replace"))
    with pytest.raises(UndecodableError, match="protobuf body is neither"):
        decode_protobuf(event["data"].encode())
