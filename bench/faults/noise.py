"""Load from another client on the engine."""

from __future__ import annotations

import contextlib
import json

from bench.background import Background
from bench.engines import Client

_INDEX = "faults-noise"
_CONNECTIONS = 4
_DOCUMENTS = 100


class Noise(Background):
    """Writes to a separate index over several connections, until the block ends."""

    def __init__(self, url: str) -> None:
        super().__init__(*[self._run] * _CONNECTIONS)
        self._url = url

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        Client(self._url).drop(_INDEX)

    def _run(self) -> None:
        client = Client(self._url)
        line = b'{"index": {}}\n' + json.dumps({"text": "word " * 100}).encode() + b"\n"
        while not self._stop.is_set():
            with contextlib.suppress(RuntimeError):  # rejected as well
                client.ask("POST", f"/{_INDEX}/_bulk", line * _DOCUMENTS)
