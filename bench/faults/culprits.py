"""Harmful events and probes, sent in addition to the usual events; their statuses and latencies are recorded."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.background import Background
from bench.faults.traffic import headers

ANSWER_SECONDS = 8.0
"""Maximum time to answer any event: some senders give up after 10 s."""
_PAUSE_SECONDS = 0.5
_CONNECTIONS = 4
# Beyond the range of a double; some parsers reject more than 1,000 or 4,300 digits.
DIGITS = (309, 310, 400, 1000, 1001, 4300, 4301)


def integer(digits: int) -> str:
    """Return the text of an integer with the given number of digits."""
    return "1" + "7" * (digits - 1)


def poison_events(deployment: str) -> list[tuple[dict[str, str], bytes]]:
    """Return events with numbers that JSON allows but engines reject: in a request, a reward, a structured event."""
    events: list[tuple[dict[str, str], bytes]] = []
    for number, digits in enumerate(DIGITS):
        text = integer(digits)
        for part, body in (
            ("request", f'{{"data": {{"ndarray": [[{text}]]}}}}'),
            ("request", f'{{"anything": {{"else": -{text}}}}}'),
            ("response", f'{{"data": {{"ndarray": [[{text}]]}}}}'),
            ("feedback", f'{{"reward": {text}}}'),
            ("feedback", f'{{"truth": {{"data": {{"ndarray": [{text}]}}}}}}'),
        ):
            events.append((headers(deployment, (len(events), part)), body.encode()))
        structured: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"structured-{number}",
            "source": "bench",
            "type": "io.seldon.serving.inference.request",
            "requestid": f"structured-{number}",
            "inferenceservicename": deployment,
            "namespace": "bench",
            "endpoint": "default",
            "datacontenttype": "application/json",
        }
        text_of_event = json.dumps(structured)[:-1] + f', "data": {{"data": {{"ndarray": [[{text}]]}}}}}}'
        events.append(({"Content-Type": "application/cloudevents+json"}, text_of_event.encode()))
    return events


class Culprits(Background):
    """Sends events repeatedly over several connections, until the block ends.

    ``pause`` is how long each connection waits before each event (seconds). ``answers`` counts statuses (0: none),
    ``longest`` is the longest time to a response in seconds.
    """

    def __init__(self, url: str, events: Sequence[tuple[dict[str, str], bytes]], pause: float = _PAUSE_SECONDS) -> None:
        super().__init__(*[self._run] * _CONNECTIONS)
        self.answers: Counter[int] = Counter()
        self.longest = 0.0
        self._url = urlsplit(url)
        self._events = events
        self._pause = pause
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            with self._lock:
                given, body = self._events[next(self._numbers) % len(self._events)]
            started = time.monotonic()
            status = send(self._url.netloc, given, body)
            with self._lock:
                self.answers[status] += 1
                self.longest = max(self.longest, time.monotonic() - started)


def send(address: str, given: dict[str, str], body: bytes, *, timeout: float = 60.0) -> int:
    """Send an event over a new connection; return the status of the response, 0 if there is none."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("POST", "/", body, given)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Probes(Background):
    """Requests a page over a new connection each time, as a kubelet does, until the block ends.

    ``asked`` and ``failed`` are counts, ``longest`` is the longest time to a response in seconds.
    """

    def __init__(self, url: str, path: str = "/healthz", *, every: float = 0.5, timeout: float = 5.0) -> None:
        super().__init__(self._run, seconds=2 * timeout + every)
        self.asked = self.failed = 0
        self.longest = 0.0
        self.statuses: Counter[int] = Counter()
        self._address = urlsplit(url).netloc
        self._path = path
        self._every = every
        self._timeout = timeout

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            started = time.monotonic()
            status = get(self._address, self._path, self._timeout)
            self.asked += 1
            self.failed += status == 0 or status >= 500
            self.statuses[status] += 1
            self.longest = max(self.longest, time.monotonic() - started)


def get(address: str, path: str, timeout: float) -> int:
    """Request a page; return the status of the response, 0 if there is none."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
