"""The engine's HTTP API through its vendor's own client.

`elasticsearch` talks to Elastic's servers, `opensearch-py` to OpenSearch, Open Distro and the old OSS builds, which
Elastic's client refuses. Which one it is, is asked once: Elastic's servers name themselves in every answer.
"""

from __future__ import annotations

import base64
import logging
import ssl
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import elastic_transport
import elasticsearch
import opensearchpy
from elastic_transport.client_utils import parse_cloud_id

from request_logger.serialize import dumps, loads
from request_logger.settings import Settings, SettingsError
from request_logger.store.change import StoreUnavailableError, TooBusyError, TooLargeError
from request_logger.store.index_admin import IndexAdmin
from request_logger.store.one_send import ElasticNode, OpenSearchConnection
from request_logger.store.responses import is_healthy

log = logging.getLogger(__name__)

_ANY_ERROR = tuple(range(400, 600))
_PING_SECONDS = 2.0
_WHOLE_BULK = {413: TooLargeError, 429: TooBusyError}


@dataclass(frozen=True, slots=True)
class _Options:
    content_type: str
    params: Mapping[str, str]
    timeout: float


class _Client(Protocol):
    def request(self, method: str, path: str, body: bytes | None, options: _Options) -> tuple[int, Any]: ...


class SearchEngine:
    """One Elasticsearch or OpenSearch cluster. Thread-safe; nothing is sent before the first call.

    ``warn``: whether to say so where its certificate is not verified.
    """

    def __init__(self, settings: Settings, warn: bool = True) -> None:
        self._settings = settings
        self._hosts = _hosts(settings)
        _check_ca(settings.elasticsearch_ca_cert)
        if warn and not _verifies(settings) and any(host.startswith("https") for host in self._hosts):
            _warn_unverified()
        self._client: _Client | None = None
        self._lock = threading.Lock()
        self._admin = IndexAdmin(self.request, settings)

    @property
    def urls(self) -> list[str]:
        """Where the engine is, without credentials."""
        return list(self._hosts)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[int, Any]:
        """Send a request, give the status and the parsed answer, also of an error.

        ``body`` is JSON; bytes are sent as they are, as lines of JSON. ``timeout`` (seconds) is by default that of the
        settings. Raises StoreUnavailableError where there is no answer.
        """
        lines = isinstance(body, bytes)
        raw = body if lines or body is None else dumps(body)
        options = _Options(
            "application/x-ndjson" if lines else "application/json",
            params or {},
            timeout or self._settings.elasticsearch_timeout_seconds,
        )
        return self._connected().request(method, path, raw, options)

    def bulk(self, body: bytes) -> dict[str, Any]:
        """Send a _bulk body.

        Raises StoreUnavailableError where the engine gives no verdict for its items: TooLargeError and TooBusyError
        where that is because of their number.
        """
        status, answer = self.request("POST", "/_bulk", body)
        if status != 200 or not isinstance(answer, dict) or "items" not in answer:
            kind = _WHOLE_BULK.get(status, StoreUnavailableError)
            raise kind(f"the engine answered {status} to _bulk of {len(body)} bytes: {_short(answer)}")
        return answer

    def ping(self) -> bool:
        """Say whether the engine answers, knows who asks, and has no error of its own."""
        try:
            status, answer = self.request("GET", "/_cluster/health", timeout=_PING_SECONDS)
        except StoreUnavailableError:
            return False
        return is_healthy(status, answer)

    def prepare(self, index: str) -> bool:
        """Make sure that an index is there and can take our fields: see IndexAdmin. Raises StoreUnavailableError."""
        return self._admin.prepare(index)

    def forget(self, index: str) -> None:
        """Note that an index is not there any more: it is prepared anew, and the templates are checked."""
        self._admin.forget(index)

    def install_template(self) -> None:
        """Install the index templates where they are missing or older. Raises StoreUnavailableError."""
        self._admin.install_template()

    def _connected(self) -> _Client:
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._connect()
        return self._client

    def _connect(self) -> _Client:
        if self._settings.elasticsearch_cloud_id:
            return _Elastic(self._hosts, self._settings)
        asker = _OpenSearch(self._hosts, self._settings)
        product = asker.product()
        return _Elastic(self._hosts, self._settings) if product == "Elasticsearch" else asker


