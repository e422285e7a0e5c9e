"""Converts V2 messages from protobuf's JSON form, as Seldon Core 2 writes them to Kafka, to the REST protocol's form.

In protobuf's form names are in camel case (or as in the definition), 64-bit integers are text, bytes are base64,
parameters are objects with one entry, and values are in ``contents`` or in ``rawInputContents`` and
``rawOutputContents``.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from request_logger.payloads import v2_datatypes
from request_logger.payloads.base import UndecodableError

# Fields of the message whose content is moved into the tensors.
RAW_CONTENTS = ("rawInputContents", "rawOutputContents", "raw_input_contents", "raw_output_contents")
_BYTES = "bytescontents"
_PARAMETERS = frozenset({"boolparam", "int64param", "uint64param", "stringparam", "doubleparam"})


def in_rest_form(body: dict[str, Any], key: str) -> list[Any]:
    """Return the tensors under ``key`` in the form of the REST protocol; those that have it already unchanged.

    Raises UndecodableError if the contents are malformed.
    """
    side = "input" if key == "inputs" else "output"
    raw = body.get(f"raw{side.capitalize()}Contents", body.get(f"raw_{side}_contents"))
    if raw and (not isinstance(raw, list) or len(raw) != len(body[key])):
        raise UndecodableError(f"{key}: expected one entry of raw contents per tensor")
    return [
        _tensor(tensor, raw[position] if raw else None, f"{key}[{position}]")
        for position, tensor in enumerate(body[key])
    ]


def _tensor(tensor: Any, raw: Any, what: str) -> Any:
    if not isinstance(tensor, dict) or "data" in tensor or (raw is None and "contents" not in tensor):
        return tensor
    made = {name: value for name, value in tensor.items() if name != "contents"}
    if isinstance(made.get("shape"), list):
        made["shape"] = [_whole(size, what) for size in made["shape"]]
    if isinstance(made.get("parameters"), dict):
        made["parameters"] = {name: _parameter(value) for name, value in made["parameters"].items()}
    if raw is not None:
        v2_datatypes.fill(made, _decoded(raw, what), what)
        return made
    name, values = _values(tensor["contents"], what)
    if name == _BYTES:
        v2_datatypes.put_bytes(made, [_decoded(value, what) for value in values])
    else:
        made["data"] = values
    return made


def _values(contents: Any, what: str) -> tuple[str, list[Any]]:
    """Return the only list in a tensor's contents, and its name in lower case without underscores."""
    if isinstance(contents, dict):
        found = [(name, values) for name, values in contents.items() if values]
        if len(found) == 1 and isinstance(found[0][1], list):
            return found[0][0].replace("_", "").lower(), found[0][1]
        if not found:
            return "", []
    raise UndecodableError(f"{what}: contents must be an object with one list of values")


def _whole(size: Any, what: str) -> Any:
    try:
        return int(size) if isinstance(size, str) else size
    except ValueError:
        raise UndecodableError(f"{what}: shape must be a list of integers") from None


def _decoded(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise UndecodableError(f"{what}: bytes must be base64") from None


def _parameter(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        [(name, inner)] = value.items()
        if name.replace("_", "").lower() in _PARAMETERS:
            return inner
    return value
