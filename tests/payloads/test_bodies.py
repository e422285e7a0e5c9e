"""Bytes -> JSON: what careless senders send."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from request_logger.payloads import UndecodableError, bodies, decode_body, parse_body

BODY = b'{"data":{"ndarray":[[1,2]]}}'
VALUE = {"data": {"ndarray": [[1, 2]]}}


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (BODY, None),
        (BODY, "text/plain"),
        (BODY, "application/x-www-form-urlencoded"),
        (b" \n" + BODY + b"\n", "application/json; charset=utf-8"),
        (b"\xef\xbb\xbf" + BODY, "application/json"),
        (BODY.decode().encode("utf-16"), "application/json; charset=utf-16"),
        (b"json=%7B%22data%22%3A%7B%22ndarray%22%3A%5B%5B1%2C2%5D%5D%7D%7D", "application/x-www-form-urlencoded"),
        (b"a=b&json=%7B%22data%22%3A%7B%22ndarray%22%3A%5B%5B1%2C2%5D%5D%7D%7D", "application/x-www-form-urlencoded"),
        (b"json=%7B%22data%22%3A%7B%22ndarray%22%3A%5B%5B1%2C2%5D%5D%7D%7D", None),
        (gzip.compress(BODY, mtime=0), "application/json"),
        (gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0), None),
        (b'{"data":{"ndarray":[[0]]},"data":{"ndarray":[[1,2]]}}', None),
        (json.dumps(BODY.decode()).encode(), "application/json"),
        (json.dumps(" " + BODY.decode()).encode("utf-16"), None),
    ],
)
def test_takes(raw: bytes, content_type: str | None) -> None:
    """Each of these is the same body."""
    assert bodies.parse(raw, content_type) == (VALUE, VALUE)
    assert decode_body(raw, content_type).payload == VALUE


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty body"),
        (gzip.compress(b"", mtime=0), "empty body"),
        (gzip.compress(BODY, mtime=0)[:-12], "gzip body is cut short"),
        (b"\x1f\x8bnonsense", "gzip body is damaged"),
        (b'{"a":"\xff"}', "body is neither JSON nor UTF-8 text"),
        (b"a=b", "body is not JSON"),
        (b"[" * 100_000, "body is nested deeper than 200 levels"),
        (b"[" * 201 + b"]" * 201, "body is nested deeper than 200 levels"),
        (b'{"a":' * 201 + b"NaN" + b"}" * 201, "body is nested deeper than 200 levels"),
        (b"9" * 10_000, "body is not JSON"),
        (BODY + b"\x00\xff", "body is neither JSON nor UTF-8 text"),
        (BODY + BODY, "body is not JSON"),
    ],
)
def test_refuses_in_one_line(raw: bytes, reason: str) -> None:
    """The reason is stored beside the raw bytes."""
    with pytest.raises(UndecodableError) as caught:
        parse_body(raw)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_form_without_json_is_refused() -> None:
    """A form has its JSON in the field `json`."""
    with pytest.raises(UndecodableError, match="body is not JSON"):
        parse_body(b"data=1", "application/x-www-form-urlencoded")


def test_200_levels_are_taken() -> None:
    """The limit itself is fine."""
    assert parse_body(b"[" * 200 + b"]" * 200)


def test_gzip_bomb_is_not_inflated() -> None:
    """100 MB in 100 kB: no more than the limit is ever unpacked."""
    bomb = gzip.compress(b" " * 100_000_000)
    with pytest.raises(UndecodableError, match="gzip body is larger than 1000 bytes"):
        decode_body(bomb, max_bytes=1000)


def test_gzip_limit_counts_all_members() -> None:
    """Members of half the limit each are no way around it."""
    member = gzip.compress(b" " * 600)
    assert bodies.inflate(member, 1000) == b" " * 600
    assert bodies.inflate(member, 600) == b" " * 600
    with pytest.raises(UndecodableError, match="larger than 1000"):
        bodies.inflate(member + member, 1000)


def test_zlib_without_gzip_is_no_json() -> None:
    """Only gzip is known by its magic bytes."""
    with pytest.raises(UndecodableError):
        parse_body(zlib.compress(BODY))


@pytest.mark.parametrize(
    ("literal", "stored"), [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("1e400", "Infinity")]
)
def test_numbers_that_are_not_finite(literal: str, stored: str) -> None:
    """Text in the payload, null in the row; the stored payload decodes to the same rows."""
    decoded = decode_body(f'{{"data":{{"ndarray":[[1,{literal}]],"names":["a","b"]}}}}'.encode())
    assert decoded.payload == {"data": {"ndarray": [[1, stored]], "names": ["a", "b"]}}
    assert decoded.items[0].instance == [1.0, None]
    assert decoded.items[0].elements == {"a": 1.0, "b": None}
    again = decode_body(json.dumps(decoded.payload).encode())
    assert (again.items, again.data_type) == (decoded.items, decoded.data_type)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40, 2**63, 123456789012345678901])
@pytest.mark.parametrize("template", ['{{"jsonData":{}}}', '{{"jsonData":[{}, 1]}}', '{{"jsonData":[1,\n\t{}]}}'])
def test_integers_beyond_64_bits_keep_their_value(number: int, template: str) -> None:
    """In the payload; rows have floats anyway."""
    raw = template.format(number).encode()
    payload = decode_body(raw).payload
    assert payload == json.loads(raw)
    value: Any = payload["jsonData"]
    assert number == value or number in value


def test_integer_beyond_a_double_is_null_in_the_row() -> None:
    """It has no float."""
    decoded = decode_body(b'{"data":{"ndarray":[[1,' + b"9" * 400 + b"]]}}")
    assert decoded.items[0].instance == [1.0, None]
    assert decoded.payload["data"]["ndarray"][0][1] == "9" * 400


def test_lone_surrogates_become_replacement_characters() -> None:
    """They can't be written as UTF-8; pairs are characters and stay."""
    decoded = decode_body(rb'{"strData":"a\ud800b\ud83d\ude00"}')
    assert decoded.items[0].instance == "a\ufffdb\U0001f600"
    assert decode_body(rb'{"jsonData":{"\udc00":1}}').payload == {"jsonData": {"\ufffd": 1}}


@pytest.mark.parametrize("text", ["hello", "[1]", "5", "null", "", "{", '"{}"'])
def test_text_that_is_no_object_stays_text(text: str) -> None:
    """Only an object is taken for a body that was encoded twice, and only once."""
    assert bodies.parse(json.dumps(text).encode()) == (text, text)
