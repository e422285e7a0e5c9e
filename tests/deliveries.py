"""Events through two servers at once, in any order, with any repetition: what they leave must be one result."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from request_logger.documents.event import Body, from_headers
from request_logger.settings import Settings
from tests.helpers import Index, Sender, event
from tests.model import Store, in_order

Traffic = dict[str, list[tuple[str, bytes, str]]]
"""Request id -> part, body, ce-time of its events."""


def feedback(**fields: Any) -> bytes:
    truth = fields.pop("truth", None)
    return json.dumps({**fields, **({"truth": {"data": {"ndarray": truth}}} if truth is not None else {})}).encode()


class Deliveries(RuleBasedStateMachine):
    """Sends events until each has been acknowledged at least once, then compares what the engine holds."""

    traffic: ClassVar[Traffic]
    urls: ClassVar[tuple[str, str]]
    index: ClassVar[Index]

    @initialize()
    def start(self) -> None:
        self.messages = [(id, *message) for id, messages in self.traffic.items() for message in messages]
        self.deployment = f"o-{uuid.uuid4().hex[:12]}"
        self.pool = ThreadPoolExecutor(16)
        self.sent: list[Future[tuple[int, bytes]]] = []
        self.delivered: set[int] = set()

    @rule(data=st.data(), first=st.integers(0, 1))
    def burst(self, data: st.DataObject, first: int) -> None:
        """Several events at the same time, every other one to the other server."""
        numbers = data.draw(st.lists(st.integers(0, len(self.messages) - 1), min_size=1, max_size=12))
        for place, number in enumerate(numbers):
            self.sent.append(self.pool.submit(self.send, number, self.urls[(first + place) % 2]))
            self.delivered.add(number)

    @rule()
    def pause(self) -> None:
        """Wait until all that was sent is acknowledged."""
        assert {future.result() for future in self.sent} <= {(200, b"")}

    def send(self, number: int, url: str) -> tuple[int, bytes]:
        request_id, part, body, time = self.messages[number]
        sender = Sender(url)
        try:
            return sender.send(event(part, request_id, self.deployment, Ce_Time=time), body)
        finally:
            sender.close()

    def expected(self) -> Store:
        """What the pure functions make of the traffic, each event once and in its order."""
        made = []
        for request_id, part, body, time in self.messages:
            sent = event(part, request_id, self.deployment, Ce_Time=time)
            headers = {name.lower(): value for name, value in sent.items()}
            made.append(from_headers(headers, Body(body, "application/json", len(body)), Settings()))
        return in_order(made)

    def stored(self) -> Store:
        """What the engine holds of the deployment."""
        raise NotImplementedError

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        rest = [number for number in range(len(self.messages)) if number not in self.delivered]
        self.sent += [self.pool.submit(self.send, number, self.urls[number % 2]) for number in rest]
        statuses = {future.result() for future in self.sent}
        self.pool.shutdown()
        assert statuses <= {(200, b"")}
        assert self.stored() == self.expected()


def deliver(machine: type[Deliveries], urls: tuple[str, str], index: Index, *, examples: int, steps: int) -> None:
    """Let it find orders: ``examples`` of them, of at most ``steps`` bursts and pauses."""
    machine.urls, machine.index = urls, index
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
