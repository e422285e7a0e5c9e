"""Tokens from an OpenID Connect provider: discovery, password grant and client credentials.

This is own code instead of `authlib`: a token is only fetched and passed on, never verified, which is one POST.
Authlib's clients send through `requests` or `httpx`, without this program's limits on time and answer size, and require
`cryptography` and `joserfc`.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from request_logger.metadata.schema import MetadataError

PASSWORD_GRANT = "password_grant"  # noqa: S105  # the name of a method
CLIENT_CREDENTIALS = "client_credentials"
DEFAULT_SCOPES = "openid profile email groups"

# A token is renewed this long before it expires, or a tenth of its lifetime before, if that is shorter.
_MARGIN_SECONDS = 30.0


class MetadataUnavailableError(Exception):
    """The metadata service, or its token provider, gave no usable answer; the text says which and what was found."""


class Send(Protocol):
    """Sends an HTTP request; returns its status and JSON. Raises MetadataUnavailableError if there is no answer."""

    def __call__(  # noqa: D102
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, Any]: ...


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """How to get a token. ``provider`` is the issuer's URL; the other fields are named like their settings."""

    provider: str
    client_id: str
    client_secret: str = ""
    scopes: str = DEFAULT_SCOPES
    username: str = ""
    password: str = ""
    resource: str = ""
    auth_method: str = PASSWORD_GRANT

    def __post_init__(self) -> None:
        problems = []
        if self.auth_method not in (PASSWORD_GRANT, CLIENT_CREDENTIALS):
            problems.append(
                f"OIDC_AUTH_METHOD: expected {PASSWORD_GRANT} or {CLIENT_CREDENTIALS}, found {self.auth_method!r}"
            )
        needed = {"CLIENT_ID": self.client_id}
        if self.auth_method == PASSWORD_GRANT:
            needed |= {"OIDC_USERNAME": self.username, "OIDC_PASSWORD": self.password}
        if self.auth_method == CLIENT_CREDENTIALS:
            needed |= {"CLIENT_SECRET": self.client_secret}
        problems.extend(f"{name}: missing, OIDC_PROVIDER needs it" for name, value in needed.items() if not value)
        if problems:
            raise MetadataError("\n".join(problems))


class Tokens:
    """Caches a token, and fetches a new one before it expires, or on request. Thread-safe."""

    def __init__(self, options: OidcOptions, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._expires = 0.0
        self._server: Mapping[str, Any] | None = None

    def get(self, refused: str = "") -> str:
        """Return a token; if the cached one is ``refused``, fetch a new one.

        Raises MetadataUnavailableError if the provider returns none.
        """
        with self._lock:
            if not self._token or self._token == refused or self._clock() >= self._expires:
                self._token = ""
                self._token = self._fetch()
            return self._token

    def _fetch(self) -> str:
        if self._server is None:
            self._server = self._discover()
        body, headers = self._grant(self._server)
        status, answer = self._send("POST", self._server["token_endpoint"], headers, urlencode(body).encode())
        if status != 200 or not isinstance(answer, dict):
            # The endpoint may have moved.
            self._server = None
            said = answer.get("error") if isinstance(answer, dict) else None
            raise MetadataUnavailableError(
                f"OIDC_PROVIDER: expected a token, found status {status}{f' ({said})' if said else ''}"
            )
        # Like Seldon's SDK: Deploy expects the identity token, if there is one.
        token = answer.get("id_token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise MetadataUnavailableError("OIDC_PROVIDER: expected id_token or access_token, found neither")
        seconds = answer.get("expires_in")
        life = float(seconds) if isinstance(seconds, (int, float)) and seconds > 0 else 60.0
        self._expires = self._clock() + life - min(_MARGIN_SECONDS, life / 10)
        return token

    def _discover(self) -> Mapping[str, Any]:
        url = f"{self._options.provider.rstrip('/')}/.well-known/openid-configuration"
        status, answer = self._send("GET", url, {})
        if status != 200 or not isinstance(answer, dict) or not isinstance(answer.get("token_endpoint"), str):
            raise MetadataUnavailableError(f"OIDC_PROVIDER: expected its configuration, found status {status}")
        return answer

    def _grant(self, server: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        options = self._options
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = {"grant_type": "password" if options.auth_method == PASSWORD_GRANT else CLIENT_CREDENTIALS}
        if options.auth_method == PASSWORD_GRANT:
            body |= {"username": options.username, "password": options.password}
        if options.scopes:
            body["scope"] = options.scopes
        if options.resource:
            body["resource"] = options.resource
        methods = server.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if not options.client_secret:
            body["client_id"] = options.client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            pair = f"{options.client_id}:{options.client_secret}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            body |= {"client_id": options.client_id, "client_secret": options.client_secret}
        return body, headers
