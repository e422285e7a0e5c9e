"""Who may send events and read figures, and which namespaces' events are taken. Pure code: no HTTP framework.

Everything is open until a setting says otherwise, as in the program that this one replaces. Secrets are compared in
constant time, and none is in an error's text.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import replace
from fnmatch import fnmatchcase

from request_logger.common.names import legal_index
from request_logger.common.periods import has_period
from request_logger.documents.event import Event
from request_logger.settings import Settings, SettingsError

# The orchestrator's probes have no credentials.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
EVENTS_PATH = "/"
FEEDBACK_PATH = "/v1/feedback"

_REALM = 'realm="request-logger"'


class ForbiddenEventError(ValueError):
    """The event is of a namespace that is not taken here; the text names the field."""


class Access:
    """What the settings INGEST_TOKEN, READ_USER, READ_PASSWORD and ALLOWED_NAMESPACES ask for.

    Raises SettingsError with one line for each that is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        problems = []
        if bool(settings.read_user) != bool(settings.read_password):
            missing = "READ_PASSWORD" if settings.read_user else "READ_USER"
            problems.append(f"{missing}: expected both READ_USER and READ_PASSWORD, or neither")
        if ":" in settings.read_user:
            problems.append("READ_USER: expected no colon, which ends the user's name in basic authentication")
        self._token = settings.ingest_token.encode()
        self._reader = f"{settings.read_user}:{settings.read_password}".encode() if settings.read_user else b""
        self._namespaces = tuple(filter(None, map(str.strip, settings.allowed_namespaces.split(","))))
        if settings.allowed_namespaces and not self._namespaces:
            problems.append("ALLOWED_NAMESPACES: expected names or globs with commas between, found none")
        if problems:
            raise SettingsError("\n".join(problems))
        self._fixed_index = bool(settings.index_name)

    def challenge(self, path: str, authorization: str | None) -> str | None:
        """Say what a request to ``path`` lacks: the value of WWW-Authenticate for its 401, None where it is let in.

        ``authorization`` is the header of that name (latin-1, as WSGI gives it). Every path but those of the probes
        is either the events' or a reader's, so that a route added later is not open by mistake.
        """
        if path in OPEN_PATHS:
            return None
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        given = credentials.strip().encode("latin-1", "replace")
        if path in (EVENTS_PATH, FEEDBACK_PATH):
            return None if not self._token or self._is_sender(scheme.lower(), given) else f"Bearer {_REALM}"
        if not self._reader:
            return None
        right = scheme.lower() == "basic" and hmac.compare_digest(_decoded(given), self._reader)
        return None if right else f'Basic {_REALM}, charset="UTF-8"'

    def _is_sender(self, scheme: str, given: bytes) -> bool:
        if scheme == "basic":
            # What an HTTP client makes of http://logger:TOKEN@host, where a sender can be given a URL and no header.
            given = _decoded(given).partition(b":")[2]
        elif scheme != "bearer":
            return False
        return hmac.compare_digest(given, self._token)

    def admit(self, event: Event) -> Event:
        """Give the event as it may be stored: its index is one that only its own namespace can name.

        Raises ForbiddenEventError where its namespace is not among the allowed ones.
        """
        if not self._namespaces:
            return event
        namespace = event.header.get("Ce-Namespace")
        if not namespace:
            raise ForbiddenEventError("Ce-Namespace: missing; expected one of ALLOWED_NAMESPACES")
        if not self._allows(namespace):
            raise ForbiddenEventError("Ce-Namespace: expected one of ALLOWED_NAMESPACES")
        return event if self._fixed_index else self._apart(event, namespace)

    def _allows(self, namespace: str) -> bool:
        return any(fnmatchcase(namespace, glob) for glob in self._namespaces)

    def _apart(self, event: Event, namespace: str) -> Event:
        """Mark the index where its name could also be made of a namespace that is not allowed.

        Names are joined by dashes, and may have dashes: ``b-c`` of ``a`` and ``c`` of ``a-b`` meet. Of two that meet
        the one whose own name has the dash gets the mark; where ALLOWED_NAMESPACES covers both there is nobody to
        keep apart.
        """
        # All that the index's name has after the namespace; what an event leaves out has a dash in its stand-in.
        header = event.header
        name, endpoint = header.get("Ce-Inferenceservicename") or "unknown-", header.get("Ce-Endpoint") or "unknown-"
        after = {"drift": event.source or "unknown-", "reference": name}.get(event.kind, f"{name}-{endpoint}")
        rest = after.split("-")
        # The name has at least one dash before the endpoint, which is no reason yet.
        least = 2 if event.kind == "inference" else 1
        if has_period(event.index):
            # It could be the index of a month or day of a shorter name.
            return replace(event, index=legal_index(f"{event.index}|{namespace}"))
        if len(rest) <= least:
            return event
        others = ("-".join([namespace, *rest[:count]]) for count in range(1, len(rest)))
        if all(map(self._allows, others)):
            return event
        # The bar is in no legal name, so that this one gets the hash of both; see names.legal_index.
        return replace(event, index=legal_index(f"{event.index}|{namespace}"))


def _decoded(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""
