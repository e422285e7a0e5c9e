"""Senders of different patience, and what became of their events."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from bench.background import Background
from tests.helpers import Sender, event, ndarray

# KServe's agent waits for 10 s, Seldon's executor for 60; the shortest gives up before the first retry.
PATIENCE = (0.3, 2.0, 10.0, 60.0)
_SENDERS_OF_EACH = 2
# Each sends so often that a minute's events fit into one answer of the engine.
_PAUSE_SECONDS = 0.15


@dataclass
class Outcome:
    """Ids of events by what their sender knows, and how long an answer took."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    slowest: float = 0.0

    @property
    def sent(self) -> int:
        """How many events were sent."""
        return len(self.acknowledged) + len(self.refused) + len(self.unanswered)


class Traffic(Background):
    """Sends requests of predictions for the duration of the block; each has an id of its own."""

    def __init__(self, url: str, deployment: str) -> None:
        senders = [(patience, number) for patience in PATIENCE for number in range(_SENDERS_OF_EACH)]
        runs = (partial(self._send_all, patience, f"{patience}-{number}") for patience, number in senders)
        super().__init__(*runs, seconds=max(PATIENCE) + 10)
        self._url = url
        self._deployment = deployment
        self._lock = threading.Lock()
        self.outcome = Outcome()

    def _send_all(self, patience: float, name: str) -> None:
        sender = Sender(self._url, timeout=patience)
        path = urlsplit(self._url).path
        number = 0
        while not self._stop.wait(_PAUSE_SECONDS):
            number += 1
            request_id = f"{name}-{number}"
            started = time.monotonic()
            try:
                status, _ = sender.send(event("request", request_id, self._deployment), ndarray([[number]]), path=path)
            except (OSError, http.client.HTTPException):
                status = 0
            with self._lock:
                self._note(request_id, status, time.monotonic() - started)
        sender.close()

    def _note(self, request_id: str, status: int, seconds: float) -> None:
        if 200 <= status < 300:
            self.outcome.acknowledged.add(request_id)
            self.outcome.slowest = max(self.outcome.slowest, seconds)
        elif status:
            self.outcome.refused.add(request_id)
        else:
            self.outcome.unanswered.add(request_id)
