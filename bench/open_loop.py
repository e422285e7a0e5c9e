"""An open-loop sender: events are due at fixed times, whether or not earlier ones have been answered.

As in a Seldon executor or a KServe agent, events wait in a queue, a fixed number of workers send them one at a time,
each over its own connection, and an event that isn't acknowledged is not retried.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.load import Request

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Due:
    """An event, and the time at which it is due (seconds after the start)."""

    at: float
    request: Request


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an event: its status (0 without a response), the seconds from when it was sent and was due."""

    key: tuple[int, str]
    status: int
    seconds: float
    since_due: float

    @property
    def acknowledged(self) -> bool:
        """Whether the event is stored, by the logger's answer."""
        return 200 <= self.status < 300


def send(
    url: str, events: Sequence[Due], *, connections: int, timeout: float = 150.0, new_connections: float = 0.0
) -> list[Answer]:
    """Send the events when they are due, and return the answers in the order of their arrival.

    An event without a response after ``timeout`` seconds gets the status 0. ``new_connections`` is the share of events
    before which a worker closes its connection and opens another one.
    """
    return asyncio.run(_Senders(url, timeout, new_connections).run(sorted(events, key=lambda due: due.at), connections))


class _Senders:
    def __init__(self, url: str, timeout: float, new_connections: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._timeout = timeout
        self._new_connections = new_connections
        self._chance = random.Random(0)  # nothing secret
        self._started = 0.0
        self._answers: list[Answer] = []

    async def run(self, events: Sequence[Due], connections: int) -> list[Answer]:
        queue: asyncio.Queue[Due | None] = asyncio.Queue()
        self._started = time.monotonic()
        workers = [asyncio.create_task(self._work(queue)) for _ in range(connections)]
        for due in events:
            pause = self._started + due.at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            queue.put_nowait(due)
        for _ in workers:
            queue.put_nowait(None)
        await asyncio.gather(*workers)
        return self._answers

    async def _work(self, queue: asyncio.Queue[Due | None]) -> None:
        connection: _Connection | None = None
        while (due := await queue.get()) is not None:
            if connection and self._new_connections and self._chance.random() < self._new_connections:
                connection[1].close()
                connection = None
            sent = time.monotonic()
            status, connection = await self._ask(due.request.raw, connection)
            now = time.monotonic()
            self._answers.append(Answer(due.request.key, status, now - sent, now - self._started - due.at))
        if connection:
            connection[1].close()

    async def _ask(self, raw: bytes, connection: _Connection | None) -> tuple[int, _Connection | None]:
        """Send a request; return the status, 0 if there is no response, and the connection if it can be used again."""
        try:
            async with asyncio.timeout(self._timeout):
                connection = connection or await asyncio.open_connection(self._host, self._port)
                reader, writer = connection
                writer.write(raw)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
                status = int(head.split(b" ", 2)[1])
        except (OSError, EOFError, TimeoutError, ValueError, IndexError):
            if connection:
                connection[1].close()
            return 0, None
        if b"connection: close" in head:
            writer.close()
            return status, None
        return status, connection


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values is. Raises ValueError if there are none."""
    if not values:
        raise ValueError("there are no values")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
