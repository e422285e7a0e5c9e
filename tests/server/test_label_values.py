"""Label values are a closed set: what a sender makes up takes no memory and no room in the metrics folder."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers import Sender, Server

pytestmark = pytest.mark.engine

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "other"}
PATHS = ("/", "/metrics", "/v1/report", "/v1/feedback", "/healthz", "/nothing", "/v1/a-path-{}")


def series(server: Server) -> set[tuple[str, str, str, str]]:
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return {
        (sample.name, *(sample.labels.get(name, "") for name in ("method", "status", "url_rule")))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "method" in sample.labels
    }


def test_made_up_methods_are_one_value(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """However many there are, on every path: 405, one label value, and nothing grows."""
    server = make_server(GUNICORN_WORKERS="1", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    sender = Sender(server.url)
    chance = random.Random(1)

    def send(count: int) -> None:
        for number in range(count):
            # Gunicorn takes methods of 3 to 20 characters.
            method = "".join(chance.choices(string.ascii_uppercase + "-_", k=chance.randint(7, 20)))
            status, body = sender.send({}, b"", method, PATHS[number % len(PATHS)].format(number))
            assert (status, body.count(b"\n")) == (405, 1)

    send(len(PATHS))
    requests.get(f"{server.url}/metrics", timeout=10)
    before = series(server)
    bytes_before = sum(path.stat().st_blocks for path in tmp_path.iterdir())
    send(500)
    assert series(server) == before
    assert sum(path.stat().st_blocks for path in tmp_path.iterdir()) == bytes_before
    assert {method for _, method, _, _ in before} <= METHODS
    assert "other" in {method for _, method, _, _ in before}
    sender.close()
    server.stop()


@pytest.mark.parametrize("method", sorted(METHODS - {"other", "CONNECT"}))
def test_known_methods_keep_their_names(server: Server, method: str) -> None:
    """They are answered as before, and counted by name."""
    assert requests.request(method, f"{server.url}/nothing", timeout=10).status_code == 404
    assert any(found[1] == method for found in series(server))
