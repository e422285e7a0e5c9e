"""Traces by the OpenTelemetry SDK: a span per event, with its parts as children.

The SDK samples (OTEL_TRACES_SAMPLER), batches and sends (OTEL_BSP_*, OTEL_EXPORTER_OTLP_*); a thread of its own sends,
so that a slow or dead collector delays nothing. What doesn't fit into its queue is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from request_logger.otlp.resource import resource
from request_logger.otlp.trace import Recording, Source
from request_logger.telemetry import Telemetry

# The SDK's default for OTEL_BSP_MAX_QUEUE_SIZE, which it reads itself.
_QUEUE_SIZE = 2048
# The exporters log each failure, an outage's several times per minute; here it is counted, with a rate-limited warning.
_NOISY = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")
_KINDS = {source: SpanKind.SERVER if source.is_request else SpanKind.CONSUMER for source in Source}


class Tracer:
    """Makes traces of requests, and sends them from a thread of the SDK."""

    def __init__(self, telemetry: Telemetry) -> None:
        quiet()
        exporter = _CountingExporter(OTLPSpanExporter(), telemetry)
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(_BoundedProcessor(BatchSpanProcessor(exporter), exporter, telemetry))
        self._tracer = self._provider.get_tracer("request_logger")
        # Not OTEL_PROPAGATORS, which may name one whose package isn't there: every sender sends this one.
        self._extract = TraceContextTextMapPropagator().extract

    def begin(
        self, headers: Mapping[str, str], source: Source = Source.EVENT, trace_id: str | None = None
    ) -> Recording | None:
        """Return the recording of an event, None where it isn't sampled.

        Its parent is in the header traceparent; without one it is the first span of the trace ``trace_id``.
        """
        self._ids.use(trace_id)
        span = self._tracer.start_span(source.value, self._extract(headers), _KINDS[source])
        return Recording(span, source, self._ended) if span.is_recording() else None

    def end(self, recording: Recording, status: int) -> None:
        """Make spans of a request's recording, and put them into the queue."""
        root = recording.root
        root.set_attribute("http.request.method", "POST")
        root.set_attribute("http.route", recording.source.value.removeprefix("POST "))
        root.set_attribute("http.response.status_code", status)
        self._end(recording, is_error=status >= 500)

    def failed(self, recording: Recording, error: BaseException) -> None:
        """Make spans of the recording of an event that isn't stored, and put them into the queue."""
        # Without its text, which may quote the event.
        recording.root.set_attribute("error.type", type(error).__name__)
        self._end(recording, is_error=True)

    def _ended(self, recording: Recording, error: BaseException | None) -> None:
        if error is not None:
            self.failed(recording, error)
        else:
            self._end(recording, is_error=False)

    def _end(self, recording: Recording, *, is_error: bool) -> None:
        root = recording.root
        context = set_span_in_context(root)
        for part in recording.finish():
            child = self._tracer.start_span(part.name, context, attributes=part.attributes, start_time=part.start)
            child.end(part.end)
        root.set_attributes(recording.attributes)
        if is_error:
            root.set_status(Status(StatusCode.ERROR))
        root.end()

    def close(self, seconds: float) -> None:
        """Send what waits, at most for this time."""
        # The SDK's own shutdown waits for up to 30 s.
        thread = threading.Thread(target=self._provider.shutdown, name="otlp-close", daemon=True)
        thread.start()
        thread.join(seconds)


def check() -> None:
    """Raise ValueError where a variable of the SDK is invalid; most invalid ones get its default, with a warning."""
    TracerProvider(shutdown_on_exit=False)
    BatchSpanProcessor(OTLPSpanExporter()).shutdown()  # type: ignore[no-untyped-call]


def quiet() -> None:
    """Silence the log lines of the exporters."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Ids(RandomIdGenerator):
    """Makes ids; the next trace of a thread may have a given one: that of an event whose parent span is unknown."""

    def __init__(self) -> None:
        self._next = threading.local()

    def use(self, trace_id: str | None) -> None:
        """Set the id of this thread's next trace, None for a random one."""
        self._next.trace_id = int(trace_id, 16) if trace_id else 0

    def generate_trace_id(self) -> int:
        """Return the id that was set, else a random one."""
        return getattr(self._next, "trace_id", 0) or super().generate_trace_id()


class _CountingExporter(SpanExporter):
    """Sends spans, and counts them by outcome. ``taken`` is how many it was given."""

    def __init__(self, inner: SpanExporter, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._inner.export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        self._telemetry.otlp.labels("spans_sent" if is_sent else "spans_failed").inc(len(spans))
        if not is_sent:
            self._telemetry.warn("otlp_traces", "", "the collector did not take spans; they are dropped")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _BoundedProcessor(SpanProcessor):
    """Counts the spans for which the batch processor's queue has no room, and drops them itself."""

    def __init__(self, inner: BatchSpanProcessor, exporter: _CountingExporter, telemetry: Telemetry) -> None:
        self._inner = inner
        self._exporter = exporter
        self._telemetry = telemetry
        text = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "")
        self._most = int(text) if text.isdecimal() else _QUEUE_SIZE
        self._given = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        # Not exact between threads: the queue itself is bounded, too.
        if self._given - self._exporter.taken >= self._most:
            self._telemetry.otlp.labels("spans_dropped").inc()
            self._telemetry.warn("otlp_traces", "", "spans are dropped: OTEL_BSP_MAX_QUEUE_SIZE of them wait")
            return
        self._given += 1
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
