"""OpenTelemetry by OTLP, where OTEL_EXPORTER_OTLP_ENDPOINT is set: traces of events, and the metrics of /metrics.

The SDK (the extra `otlp`) is imported only then. What is recorded per event needs none of it: see `trace`.
"""

from request_logger.otlp.exported import Exported
from request_logger.otlp.start import Otlp, RequestTraces, TracerLike, check, start
from request_logger.otlp.trace import Recording, Source, TimedEngine, timed_plan

__all__ = [
    "Exported",
    "Otlp",
    "Recording",
    "RequestTraces",
    "Source",
    "TimedEngine",
    "TracerLike",
    "check",
    "start",
    "timed_plan",
]
