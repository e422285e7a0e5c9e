"""Splits a batched request into its events incrementally: parsed whole, a large one holds several times its size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from request_logger.documents.envelope import parse_array, parse_batch
from request_logger.documents.event import BadEventError
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError, Share, parsed_bytes

# Up to this size a batch is parsed at once, so that invalid JSON rejects the whole batch.
WHOLE_BYTES = 2**20

_SPACE = re.compile(rb"[ \t\n\r]*")
# Where an event may end. The same characters may occur within an event; the text before them is then not valid JSON.
_EDGE = re.compile(rb"\}(?=[ \t\n\r]*(?:,[ \t\n\r]*\{|\][ \t\n\r]*\Z))")
# Bytes parsed at once: enough that a value costs no more than in a single parse, and a few MB of memory at most.
_TOGETHER_BYTES = 64 * 2**10
# With more candidates an event's brackets are matched instead, since each candidate costs a parse of all before it.
_MOST_TRIES = 8
# An unterminated string is one token up to the end; otherwise each quote in it would be tried as a start.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)

Decode = Callable[[bytes | bytearray], list[Any] | None]
"""Returns the values of a JSON array of a known form, None for any other."""


def _of_no_form(raw: bytes | bytearray) -> None:
    return None


def elements(raw: bytes | bytearray, budget: Budget, decode: Decode = _of_no_form) -> Iterator[Any]:
    """Yield the values of a JSON array, as ``decode`` or else a parser returns them; a large one incrementally.

    Raises BadEventError for invalid JSON (in a large array only when the position is reached), and what Budget.take
    raises where there is no memory for the values.
    """
    if len(raw) <= WHOLE_BYTES:
        with budget.share() as share:
            share.take(parsed_bytes(raw))
            yield from decode(raw) or parse_batch(raw)
    else:
        yield from one_by_one(_as_utf8(raw), budget, decode)


def _as_utf8(raw: bytes | bytearray) -> bytes | bytearray:
    """Return the text as UTF-8. Protobuf within a Go sender's strings is read as latin-1: see parse_structured."""
    if raw.isascii():
        return raw
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1").encode()
    return raw


def one_by_one(raw: bytes | bytearray, budget: Budget, decode: Decode = _of_no_form) -> Iterator[Any]:
    """Yield the values of a JSON array, parsed _TOGETHER_BYTES at a time. Raises what `elements` raises."""
    view = memoryview(raw)
    at = _skip(raw, 0)
    if raw[at : at + 1] != b"[":
        raise BadEventError("body: expected a JSON array of CloudEvents")
    at = _skip(raw, at + 1)
    if raw[at : at + 1] == b"]":
        _check_end(raw, at + 1)
        return
    while True:
        with budget.share() as share:
            values, at = _next(raw, view, at, share, decode)
            yield from values
            # Released before the next values are parsed.
            del values
        at = _skip(raw, at)
        mark = raw[at : at + 1]
        if mark == b"]":
            _check_end(raw, at + 1)
            return
        if mark != b",":
            raise _bad()
        at = _skip(raw, at + 1)


def _next(raw: bytes | bytearray, view: memoryview, start: int, share: Share, decode: Decode) -> tuple[list[Any], int]:
    """Return at least one value from ``start`` on, and the position where the values end."""
    for size in (_TOGETHER_BYTES, 0):
        at = start + size
        for _ in range(_MOST_TRIES):
            edge = _EDGE.search(raw, at)
            if edge is None:
                break
            at = edge.end()
            try:
                return _parse(raw, view, start, at, share, decode), at
            except orjson.JSONDecodeError:
                continue
            except RequestTooLargeError:
                if size:
                    break
                raise
    at = _walk(raw, start)
    if at == start:
        # Nothing between two commas, or after the last one.
        raise _bad()
    try:
        return _parse(raw, view, start, at, share, decode), at
    except orjson.JSONDecodeError:
        raise _bad() from None


def _parse(raw: bytes | bytearray, view: memoryview, start: int, end: int, share: Share, decode: Decode) -> list[Any]:
    share.give_back()
    share.take(parsed_bytes(raw, start, end))
    # Wrapped in brackets, so that an edge within a value is not valid JSON.
    text = b"".join((b"[", view[start:end], b"]"))
    values: list[Any] = decode(text) or parse_array(text) or orjson.loads(text)
    return values


def _walk(raw: bytes | bytearray, start: int) -> int:
    """Return where the value at ``start`` ends, by matching brackets."""
    depth = 0
    for match in _TOKEN.finditer(raw, start):
        token = match.group()[:1]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            if not depth:
                return match.start()
            depth -= 1
            if not depth:
                return match.end()
        elif token == b"," and not depth:
            return match.start()
    raise _bad()


def _skip(raw: bytes | bytearray, at: int) -> int:
    match = _SPACE.match(raw, at)
    return match.end() if match else at


def _check_end(raw: bytes | bytearray, at: int) -> None:
    if _skip(raw, at) != len(raw):
        raise _bad()


def _bad() -> BadEventError:
    return BadEventError("body: expected a CloudEvent as JSON, found no JSON")