def _hosts(settings: Settings) -> list[str]:
    if settings.elasticsearch_cloud_id:
        return [_cloud_host(settings.elasticsearch_cloud_id)]
    hosts = []
    for text in settings.elasticsearch_host.split(","):
        host = text.strip()
        if "://" not in host:
            bare = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
            host = f"{settings.elasticsearch_protocol}://{bare}"
        parts = urlsplit(host)
        try:
            port = parts.port or settings.elasticsearch_port
        except ValueError:
            raise SettingsError(f"ELASTICSEARCH_HOST: expected host, host:port or a URL, found {text!r}") from None
        if parts.username or parts.password:
            # It isn't shown: there is a password in it.
            raise SettingsError("ELASTICSEARCH_HOST: expected no user in a URL: use ELASTICSEARCH_USER and _PASS")
        if not parts.hostname:
            raise SettingsError(f"ELASTICSEARCH_HOST: expected host, host:port or a URL, found {text!r}")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        prefix = (settings.elasticsearch_path_prefix or parts.path).strip("/")
        hosts.append(f"{parts.scheme}://{name}:{port}" + (f"/{prefix}" if prefix else ""))
    return hosts


def _cloud_host(cloud_id: str) -> str:
    try:
        host, port = parse_cloud_id(cloud_id).es_address or ("", 0)
    except ValueError:
        host, port = "", 0
    if not host:
        raise SettingsError(f"ELASTICSEARCH_CLOUD_ID: expected name:base64 as the cloud shows it, found {cloud_id!r}")
    return f"https://{host}:{port}"


def _verifies(settings: Settings) -> bool:
    # What answers to a cloud id has a certificate that every machine knows.
    return bool(
        settings.elasticsearch_verify_certs or settings.elasticsearch_ca_cert or settings.elasticsearch_cloud_id
    )


def _check_ca(path: str) -> None:
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise SettingsError(f"ELASTICSEARCH_CA_CERT: {path}: {error.strerror or error}") from None


def _warn_unverified() -> None:
    log.warning(
        "the engine's certificate is not verified, as in the original: "
        "give its CA in ELASTICSEARCH_CA_CERT, or set ELASTICSEARCH_VERIFY_CERTS=true"
    )


def _credentials(settings: Settings) -> dict[str, str]:
    """Give the header that says who asks. The clients' own ways refuse a password that isn't ASCII or Latin-1."""
    if settings.elasticsearch_token:
        return {"authorization": f"Bearer {settings.elasticsearch_token}"}
    if settings.elasticsearch_api_key:
        return {"authorization": f"ApiKey {settings.elasticsearch_api_key}"}
    if settings.elasticsearch_user:
        pair = f"{settings.elasticsearch_user}:{settings.elasticsearch_pass}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


class _OrjsonSerializer(opensearchpy.serializer.Serializer):
    mimetype = "application/json"

    def loads(self, s: Any) -> Any:
        return loads(s)

    def dumps(self, data: Any) -> Any:
        return data if isinstance(data, (str, bytes)) else dumps(data)


