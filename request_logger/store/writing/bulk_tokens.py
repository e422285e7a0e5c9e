"""Tokens that limit how many worker processes send a _bulk at a time, so that bulks are fewer and larger."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios


class BulkTokens:
    """A context manager that holds a token; the processes forked from its creator share the tokens (through a pipe).

    Without tokens each worker sends small bulks, which conflict with those of other workers: a prediction's request and
    response arrive over different connections. With two tokens one worker prepares its bulk while the search engine
    processes another's. Tokens affect throughput, never correctness: a worker waits at most ``patience`` seconds, then
    proceeds without a token and puts a new one back, since a process may have died while it held one.
    """

    def __init__(self, tokens: int = 2, patience: float = 0.1) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        self._tokens = tokens
        self._patience = patience
        os.write(self._in, b"t" * tokens)

    def __enter__(self) -> None:
        """Wait for a token, for at most ``patience`` seconds at a time."""
        while select.select([self._out], [], [], self._patience)[0]:
            try:
                os.read(self._out, 1)
                return
            except BlockingIOError:
                # Another process took the token.
                continue

    def __exit__(self, *_: object) -> None:
        """Put a token back, unless all of them are there."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._out, termios.FIONREAD, waiting)
        if waiting[0] < self._tokens:
            os.write(self._in, b"t")
