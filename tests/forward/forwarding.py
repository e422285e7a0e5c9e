"""A forwarder for tests, with its metrics, in this process or in one that a test kills."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from request_logger.forward import Forwarder, Message, new_forwarder
from request_logger.settings import Settings
from request_logger.telemetry import Telemetry

HEADERS = {"ce-id": "1", "ce-type": "x", "content-type": "application/json"}


class Forwarding:
    """A forwarder and its metrics."""

    def __init__(self, url: str, folder: str, **settings: Any) -> None:
        self.registry = CollectorRegistry()
        made = Settings(forward_url=url, **settings)
        found = new_forwarder(made, folder, Telemetry(self.registry))
        assert found is not None
        self.forwarder: Forwarder = found

    def offer(self, *bodies: bytes) -> None:
        for body in bodies:
            self.forwarder.offer(Message(HEADERS, body))

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("request_logger_forwarded_total", {"outcome": outcome}) or 0

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(f"request_logger_forward_{name}") or 0


@contextmanager
def forwarding(url: str, folder: str, **settings: Any) -> Iterator[Forwarding]:
    found = Forwarding(url, folder, **settings)
    try:
        yield found
    finally:
        found.forwarder.close(0.5)


def bodies(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def offer_and_wait(url: str, folder: str, count: int, ready: Any) -> None:
    """Offer messages, set ``ready`` once some have failed, and wait to be killed."""
    found = Forwarding(url, folder, forward_timeout_seconds=0.5)
    found.offer(*bodies(count))
    # By then all are on disk: some have been read from there, sent, and failed.
    while found.value("retries_total") < 3:
        time.sleep(0.02)
    ready.set()
    time.sleep(60)
