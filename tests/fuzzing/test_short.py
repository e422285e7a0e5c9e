"""The short form of the fuzzing: the committed corpus, and a few thousand changes of it, without atheris."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from tests.fuzzing import targets

CORPUS = Path(__file__).parent / "corpus"
# A few seconds for all targets together; `make fuzz-coverage` goes on from there.
CHANGED = {"decode": 1500, "event": 1500, "redact": 300, "join": 250}
WORDS = [b'"', b"[", b"]", b"{", b"}", b":", b",", b"null", b"NaN", b"1e999", b"-1", b'"data"', b"\xff", b"\x00", b"\n"]


@pytest.mark.parametrize(
    ("target", "name"),
    [(target, path.name) for target in targets.TARGETS for path in sorted((CORPUS / target).iterdir())],
)
def test_corpus(target: str, name: str) -> None:
    """Each input of the corpus, found ones among them, holds what its target asserts."""
    targets.run(target, (CORPUS / target / name).read_bytes())


@pytest.mark.parametrize("target", targets.TARGETS)
def test_changed_corpus(target: str) -> None:
    """Random changes of the corpus (the same ones in every run) hold it as well."""
    inputs = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    chance = random.Random(zlib.crc32(target.encode()))
    for _ in range(CHANGED[target]):
        data = changed(chance, inputs)
        try:
            targets.run(target, data)
        except Exception as error:
            # The input is what is needed to find out why.
            raise AssertionError(f"{target} failed with {data!r}") from error


def changed(chance: random.Random, inputs: list[bytes]) -> bytes:
    """Return one of the inputs after some cuts, repetitions, insertions and exchanges with another."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.randint(1, 4)):
        start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
        other = chance.choice(inputs)
        middle = chance.choice((b"", bytes(data[start:end]) * 2, chance.choice(WORDS), other[start:end]))
        data[start : end if chance.random() < 0.5 else start] = middle
    return bytes(data)


@pytest.mark.parametrize("target", ["decode", "join"])
def test_slowness_is_seen(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that takes more time than its input's length allows is a defect."""
    monkeypatch.setattr(targets, "_SECONDS", -1.0)
    with pytest.raises(targets.SlowError):
        targets.run(target, b"0\n{}")


@pytest.mark.parametrize("lost", ["request", "response", "feedback"])
def test_lost_part_is_seen(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that loses a part of any kind fails the target."""
    kept = targets.apply

    def losing(store: targets.Store, change: object) -> object:
        kept(store, change)  # type: ignore[arg-type]
        for source in store.values():
            source.pop(lost, None)
        return None

    monkeypatch.setattr(targets, "apply", losing)
    with pytest.raises(AssertionError, match=f"the latest {lost} is in no document"):
        targets.join((CORPUS / "join" / "pair").read_bytes())


def test_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the documented errors are expected."""

    def broken(*_args: object, **_more: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(targets, "decode_body", broken)
    with pytest.raises(KeyError):
        targets.decode(b"0\n{}")
