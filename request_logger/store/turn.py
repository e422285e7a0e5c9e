"""The workers of one server take turns at the engine, so that their bulks are fewer and larger."""

from __future__ import annotations

import os
import select
from contextlib import suppress

_ALL = 4096


class Turn:
    """A token that goes round among the processes forked from the one that made it.

    Without it, each of several workers sends what little it has, and meets the others' versions: a prediction's
    request and response come over different connections. Nothing's correctness stands on it: who has waited for
    ``patience`` (seconds) goes on without it and puts a new one back, because a process may have died with the old
    one. Two tokens become one again when they are taken together.
    """

    def __init__(self, patience: float = 0.1) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._patience = patience
        self._give()

    def __enter__(self) -> None:
        """Wait for the turn."""
        while select.select([self._out], [], [], self._patience)[0]:
            try:
                os.read(self._out, _ALL)
                return
            except BlockingIOError:
                # Another was faster.
                continue

    def __exit__(self, *_: object) -> None:
        """Let the next one have its turn."""
        self._give()

    def _give(self) -> None:
        # A full pipe holds tokens enough.
        with suppress(BlockingIOError):
            os.write(self._in, b"t")
