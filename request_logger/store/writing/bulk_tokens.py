"""The workers of one server take turns at the engine, so that their bulks are fewer and larger."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios


class BulkTokens:
    """Tokens that go round among the processes forked from the one that made them.

    Without them, each of several workers sends what little it has, and meets the others' versions: a prediction's
    request and response come over different connections. Two tokens let one worker prepare its bulk while the engine
    has another's. Nothing's correctness stands on them: who has waited for ``patience`` (seconds) goes on without one
    and puts a new one back, because a process may have died with the old one.
    """

    def __init__(self, tokens: int = 2, patience: float = 0.1) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        self._tokens = tokens
        self._patience = patience
        os.write(self._in, b"t" * tokens)

    def __enter__(self) -> None:
        """Wait for a token."""
        while select.select([self._out], [], [], self._patience)[0]:
            try:
                os.read(self._out, 1)
                return
            except BlockingIOError:
                # Another was faster.
                continue

    def __exit__(self, *_: object) -> None:
        """Give it to the next."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._out, termios.FIONREAD, waiting)
        if waiting[0] < self._tokens:
            os.write(self._in, b"t")
