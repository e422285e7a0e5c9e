"""Bytes in pieces, so that large ones are sent without being copied into one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Each piece costs a system call, and a copy of fewer bytes costs less than that.
LEAST_BYTES = 256 * 2**10


class Pieces:
    """Bytes that are the sum of some pieces; ``bytes(...)`` joins them."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._size = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the bytes as text, as the engine's client logs them at the level DEBUG."""
        return bytes(self).decode(encoding, errors)

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)


def together(pieces: Sequence[bytes]) -> bytes | Pieces:
    """Return pieces joined, except for those that have LEAST_BYTES or more."""
    if max(map(len, pieces), default=0) < LEAST_BYTES:
        return b"".join(pieces)
    found: list[bytes] = []
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < LEAST_BYTES:
            small.append(piece)
            continue
        found += (b"".join(small), piece)
        small.clear()
    return Pieces(list(filter(None, (*found, b"".join(small)))))
