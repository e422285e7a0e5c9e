"""Batched requests: taken apart as JSON parsers do, worked through in windows, answered in time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from request_logger.documents.event import BadEventError
from request_logger.documents.typed_envelope import Envelope, encode, typed_batch
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError
from request_logger.server.batch_elements import one_by_one
from request_logger.server.batch_route import MOST_EVENTS
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

BATCH = {"Content-Type": "application/cloudevents-batch+json"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(alphabet='{}[],:"\\ a\u00e9\U0001f600'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='{}[],"\\a'), inner, max_size=4),
    max_leaves=12,
)


def apart(raw: bytes) -> list[Any]:
    budget = Budget(2**30)
    found = [
        orjson.loads(encode(value)) if isinstance(value, Envelope) else value
        for value in one_by_one(bytearray(raw), budget, typed_batch)
    ]
    assert budget.held_bytes == 0
    return found


@given(values=st.lists(JSON, max_size=8), indent=st.sampled_from((None, 0, 3)), ascii_only=st.booleans())
def test_apart_as_parsed_whole(values: list[Any], indent: int | None, ascii_only: bool) -> None:
    """One by one they are what one parse gives, whatever is in their texts and between them."""
    raw = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert apart(b" \n" + raw + b"\t ") == values


@given(
    values=st.lists(JSON, max_size=5),
    at=st.integers(0, 200),
    change=st.sampled_from((b"", b"}", b"]", b",", b'"', b"x")),
)
@example(values=[None] * 4, at=18, change=b",")
@example(values=[1, 2], at=4, change=b"")
def test_what_is_no_json(values: list[Any], at: int, change: bytes) -> None:
    """With one character replaced it is what a parse gives, or BadEventError where that refuses it."""
    raw = json.dumps(values).encode()
    raw = raw[:at] + change + raw[at + 1 :]
    try:
        expected = orjson.loads(raw)
        assert isinstance(expected, list)
    except (ValueError, AssertionError):
        with pytest.raises(BadEventError):
            apart(raw)
    else:
        assert apart(raw) == expected


@pytest.mark.parametrize(
    "element", ['{"data":[%s{}]}' % ("{}," * 50_000), '"%s' % ('\\"' * 50_000), '{"a":"%s' % ("}," * 50_000)]
)
def test_elements_that_look_like_many(element: str) -> None:
    """In time that grows with their size, not with its square; also where they don't end."""
    raw = f"[{element},1]".encode()
    started = time.perf_counter()
    if element.endswith("}"):
        assert apart(raw) == [json.loads(element), 1]
    else:
        with pytest.raises(BadEventError):
            apart(raw)
    assert time.perf_counter() - started < 10


def test_an_element_larger_than_the_budget() -> None:
    """It is refused before it is parsed, and all room comes back."""
    budget = Budget(2**20)
    found = one_by_one(b'[{"a":1},{"data":[%b1]}]' % (b"1," * 60_000), budget)
    assert next(found) == {"a": 1}
    with pytest.raises(RequestTooLargeError):
        next(found)
    assert budget.held_bytes == 0


def structured(name: str, deployment: str, **more: Any) -> dict[str, Any]:
    attributes = {
        key[3:].lower(): value for key, value in event("request", name, deployment).items() if key[:3] == "Ce-"
    }
    return {**attributes, "datacontenttype": "application/json", "data": {"data": {"ndarray": [[1.5, 2]]}}, **more}


@pytest.fixture(scope="module")
def dedicated_server(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["50,000 of any", "20,000 of one id", "5,000 of any"])
def test_a_large_batch(dedicated_server: Server, index: Index, deployment: str, kind: str) -> None:
    """It is answered in time, others are meanwhile, the worker lives, and retries make progress until all is stored."""
    if kind != "20,000 of one id":
        count = int(kind.partition(" ")[0].replace(",", ""))
        values = [structured(f"r{number}", deployment) for number in range(count)]
    else:
        values = [
            structured("same", deployment, time=f"2026-01-02T03:{number // 1000 % 60:02}:00.{number:06}Z")
            for number in range(20_000)
        ]
    body = json.dumps(values, separators=(",", ":")).encode()
    others: list[tuple[int, float]] = []
    done = threading.Event()

    def send_others() -> None:
        sender = Sender(dedicated_server.url)
        while not done.is_set():
            started = time.monotonic()
            status, _ = sender.send(event("request", f"other{len(others)}", f"{deployment}-o"), ndarray([[1]]))
            assert requests.get(f"{dedicated_server.url}/healthz", timeout=10).status_code == 200
            others.append((status, time.monotonic() - started))
            time.sleep(0.2)
        sender.close()

    thread = threading.Thread(target=send_others)
    thread.start()
    left = []
    try:
        # All of the smaller ones; of the larger ones as much as shows that there is an end.
        for _ in range(40 if len(values) <= 5000 else 3):
            started = time.monotonic()
            answer = requests.post(dedicated_server.url, body, headers=BATCH, timeout=60)
            # Beside the store's 7 s and half a second of grace: reading 25 MB and writing the answer.
            assert time.monotonic() - started < 12
            if answer.status_code == 200:
                break
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            statuses = [found["status"] for found in answer.json()["events"]]
            assert len(statuses) == len(values)
            assert set(statuses) <= {200, 503}
            left.append(statuses.count(503))
    finally:
        done.set()
        thread.join()
    assert all(later < earlier for earlier, later in pairwise(left)), "a retry made no progress"
    assert {status for status, _ in others} == {200}
    if answer.status_code == 200:
        assert index.count(index_of(deployment)) == len({value["requestid"] for value in values})
    else:
        assert len(values) > 5000
        assert index.count(index_of(deployment)) > 0
    assert "WORKER TIMEOUT" not in dedicated_server.log.read_text()


@pytest.mark.engine
def test_no_engine(make_server: Callable[..., Server]) -> None:
    """Nothing is stored: each event is 503, in time."""
    server = make_server("http://127.0.0.1:9", ready=False, GUNICORN_WORKERS="1", STORE_TIMEOUT_SECONDS="2")
    body = json.dumps([structured(f"r{number}", "none") for number in range(5000)]).encode()
    started = time.monotonic()
    answer = requests.post(server.url, body, headers=BATCH, timeout=60)
    assert time.monotonic() - started < 6
    assert answer.status_code == 503
    assert [found["status"] for found in answer.json()["events"]] == [503] * 5000
    server.stop()


@pytest.mark.engine
def test_more_events_than_one_answer_has(dedicated_server: Server) -> None:
    """An array of any number of values is 413, not an answer of gigabytes."""
    answer = requests.post(dedicated_server.url, b"[%b1]" % (b"1," * MOST_EVENTS), headers=BATCH, timeout=60)
    assert (answer.status_code, str(MOST_EVENTS) in answer.json()["error"]) == (413, True)


def test_answered_within_eight_seconds() -> None:
    """With the defaults; KServe's agent gives up after 10."""
    from request_logger.ingest.pipeline import _GRACE_SECONDS

    settings = Settings()
    assert settings.store_timeout_seconds + _GRACE_SECONDS + settings.metadata_wait_seconds <= 8
