"""What OTLP says of the process that sends: the service's name, version and instance."""

from __future__ import annotations

import socket

from opentelemetry.sdk.resources import Resource

from request_logger import __version__

_DEFAULTS = {"service.name": "seldon-request-logger", "service.version": __version__}
_UNNAMED = "unknown_service"


def resource() -> Resource:
    """Return the resource: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, else our own name, version and host.

    All workers of a server are one instance, as in /metrics.
    """
    given = Resource.create()
    named = {} if str(given.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED) else given.attributes
    defaults = Resource({**_DEFAULTS, "service.instance.id": socket.gethostname()})
    return given.merge(defaults).merge(Resource(dict(named)))
