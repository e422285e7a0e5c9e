"""The content of a part: what each row keeps of its event's body, and what is said of a body that isn't kept."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from request_logger.documents import parts
from request_logger.documents.batches import BODY_ITEM, MAX_COPIES_BYTES, rows_of
from request_logger.documents.document import join, part_in, same_owner, without_arrival
from request_logger.documents.event import Body, Event, from_headers, kept_body
from request_logger.documents.log_fields import log_fields
from request_logger.documents.parts import TooManyRowsError, parts_of, undecodable
from request_logger.payloads import decode_body
from request_logger.settings import Settings
from tests.helpers import event, ndarray

ROWS = [[1, 2], [3, 4], [5, 6]]
RAW = ndarray(ROWS, ["a", "b"])
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def made(part: str, body: bytes | Body, **headers: str) -> Event:
    found = {name.lower(): value for name, value in event(part, "r1", "iris", **headers).items()}
    return from_headers(
        found, body if isinstance(body, Body) else Body(body, "application/json", len(body)), Settings()
    )


def contents(part: str, body: bytes | Body, **headers: str) -> list[dict[str, Any]]:
    return [each.content for each in parts_of(made(part, body, **headers))]


def test_rows_of_a_batch() -> None:
    """Each has its own instance and elements, the whole body, and the number of rows."""
    parts = parts_of(made("request", RAW, Ce_Traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"))
    assert [part.content["instance"] for part in parts] == ROWS
    assert [part.content["elements"] for part in parts] == [dict(zip("ab", row, strict=True)) for row in ROWS]
    for part in parts:
        assert (part.name, part.node, part.timestamp) == ("request", "classifier", "2026-01-02T03:04:05.100Z")
        assert part.content["payload"] == json.loads(RAW)
        assert part.content["rows"] == 3
        assert part.content["names"] == ["a", "b"]
        assert part.content["dataType"] == "tabular"
        assert part.content["ce-time"] == "2026-01-02T03:04:05.100Z"
        assert part.content["ce-source"] == "http::8000"
        assert part.content["trace-id"] == TRACE
    (single,) = contents("request", ndarray([[1, 2]]))
    assert "rows" not in single
    assert "names" not in single


def test_what_an_event_lacks_its_parts_lack() -> None:
    """Time, source and trace."""
    (found,) = contents("request", ndarray([[1]]), Ce_Time="", Ce_Source="")
    assert {"ce-time", "ce-source", "trace-id"}.isdisjoint(found)


@pytest.mark.parametrize("excess", [0, 1])
def test_copies_of_a_large_payload(excess: int) -> None:
    """All rows have the payload while the copies together are within the limit; beyond, only the first has it."""
    decoded = decode_body(RAW, "application/json")
    found = rows_of(decoded, keep="all", size=MAX_COPIES_BYTES // 3 + excess)
    assert [row["instance"] for row in found] == ROWS
    assert ["payload" in row for row in found] == ([True, False, False] if excess else [True] * 3)
    assert [row.get(BODY_ITEM) for row in found] == ([None, 0, 0] if excess else [None] * 3)


def test_reference_data_has_no_payload() -> None:
    """Its rows are all that is needed."""
    found = contents("request", RAW, Ce_Type="io.seldon.serving.reference.request")
    assert [row["instance"] for row in found] == ROWS
    assert all({"payload", "payload_dropped"}.isdisjoint(row) for row in found)
    of_a_decoder = replace(decode_body(RAW, "application/json"), fields={"payload": "its own", "meta": 1})
    for row in rows_of(of_a_decoder, keep="none", size=1):
        assert "payload" not in row
        assert row["meta"] == 1


def test_limit_of_rows() -> None:
    """As many as there is memory for; one more is refused in one line, and not taken for a body that can't be read."""
    request = made("request", RAW)
    assert len(parts_of(request, most_rows=3)) == 3
    with pytest.raises(TooManyRowsError, match=r"^body: more rows than there is memory for$"):
        parts_of(request, most_rows=2)


def test_times_of_arrival_are_the_loggers_own() -> None:
    """A sender can't set them."""
    (found,) = contents("feedback", b'{"reward": 1, "received-time": "2030-01-01T00:00:00Z"}')
    assert "received-time" not in found
    assert found["reward"] == 1


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        (
            kept_body(b"12345", None, Settings(max_payload_bytes=4)),
            {
                "bytes": 5,
                "sha256": hashlib.sha256(b"12345").hexdigest(),
                "reason": "the body is larger than MAX_PAYLOAD_BYTES",
            },
        ),
        (Body(None, None, 7, reason="redacted"), {"bytes": 7, "reason": "redacted"}),
    ],
)  # fmt: skip
def test_body_that_is_not_kept(body: Body, dropped: dict[str, Any]) -> None:
    """Its size, hash and the reason are, in one part."""
    (found,) = contents("request", body, Ce_Time="", Ce_Source="")
    assert found == {"payload_dropped": dropped}


