"""A cheap load generator: requests are prepared in advance and sent over persistent plain sockets."""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as bytes; `key` identifies it in the results, `to` is the index of its URL."""

    key: tuple[int, str]
    raw: bytes
    to: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a request: its status (0 without a response) and its duration in seconds."""

    key: tuple[int, str]
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """All results, and the seconds from the start of the first request to the last response."""

    results: list[Result]
    seconds: float

    @property
    def rate(self) -> float:
        """Acknowledged requests a second."""
        return (len(self.results) - self.failed) / self.seconds

    @property
    def failed(self) -> int:
        """Number of requests that were not acknowledged."""
        return sum(not 200 <= result.status < 300 for result in self.results)

    def percentile(self, share: float) -> float:
        """Return the time in seconds within which that share of the requests was answered."""
        times = sorted(result.seconds for result in self.results)
        return times[min(int(share * len(times)), len(times) - 1)]


def joined(runs: Sequence[Run]) -> Run:
    """Return consecutive runs as one."""
    return Run([result for run in runs for result in run.results], sum(run.seconds for run in runs))


def post(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return a POST request as bytes."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def closing(request: Request) -> Request:
    """Return the request with its own connection, which the server closes after its response."""
    return Request(request.key, request.raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), request.to)


def run(url: str | Sequence[str], requests: Sequence[Request], *, connections: int, processes: int = 2) -> Run:
    """Send all requests over so many connections of several processes; a prediction's requests share a process."""
    parts = [urlsplit(each) for each in ([url] if isinstance(url, str) else url)]
    addresses = [(part.hostname or "", part.port or 80) for part in parts]
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(processes), context.SimpleQueue()
    workers = []
    for number in range(processes):
        mine = [request for request in requests if request.key[0] % processes == number]
        arguments = (addresses, mine, connections // processes, start, answers)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
        workers[-1].start()
    found: list[tuple[float, float, list[Result]]] = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    # All processes use the system's monotonic clock, so their times can be compared.
    seconds = max(end for _, end, _ in found) - min(begin for begin, _, _ in found)
    return Run([result for _, _, results in found for result in results], seconds)


def _work(
    addresses: list[tuple[str, int]], requests: list[Request], connections: int, start: Any, answers: Any
) -> None:
    waiting = iter(requests)
    results: list[Result] = []
    with selectors.DefaultSelector() as selector:
        senders = [_Sender(addresses, waiting, results, selector) for _ in range(connections)]
        start.wait()
        begin = time.monotonic()
        busy = sum(sender.send_next() for sender in senders)
        while busy:
            ready = [key.data for key, _ in selector.select(_TIMEOUT_SECONDS)]
            if not ready:
                # There was no response within the timeout.
                ready = [(sender, sender.to) for sender in senders if sender.to >= 0]
                for sender, to in ready:
                    sender.close(to)
            for sender, to in ready:
                if sender.receive(to) and not sender.send_next():
                    busy -= 1
        end = time.monotonic()
        for sender in senders:
            for to in range(len(addresses)):
                sender.close(to)
    answers.put((begin, end, results))


class _Sender:
    """Sends a request, waits for its response, then sends the next one; has one connection per address."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        waiting: Iterator[Request],
        results: list[Result],
        selector: selectors.BaseSelector,
    ) -> None:
        self._addresses = addresses
        self._waiting = waiting
        self._results = results
        self._selector = selector
        self._sockets: list[socket.socket | None] = [None] * len(addresses)
        self._request: Request | None = None
        self._answer = b""
        self._started = 0.0

    @property
    def to(self) -> int:
        """The address whose response it waits for, -1 if it doesn't wait."""
        return -1 if self._request is None else self._request.to

    def send_next(self) -> bool:
        """Send the next request; return False if none is left."""
        while (request := next(self._waiting, None)) is not None:
            self._request, self._answer, self._started = request, b"", time.monotonic()
            try:
                self._connected(request.to).sendall(request.raw)
            except OSError:
                self._end(0)
            else:
                return True
        return False

    def receive(self, to: int) -> bool:
        """Read data from an address; return whether that completed a request."""
        opened = self._sockets[to]
        try:
            data = opened.recv(65536) if opened else b""
        except OSError:
            data = b""
        if not data:
            self.close(to)
        if to != self.to:
            return False
        self._answer += data
        try:
            status = self._status() if data else 0
        except (ValueError, IndexError):
            # Not HTTP.
            status = 0
        if status is None:
            return False
        self._end(status)
        return True

    def close(self, to: int) -> None:
        """Close the connection to an address."""
        opened = self._sockets[to] if to >= 0 else None
        if opened is not None:
            self._selector.unregister(opened)
            opened.close()
            self._sockets[to] = None

    def _connected(self, to: int) -> socket.socket:
        opened = self._sockets[to]
        if opened is None:
            opened = self._sockets[to] = socket.create_connection(self._addresses[to], timeout=_TIMEOUT_SECONDS)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(opened, selectors.EVENT_READ, (self, to))
        return opened

    def _status(self) -> int | None:
        """Return the status of a complete response, None if it is incomplete."""
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return None
        lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:])
        if len(body) < int(headers.get(b"content-length", 0)):
            return None
        if headers.get(b"connection") == b"close":
            self.close(self.to)
        return int(lines[0].split(b" ", 2)[1])

    def _end(self, status: int) -> None:
        assert self._request is not None
        if not status:
            self.close(self._request.to)
        self._results.append(Result(self._request.key, status, time.monotonic() - self._started))
        self._request = None
