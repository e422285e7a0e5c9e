"""The documentation names every decoder, and its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from request_logger.payloads import UndecodableError, decode_body, decoders
from request_logger.payloads.predictions import predicted

DOCS = (Path(__file__).parents[2] / "docs" / "payloads.md").read_text()


def test_every_decoder_is_documented() -> None:
    """One line a decoder."""
    names = [name for name, _ in decoders()]
    assert len(names) >= 5
    assert [name for name in names if f"| `{name}` |" not in DOCS] == []


EXAMPLES = re.findall(r"^\| ([^|]+) \| `([\[{][^|]+)` \| `([^|]+)` \|$", DOCS, re.MULTILINE)


@pytest.mark.parametrize(("server", "body", "instance"), EXAMPLES, ids=[server for server, _, _ in EXAMPLES])
def test_predictions(server: str, body: str, instance: str) -> None:
    """Each row of the table of predictions is what comes of the body."""
    [item] = predicted(decode_body(body.encode())).items
    assert item.instance == json.loads(instance)


def test_every_server_has_an_example() -> None:
    """The expression finds the table."""
    assert len(EXAMPLES) == 28


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
