"""Which client talks to which engine, and what is wrong in the settings of the way there."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import requests

from request_logger.settings import Settings, SettingsError
from request_logger.store.client import SearchEngine
from tests.store.proxy import Proxy


@pytest.mark.engine
def test_each_engine_is_asked_by_its_vendors_client(engine: Any) -> None:
    """Elastic's client for a server that names itself Elastic's; opensearch-py for all others."""
    names_itself = requests.get(engine.url, timeout=10).headers.get("X-Elastic-Product") == "Elasticsearch"
    with Proxy(engine.url) as proxy:
        client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{proxy.port}"))
        assert client.ping()
        agents = [headers["user-agent"] for _, headers in proxy.seen]
    # The question itself is put by the client that every engine answers.
    assert agents[0].startswith("opensearch-py/")
    assert agents[1].startswith("elasticsearch-py/" if names_itself else "opensearch-py/")
    assert [path for path, _ in proxy.seen] == ["/", "/_cluster/health"]


@pytest.mark.engine
def test_what_an_engine_is_is_asked_again_where_it_does_not_say(engine: Any) -> None:
    """A proxy that answers before the engine is there settles nothing."""
    from tests.helpers import free_port

    with Proxy(engine.url) as proxy:
        port = proxy.port
        proxy.target = proxy.target._replace(netloc=f"127.0.0.1:{free_port()}")
        client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{port}"))
        assert not client.ping()
        proxy.target = proxy.target._replace(netloc=engine.url.removeprefix("http://"))
        assert client.ping()


def cloud_id(text: str) -> str:
    return "name:" + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("decoded", "url"),
    [
        ("eu.example.com$es-uuid$kb-uuid", "https://es-uuid.eu.example.com:443"),
        ("eu.example.com:9243$es-uuid$", "https://es-uuid.eu.example.com:9243"),
    ],
)
def test_cloud_id(decoded: str, url: str) -> None:
    """A cloud id is the host, whatever ELASTICSEARCH_HOST says."""
    assert SearchEngine(Settings(elasticsearch_cloud_id=cloud_id(decoded))).urls == [url]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "http://localhost:9200"),
        (Settings(elasticsearch_host="es", elasticsearch_protocol="https", elasticsearch_port=443), "https://es:443"),
        (Settings(elasticsearch_host="https://es:9201/a/"), "https://es:9201/a"),
        (Settings(elasticsearch_host="fd00::1"), "http://[fd00::1]:9200"),
        (Settings(elasticsearch_host="[fd00::1]:1234"), "http://[fd00::1]:1234"),
        (Settings(elasticsearch_path_prefix="/es/"), "http://localhost:9200/es"),
    ],
)
def test_hosts(settings: Settings, url: str) -> None:
    assert SearchEngine(settings).urls == [url]


def test_several_hosts() -> None:
    engine = SearchEngine(Settings(elasticsearch_host="a, b:9201,https://c"))
    assert engine.urls == ["http://a:9200", "http://b:9201", "https://c:9200"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"elasticsearch_cloud_id": "nonsense"}, "ELASTICSEARCH_CLOUD_ID"),
        ({"elasticsearch_cloud_id": cloud_id("no-uuid")}, "ELASTICSEARCH_CLOUD_ID"),
        ({"elasticsearch_host": "a,,b"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "a:port"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "https://me:secret@a"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_ca_cert": "/does/not/exist.pem"}, "ELASTICSEARCH_CA_CERT"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], named: str) -> None:
    """The variable and what was expected, at start; never a password."""
    with pytest.raises(SettingsError) as caught:
        SearchEngine(Settings(**settings))
    text = str(caught.value)
    assert text.startswith(named + ": ")
    assert "\n" not in text
    assert "secret" not in text


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(SettingsError, match="ELASTICSEARCH_CA_CERT"):
        SearchEngine(Settings(elasticsearch_ca_cert=str(path)))
