"""JSON in and out: orjson, and the standard library for the values that orjson refuses."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dumps(value: Any, *, sort_keys: bool = False) -> bytes:
    """Serialise to UTF-8 JSON. Numbers that are not finite become null; lone surrogates become a question mark."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | (orjson.OPT_SORT_KEYS if sort_keys else 0))
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return json.dumps(value, ensure_ascii=False, sort_keys=sort_keys).encode("utf-8", "replace")


def loads(raw: bytes | str) -> Any:
    """Parse JSON. Raises json.JSONDecodeError (orjson's is one) where it is none."""
    return orjson.loads(raw)