def test_undecodable_bodies() -> None:
    """The reason, and the body: as JSON where it is, else as base64 with its content type."""
    assert undecodable(b'{"a": 1}', "application/json", "why") == {"undecodable": "why", "payload": {"a": 1}}
    raw = b"\xff\x00"
    text = base64.b64encode(raw).decode()
    assert undecodable(raw, "application/x", "why") == {
        "undecodable": "why",
        "payload": {"base64": text, "content_type": "application/x"},
    }
    assert undecodable(raw, None, "why") == {"undecodable": "why", "payload": {"base64": text}}
    (found,) = contents("request", b"{", Ce_Time="", Ce_Source="")
    assert set(found) == {"undecodable", "payload"}
    assert base64.b64decode(found["payload"]["base64"]) == b"{"


def test_undecodable_body_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept while its base64 text can be stored, so up to three bytes per four characters."""
    assert parts._MAX_RAW_BYTES == parts.MAX_TEXT_CHARACTERS * 3 // 4
    monkeypatch.setattr(parts, "_MAX_RAW_BYTES", 4)
    assert "payload" in undecodable(b"\xff" * 4, None, "why")
    found = undecodable(b"\xff" * 5, None, "why")
    assert found == {
        "undecodable": "why",
        "payload_dropped": {"bytes": 5, "reason": "an undecodable body is kept up to 4 bytes"},
    }


def test_a_defect_of_a_decoder_loses_no_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The body is kept, the type of the error is the reason, and the log has the traceback."""

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(parts, "decode_body", broken)
    (found,) = contents("response", RAW)
    assert found["undecodable"] == "decoding failed: ZeroDivisionError"
    assert found["payload"] == json.loads(RAW)
    assert "a body could not be taken apart" in caplog.text


def test_a_defect_of_a_schema_loses_no_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is as it would be without the schema."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    expected = contents("request", RAW)
    monkeypatch.setattr(parts, "apply_schema", broken)
    assert contents("request", RAW) == expected


@pytest.mark.parametrize(
    ("stored", "header", "same"),
    [
        ({}, {}, True),
        ({"Ce-Namespace": "a"}, {}, True),
        ({}, {"Ce-Namespace": "a"}, True),
        ({"Ce-Namespace": "a"}, {"Ce-Namespace": "a"}, True),
        ({"Ce-Namespace": "a"}, {"Ce-Namespace": "b"}, False),
        ({"Ce-Namespace": "a", "Ce-Endpoint": "x"}, {"Ce-Namespace": "a", "Ce-Endpoint": "y"}, False),
        ({"Ce-Namespace": "a", "RequestId": "1"}, {"Ce-Namespace": "a", "RequestId": "2"}, True),
    ],
)
def test_owners(stored: dict[str, Any], header: dict[str, Any], same: bool) -> None:
    """Only a field that both have can tell two deployments apart."""
    assert same_owner(stored, header) is same


def test_arrival() -> None:
    """It is removed as a whole, or where it is that of the document."""
    content = {"instance": 1, "received-time": "a"}
    assert without_arrival(content) == without_arrival(content, "a") == {"instance": 1}
    assert without_arrival(content, "b") is content
    assert without_arrival({"instance": 1}) == {"instance": 1}


def test_part_in_any_document() -> None:
    """A part that is set aside is as its event had it; anything but an object is none."""
    aside = {"instance": 1, "unindexed": '{"names": ["a"]}', "unindexed_reason": "no"}
    assert part_in({"request": aside}, "request") == {"instance": 1, "names": ["a"]}
    for value in (None, 7, "text", []):
        assert part_in({"request": value}, "request") == {}


def test_fields_of_log_lines() -> None:
    """What identifies the event, and never its body."""
    assert log_fields(made("request", b"secret")) == {
        "trace_id": None,
        "request_id": "r1",
        "part": "request",
        "deployment": "iris",
        "namespace": "test",
        "size": 6,
    }


@pytest.mark.parametrize(
    "field", ["ServingEngine", "Ce-Inferenceservicename", "Ce-Endpoint", "Ce-Namespace", "RequestId"]
)
def test_fields_that_a_document_lacks(field: str) -> None:
    """The next event adds them: the document is found by its deployment, whichever part came first."""
    (request,), (response,) = (parts_of(made(part, ndarray([[1]]))) for part in ("request", "response"))
    whole = join(None, request)
    joined = join({name: value for name, value in whole.items() if name != field}, response)
    assert joined[field] == whole[field] == response.header[field]
