"""Starts the export where OTEL_EXPORTER_OTLP_ENDPOINT is set; imports the OpenTelemetry SDK only then."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from request_logger.otlp.exported import Exported
from request_logger.otlp.trace import Recording, Source
from request_logger.settings import Settings, SettingsError
from request_logger.telemetry import Telemetry

_CLOSE_SECONDS = 3.0
_OK = 200


class TracerLike(Protocol):
    """Makes traces of events."""

    def begin(
        self, headers: Mapping[str, str], source: Source = Source.EVENT, trace_id: str | None = None
    ) -> Recording | None:
        """Return the recording of an event, None where it is not sampled.

        Its parent is in the header traceparent; without one it is the first span of the trace ``trace_id``.
        """
        ...

    def end(self, recording: Recording, status: int) -> None:
        """Hand on the spans of an answered request. Never blocks."""
        ...

    def failed(self, recording: Recording, error: BaseException) -> None:
        """Hand on the spans of an event that isn't stored. Never blocks."""
        ...

    def close(self, seconds: float) -> None:
        """Send what waits, at most for this time."""
        ...


@dataclass(frozen=True, slots=True)
class RequestTraces:
    """Makes a trace of each event of one request; its parent is in the request's header ``traceparent``."""

    tracer: TracerLike
    source: Source
    traceparent: str

    def begin(self) -> Recording | None:
        """Return the recording of the next event, None where it is not sampled."""
        return self.tracer.begin({"traceparent": self.traceparent}, self.source)

    def end(self, recording: Recording, result: object) -> None:
        """Hand on the spans of an event; ``result`` is the error, or anything else if it is stored or spooled."""
        if isinstance(result, BaseException):
            self.tracer.failed(recording, result)
        else:
            self.tracer.end(recording, _OK)


class _Exporter(Protocol):
    def close(self, seconds: float) -> None:
        """Send the metrics once more, at most for this time, and stop."""
        ...


@dataclass(frozen=True, slots=True)
class Otlp:
    """What is exported by this process. ``tracer`` is None where traces are switched off."""

    tracer: TracerLike | None
    metrics: _Exporter | None

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        for part in (self.tracer, self.metrics):
            if part is not None:
                part.close(_CLOSE_SECONDS)


def start(settings: Settings, telemetry: Telemetry, exported: Exported | None) -> Otlp | None:
    """Start the export; None without an endpoint. Raises SettingsError where the SDK is missing or misconfigured.

    Without ``exported`` no metrics are exported.
    """
    if not _is_on(settings):
        return None
    check(settings)
    # Only here, and so not without an endpoint.
    from request_logger.otlp.metrics_export import MetricsExport  # noqa: PLC0415
    from request_logger.otlp.tracer import Tracer  # noqa: PLC0415

    tracer = None if _is("OTEL_TRACES_EXPORTER", "none") else Tracer(telemetry)
    wants_metrics = exported is not None and not _is("OTEL_METRICS_EXPORTER", "none")
    return Otlp(tracer, MetricsExport(exported, telemetry) if wants_metrics and exported is not None else None)


def check(settings: Settings) -> None:
    """Raise SettingsError where the export can't be started: the SDK is missing, or a variable is invalid."""
    if not _is_on(settings):
        return
    endpoint = urlsplit(settings.otel_exporter_otlp_endpoint)
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        raise SettingsError("OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://collector:4318")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, found {protocol!r}")
    try:
        from request_logger.otlp import metrics_export, tracer  # noqa: PLC0415

        metrics_export.check()
        tracer.check()
    except ImportError as error:
        raise SettingsError(
            f'OTEL_EXPORTER_OTLP_ENDPOINT: needs {error.name}: run pip install "seldon-request-logger-scoring[otlp]"'
        ) from None
    except ValueError as error:
        raise SettingsError(f"OTEL_...: {error}") from None


def _is_on(settings: Settings) -> bool:
    return bool(settings.otel_exporter_otlp_endpoint) and not _is("OTEL_SDK_DISABLED", "true")


def _is(name: str, value: str) -> bool:
    return os.environ.get(name, "").strip().lower() == value
