"""Scorers of careless users.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.faults.proxy import FaultProxy
from tests.defects.helpers import (
    PARTS,
    SCORERS,
    Others,
    lives,
    scorers_config,
    send,
    spooled,
    stored,
    unavailable,
)
from tests.helpers import Index, Server, event, index_of
from tests.test_spool import wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def careless(make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with careless scorers."""
    server = make_server(GUNICORN_WORKERS="1", SCORERS_CONFIG=scorers_config(tmp_path_factory.mktemp("scorers")))
    yield server
    server.stop()


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("order", ["request response feedback", "feedback response request", "response feedback"])
@pytest.mark.parametrize("name", SCORERS)
def test_3_and_4_scorers(careless: Server, index: Index, deployment: str, name: str, order: str) -> None:
    """One that raised or returned None was a 500, and the event was lost; with np.int64 both threads died."""
    deployment = f"{deployment}-{name.lower()}"
    with Others(careless, deployment.removesuffix(f"-{name.lower()}"), connections=1):
        for id in ("r1", "r2"):
            for part in order.split():
                assert send(careless.url, event(part, id, deployment), PARTS[part]) == 200
    for id in ("r1", "r2"):
        document = stored(index, deployment, id)
        assert document is not None
        assert set(order.split()) <= set(document)
        metrics = document["metrics"]
        if name in ("OfNumpy", "OfOddTypes") and "unscorable" not in metrics:
            assert metrics.get("correct", 1) == 1
        else:
            assert name.lower().removeprefix("of") in json.dumps(metrics).lower().replace("-", "")
            assert metrics["unscorable"]


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("name", ["Raising", "OfNumpy"])
def test_4_with_a_spool(
    proxied: Callable[..., tuple[FaultProxy, Server]], index: Index, deployment: str, tmp_path: Path, name: str
) -> None:
    """The replay killed both threads again after every restart."""
    deployment = f"{deployment}-{name.lower()}"
    config = scorers_config(tmp_path)
    proxy, server = proxied(SPOOL_DIR=str(tmp_path / "spool"), STORE_TIMEOUT_SECONDS="1", SCORERS_CONFIG=config)
    proxy.rule = unavailable
    for part, body in PARTS.items():
        assert send(server.url, event(part, "r1", deployment), body) == 200
    proxy.rule = None
    wait_until(lambda: spooled(server) == 0, 20)
    document = stored(index, deployment, "r1")
    assert document is not None
    assert set(PARTS) <= set(document)
    lives(server, deployment)


@pytest.mark.usefixtures("tidy")
def test_6_copies_are_merged(make_server: Callable[..., Server], index: Index, deployment: str, tmp_path: Path) -> None:
    """INDEX_PERIOD and a scorer that raises while two copies are merged: thread dead, document left in two months."""
    deployment = f"{deployment}-raising"
    env = {"INDEX_PERIOD": "month", "GUNICORN_WORKERS": "1", "SCORERS_CONFIG": scorers_config(tmp_path)}
    january, february = "2026-01-15T12:00:00Z", "2026-02-15T12:00:00Z"
    server = make_server(**env)
    assert send(server.url, event("request", "r1", deployment, Ce_Time=february), PARTS["request"]) == 200
    (source,) = index.documents(f"{index_of(deployment)}*").values()
    source.pop("request")
    response = {"instance": [0.2, 0.8], "dataType": "tabular", "ce-time": january}
    copy = {**source, "@timestamp": january, "response": response}
    index.request("PUT", f"/{index_of(deployment)}-2026.01/_doc/r1", copy)
    server.stop()
    server = make_server(**env)
    assert send(server.url, event("feedback", "r1", deployment), PARTS["feedback"]) == 200
    ((_, document),) = index.documents(f"{index_of(deployment)}*").items()
    assert set(PARTS) <= set(document)
    lives(server, deployment)
    server.stop()
