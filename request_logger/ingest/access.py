"""Access control: who may send events, who may read figures, and which namespaces are accepted. Pure code.

Everything is open unless a setting restricts it, as in the program that this one replaces. Secrets are compared in
constant time, and no error text contains one.
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
MARSHAL_PATH = "/v1/marshal"
_SENDER_PATHS = frozenset({EVENTS_PATH, FEEDBACK_PATH, MARSHAL_PATH})

_REALM = 'realm="request-logger"'


class ForbiddenEventError(ValueError):
    """The event's namespace is not accepted here; the text names the field."""


class Access:
    """Applies the settings INGEST_TOKEN, READ_USER, READ_PASSWORD and ALLOWED_NAMESPACES. Immutable, so thread-safe.

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
            problems.append("ALLOWED_NAMESPACES: expected comma-separated names or globs, found none")
        if problems:
            raise SettingsError("\n".join(problems))
        self._fixed_index = bool(settings.index_name)

    def challenge(self, path: str, authorization: str | None) -> str | None:
        """Return the WWW-Authenticate value of the 401 for a request to ``path``, None where it is allowed.

        ``authorization`` is the header of that name (latin-1, as WSGI passes it). Every path except the probes'
        requires the sender's or the reader's credentials, so that a route added later is not open by mistake.
        """
        if path in OPEN_PATHS:
            return None
        if not self._token and path in _SENDER_PATHS:
            return None
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        given = credentials.strip().encode("latin-1", "replace")
        if path in _SENDER_PATHS:
            return None if self._is_sender(scheme.lower(), given) else f"Bearer {_REALM}"
        if not self._reader:
            return None
        right = scheme.lower() == "basic" and hmac.compare_digest(_decoded(given), self._reader)
        return None if right else f'Basic {_REALM}, charset="UTF-8"'

    def _is_sender(self, scheme: str, given: bytes) -> bool:
        if scheme == "basic":
            # Clients send this for http://logger:TOKEN@host, for senders that can be configured with a URL but no
            # header.
            given = _decoded(given).partition(b":")[2]
        elif scheme != "bearer":
            return False
        return hmac.compare_digest(given, self._token)

    @property
    def restricts_namespaces(self) -> bool:
        """Whether `admit` refuses or changes any event."""
        return bool(self._namespaces)

    def admit(self, event: Event) -> Event:
        """Return the event with an index that only its own namespace can name.

        Raises ForbiddenEventError where the namespace is not among the allowed ones.
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
        """Add a mark to the index where a namespace that is not allowed could produce the same name.

        Names are joined by dashes and may contain dashes: ``b-c`` in ``a`` and ``c`` in ``a-b`` collide. Of two that
        collide the one whose own name has the dash gets the mark. Where ALLOWED_NAMESPACES covers both there is nothing
        to separate.
        """
        # The part of the index name after the namespace; the stand-in of a missing attribute ends in a dash.
        header = event.header
        name, endpoint = header.get("Ce-Inferenceservicename") or "unknown-", header.get("Ce-Endpoint") or "unknown-"
        after = {"drift": event.source or "unknown-", "reference": name}.get(event.kind, f"{name}-{endpoint}")
        rest = after.split("-")
        # The dash before the endpoint alone isn't a collision.
        least = 2 if event.kind == "inference" else 1
        if has_period(event.index):
            # It could be the monthly or daily index of a shorter name.
            return replace(event, index=legal_index(f"{event.index}|{namespace}"))
        if len(rest) <= least:
            return event
        others = ("-".join([namespace, *rest[:count]]) for count in range(1, len(rest)))
        if all(map(self._allows, others)):
            return event
        # A legal name has no bar, so this one gets a hash of both; see names.legal_index.
        return replace(event, index=legal_index(f"{event.index}|{namespace}"))


def _decoded(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""
