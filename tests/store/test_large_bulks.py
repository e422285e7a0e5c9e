"""An engine that takes little at once: what is too large for one _bulk goes in parts, or is refused loudly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.embedded_engine import start_engine
from tests.conftest import KIND
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_modes import BATCHED, structured

pytestmark = pytest.mark.engine

LIMIT = 100_000


@pytest.fixture(scope="module")
def small() -> Iterator[Any]:
    """An engine that answers 413 to more than LIMIT bytes."""
    with start_engine(KIND, heap="512m", settings={"http.max_content_length": f"{LIMIT}b"}) as started:
        yield started


@pytest.fixture
def server(small: Any, tmp_path: Path) -> Iterator[Server]:
    server = Server(small.url, tmp_path / "server.log", STORE_TIMEOUT_SECONDS="20", GUNICORN_WORKERS="1")
    yield server.wait()
    server.stop()


def test_what_is_too_large_for_one_bulk_is_sent_in_parts(small: Any, server: Server, deployment: str) -> None:
    """A batch of ten times the limit is stored whole; the one document that is too large itself is refused loudly."""
    bodies = [{"data": {"ndarray": [[number]]}, "meta": {"tags": {"text": "x" * 9000}}} for number in range(100)]
    bodies[50]["meta"] = {"tags": {"text": "x" * LIMIT}}
    messages = [structured("request", f"b{number}", deployment, body) for number, body in enumerate(bodies)]
    sender = Sender(server.url)
    status, answer = sender.send(BATCHED, json.dumps(messages).encode())
    assert status == 207
    statuses = [entry["status"] for entry in json.loads(answer)["events"]]
    assert [number for number, one in enumerate(statuses) if one != 200] == [50]
    refused = json.loads(answer)["events"][50]
    assert refused["status"] == 422
    assert "413" in refused["error"]
    index = Index(small.url)
    stored = {id for _, id in index.documents(index_of(deployment))}
    assert stored == {f"b{number}" for number in range(100) if number != 50}
    # It goes on as before, and with what it has learned.
    assert sender.send(event("response", "b1", deployment), ndarray([[0.1, 0.9]]))[0] == 200
    sender.close()
