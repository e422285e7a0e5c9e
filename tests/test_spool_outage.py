"""The spool: what is acknowledged while the engine is away is in the engine once it is back, and there once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_failures import Load, missing
from tests.test_spool import wait_until

pytestmark = pytest.mark.engine


def spooled_in(server: Server) -> float:
    for line in requests.get(f"{server.url}/metrics", timeout=10).text.splitlines():
        if line.startswith("request_logger_spool_events"):
            return float(line.split()[-1])
    return -1.0


def test_engine_away_then_back(mortal: Any, deployment: str, tmp_path: Path) -> None:
    """Engine and server are killed (-9) under load: every acknowledged event is in the engine afterwards, once."""
    env = {"SPOOL_DIR": str(tmp_path / "spool"), "STORE_TIMEOUT_SECONDS": "2"}
    server = Server(mortal.url, tmp_path / "1.log", **env).wait()
    load = Load(server.url, deployment)
    load.start()
    time.sleep(1.5)
    mortal.kill()
    time.sleep(4)
    assert load.refused == 0, "the engine is away and the spool isn't full"
    assert spooled_in(server) > 20
    server.kill()
    load.stop()
    server = Server(mortal.url, tmp_path / "2.log", **env).wait()
    mortal.restart()
    wait_until(lambda: spooled_in(server) == 0)
    index = Index(mortal.url)
    assert missing(load, index, deployment) == []
    documents = index.documents(index_of(deployment))
    assert len(documents) == len({source["RequestId"] for source in documents.values()})
    complete = [source for source in documents.values() if {"response", "feedback"} <= set(source)]
    assert len(complete) > 20
    assert all(source["metrics"]["correct"] == 1 for source in complete)
    server.stop()


def test_full_spool_is_refused_then_replayed(mortal: Any, deployment: str, tmp_path: Path) -> None:
    """Without an engine: 200 until the spool is full, then 503 with Retry-After; later exactly those are stored."""
    env = {"SPOOL_DIR": str(tmp_path / "spool"), "STORE_TIMEOUT_SECONDS": "1"}
    server = Server("http://127.0.0.1:9", tmp_path / "1.log", SPOOL_MAX_BYTES="30000", **env).wait("/healthz")
    sender = Sender(server.url)
    statuses = []
    while 503 not in statuses:
        statuses.append(sender.send(event("request", f"f{len(statuses)}", deployment), ndarray([[1, 2]]))[0])
    sender.close()
    refused = requests.post(server.url, b"{}", headers=event("request", "late", deployment), timeout=30)
    assert refused.status_code == 503
    assert "full" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) > 0
    server.stop()
    accepted = len(statuses) - 1
    assert accepted > 20
    assert set(statuses[:-1]) == {200}
    server = Server(mortal.url, tmp_path / "2.log", **env).wait()
    index = Index(mortal.url)
    wait_until(lambda: spooled_in(server) == 0)
    stored = {source["RequestId"] for source in index.documents(index_of(deployment)).values()}
    assert stored == {f"f{number}" for number in range(accepted)}
    server.stop()
