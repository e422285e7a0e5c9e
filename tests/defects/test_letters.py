"""Documents that an index refuses in every form, and the letters that are kept of them.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bench.faults.proxy import Asked, FaultProxy, Reply
from tests.defects.helpers import LETTERS, PARTS, Others, attributes_of, letters_of, no_answer, post_large, send
from tests.helpers import Index, Server, event, index_of

pytestmark = pytest.mark.engine


def _item(status: int, kind: str) -> Callable[[Asked], Reply]:
    answer = {
        "took": 1,
        "errors": True,
        "items": [
            {"index": {"_index": LETTERS, "_id": "x", "status": status, "error": {"type": kind, "reason": "no"}}}
        ],
    }
    return lambda _: Reply.of(json.dumps(answer).encode())


def _whole(status: int) -> Callable[[Asked], Reply]:
    return lambda _: Reply.of(json.dumps({"error": {"type": "no", "reason": "no"}, "status": status}).encode(), status)


def _cut_after(asked: Asked) -> Reply:
    asked.forward()
    raise ConnectionError


LETTER_FAULTS: dict[str, Callable[[Asked], Reply | None]] = {
    "429": _item(429, "es_rejected_execution_exception"),
    "503": _item(503, "unavailable_shards_exception"),
    "403": _item(403, "cluster_block_exception"),
    "whole 429": _whole(429),
    "whole 503": _whole(503),
    "whole 500": _whole(500),
    "whole 400": _whole(400),
    "reset": no_answer,
    "answer lost": _cut_after,
}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("fault", LETTER_FAULTS)
def test_7_the_letter_is_refused(
    garbled: tuple[FaultProxy, Server],
    index: Index,
    deployment: str,
    refusing: Callable[[str], None],
    fault: str,
) -> None:
    """A dead letter whose own write met 429, 503, 403, a reset, a refused bulk: 422, no letter, nothing stored."""
    proxy, server = garbled
    refusing(index_of(deployment))
    left = 2

    def rule(asked: Asked) -> Reply | None:
        nonlocal left
        if (
            left
            and asked.path.startswith("/_bulk")
            and asked.body.count(b'"_index"') == 1
            and LETTERS.encode() in asked.body
        ):
            left -= 1
            return LETTER_FAULTS[fault](asked)
        return None

    proxy.rule = rule
    try:
        statuses = [send(server.url, event("request", "r1", deployment), PARTS["request"]) for _ in range(2)]
    finally:
        proxy.rule = None
    assert left == 0
    assert set(statuses) <= {200, 503}
    assert statuses[1] == 200
    assert index.count(LETTERS, letters_of(deployment)) == 1


@pytest.mark.usefixtures("tidy")
def test_7_many_letters_at_once(
    make_server: Callable[..., Server], index: Index, deployment: str, refusing: Callable[[str], None]
) -> None:
    """More letters than a bulk takes, with no fault at all: those that didn't fit were lost."""
    server = make_server(GUNICORN_WORKERS="1")
    refusing(index_of(deployment))
    events = []
    for number in range(1500):
        attributes = attributes_of("request", f"r{number}", deployment)
        events.append({**attributes, "data": {"data": {"ndarray": [["x" * 5000]]}}})
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    body = json.dumps(events).encode()
    statuses = []
    # On a slow machine not all of them are done in time: each sending must get further.
    while 200 not in statuses and len(statuses) < 4:
        statuses.append(post_large(server.url, headers, body))
    assert statuses[-1] == 200
    assert set(statuses[:-1]) <= {503}
    assert index.count(LETTERS, letters_of(deployment)) == 1500
    server.stop()


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", ["closed", "alias of two", "routing required"])
def test_8_refused_reads(garbled: tuple[FaultProxy, Server], index: Index, deployment: str, kind: str) -> None:
    """A closed index, an alias of two, refused reads: up to 8,900 refused writes an event without a pause, then 503."""
    proxy, server = garbled
    name = index_of(deployment)
    if kind == "closed":
        index.request("PUT", f"/{name}")
        index.request("POST", f"/{name}/_close")
    elif kind == "alias of two":
        for number in (1, 2):
            index.request("PUT", f"/{name}-{number}", {"aliases": {name: {}}})
    else:
        index.request("PUT", f"/{name}", {"mappings": {"_routing": {"required": True}}})
    bulks = 0

    def count(asked: Asked) -> Reply | None:
        nonlocal bulks
        bulks += asked.path.startswith("/_bulk") and f'"{name}"'.encode() in asked.body
        return None

    proxy.rule = count
    try:
        with Others(server, deployment, connections=1):
            for part in ("response", "feedback", "request"):
                assert send(server.url, event(part, "r1", deployment), PARTS[part]) == 200
    finally:
        proxy.rule = None
        if kind == "closed":
            index.request("POST", f"/{name}/_open")
    assert bulks < 60
    assert index.count(LETTERS, letters_of(deployment)) >= 1
