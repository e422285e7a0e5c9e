"""The ways to an engine: TLS, credentials, a path, several hosts; through a proxy that insists on them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers import Index, Sender, Server, event, free_port, index_of, ndarray
from tests.store.proxy import Certificates, Proxy

pytestmark = pytest.mark.engine

PASSWORD = "p@ss:w/rd %41é\N{SNOWMAN}"
BASIC = "Basic " + base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
WARNING = "certificate is not verified"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def assert_stores(server: Server, index: Index, deployment: str) -> None:
    """An event through this server is in the engine."""
    sender = Sender(server.url)
    try:
        assert sender.send(event("request", "r1", deployment), ndarray([[1]])) == (200, b"")
    finally:
        sender.close()
    assert (index_of(deployment), "r1") in index.documents(index_of(deployment))


@pytest.mark.parametrize(
    ("env", "authorization"),
    [
        ({"ELASTICSEARCH_USER": "elastic", "ELASTICSEARCH_PASS": PASSWORD}, BASIC),
        ({"ELASTICSEARCH_TOKEN": "a.b-c"}, "Bearer a.b-c"),
        ({"ELASTICSEARCH_API_KEY": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
    ],
    ids=["user and password", "bearer token", "API key"],
)
def test_credentials_over_unverified_tls(
    make_server: Callable[..., Server],
    engine: Any,
    index: Index,
    deployment: str,
    certificates: Certificates,
    env: dict[str, str],
    authorization: str,
) -> None:
    """As the original: https with a self-signed certificate works unchanged, and is warned of once at start."""
    with Proxy(engine.url, certificates, authorization=authorization) as proxy:
        server = make_server(f"https://127.0.0.1:{proxy.port}", ELASTICSEARCH_PROTOCOL="https", **env)
        assert_stores(server, index, deployment)
        server.stop()
        assert {headers.get("authorization") for _, headers in proxy.seen} == {authorization}
    log = server.log.read_text()
    assert log.count(WARNING) == 1
    assert "InsecureRequestWarning" not in log
    assert PASSWORD not in log


def test_verified_with_a_ca(
    make_server: Callable[..., Server], engine: Any, index: Index, deployment: str, certificates: Certificates
) -> None:
    """With the CA's file the certificate is verified; no warning."""
    with Proxy(engine.url, certificates) as proxy:
        # The port is in the URL: PORT and ELASTICSEARCH_PROTOCOL stay at their defaults.
        server = make_server(
            ELASTICSEARCH_HOST=f"https://localhost:{proxy.port}", ELASTICSEARCH_CA_CERT=certificates.ca
        )
        assert_stores(server, index, deployment)
        server.stop()
    assert WARNING not in server.log.read_text()


@pytest.mark.parametrize("how", ["another CA", "no CA, but verified"])
def test_a_certificate_that_cannot_be_verified_is_refused(
    make_server: Callable[..., Server],
    engine: Any,
    certificates: Certificates,
    tmp_path: Path,
    deployment: str,
    how: str,
) -> None:
    """The process is up and not ready, and events are answered 503."""
    settings = {"ELASTICSEARCH_VERIFY_CERTS": "true"}
    if how == "another CA":
        settings = {"ELASTICSEARCH_CA_CERT": Certificates(tmp_path).ca}
    with Proxy(engine.url, certificates) as proxy:
        server = make_server(
            f"https://127.0.0.1:{proxy.port}",
            ready=False,
            ELASTICSEARCH_PROTOCOL="https",
            STORE_TIMEOUT_SECONDS="0.5",
            **settings,
        )
        assert requests.get(server.url + "/readyz", timeout=10).status_code == 503
        sender = Sender(server.url)
        assert sender.send(event("request", "r1", deployment), ndarray([[1]]))[0] == 503
        sender.close()
        server.stop()
        assert proxy.seen == []


def test_a_wrong_password_is_not_ready(
    make_server: Callable[..., Server], engine: Any, deployment: str, certificates: Certificates
) -> None:
    """An engine that answers 401 is unavailable: 503, so that a sender retries."""
    with Proxy(engine.url, certificates, authorization=BASIC) as proxy:
        server = make_server(
            f"https://127.0.0.1:{proxy.port}",
            ready=False,
            ELASTICSEARCH_PROTOCOL="https",
            ELASTICSEARCH_USER="elastic",
            ELASTICSEARCH_PASS="wrong",
            STORE_TIMEOUT_SECONDS="0.5",
        )
        assert requests.get(server.url + "/readyz", timeout=10).status_code == 503
        sender = Sender(server.url)
        assert sender.send(event("request", "r1", deployment), ndarray([[1]]))[0] == 503
        sender.close()
        server.stop()


@pytest.mark.parametrize("how", ["ELASTICSEARCH_PATH_PREFIX", "ELASTICSEARCH_HOST"])
def test_path_prefix(make_server: Callable[..., Server], engine: Any, index: Index, deployment: str, how: str) -> None:
    """An engine under a path, given by itself or in the host's URL."""
    with Proxy(engine.url, prefix="/search/es") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        value = "/search/es/" if how == "ELASTICSEARCH_PATH_PREFIX" else f"{url}/search/es"
        server = make_server(url, **{how: value})
        assert_stores(server, index, deployment)
        server.stop()
        assert proxy.seen
        assert all(path.startswith("/search/es/") for path, _ in proxy.seen)


@pytest.mark.parametrize("position", [0, 1])
def test_one_of_several_hosts_is_down(
    make_server: Callable[..., Server], engine: Any, index: Index, deployment: str, position: int
) -> None:
    """What one host doesn't answer another does: no event waits for it."""
    with Proxy(engine.url) as proxy:
        hosts = [f"127.0.0.1:{proxy.port}"]
        hosts.insert(position, f"127.0.0.1:{free_port()}")
        server = make_server(ELASTICSEARCH_HOST=",".join(hosts))
        sender = Sender(server.url)
        for number in range(10):
            assert sender.send(event("request", f"r{number}", deployment), ndarray([[1]])) == (200, b"")
        sender.close()
        server.stop()
    assert len(index.documents(index_of(deployment))) == 10