class _OpenSearch:
    def __init__(self, hosts: list[str], settings: Settings) -> None:
        self._count = len(hosts)
        self._transport = opensearchpy.OpenSearch(
            [_parsed(host) for host in hosts],
            headers=_credentials(settings),
            verify_certs=_verifies(settings),
            ssl_show_warn=False,
            ssl_assert_hostname=None if _verifies(settings) else False,
            ca_certs=settings.elasticsearch_ca_cert or None,
            timeout=settings.elasticsearch_timeout_seconds,
            max_retries=len(hosts) - 1,
            serializer=_OrjsonSerializer(),
            pool_maxsize=10,
            connection_class=OpenSearchConnection,
        ).transport

    def request(self, method: str, path: str, body: bytes | None, options: _Options) -> tuple[int, Any]:
        try:
            answer = self._transport.perform_request(
                method,
                path,
                params=dict(options.params),
                body=body,
                timeout=options.timeout,
                headers={"content-type": options.content_type},
            )
            return 200, answer
        except opensearchpy.exceptions.ConnectionError as error:
            raise StoreUnavailableError(f"the engine does not answer: {_cause(error)}") from None
        except opensearchpy.exceptions.TransportError as error:
            return int(error.status_code), error.info or error.error
        except opensearchpy.exceptions.OpenSearchException as error:
            raise StoreUnavailableError(f"the engine's answer can't be read: {_cause(error)}") from None

    def product(self) -> str:
        """Ask the engine what it is; Elastic's servers from 7.14 on name themselves in a header."""
        reason = ""
        for _ in range(self._count):
            try:
                # Each call gets the next host; what is in front of an engine that isn't there says nothing of it.
                status, headers, _ = self._transport.get_connection().perform_request("GET", "/", ignore=_ANY_ERROR)
            except opensearchpy.exceptions.OpenSearchException as error:
                reason = _cause(error)
            else:
                if status < 500:
                    named = {name.lower(): value for name, value in headers.items()}
                    return str(named.get("x-elastic-product", ""))
                reason = f"{status} to GET /"
        raise StoreUnavailableError(f"the engine does not answer: {reason}")


class _Elastic:
    def __init__(self, hosts: list[str], settings: Settings) -> None:
        options: dict[str, Any] = {}
        if settings.elasticsearch_cloud_id:
            options["cloud_id"] = settings.elasticsearch_cloud_id
        else:
            options["hosts"] = hosts
        if not settings.elasticsearch_cloud_id and hosts[0].startswith("https"):
            options |= {"verify_certs": _verifies(settings), "ssl_show_warn": False}
            if settings.elasticsearch_ca_cert:
                options["ca_certs"] = settings.elasticsearch_ca_cert
        client = elasticsearch.Elasticsearch(
            **options,
            headers=_credentials(settings),
            request_timeout=settings.elasticsearch_timeout_seconds,
            max_retries=max(len(hosts) - 1, 0),
            serializer=elasticsearch.OrjsonSerializer(),
            node_class=ElasticNode,
        ).options(ignore_status=_ANY_ERROR)
        # The client makes a new one of itself for other options, which takes as long as the request. There are few.
        self._waiting = lru_cache(maxsize=16)(lambda timeout: client.options(request_timeout=timeout))

    def request(self, method: str, path: str, body: bytes | None, options: _Options) -> tuple[int, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", elasticsearch.ElasticsearchWarning)
                answer = self._waiting(options.timeout).perform_request(
                    method,
                    path,
                    params=dict(options.params),
                    body=body,
                    headers={"content-type": options.content_type, "accept": "application/json"},
                )
            return answer.meta.status, answer.body
        except elastic_transport.TransportError as error:
            raise StoreUnavailableError(f"the engine does not answer: {_cause(error)}") from None


def _parsed(host: str) -> dict[str, Any]:
    parts = urlsplit(host)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "use_ssl": parts.scheme == "https",
        **({"url_prefix": parts.path.strip("/")} if parts.path.strip("/") else {}),
    }


def _short(answer: Any) -> str:
    text = answer if isinstance(answer, str) else dumps(answer).decode()
    return text.replace("\n", " ")[:300]


def _cause(error: Exception) -> str:
    """Say what failed in a few words; the clients' own texts repeat themselves."""
    text = str(getattr(error, "message", None) or error)
    return text.replace("\n", " ")[:200]
