"""Which client talks to which engine, and what is wrong in the settings of the way there."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from request_logger.settings import Settings, SettingsError
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import FIELD_LIMIT, TEMPLATE_NAME, index_template
from tests.store.proxy import Certificates, Proxy


@pytest.mark.engine
def test_who_sends_the_requests(engine: Any) -> None:
    """Elastic's client for a server that names itself Elastic's; its transport alone for all others."""
    names_itself = requests.get(engine.url, timeout=10).headers.get("X-Elastic-Product") == "Elasticsearch"
    with Proxy(engine.url) as proxy:
        client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{proxy.port}"))
        assert client.ping()
        agents = [headers["user-agent"] for _, headers in proxy.seen]
    # The question itself is sent by the one that works with every engine.
    assert agents[0].startswith("elastic-transport-python/")
    assert agents[1].startswith("elasticsearch-py/" if names_itself else "elastic-transport-python/")
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
        ({"elasticsearch_cloud_id": "secret"}, "ELASTICSEARCH_CLOUD_ID"),
        ({"elasticsearch_cloud_id": cloud_id("no-uuid")}, "ELASTICSEARCH_CLOUD_ID"),
        ({"elasticsearch_host": "a,,b"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "a:port"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "https://me:secret@a"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "https://me:se/secret@a:9200"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "https://me:secret@a:port"}, "ELASTICSEARCH_HOST"),
        ({"elasticsearch_host": "https://[secret"}, "ELASTICSEARCH_HOST"),
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


@pytest.mark.engine
def test_numbers_of_new_indices(engine: Any) -> None:
    """The numbers of a new index are in the template, also of one that is there; unset they leave it alone."""
    parts = urlsplit(engine.url)
    where = {"elasticsearch_host": parts.hostname or "", "elasticsearch_port": parts.port or 0}

    def numbers(index: str, **settings: str) -> tuple[str, str, str]:
        client = SearchEngine(Settings(**where, **settings))  # type: ignore[arg-type]
        client.prepare(index)
        _, answer = client.request("GET", f"/{index}/_settings")
        client.request("DELETE", f"/{index}")
        found = answer[index]["settings"]["index"]
        return found["number_of_shards"], found["number_of_replicas"], found.get("refresh_interval", "")

    try:
        assert numbers("inference-log-shards-1", index_shards="3", index_replicas="0") == ("3", "0", "")
        assert numbers("inference-log-shards-2") == ("3", "0", "")
        found = numbers("inference-log-shards-3", index_shards="2", index_refresh_seconds="30")
        assert found == ("2", "1", "30s")
    finally:
        # The other tests' indices have what an engine gives.
        SearchEngine(Settings(**where)).request("DELETE", f"/_index_template/{TEMPLATE_NAME}")  # type: ignore[arg-type]
    assert numbers("inference-log-shards-4") == ("1", "1", "")


@pytest.mark.parametrize(
    "given",
    [{"index_shards": "0"}, {"index_shards": "many"}, {"index_replicas": "-1"}, {"index_refresh_seconds": "0.5"}],
)
def test_wrong_numbers_of_an_index(given: dict[str, str]) -> None:
    """A number that no engine takes is refused by name."""
    with pytest.raises(SettingsError, match=f"^{next(iter(given)).upper()}: expected a whole number from"):
        Settings(**given)  # type: ignore[arg-type]


def test_template_is_as_it_was_where_nothing_is_asked_for() -> None:
    """Without numbers there are none in it."""
    assert index_template()["template"]["settings"] == {
        "index.mapping.total_fields.limit": FIELD_LIMIT,
    }


@pytest.mark.parametrize("names_itself", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("is_given", [True, False])
def test_a_given_ca_is_trusted_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names_itself: bool, host: str, is_given: bool
) -> None:
    """With ELASTICSEARCH_CA_CERT the CAs of the system are not trusted."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "other").mkdir()
    ours, other = Certificates(tmp_path / "ours"), Certificates(tmp_path / "other")
    # What OpenSSL takes for the system's.
    monkeypatch.setenv("SSL_CERT_FILE", other.ca if is_given else ours.ca)
    headers = {"Content-Type": "application/json", **({"X-Elastic-Product": "Elasticsearch"} if names_itself else {})}
    info = b'{"version": {"number": "8.0.0"}, "cluster_name": "c", "status": "green", "number_of_nodes": 1}'
    with Proxy("http://127.0.0.1:9", ours) as proxy:
        proxy.instead = lambda method, path: (200, headers, info)
        url = f"https://{host}:{proxy.port}"
        client = SearchEngine(
            Settings(elasticsearch_host=url, elasticsearch_ca_cert=ours.ca if is_given else other.ca), warn=False
        )
        assert client.ping() is is_given
        assert bool(proxy.seen) is is_given
