"""How decoders are found, and what a decoder of somebody's own may do."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest

from request_logger import payloads
from request_logger.payloads import Decoded, Item, UndecodableError, decode_body, decoders


class Words:
    """A decoder as a stranger writes it."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Take bodies with `words`."""
        return "words" in body

    def decode(self, body: dict[str, Any]) -> Decoded:
        """One row a word."""
        return Decoded("text", [Item(word) for word in body["words"].split()])


class Greedy:
    """A decoder with a mistake."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Look at a field that may be absent."""
        return bool(body["kind"])

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Never comes so far."""
        raise AssertionError


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Register classes of this module beside the built-in decoders."""
    registered = list(entry_points(group=payloads.GROUP))

    def add(name: str) -> None:
        registered.append(EntryPoint(name.lower(), f"{__name__}:{name}", payloads.GROUP))

    monkeypatch.setattr("request_logger.payloads.entry_points", lambda group: registered)
    decoders.cache_clear()
    yield add
    decoders.cache_clear()


def test_built_in_decoders_are_registered() -> None:
    """They come through the same group as anyone's."""
    assert {name for name, _ in decoders()} >= {"parsed", "seldon", "tensorflow", "v2"}


def test_own_decoder_is_found_first(register: Any) -> None:
    """So it can take a body that a built-in one would take."""
    register("Words")
    decoded = decode_body(b'{"words":"two rows","instances":[1]}')
    assert [item.instance for item in decoded.items] == ["two", "rows"]
    assert decoded.payload == {"words": "two rows", "instances": [1]}
    assert decode_body(b'{"instances":[1]}').data_type == "number"


def test_mistake_of_a_decoder_does_not_lose_the_event(register: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is a reason like any other, and the log has the traceback."""
    register("Greedy")
    with pytest.raises(UndecodableError, match="decoder greedy failed: KeyError"):
        decode_body(b'{"instances":[1]}')
    assert "KeyError" in caplog.text


def test_unknown_body_names_its_fields() -> None:
    """Shortened, in one line, in ASCII."""
    with pytest.raises(UndecodableError) as caught:
        decode_body(("{" + ",".join(f'"größe\\n{i}":1' for i in range(100)) + "}").encode())
    assert str(caught.value).startswith(r"message of no known protocol: it has the fields ['gr\xf6\xdfe\n0'")
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
