"""Puts streamed answers of language models together, to the body that the server gives without streaming.

A stream is detected by its bytes, since KServe's agent labels it as the request was. It is server-sent events (lines of
``data:``), or one JSON object per line (Ollama).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Protocol

import orjson

from request_logger.common.json import has_big_integer, parse_leniently
from request_logger.payloads.llm.chat_stream import ChatStream
from request_logger.payloads.llm.responses_stream import ResponsesStream
from request_logger.payloads.llm.text_streams import OllamaStream, TgiStream, TritonStream

STREAM = "stream"
"""The field of an assembled body that tells its `State`."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:")
_DATA, _COMMENT = b"data:", b":"
_END = b"[DONE]"
# A stream has one or two chunks that can't be parsed, where it was cut, or are of no API, such as a ping. Bytes with
# more of them are something else, and parsing each of their lines takes too long.
_MOST_GAPS = 100


class State(StrEnum):
    """How much of a streamed answer was read."""

    COMPLETE = "complete"
    CUT = "cut"
    """A part of it is missing, such as its end."""
    ERROR = "error"
    """The server sent an error after its first chunks."""


class Stream(Protocol):
    """The chunks of one answer."""

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is of this API."""
        ...

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk; return False if it isn't one of this API."""
        ...

    def is_whole(self, *, has_end: bool) -> bool | None:
        """Return whether the answer is complete, None if that can't be known; ``has_end``: ``[DONE]`` was read."""
        ...

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it without streaming."""
        ...


_KINDS: tuple[type[Stream], ...] = (ChatStream, ResponsesStream, TgiStream, TritonStream, OllamaStream)
_KINDS_OF_LINES: tuple[type[Stream], ...] = (OllamaStream,)


def is_stream(raw: bytes | bytearray) -> bool:
    """Return whether bytes are server-sent events: the first line that isn't empty or a comment has one's field."""
    start = len(_BYTE_ORDER_MARK) if raw.startswith(_BYTE_ORDER_MARK) else 0
    while start < len(raw):
        if raw.startswith(_FIELDS, start):
            return True
        if raw[start : start + 1].isspace():
            start += 1
        elif raw.startswith(_COMMENT, start):
            ends = [end for end in (raw.find(b"\n", start), raw.find(b"\r", start)) if end >= 0]
            start = min(ends, default=len(raw))
        else:
            return False
    return False


def assembled(raw: bytes) -> dict[str, Any] | None:
    """Return the body of a streamed answer, with its state as ``stream``; None if the bytes aren't a known stream.

    Chunks that can't be parsed are left out, and the state is then ``cut``. Its numbers and texts need not be storable.
    Raises RecursionError if it is nested too deeply.
    """
    parse = parse_leniently if has_big_integer(raw) else _parsed
    if is_stream(raw):
        return _assembled(_events(raw), parse, _KINDS)
    if raw.lstrip()[:1] == b"{":
        return _assembled(iter(raw.splitlines()), parse, _KINDS_OF_LINES)
    return None


def _assembled(
    chunks: Iterator[bytes], parse: Callable[[bytes], Any], kinds: Sequence[type[Stream]]
) -> dict[str, Any] | None:
    stream: Stream | None = None
    error: dict[str, Any] = {}
    has_end = False
    # Chunks that can't be parsed or added, and those of no known API before the first one of the stream.
    gaps = unknown = 0
    for text in filter(bytes.strip, chunks):
        if text.strip() == _END:
            has_end = True
            continue
        try:
            chunk = parse(text)
        except ValueError:
            chunk = None
        if isinstance(chunk, dict):
            stream = stream or next((kind() for kind in kinds if kind.accepts(chunk)), None)
            is_added = stream is not None and stream.add(chunk)
            if _is_error(chunk):
                error = {"error": chunk.get("error") or chunk}
            elif stream is None:
                unknown += 1
            elif not is_added:
                gaps += 1
        else:
            gaps += 1
        if gaps + unknown > _MOST_GAPS or (unknown and kinds is _KINDS_OF_LINES):
            return None
    if stream is None:
        return None
    body = {**stream.body(), **error}
    body.pop(STREAM, None)
    is_whole = stream.is_whole(has_end=has_end)
    state = State.ERROR if error else State.CUT if gaps or is_whole is False else State.COMPLETE if is_whole else None
    if state is not None:
        body[STREAM] = state.value
    return body


def _is_error(chunk: dict[str, Any]) -> bool:
    return bool(chunk.get("error")) or chunk.get("object") == "error" or chunk.get("type") == "error"


def _events(raw: bytes) -> Iterator[bytes]:
    """Yield the data of each event; each line of data where a server ends its events with a single line break."""
    lines: list[bytes] = []
    for line in raw.removeprefix(_BYTE_ORDER_MARK).splitlines():
        if line.startswith(_DATA):
            lines.append(line[len(_DATA) :])
        elif not line and lines:
            yield from _joined(lines)
            lines = []
    if lines:
        yield from _joined(lines)


def _joined(lines: list[bytes]) -> list[bytes]:
    if len(lines) == 1:
        return lines
    whole = b"\n".join(lines)
    try:
        _parsed(whole)
    except ValueError:
        return lines
    return [whole]


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return parse_leniently(text)
