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
from urllib.parse import quote, urlsplit

import elastic_transport
import elasticsearch
import opensearchpy
from elastic_transport.client_utils import parse_cloud_id

from request_logger.serialize import dumps, loads
from request_logger.settings import Settings, SettingsError
from request_logger.store import templates
from request_logger.store.change import RefusedRequestError, StoreUnavailableError, TooBusyError, TooLargeError
from request_logger.store.one_send import ElasticNode, OpenSearchConnection

log = logging.getLogger(__name__)

_ANY_ERROR = tuple(range(400, 600))
_PING_SECONDS = 2.0
_WHOLE_BULK = {400: RefusedRequestError, 413: TooLargeError, 429: TooBusyError}
_FIELD_LIMIT = "index.mapping.total_fields.limit"


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
        self._template_ready = False

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

    def bulk(self, body: bytes) -> Any:
        """Send a _bulk body.

        Raises StoreUnavailableError where the engine gives no verdict for its items: TooLargeError and TooBusyError
        where that is because of their number.
        """
        status, answer = self.request("POST", "/_bulk", body)
        if status != 200:
            kind = _WHOLE_BULK.get(status, StoreUnavailableError)
            raise kind(f"the engine answered {status} to _bulk of {len(body)} bytes: {_short(answer)}")
        return answer

    def ping(self) -> bool:
        """Say whether the engine answers, knows who asks, and has no error of its own."""
        try:
            status, _ = self.request("GET", "/_cluster/health", timeout=_PING_SECONDS)
        except StoreUnavailableError:
            return False
        return status < 500 and status != 401

    def prepare(self, index: str) -> bool:
        """Make sure that an index is there and can take our fields; False: it is blocked, and must be prepared later.

        A new one gets the types of the template. One that the original made, or that another template of a higher
        priority shaped, is given the fields that it lacks. What the engine refuses here is warned of once and left to
        the verdict on each document. Raises StoreUnavailableError.
        """
        self.install_template()
        found = self._mappings(index)
        if not found:
            status, answer = self.request("PUT", "/" + quote(index, safe=""))
            if status >= 500 or status == 429:
                raise StoreUnavailableError(f"the engine answered {status} to creating an index: {_short(answer)}")
            if status >= 400 and "already_exists" not in _short(answer):
                log.warning("index %s can't be created ahead: %s", index, _short(answer))
                return not _is_blocked(answer)
            found = self._mappings(index)
        # An alias answers with the indices behind it.
        done = [
            self._complete(name, templates.additions(content.get("mappings", {}))) for name, content in found.items()
        ]
        return all(done)

    def forget(self, index: str) -> None:
        """Take an index for missing: the templates are checked again before it is prepared."""
        self._template_ready = False

    def _mappings(self, index: str) -> dict[str, Any]:
        """Give the mapping of an index by its name, or of those behind an alias; nothing where there is none."""
        status, answer = self.request("GET", f"/{quote(index, safe='')}/_mapping")
        if status >= 500 or status == 429:
            raise StoreUnavailableError(f"the engine answered {status} to a question for a mapping: {_short(answer)}")
        return dict(answer) if status == 200 else {}

    def _complete(self, index: str, additions: Mapping[str, Any]) -> bool:
        """Give an index what its mapping lacks, and room for it; False where it is blocked."""
        if not additions:
            return True
        path = "/" + quote(index, safe="")
        status, answer = self.request("GET", f"{path}/_settings", params={"flat_settings": "true"})
        settings = answer[index]["settings"] if status == 200 else {}
        if int(settings.get(_FIELD_LIMIT, 0)) < templates.FIELD_LIMIT:
            status, answer = self.request("PUT", f"{path}/_settings", {_FIELD_LIMIT: templates.FIELD_LIMIT})
            if status >= 400:
                log.warning("index %s can't be given room for more fields: %s", index, _short(answer))
        status, answer = self.request("PUT", f"{path}/_mapping", additions)
        if status >= 400:
            log.warning("index %s can't be given the fields of ours: %s", index, _short(answer))
        return not (status >= 400 and _is_blocked(answer))

    def install_template(self) -> None:
        """Install the index templates where they are missing or older. Raises StoreUnavailableError."""
        if self._template_ready:
            return
        for name, wanted in templates.wanted(self._settings).items():
            path = f"/_index_template/{name}"
            status, answer = self.request("GET", path)
            if status >= 500 or status == 429:
                text = f"the engine answered {status} to a question for a template: {_short(answer)}"
                raise StoreUnavailableError(text)
            if status != 200 or not templates.is_current(answer, wanted):
                status, answer = self.request("PUT", path, wanted)
                if status >= 400:
                    log.warning("the index template %s can't be installed: %s", name, _short(answer))
        self._template_ready = True

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


def _is_blocked(answer: Any) -> bool:
    """Say whether an error is a block (a full disk, no elected master, somebody's setting), which passes."""
    return "cluster_block_exception" in _short(answer)


def _short(answer: Any) -> str:
    text = answer if isinstance(answer, str) else dumps(answer).decode()
    return text.replace("\n", " ")[:300]


def _cause(error: Exception) -> str:
    """Say what failed in a few words; the clients' own texts repeat themselves."""
    text = str(getattr(error, "message", None) or error)
    return text.replace("\n", " ")[:200]
