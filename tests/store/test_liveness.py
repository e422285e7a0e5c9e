"""The writer says whether it lives: it waits for work as long as it takes, but no round goes on for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from request_logger.store.changes import Change
from request_logger.store.writing import writer as module
from request_logger.store.writing.ports import NullObserver
from request_logger.store.writing.writer import Writer


class Hanging:
    """An engine that answers a _bulk on command."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def request(self, method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        return 404, {}

    def bulk(self, body: bytes) -> Any:
        self.go.wait(20)
        return {"items": [{"update": {"_id": "1", "status": 200, "_seq_no": 1, "_primary_term": 1}}]}

    def ping(self) -> bool:
        return True

    def prepare(self, index: str) -> bool:
        return True

    def forget(self, index: str) -> None:
        """Forget nothing."""


def test_a_round_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle writer lives, one that hangs in a round doesn't, and it lives again when the round ends."""
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.2)
    engine = Hanging()
    writer = Writer(engine, lambda document, reasons: None, NullObserver())
    time.sleep(0.5)
    assert writer.is_alive

    def plan() -> Any:
        yield [Change("index", "1", lambda stored: {"a": 1})]

    stored = writer.submit(plan(), 1)
    deadline = time.monotonic() + 10
    while writer.is_alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not writer.is_alive
    engine.go.set()
    stored.result(10)
    while not writer.is_alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert writer.is_alive
    writer.close(5)
