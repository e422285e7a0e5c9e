"""Decoders of other packages do what they like: the document is stored, and says what they did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

from request_logger import payloads
from request_logger.documents.parts import parts_of
from request_logger.ingest.redaction import Redactor
from request_logger.payloads import Decoded, Item, UndecodableError, decode_body
from tests.test_user_code import ERRORS, MARKER, OddDict, OddText, event, raising


@dataclass
class Decoder:
    """A decoder that does what a test wants."""

    act: Callable[[], Any]
    taken: Callable[[], Any] = lambda: True

    def accepts(self, body: dict[str, Any]) -> Any:
        return self.taken()

    def decode(self, body: dict[str, Any]) -> Any:
        return self.act()


def decoded(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    monkeypatch.setattr(payloads, "decoders", lambda: (("theirs", decoder),))
    return decode_body(b'{"a": 1}')


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_decoder_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either of its methods; an event of it is stored."""
    for decoder in (Decoder(raising(error)), Decoder(dict, raising(error))):
        with pytest.raises(UndecodableError) as caught:
            decoded(decoder, monkeypatch)
        assert str(caught.value) == f"decoder theirs failed: {type(error).__name__}"
        (part,) = parts_of(event())
        assert part.content["undecodable"] == str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        None, [], 3, Decoded("text", []), Decoded("text", None), Decoded(3, [Item(1)]), Decoded("text", [1]),  # type: ignore[arg-type,list-item]
        Decoded("text", [Item(1)], fields=[1]), Decoded("text", [Item(1, elements=[1])]),  # type: ignore[arg-type]
        Decoded("text", [Item({"k" * 50_001: 1})]), Decoded("text", [Item(1)], names=["k" * 50_001]),
    ],
)  # fmt: skip
def test_a_decoder_that_returns_something_else(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is undecodable, with a reason of one line."""
    with pytest.raises(UndecodableError) as caught:
        decoded(Decoder(lambda: rows), monkeypatch)
    assert "\n" not in str(caught.value)


def test_rows_of_a_decoder_become_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's values and whatever else is no JSON."""
    rows = Decoded("text", (Item(np.array([1.5, np.nan]), OddDict(a={2, 1})),), names=("a",), fields={"b": OddText()})  # type: ignore[arg-type]
    found = decoded(Decoder(lambda: rows), monkeypatch)
    assert found.items == [Item([1.5, None], {"a": [1, 2]})]
    assert (found.names, found.fields, found.payload) == (["a"], {"b": "<OddText>"}, {"a": 1})


class Careless:
    """A decoder that changes what it is given."""

    def accepts(self, body: dict[str, Any]) -> bool:
        body["a"] = "changed"
        return True

    def decode(self, body: dict[str, Any]) -> Decoded:
        body["rows"].append(MARKER)
        return Decoded("text", [Item(body.pop("rows"))])

    def columns(self, body: dict[str, Any]) -> list[str]:
        return [str(len(body.pop("rows")))]


def test_a_decoder_that_modifies_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document has the payload as it was sent."""
    monkeypatch.setattr(payloads, "decoders", lambda: (("theirs", Careless()),))
    found = decode_body(b'{"a": 1, "rows": [1]}')
    assert (found.payload, found.items) == ({"a": 1, "rows": [1]}, [Item([1, MARKER])])
    message = {"a": 1, "rows": [1]}
    decoder = payloads.decoder_of(message)
    assert decoder is not None
    assert (payloads.columns_of(decoder, message), payloads.decode_with(decoder, message).items) == (
        ["1"],
        [Item([1, MARKER])],
    )
    assert message == {"a": 1, "rows": [1]}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_columns_of_a_decoder_that_raises(error: BaseException) -> None:
    """They are unknown, as for a decoder without the method, or one that returns something else."""
    for answer in (raising(error), lambda: 3, lambda: [1]):
        decoder = Decoder(dict)
        decoder.columns = lambda body, answer=answer: answer()  # type: ignore[attr-defined]
        assert payloads.columns_of(decoder, {"a": 1}) is None
    assert payloads.columns_of(Decoder(dict), {"a": 1}) is None


class UnspeakableError(UndecodableError):
    """A reason that can't be shown."""

    def __str__(self) -> str:
        raise SystemExit(MARKER)


def test_a_decoders_reason_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UndecodableError, match=r"^decoder theirs failed: UnspeakableError$"):
        decoded(Decoder(raising(UnspeakableError())), monkeypatch)


def test_a_decoder_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others work."""

    def broken() -> NoReturn:
        raise ImportError(MARKER)

    points = [
        SimpleNamespace(name="broken", value="x:Y", load=broken),
        SimpleNamespace(name="good", value="y:Z", load=lambda: lambda: Decoder(dict)),
    ]
    monkeypatch.setattr(payloads, "entry_points", lambda group: points)
    payloads.decoders.cache_clear()
    try:
        assert [name for name, _ in payloads.decoders()] == ["good"]
    finally:
        payloads.decoders.cache_clear()


REDUCED: dict[str, Decoder] = {
    "rows: None": Decoder(lambda: None),
    "rows: a number": Decoder(lambda: 3),
    "items: None": Decoder(lambda: Decoded("text", None)),  # type: ignore[arg-type]
    "names: a list": Decoder(lambda: Decoded("text", [Item([1])], names=[[1]])),  # type: ignore[list-item]
    "fields: a list": Decoder(lambda: Decoded("text", [Item({1, 2})], fields=[1])),  # type: ignore[arg-type]
    "a reason that raises": Decoder(raising(UnspeakableError())),
    "accepts: no boolean": Decoder(lambda: Decoded("text", [Item(1)]), lambda: np.array([1, 2])),
    **{type(error).__name__: Decoder(raising(error)) for error in ERRORS},
    **{f"accepts: {type(error).__name__}": Decoder(dict, raising(error)) for error in ERRORS},
}


@pytest.mark.parametrize("decoder", REDUCED.values(), ids=REDUCED)
@pytest.mark.parametrize("columns", [lambda body: ["id"], lambda body: 3, lambda body: [["a"], {}], lambda body: "id"])
def test_redaction_with_a_decoder_that_fails(
    decoder: Decoder, columns: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does, the event is stored, and without what is to be removed."""
    monkeypatch.setattr(payloads, "decoders", lambda: (("theirs", decoder),))
    monkeypatch.setattr(decoder, "columns", columns, raising=False)
    redacted = Redactor("drop:id").redact(event(b'{"id": "M4RKER", "a": 2}'))
    assert MARKER.encode() not in (redacted.body.raw or b"")
    assert parts_of(redacted)
