"""Passes over the bytes of JSON find what passes over its values find."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from request_logger.common import json_scan
from request_logger.common.json_scan import counted, has_long_text, is_deeper, weight

_TEXTS = st.text(st.sampled_from('ab"\\[]{}:é \n'), max_size=6)
_VALUES = st.recursive(
    _TEXTS | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a short text has several pieces."""
    monkeypatch.setattr(json_scan, "_PIECE_BYTES", 8)
    monkeypatch.setattr(json_scan, "_VECTOR_BYTES", 1)


def depth_of(value: Any) -> int:
    """Return how many levels of objects and lists a value has."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


def texts_of(value: Any) -> tuple[list[str], list[str]]:
    """Return the keys and the other texts of a value."""
    if isinstance(value, str):
        return [], [value]
    if not isinstance(value, dict | list):
        return [], []
    found = list(map(texts_of, value.values() if isinstance(value, dict) else value))
    keys = list(value) if isinstance(value, dict) else []
    return keys + [key for of, _ in found for key in of], [text for _, of in found for text in of]


@settings(deadline=None, max_examples=200)
@given(value=_VALUES, indent=st.booleans())
def test_scans(value: Any, indent: bool) -> None:
    """The depth is exact without escapes, as long keys and texts are in ASCII; neither is ever missed."""
    raw = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0)
    deep = depth_of(value)
    is_exact = b"\\" not in raw
    assert is_deeper(raw, deep - 1) or deep == 0
    assert not (is_exact and is_deeper(raw, deep))
    keys, texts = texts_of(value)
    for most_of_key, most_of_text in ((0, 3), (2, 2), (3, 4), (6, 6)):
        is_long = any(len(key) > most_of_key for key in keys) or any(len(text) > most_of_text for text in texts)
        found = has_long_text(raw, most_of_key, most_of_text)
        assert found or not is_long
        if is_exact and raw.isascii():
            assert found == is_long
    assert counted(raw, b'[{,"') == [raw.count(each) for each in b'[{,"']


def test_slices_are_counted() -> None:
    """Only the characters of the slice are counted, at any offset."""
    raw = bytearray(b'[{"a":1},[2,3]]' * 5)
    for start in range(20):
        for end in range(start, 40, 7):
            assert counted(raw, b"[,", start, end) == [raw.count(b"[", start, end), raw.count(b",", start, end)]


@pytest.mark.parametrize("size", [0, 10, 100])
def test_weights_of_short_and_long_texts(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of counting give the same weight, of the whole text and of a slice."""
    raw = b'{"a":[1,2]},' * 4
    monkeypatch.setattr(json_scan, "_VECTOR_BYTES", size)
    weights = {ord("["): 80, ord(","): 3}
    assert weight(raw, weights) == 4 * 80 + 8 * 3
    assert weight(raw, weights, 5, 9) == 80 + 3
