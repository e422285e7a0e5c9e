"""Parses V2's binary form: a JSON object, then the raw bytes of the tensors with ``binary_data_size``.

The length of the JSON is in a header of the model's HTTP message (Inference-Header-Content-Length), which the senders
of events don't forward, so the end of the JSON object is found by parsing.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from request_logger.payloads import v2, v2_datatypes
from request_logger.payloads.base import UndecodableError

_SIZE = "binary_data_size"
_LEAST_LARGE_BYTES = 16 * 2**10
# Only the head is searched for the size of a tensor, and decoded, unless the JSON is longer.
_HEAD_BYTES = 64 * 2**10


def is_likely(raw: bytes) -> bool:
    """Return whether JSON with trailing white space may have the binary form: a space is also the UINT8 32."""
    return raw[-1] <= ord(" ") and _SIZE.encode() in raw


def is_large(raw: bytes) -> bool:
    """Return whether a body may have the binary form with many bytes after its JSON."""
    return len(raw) > _LEAST_LARGE_BYTES and raw.startswith(b"{") and raw.find(_SIZE.encode(), 0, _HEAD_BYTES) >= 0


def parse(raw: bytes, *, keeps_text: bool = False) -> dict[str, Any] | None:
    """Return a body of the binary form in the JSON form, with each tensor's bytes as its ``data``.

    With ``keeps_text`` many numbers are a NumberText. None for a body of another form. Raises UndecodableError if the
    sizes don't fit the bytes.
    """
    if not raw.startswith(b"{"):
        return None
    try:
        end = _end_of_json(raw)
        body = orjson.loads(raw[:end])
    except (ValueError, RecursionError):
        return None
    key = v2.tensors_key(body) if end < len(raw) else None
    if key is None or not any(_size(tensor) is not None for tensor in body[key]):
        return None
    position = end
    for index, tensor in enumerate(body[key]):
        size = _size(tensor)
        if size is not None and "data" not in tensor:
            v2_datatypes.fill(tensor, raw[position : position + size], f"{key}[{index}]", keeps_text=keeps_text)
            position += size
    if position > len(raw) or raw[position:].strip():
        raise UndecodableError(f"{key}: {len(raw) - end} bytes follow the JSON, its tensors need {position - end}")
    return body if isinstance(body, dict) else None


def _end_of_json(raw: bytes) -> int:
    """Return where a JSON object ends that other bytes may follow. Raises ValueError and RecursionError."""
    # latin-1 has one character per byte, so positions in the text are positions in the bytes.
    for head in (raw[:_HEAD_BYTES], raw):
        try:
            return json.JSONDecoder().raw_decode(head.decode("latin-1"))[1]
        except ValueError:
            if len(head) == len(raw):
                raise
    raise AssertionError


def _size(tensor: Any) -> int | None:
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    size = parameters.get(_SIZE) if isinstance(parameters, dict) else None
    return size if type(size) is int and size >= 0 else None
