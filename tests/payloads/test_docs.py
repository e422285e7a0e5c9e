"""The documentation names every decoder, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from request_logger.payloads import UndecodableError, decoders

DOCS = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()


def test_every_decoder_is_documented() -> None:
    """One line a decoder."""
    assert all(f"| `{name}` |" in DOCS for name, _ in decoders())


def test_example_decodes() -> None:
    """The code of the page, as it stands there."""
    [code] = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    scope: dict[str, type] = {}
    exec(code, scope)
    decoder = scope["Words"]()
    assert decoder.accepts({"words": "a b"})
    assert [item.instance for item in decoder.decode({"words": "a b"}).items] == ["a", "b"]
    with pytest.raises(UndecodableError):
        decoder.decode({"words": 1})
