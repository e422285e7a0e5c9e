"""The search engine's HTTP API over the vendor's own client, which is chosen at the first request."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from elastic_transport.client_utils import parse_cloud_id

from request_logger.common.json import dumps
from request_logger.common.pieces import Pieces
from request_logger.settings import Settings, SettingsError, problems_of
from request_logger.store.changes import (
    RefusedRequestError,
    StoreUnavailableError,
    TooBusyError,
    TooLargeError,
    UnreadableAnswerError,
)
from request_logger.store.client.vendor_clients import Client, Options, connect, verifies
from request_logger.store.errors import FORBIDDEN, reason_of
from request_logger.store.indices.admin import IndexAdmin
from request_logger.store.responses import is_engine_error, is_healthy, kind_of

log = logging.getLogger(__name__)

_PING_SECONDS = 2.0
_NO_HOST = "ELASTICSEARCH_HOST: expected host, host:port or a URL"
_WHOLE_BULK = {400: RefusedRequestError, 413: TooLargeError, 429: TooBusyError}


class SearchEngine:
    """One Elasticsearch or OpenSearch cluster. Thread-safe; sends nothing before the first call.

    ``warn``: whether to log a warning if the certificate isn't verified. Raises SettingsError.
    """

    def __init__(self, settings: Settings, warn: bool = True) -> None:
        problems = problems_of(lambda: _hosts(settings), lambda: _check_ca(settings.elasticsearch_ca_cert))
        if problems:
            raise SettingsError("\n".join(problems))
        self._settings = settings
        self._hosts = _hosts(settings)
        if warn and not verifies(settings) and any(host.startswith("https") for host in self._hosts):
            _warn_unverified()
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._admin = IndexAdmin(self.request, settings)

    @property
    def urls(self) -> list[str]:
        """The URLs of the hosts, without credentials."""
        return list(self._hosts)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[int, Any]:
        """Send a request; return the status and the parsed answer, also of an error.

        ``body`` is serialised to JSON; bytes and Pieces are sent unchanged, as newline-delimited JSON. ``timeout``
        (seconds) is by default ELASTICSEARCH_TIMEOUT_SECONDS. Raises StoreUnavailableError if there is no answer.
        """
        if isinstance(body, Pieces) and self._settings.elasticsearch_cloud_id:
            # The client compresses it.
            body = bytes(body)
        lines = isinstance(body, (bytes, Pieces))
        raw = body if lines or body is None else dumps(body)
        options = Options(
            "application/x-ndjson" if lines else "application/json",
            params or {},
            timeout or self._settings.elasticsearch_timeout_seconds,
        )
        return self._connected().request(method, path, raw, options)

    def bulk(self, body: bytes | Pieces) -> dict[str, Any]:
        """Send a _bulk body; return the answer, which has items.

        Raises StoreUnavailableError if there is no result per item: as TooLargeError or TooBusyError because of the
        request's size, as RefusedRequestError because of its content, as UnreadableAnswerError if it can't be read.
        """
        status, answer = self.request("POST", "/_bulk", body)
        if status != 200:
            kind = _WHOLE_BULK.get(status, StoreUnavailableError)
            if kind is RefusedRequestError and not is_engine_error(status, answer):
                # The answer of a proxy says nothing about the request's content.
                kind = StoreUnavailableError
            lacking = reason_of(answer) if status == 403 and FORBIDDEN in str(answer) else ""
            what = f"_bulk of {len(body)} bytes{lacking and ', '}{lacking}"
            raise kind(f"the engine answered {status} to {what}: {kind_of(status, answer)}")
        if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
            raise UnreadableAnswerError(f"the engine's answer to _bulk has no items: {kind_of(status, answer)}")
        return answer

    def ping(self) -> bool:
        """Return whether the search engine answers, accepts our credentials, and reports no error of its own."""
        try:
            status, answer = self.request("GET", "/_cluster/health", timeout=_PING_SECONDS)
        except StoreUnavailableError:
            return False
        return is_healthy(status, answer)

    def prepare(self, index: str) -> bool:
        """Create an index, or add the fields that it lacks: see IndexAdmin.prepare. Raises StoreUnavailableError."""
        return self._admin.prepare(index)

    def forget(self, index: str) -> None:
        """Record that an index doesn't exist any more: see IndexAdmin.forget."""
        self._admin.forget(index)

    def install_template(self) -> None:
        """Install the index templates that are missing or outdated. Raises StoreUnavailableError."""
        self._admin.install_template()

    def _connected(self) -> Client:
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = connect(self._hosts, self._settings)
        return self._client


def _hosts(settings: Settings) -> list[str]:
    if settings.elasticsearch_cloud_id:
        return [_cloud_host(settings.elasticsearch_cloud_id)]
    hosts = []
    for text in settings.elasticsearch_host.split(","):
        host = text.strip()
        if "://" not in host:
            bare = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
            host = f"{settings.elasticsearch_protocol}://{bare}"
        # The text is never quoted: it may contain a password, and one with a slash makes the URL unreadable.
        if "@" in host:
            raise SettingsError("ELASTICSEARCH_HOST: expected no user in a URL: use ELASTICSEARCH_USER and _PASS")
        try:
            parts = urlsplit(host)
            port = parts.port or settings.elasticsearch_port
        except ValueError:
            raise SettingsError(_NO_HOST) from None
        if not parts.hostname:
            raise SettingsError(_NO_HOST)
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
        raise SettingsError("ELASTICSEARCH_CLOUD_ID: expected name:base64 as the cloud shows it")
    return f"https://{host}:{port}"


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
