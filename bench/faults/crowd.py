"""Misbehaving clients: they send garbage, send slowly, or send nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.faults.traffic import headers
from bench.load import post

_AT_ONCE = 8
_ANSWER_SECONDS = 30.0
_DEPLOYMENT = "faults-garbage"
_TRICKLE_SECONDS = 0.5
_BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"data": {"ndarray": [[1, "a", null, {}], []]}}',
    b'{"data": {"tensor": {"shape": [3, -1], "values": [1]}}}',
    b'{"reward": "much", "truth": [[[]]]}',
    b'{"instances": {"b64": 1}}',
    b'{"data": ' + b"[" * 5000,
    b'{"a": 1e999, "b": NaN}',
)


def malformed_requests(url: str, number: int) -> Counter[int]:
    """Send malformed requests; return the number of responses by status (0: no response)."""
    answers: Counter[int] = Counter()
    asyncio.run(_send_all(url, number, answers))
    return answers


async def _send_all(url: str, number: int, answers: Counter[int]) -> None:
    chance = random.Random(number)
    left = iter(range(number))

    async def some() -> None:
        for _ in left:
            answers[await _send(url, _malformed(url, chance))] += 1

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


def _malformed(url: str, chance: random.Random) -> bytes:
    made = headers(_DEPLOYMENT, (chance.randrange(1000), chance.choice(["request", "response", "feedback"])))
    body = chance.choice(_BODIES)
    kind = chance.randrange(5)
    if kind == 0:
        # A header is empty or invalid.
        name = chance.choice(list(made))
        made[name] = chance.choice(["", "\xff\xfe", "a" * 500, "../../etc", "*", "-1"])
    elif kind == 1:
        body = chance.randbytes(chance.randrange(200))
        made["Content-Type"] = chance.choice(["application/json", "application/protobuf", "a/b; charset=x", "?"])
    elif kind == 2:
        made = {"Content-Type": f"application/cloudevents{chance.choice(['', '-batch'])}+json"}
    raw = post(url, {**made, "Connection": "close"}, body)
    if kind == 3:
        # Not HTTP any more.
        position = chance.randrange(len(raw))
        raw = raw[:position] + chance.randbytes(8) + raw[position + 8 :]
    elif kind == 4:
        raw = raw[: chance.randrange(len(raw))]
    return raw


async def _send(url: str, raw: bytes) -> int:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
            try:
                writer.write(raw)
                # A truncated request ends here; otherwise it would be a slow client.
                writer.write_eof()
                answer = await reader.read()
            finally:
                writer.close()
        return int(answer.split(b" ", 2)[1])
    except (OSError, IndexError, ValueError, TimeoutError):
        return 0


@contextlib.contextmanager
def slow_clients_of(url: str, *, idle: int, trickling: int) -> Iterator[None]:
    """Open idle connections, and connections that send a request byte by byte, while the block runs."""
    stop = threading.Event()
    ready = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_be_slow(url, idle, trickling, ready, stop)), name="slow-clients", daemon=True
    )
    thread.start()
    try:
        if not ready.wait(60):
            raise TimeoutError("the slow clients' connections were not accepted")
        yield
    finally:
        stop.set()
        thread.join()


async def _be_slow(url: str, idle: int, trickling: int, ready: threading.Event, stop: threading.Event) -> None:
    address = (urlsplit(url).hostname, urlsplit(url).port)
    writers = [(await asyncio.open_connection(*address))[1] for _ in range(idle + trickling)]
    ready.set()
    position = 0
    raw = post(url, headers(_DEPLOYMENT, (0, "request")), b'{"data": {"ndarray": [[1]]}}' + b" " * 1000)
    # Half of them are slow with their headers, half with their bodies.
    starts = [0, raw.index(b"\r\n\r\n") + 4]
    for number, writer in enumerate(writers[:trickling]):
        writer.write(raw[: starts[number % 2]])
    while not stop.is_set():
        for number, writer in enumerate(writers[:trickling]):
            with contextlib.suppress(OSError):
                start = starts[number % 2] + position
                writer.write(raw[start : start + 1])
        position += 1
        await asyncio.sleep(_TRICKLE_SECONDS)
    for writer in writers:
        writer.close()


def allow_connections(number: int) -> None:
    """Raise the limit of open files for this process and its children, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
