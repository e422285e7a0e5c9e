"""The client's rarer ways: credentials, Elastic's cloud, answers of odd types, and two threads that connect at once."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from request_logger.common.pieces import Pieces
from request_logger.settings import Settings
from request_logger.store.changes import UnreadableAnswerError
from request_logger.store.client import client as client_module
from request_logger.store.client import vendor_clients
from request_logger.store.client.client import SearchEngine
from tests.store.proxy import Proxy
from tests.store.raw_server import RawServer, http
from tests.store.test_vendor_clients import ELASTIC, OLD


@pytest.mark.parametrize("headers", [{}, ELASTIC], ids=["OpenSearch", "Elasticsearch"])
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, None),
        ({"elasticsearch_user": "me", "elasticsearch_pass": "pässword"}, "Basic bWU6cMOkc3N3b3Jk"),
        ({"elasticsearch_api_key": "a2V5"}, "ApiKey a2V5"),
        ({"elasticsearch_token": "t", "elasticsearch_api_key": "a2V5", "elasticsearch_user": "me"}, "Bearer t"),
    ],
)
def test_credentials(given: dict[str, str], sent: str | None, headers: dict[str, str]) -> None:
    """They are sent with each request, also with the one that finds out what the engine is."""
    with Proxy("http://127.0.0.1:9") as proxy:
        answer = json.dumps(OLD).encode()
        proxy.instead = lambda method, path: (200, {"Content-Type": "application/json", **headers}, answer)
        host = f"127.0.0.1:{proxy.port}"
        assert SearchEngine(Settings(elasticsearch_host=host, **given)).request("GET", "/x")[0] == 200  # type: ignore[arg-type]
        assert [found.get("authorization") for _, found in proxy.seen] == [sent, sent]


def test_a_cloud_is_elastics_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked what it is: its first request is the one that is wanted, and compressed."""
    with Proxy("http://127.0.0.1:9") as proxy:
        proxy.instead = lambda method, path: (200, {"Content-Type": "application/json", **ELASTIC}, b"{}")
        monkeypatch.setattr(client_module, "_cloud_host", lambda cloud_id: f"http://127.0.0.1:{proxy.port}")
        cloud_id = "name:" + base64.b64encode(b"eu.example.com$es$").decode()
        client = SearchEngine(Settings(elasticsearch_cloud_id=cloud_id))
        assert client.request("POST", "/x", {"a": 1}) == (200, {})
        assert client.request("POST", "/y", Pieces([b"{}\n", b"{}\n"])) == (200, {})
        assert [path for path, _ in proxy.seen] == ["/x", "/y"]
        assert all(headers["content-encoding"] == "gzip" for _, headers in proxy.seen)


@pytest.mark.parametrize("headers", [{}, ELASTIC], ids=["OpenSearch", "Elasticsearch"])
def test_an_answer_that_no_parser_takes(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> None:
    """Of an unknown type, or such that a library fails in its own way."""
    with RawServer(lambda method, path: http(json.dumps(OLD), **headers)) as server:
        client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.port}"))
        assert client.request("GET", "/")[0] == 200
        server.answer = lambda method, path: http("\x89PNG", content_type="image/png", **headers)
        with pytest.raises(UnreadableAnswerError, match=r"^the engine's answer can't be read: "):
            client.request("GET", "/x")

        def fail(*_: Any) -> Any:
            raise RecursionError("marker")

        server.answer = lambda method, path: http("{}", **headers)
        monkeypatch.setattr(vendor_clients._Serializer, "loads", fail)
        with pytest.raises(UnreadableAnswerError, match=r"^the engine's answer can't be read: RecursionError$"):
            client.request("GET", "/x")


def test_two_threads_connect_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one waits for the first one's client, and makes none."""
    engine = SearchEngine(Settings())
    connected: Any = object()

    class Waiting:
        def __enter__(self) -> None:
            engine._client = connected

        def __exit__(self, *_: object) -> None:
            pass

    engine._lock = Waiting()  # type: ignore[assignment]
    assert engine._connected() is connected
