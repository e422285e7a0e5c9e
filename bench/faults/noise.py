"""Load from another client on the engine."""

from __future__ import annotations

import contextlib
import json
import threading
from types import TracebackType
from typing import Self

from bench.engines import Client

_INDEX = "faults-noise"
_CONNECTIONS = 4
_DOCUMENTS = 100


class Noise:
    """Writes to a separate index over several connections, until the block ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_CONNECTIONS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        Client(self._url).drop(_INDEX)

    def _run(self) -> None:
        client = Client(self._url)
        line = b'{"index": {}}\n' + json.dumps({"text": "word " * 100}).encode() + b"\n"
        while not self._stop.is_set():
            with contextlib.suppress(RuntimeError):  # rejected as well
                client.ask("POST", f"/{_INDEX}/_bulk", line * _DOCUMENTS)
