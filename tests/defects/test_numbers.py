"""Numbers, keys and depths that JSON allows, and engines or parsers of their answers don't.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.faults.culprits import integer
from bench.faults.proxy import FaultProxy
from tests.defects.helpers import (
    LETTERS,
    PARTS,
    Others,
    attributes_of,
    letters_of,
    lives,
    send,
    spooled,
    stored,
    unavailable,
)
from tests.helpers import Index, Server, event, index_of
from tests.test_spool import wait_until

pytestmark = pytest.mark.engine


PLACES: dict[str, tuple[str, str]] = {
    "request": ("request", '{"data": {"ndarray": [[%s]]}}'),
    "negative": ("request", '{"data": {"ndarray": [[-%s]]}}'),
    "json": ("request", '{"jsonData": {"a": [{"b": %s}]}}'),
    "v2": ("request", '{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [%s]}]}'),
    "tensorflow": ("request", '{"instances": [[%s]]}'),
    "unknown": ("request", '{"anything": %s}'),
    "scalar": ("request", "%s"),
    "response": ("response", '{"data": {"ndarray": [[%s]]}}'),
    "reward": ("feedback", '{"reward": %s}'),
    "rewards": ("feedback", '{"reward": [1, %s]}'),
    "truth": ("feedback", '{"truth": {"data": {"ndarray": [%s]}}}'),
    "response of feedback": ("feedback", '{"reward": 1, "response": {"data": {"ndarray": [[%s]]}}}'),
    "metrics of feedback": ("feedback", '{"reward": 1, "meta": {"metrics": [{"key": "k", "value": %s}]}}'),
}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("place", PLACES)
def test_1_large_integers(one: Server, index: Index, deployment: str, place: str) -> None:
    """Two POSTs with an integer of 309 to 1,000 digits stopped a worker for ever; from 1,001 the whole bulk was 503.

    A reward of 310 digits was answered 500, and the event was lost.
    """
    part, form = PLACES[place]
    ids = [f"{digits}-{number}" for digits in (309, 400, 1001, 4301) for number in range(2)]
    with Others(one, deployment, connections=1):
        for id in ids:
            body = (form % integer(int(id.partition("-")[0]))).encode()
            assert send(one.url, event(part, id, deployment), body) in (200, 400)
    for id in ids:
        document = stored(index, deployment, id)
        assert document is None or part in document


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("digits", [309, 310, 1000, 1001, 4300, 4301, 100_000])
def test_1_in_a_structured_event(one: Server, index: Index, deployment: str, digits: int) -> None:
    """The same in the data of a structured event, and in an extension of it."""
    attributes = attributes_of("request", "s", deployment)
    for number, more in enumerate(
        (f'"data": {{"data": {{"ndarray": [[{integer(digits)}]]}}}}', f'"extra": {integer(digits)}')
    ):
        text = json.dumps({**attributes, "requestid": f"s{number}"})[:-1] + f", {more}}}"
        status = send(one.url, {"Content-Type": "application/cloudevents+json"}, text.encode())
        assert status in (200, 400)
        document = stored(index, deployment, f"s{number}")
        assert (document is None) == (status == 400)
    lives(one, deployment)


HARD: dict[str, bytes] = {
    "1,001 digits": b'{"data": {"ndarray": [[%s]]}}' % integer(1001).encode(),
    "4,300 digits": b'{"data": {"ndarray": [[%s]]}}' % integer(4300).encode(),
    "1,001 digits after the point": b'{"data": {"ndarray": [[0.%s]]}}' % (b"1" * 1001),
    "exponent": b'{"data": {"ndarray": [[1e400, -1e400, 1e-400]]}}',
    "long key": json.dumps({"jsonData": {"k" * 50_001: 1}}).encode(),
    "long key of a column": json.dumps({"data": {"names": ["k" * 50_001], "ndarray": [[1]]}}).encode(),
    "deep list": b'{"jsonData": %s1%s}' % (b"[" * 1001, b"]" * 1001),
    "deep object": b'{"jsonData": %s1%s}' % (b'{"a":' * 1001, b"}" * 1001),
}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("name", HARD)
def test_2_a_bulk_that_is_refused_whole(one: Server, deployment: str, name: str) -> None:
    """The whole bulk was answered 400, which counted as "engine down": good events were 503 or waited 10 s."""
    with Others(one, deployment, connections=6):
        for number in range(3):
            assert send(one.url, event("request", f"r{number}", deployment), HARD[name]) in (200, 400, 422)


@pytest.mark.usefixtures("tidy")
def test_2_with_a_spool(
    proxied: Callable[..., tuple[FaultProxy, Server]], index: Index, deployment: str, tmp_path: Path
) -> None:
    """The spool was replayed for ever: of 4,191 acknowledged events 3,186 stuck behind one of them."""
    proxy, server = proxied(SPOOL_DIR=str(tmp_path), STORE_TIMEOUT_SECONDS="1")
    proxy.rule = unavailable
    taken = []
    for number in range(30):
        body = HARD["1,001 digits"] if number % 10 == 5 else PARTS["request"]
        status = send(server.url, event("request", f"r{number}", deployment), body)
        assert status in (200, 400)
        taken += [f"r{number}"] if status == 200 else []
    proxy.rule = None
    wait_until(lambda: spooled(server) == 0, 20)
    found = {source["RequestId"] for source in index.documents(index_of(deployment)).values()}
    # One that can't be stored is in the dead-letter index, or set aside in the folder.
    missing = [id for id in taken if id not in found]
    assert len(missing) <= len(list(tmp_path.glob("bad-*.bin"))) + index.count(LETTERS, letters_of(deployment))
    assert {f"r{number}" for number in range(30) if number % 10 != 5} <= found
