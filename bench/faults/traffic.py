"""A sender with a steady rate that retries, as a broker does, until each event is acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.first import PARTS, bodies
from bench.load import post

Key = tuple[int, str]
"""The number of a prediction, and the name of a part."""

AGAIN_SECONDS = 0.5
POISON_EVERY = 10
_ANSWER_SECONDS = 60.0
_ALSO_ELSEWHERE = 0.2


def is_poison(number: int) -> bool:
    """Return whether the mapping rejects a poisoned sender's prediction of that number."""
    return number % POISON_EVERY == POISON_EVERY - 1


def content(key: Key, *, poison: bool) -> dict[str, Any]:
    """Return the body of an event, the same for the same key."""
    number, part = key
    body: dict[str, Any] = bodies(number)[part]
    if poison and part == "request" and is_poison(number):
        # Text for a field that is mapped as a number.
        body["data"]["ndarray"][0][0] = "no number"
    return body


class Traffic:
    """Sends predictions of its own deployment (request, response, feedback) until `finish`.

    ``rate`` is in events a second, whether or not earlier events are acknowledged. With several ``urls``, each event
    goes to one of them, and one in five to all at the same time.
    """

    def __init__(
        self, urls: Sequence[str], deployment: str, rate: float, *, poison: bool = False, scored: bool | None = True
    ) -> None:
        self.deployment = deployment
        self.poison = poison
        self.scored = scored
        """Whether its scorer works; otherwise each complete document must have a reason. None: either is fine."""
        self.sent: set[Key] = set()
        self.acknowledged: set[Key] = set()
        self.acknowledged_at: dict[Key, float] = {}
        """The time (time.monotonic) at which an event was acknowledged."""
        self.gone: set[Key] = set()
        """Acknowledged events that are not checked, since their engine was emptied afterwards."""
        self.unacknowledged: Counter[int] = Counter()
        """Statuses after which an event was retried (0: no response)."""
        self.refused: Counter[int] = Counter()
        """Statuses after which retrying is useless."""
        self.finished = False
        self.again = 0
        self.longest = 0.0
        """The longest time from first sending an event to its acknowledgement (seconds)."""
        self._urls = urls
        self._rate = rate
        self._idle: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {url: [] for url in urls}
        self._chance = random.Random(deployment)
        self._stop = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic", daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> None:
        """Send no new events; wait until all are acknowledged, at most ``patience`` seconds."""
        self._give_up_at = time.monotonic() + patience
        self._stop.set()
        self._thread.join(patience + 2 * _ANSWER_SECONDS)
        self.finished = True

    async def _run(self) -> None:
        started = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        # All events of a started prediction are sent.
        while not self._stop.is_set() or number % len(PARTS):
            await asyncio.sleep(started + number / self._rate - time.monotonic())
            task = asyncio.create_task(self._deliver((number // len(PARTS), PARTS[number % len(PARTS)])))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)
        for connections in self._idle.values():
            for _, writer in connections:
                writer.close()

    async def _deliver(self, key: Key) -> None:
        self.sent.add(key)
        chosen = [self._chance.choice(self._urls)]
        if len(self._urls) > 1 and self._chance.random() < _ALSO_ELSEWHERE:
            chosen = list(self._urls)
        raw = json.dumps(content(key, poison=self.poison)).encode()
        started = time.monotonic()
        stored = await asyncio.gather(*(self._until_acknowledged(url, key, raw) for url in chosen))
        if all(stored):
            now = time.monotonic()
            self.acknowledged_at[key] = now
            self.acknowledged.add(key)
            self.longest = max(self.longest, now - started)

    async def _until_acknowledged(self, url: str, key: Key, body: bytes) -> bool:
        raw = post(url, headers(self.deployment, key), body)
        while True:
            status = await self._send(url, raw)
            if 200 <= status < 300:
                return True
            if 400 <= status < 500:
                self.refused[status] += 1
                return False
            if time.monotonic() > self._give_up_at:
                return False
            self.again += 1
            self.unacknowledged[status] += 1
            await asyncio.sleep(AGAIN_SECONDS * self._chance.uniform(0.5, 1.5))

    async def _send(self, url: str, raw: bytes) -> int:
        """Send a request; return the status of the response, 0 if there is none."""
        writer = None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._idle[url]:
                    reader, writer = self._idle[url].pop()
                else:
                    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
                writer.write(raw)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
        except (OSError, EOFError, TimeoutError, ValueError):
            if writer is not None:
                writer.close()
            return 0
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle[url].append((reader, writer))
        return int(head.split(b" ", 2)[1])


def headers(deployment: str, key: Key) -> dict[str, str]:
    """Return the headers of an event, as an executor sends them."""
    number, part = key
    return {
        "Content-Type": "application/json",
        "Ce-Specversion": "1.0",
        "Ce-Id": f"{deployment}-{number}-{part}",
        "Ce-Source": "http://127.0.0.1:8000/",
        "Ce-Type": f"io.seldon.serving.{'' if part == 'feedback' else 'inference.'}{part}",
        "Ce-Time": f"2026-01-02T03:04:05.{PARTS.index(part)}00Z",
        "Ce-Requestid": f"{deployment}-{number}",
        "Ce-Inferenceservicename": deployment,
        "Ce-Modelid": "classifier",
        "Ce-Namespace": "bench",
        "Ce-Endpoint": "default",
    }
