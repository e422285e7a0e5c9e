"""A sender that costs little: requests are made beforehand, connections are plain sockets that stay open."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as bytes; `key` says in the results which it was, `to` which of the URLs it goes to."""

    key: tuple[int, str]
    raw: bytes
    to: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request: its status (0 where there was no answer) and how long that took in seconds."""

    key: tuple[int, str]
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """All results, and the seconds from the first request's start to the last answer."""

    results: list[Result]
    seconds: float

    @property
    def rate(self) -> float:
        """Acknowledged requests a second."""
        return (len(self.results) - self.failed) / self.seconds

    @property
    def failed(self) -> int:
        """How many requests were not acknowledged."""
        return sum(not 200 <= result.status < 300 for result in self.results)

    def percentile(self, share: float) -> float:
        """The time in seconds within which that share of the requests was answered."""
        times = sorted(result.seconds for result in self.results)
        return times[min(int(share * len(times)), len(times) - 1)]


def joined(runs: Sequence[Run]) -> Run:
    """Several runs, one after the other, as one."""
    return Run([result for run in runs for result in run.results], sum(run.seconds for run in runs))


def post(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST request as bytes."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def run(url: str | Sequence[str], requests: Sequence[Request], *, connections: int, processes: int = 2) -> Run:
    """Send all requests, `connections` at once, from several processes; a prediction's requests share one of them."""
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
    # Both clocks are the system's monotonic one, so they can be compared.
    seconds = max(end for _, end, _ in found) - min(begin for begin, _, _ in found)
    return Run([result for _, _, results in found for result in results], seconds)


def _work(
    addresses: list[tuple[str, int]], requests: list[Request], connections: int, start: Any, answers: Any
) -> None:
    waiting = iter(requests)
    lock = threading.Lock()
    results: list[Result] = []

    def send_some() -> None:
        opened = [_Connection(address) for address in addresses]
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                break
            before = time.monotonic()
            status = opened[request.to].send(request.raw)
            results.append(Result(request.key, status, time.monotonic() - before))
        for connection in opened:
            connection.close()

    threads = [threading.Thread(target=send_some) for _ in range(connections)]
    start.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put((begin, time.monotonic(), results))


class _Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def send(self, raw: bytes) -> int:
        """Send a request and read its answer; gives the status, 0 where there was none."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, timeout=_TIMEOUT_SECONDS)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(raw)
            return self._read()
        except (OSError, ValueError, IndexError):
            self.close()
            return 0

    def _read(self) -> int:
        assert self._socket is not None
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(headers[b"content-length"]) - len(body) if b"content-length" in headers else 0
        while left > 0:
            left -= len(self._more())
        if headers.get(b"connection") == b"close":
            self.close()
        return int(head.split(b" ", 2)[1])

    def _more(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise OSError("the connection was closed")
        return data

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
