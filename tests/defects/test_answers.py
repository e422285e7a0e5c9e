"""Engines that answer nonsense, or slowly, or come back empty; order of versions.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.faults.garbage import KINDS, Garbage
from bench.faults.proxy import Asked, FaultProxy, Reply
from request_logger.store.indices.templates import TEMPLATE_NAME
from tests.defects.helpers import (
    DOCUMENTED,
    PARTS,
    Others,
    no_answer,
    send,
    spooled,
    stored,
)
from tests.helpers import Index, Server, event, index_of, ndarray
from tests.test_spool import wait_until

pytestmark = pytest.mark.engine


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", KINDS)
def test_5_garbage(garbled: tuple[FaultProxy, Server], index: Index, deployment: str, kind: str) -> None:
    """A `_bulk` of invalid JSON, items that were fewer, null or without status, HTML, lists: a thread each."""
    proxy, server = garbled
    try:
        with Others(server, deployment, connections=1):
            proxy.rule = Garbage(kind, times=2)
            for part, body in PARTS.items():
                assert send(server.url, event(part, "r1", deployment), body) in (200, 503)
    finally:
        proxy.rule = None
    for part, body in PARTS.items():
        assert send(server.url, event(part, "r1", deployment), body) == 200
    ((_, document),) = index.documents(index_of(deployment)).items()
    assert set(PARTS) <= set(document)
    assert document["metrics"]["correct"] == 1


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", ["mget: without docs", "mget: docs shorter", "mget: docs of null", "mget: HTML"])
def test_5_garbage_of_mget(
    proxied: Callable[..., tuple[FaultProxy, Server]], index: Index, deployment: str, kind: str
) -> None:
    """With INDEX_PERIOD documents are looked for by `_mget`, whose answer without docs ended a thread."""
    proxy, server = proxied(INDEX_PERIOD="month")
    for part in ("request", "response"):
        assert send(server.url, event(part, "r1", deployment), PARTS[part]) == 200
    # Another one has not seen the document, and looks for it.
    proxy, server = proxied(INDEX_PERIOD="month")
    proxy.rule = garbage = Garbage(kind, times=2)
    headers = event("feedback", "r1", deployment, Ce_Time="2026-02-03T00:00:00Z")
    assert send(server.url, headers, PARTS["feedback"]) in (200, 503)
    assert garbage.left != 2
    proxy.rule = None
    assert (
        send(server.url, event("feedback", "r1", deployment, Ce_Time="2026-02-03T00:00:00Z"), PARTS["feedback"]) == 200
    )
    ((_, document),) = index.documents(f"{index_of(deployment)}*").items()
    assert set(PARTS) <= set(document)


@pytest.mark.usefixtures("tidy")
def test_5_a_pipeline_that_drops(one: Server, index: Index, deployment: str) -> None:
    """A default pipeline with `drop` answers without a sequence number: a thread each."""
    name = f"drop-{deployment}"
    index.request("PUT", f"/_ingest/pipeline/{name}", {"processors": [{"drop": {}}]})
    index.request("PUT", f"/{index_of(deployment)}", {"settings": {"index.default_pipeline": name}})
    try:
        with Others(one, deployment, connections=1):
            for part, body in PARTS.items():
                assert send(one.url, event(part, "r1", deployment), body) in DOCUMENTED
    finally:
        index.drop(index_of(deployment))
        index.request("DELETE", f"/_ingest/pipeline/{name}")


@pytest.mark.usefixtures("tidy")
def test_14_an_older_version_from_a_spool(
    proxied: Callable[..., tuple[FaultProxy, Server]], one: Server, index: Index, deployment: str, tmp_path: Path
) -> None:
    """Two replicas; a version that was spooled, without ce-time, won over the newer one."""
    proxy, spooling = proxied(SPOOL_DIR=str(tmp_path), STORE_TIMEOUT_SECONDS="1")
    proxy.rule = no_answer
    for part, body in (("feedback", b'{"reward": 0}'), ("request", ndarray([["old"]]))):
        assert send(spooling.url, event(part, "r1", deployment, Ce_Time=""), body) == 200
    time.sleep(0.2)
    for part, body in (("feedback", b'{"reward": 1}'), ("request", ndarray([["new"]]))):
        assert send(one.url, event(part, "r1", deployment, Ce_Time=""), body) == 200
    proxy.rule = None
    wait_until(lambda: spooled(spooling) == 0, 20)
    document = stored(index, deployment, "r1")
    assert document is not None
    assert document["feedback"]["reward"] == 1
    assert "new" in json.dumps(document["request"])


@pytest.mark.usefixtures("tidy")
def test_15_slow_indices(proxied: Callable[..., tuple[FaultProxy, Server]], deployment: str) -> None:
    """Two new indices that were slow to prepare: 100 of 1,385 events of others were 503."""
    proxy, server = proxied(STORE_TIMEOUT_SECONDS="2")

    def delay(asked: Asked) -> Reply | None:
        if "-slow" in asked.path and not asked.path.startswith("/_bulk") and "_alias" not in asked.path:
            time.sleep(3)
        return None

    with Others(server, deployment):
        proxy.rule = delay
        slow = [
            threading.Thread(target=send, args=(server.url, event("request", "r", f"{deployment}-slow{n}"), b"{}"))
            for n in range(2)
        ]
        for thread in slow:
            thread.start()
        for thread in slow:
            thread.join()
        proxy.rule = None


def test_17_the_engine_comes_back_empty(mortal: Any, make_server: Callable[..., Server], deployment: str) -> None:
    """Indices were re-created by dynamic mapping, templates never again; reports were 503."""
    server = make_server(mortal.url, GUNICORN_WORKERS="1")
    index = Index(mortal.url)
    name = index_of(deployment)
    for part, body in PARTS.items():
        assert send(server.url, event(part, "r1", deployment), body) == 200
    index.request("DELETE", f"/_index_template/{TEMPLATE_NAME}")
    index.drop("inference-log-*")
    for part, body in PARTS.items():
        assert send(server.url, event(part, "r2", deployment), body) == 200
    assert send(server.url, event("request", "r1", f"{deployment}-new"), PARTS["request"]) == 200
    assert index.request("GET", f"/_index_template/{TEMPLATE_NAME}").get("index_templates")
    for each in (name, index_of(f"{deployment}-new")):
        mappings = index.request("GET", f"/{each}/_mapping")[each]["mappings"]
        assert mappings["date_detection"] is False
        assert mappings["properties"]["metrics"]["properties"]["correct"]["type"] == "byte"
    index.refresh()
    assert requests.get(f"{server.url}/v1/report?target=test/{deployment}", timeout=30).status_code == 200
    server.stop()
