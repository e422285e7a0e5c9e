"""Sends messages to FORWARD_URL from threads of its own, so that the receiver can't delay the logger's own answers.

A dispatcher thread moves messages from memory to the outbox and on to the threads that send. Sent and refused messages
leave the outbox; failed ones are retried with growing pauses, while others go past them.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from request_logger.common.header_lines import parse_header_lines
from request_logger.forward.backoff import Circuit, Retries
from request_logger.forward.disk_outbox import DiskOutbox
from request_logger.forward.memory_outbox import MemoryOutbox
from request_logger.forward.message import FORWARDED, Message
from request_logger.forward.sink import Outcome, Sink, Verdict
from request_logger.settings import Settings
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

# Between two turns: how long a message waits until it is on disk, and what a killed process can lose at most.
_TURN_SECONDS = 0.2
# Messages handed to the threads per connection: those in a thread's hands, and the next ones.
_AHEAD = 4
# Written to the disk in one transaction.
_ADD_BYTES = 4 * 2**20
_REPORT_SECONDS = 1.0
# Their numbers are in memory: about 2 MB. With more, no others are sent until some of these are.
_MOST_FAILED = 10_000
# At shutdown, threads that wait for an answer are given no longer than this.
_END_SECONDS = 1.0


class Outbox(Protocol):
    """Where messages wait: `request_logger.forward.memory_outbox` and `request_logger.forward.disk_outbox`."""

    @property
    def held_bytes(self) -> int:
        """Memory of the waiting messages."""
        ...

    def add(self, messages: Sequence[Message]) -> list[Message]:
        """Add messages; return those for which there is no room now."""
        ...

    def next(self) -> tuple[int, Message] | None:
        """Return the oldest message that was not returned yet, with its number."""
        ...

    def get(self, number: int) -> Message | None:
        """Return a message once more, None if it does not exist any more."""
        ...

    def put_back(self, number: int) -> None:
        """Note that a message is to be sent again."""
        ...

    def remove(self, number: int) -> None:
        """Remove a message that needs no further attempt."""
        ...

    def settle(self) -> None:
        """Write what has to be written."""
        ...

    def waiting(self) -> tuple[int, int, float]:
        """Return how many messages wait, their bytes, and the age of the oldest (seconds)."""
        ...

    def close(self) -> None:
        """End; what waits on disk stays there."""
        ...


class Forwarder:
    """Takes messages without waiting, and sends them. `offer` is thread-safe."""

    def __init__(self, sink: Sink, connections: int, outbox: Outbox, most_bytes: int, telemetry: Telemetry) -> None:
        """Start the threads. ``most_bytes`` limits what waits in memory; more is dropped."""
        self._sink = sink
        self._outbox = outbox
        self._most_bytes = most_bytes
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._arrived: deque[Message] = deque()
        self._arrived_bytes = 0
        self._circuit = Circuit(_AHEAD * connections, connections)
        self._retries = Retries()
        self._in_flight = 0
        self._jobs: queue.SimpleQueue[tuple[int, Message] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._add_at = self._report_at = 0.0
        self._was_failing = False
        self._senders = [
            threading.Thread(target=self._send, name=f"forward-{number}", daemon=True) for number in range(connections)
        ]
        self._dispatcher = threading.Thread(target=self._run, name="forward", daemon=True)
        for thread in (*self._senders, self._dispatcher):
            thread.start()

    def offer(self, message: Message) -> None:
        """Take a message, unless it was forwarded before; drop and count it where there is no room. Never waits."""
        if FORWARDED in message.headers:
            return
        with self._lock:
            has_room = self._arrived_bytes + self._outbox.held_bytes + message.weight <= self._most_bytes
            if has_room:
                self._arrived.append(message)
                self._arrived_bytes += message.weight
        if not has_room:
            self.dropped()

    def dropped(self) -> None:
        """Count a message that is not forwarded because there is no room for it."""
        self._telemetry.forwarded.labels("dropped").inc()
        self._telemetry.warn("forward_dropped", "", "no room for requests that wait for FORWARD_URL")

    def close(self, drain_seconds: float) -> None:
        """Send what waits in memory for at most ``drain_seconds``, and stop; what waits on disk stays there."""
        self._drain_until = time.monotonic() + drain_seconds
        self._stopping.set()
        self._wake.set()
        self._dispatcher.join(drain_seconds + _END_SECONDS)

    # The dispatcher's thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._guarded(self._turn)
            self._wake.wait(max(self._add_at - time.monotonic(), 0))
            self._wake.clear()
        self._guarded(self._drain)
        for _ in self._senders:
            self._jobs.put(None)
        self._guarded(self._outbox.close)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run a function of the thread, which goes on after an error: the next turn tries again."""
        try:
            action()
        except Exception as error:
            self._telemetry.happened("forward_error", "", f"{type(error).__name__}: {error}")

    def _turn(self) -> None:
        now = time.monotonic()
        # Each addition is an fsync, and a turn may follow the previous one at once.
        if now >= self._add_at:
            self._add_at = now + _TURN_SECONDS
            self._add_arrived()
        self._take_results()
        self._hand_out()
        # Last, since it fails on a disk that can't be written: what is on it is sent anyway.
        self._outbox.settle()
        if now >= self._report_at:
            self._report_at = now + _REPORT_SECONDS
            self._report()

    def _drain(self) -> None:
        while True:
            self._add_arrived()
            self._take_results()
            left = len(self._arrived) + (self._outbox.waiting()[0] if self._outbox.held_bytes else 0)
            if not left and not self._in_flight:
                return
            if time.monotonic() >= self._drain_until or (self._circuit.is_failing and not self._arrived):
                break
            if self._outbox.held_bytes:
                self._hand_out()
            self._wake.wait(_TURN_SECONDS / 4)
            self._wake.clear()
        if left:
            self._telemetry.forwarded.labels("dropped").inc(left)
            log.warning("%d requests that waited for FORWARD_URL in memory are lost", left)

    def _add_arrived(self) -> None:
        while messages := self._next_arrived():
            left = messages
            try:
                left = self._outbox.add(messages)
            finally:
                with self._lock:
                    self._arrived.extendleft(reversed(left))
                    kept = sum(message.weight for message in left)
                    self._arrived_bytes -= sum(message.weight for message in messages) - kept
            if left:
                return

    def _next_arrived(self) -> list[Message]:
        """Return the oldest messages that have arrived: what is written to the disk at once is in memory twice."""
        messages: list[Message] = []
        size = 0
        with self._lock:
            while self._arrived and size < _ADD_BYTES:
                messages.append(self._arrived.popleft())
                size += messages[-1].weight
        return messages

    def _take_results(self) -> None:
        with suppress(queue.Empty):
            while True:
                number, outcome = self._results.get_nowait()
                self._in_flight -= 1
                self._note(number, outcome)

    def _note(self, number: int, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.RETRY:
            now = time.monotonic()
            self._circuit.failed(now, outcome.retry_after)
            self._telemetry.warn("forward_retry", "", f"FORWARD_URL: {outcome.problem}")
            if self._retries.failed(number, now):
                self._telemetry.forward_retries.inc()
                self._outbox.put_back(number)
                return
            self._telemetry.forwarded.labels("given_up").inc()
        else:
            self._circuit.sent()
            self._retries.sent(number)
            self._telemetry.forwarded.labels(outcome.verdict.value).inc()
            if outcome.verdict is Verdict.REFUSED:
                self._telemetry.warn("forward_refused", "", f"FORWARD_URL: {outcome.problem}")
        self._outbox.remove(number)

    def _hand_out(self) -> None:
        """Hand messages to the threads that send: failed ones that are due, then the oldest others.

        While the receiver seems not to work, one that hasn't failed yet is first: the failed one may be the reason.
        """
        now = time.monotonic()
        for _ in range(self._circuit.room(now, self._in_flight)):
            job = (self._new() or self._due(now)) if self._circuit.is_failing else (self._due(now) or self._new())
            if job is None:
                return
            self._in_flight += 1
            self._jobs.put(job)

    def _new(self) -> tuple[int, Message] | None:
        return self._outbox.next() if len(self._retries) < _MOST_FAILED else None

    def _due(self, now: float) -> tuple[int, Message] | None:
        while (number := self._retries.next_due(now)) is not None:
            message = self._outbox.get(number)
            if message is not None:
                return number, message
            self._retries.forget(number)
        return None

    def _report(self) -> None:
        requests, size, age = self._outbox.waiting()
        with self._lock:
            requests += len(self._arrived)
            size += self._arrived_bytes
        self._telemetry.forward_waiting(requests, size, age)
        if self._was_failing != self._circuit.is_failing:
            self._was_failing = self._circuit.is_failing
            log.warning("FORWARD_URL %s", "takes no requests" if self._was_failing else "takes requests again")

    # The threads that send

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            number, message = job
            self._results.put((number, self._sink.send(message)))
            if self._jobs.qsize() < len(self._senders):
                self._wake.set()
        self._sink.close()


def new_forwarder(settings: Settings, folder: str, telemetry: Telemetry) -> Forwarder | None:
    """Return the forwarder for FORWARD_URL, None if it isn't set.

    ``folder`` is SPOOL_DIR; empty: messages wait in memory.

    Raises SettingsError.
    """
    if not settings.forward_url:
        return None
    headers = parse_header_lines(settings.forward_headers)
    connections = settings.forward_connections
    sink = Sink(settings.forward_url, headers, settings.forward_timeout_seconds)

    def dropped() -> None:
        telemetry.forwarded.labels("dropped").inc()
        telemetry.warn("forward_dropped", "", "a request is larger than FORWARD_SPOOL_BYTES")

    outbox: Outbox = (
        DiskOutbox(folder, settings.forward_spool_bytes, dropped, telemetry.happened) if folder else MemoryOutbox()
    )
    return Forwarder(sink, connections, outbox, settings.forward_memory_bytes, telemetry)
