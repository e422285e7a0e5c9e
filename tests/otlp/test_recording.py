"""What is recorded of an event needs no SDK, and no engine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from request_logger import otlp
from request_logger.composition import _decoded_and_traced
from request_logger.documents.event import Body, Event, from_attributes
from request_logger.ingest.pipeline import Prepared
from request_logger.kafka.binding import prepared
from request_logger.kafka.record import Record
from request_logger.otlp import RequestTraces, Source, check, start
from request_logger.otlp.exported import Exported
from request_logger.otlp.metrics_data import metrics_data
from request_logger.otlp.trace import MOST_SPANS, Recording, TimedEngine, timed_plan
from request_logger.otlp.tracer import Tracer
from request_logger.settings import Settings, SettingsError
from request_logger.store.changes import (
    Change,
    Plan,
    RejectedError,
    StoreUnavailableError,
    UnreadableError,
    as_it_is,
)
from request_logger.store.writing.future import Future
from request_logger.telemetry import Telemetry
from tests.otlp.receiver import Receiver

ENDPOINT = Settings(otel_exporter_otlp_endpoint="http://127.0.0.1:9")


class Bulks:
    """An engine that takes anything."""

    def bulk(self, body: bytes) -> str:
        """Say how large it was."""
        return f"{len(body)} bytes"

    urls = ("here",)


def plan(log: list[Any]) -> Plan:
    """Two changes, one after the other; what can't be read is noted."""
    for id in "ab":
        try:
            log.append((yield [Change("i", id, as_it_is)]))
        except UnreadableError as error:
            log.append(error)
    return "done"


def test_a_timed_plan_does_the_same_and_tells_its_waits() -> None:
    """Results and errors reach the plan, its value comes back; each _bulk in between is a span."""
    log: list[Any] = []
    recording = Recording(None)
    engine = TimedEngine(Bulks())
    timed = timed_plan(plan(log), recording)
    assert next(timed)[0].id == "a"
    assert engine.bulk(b"xyz") == "3 bytes"
    assert timed.send([{"found": 1}])[0].id == "b"
    error = UnreadableError("no")
    with pytest.raises(StopIteration) as end:
        timed.throw(error)
    assert end.value.value == "done"
    assert log == [[{"found": 1}], error]
    assert [span.name for span in recording.spans] == ["plan", "wait", "bulk", "plan", "wait", "plan"]
    assert recording.spans[2].attributes == {"request_logger.bulk.bytes": 3}
    assert engine.urls == ("here",)
    for span in recording.spans:
        assert recording.started <= span.start <= span.end


def test_a_recording_has_a_bound_and_one_span_for_all_scores() -> None:
    """However many rows a batch has."""
    recording = Recording(None)
    recording.lap("decode")
    double = recording.timed(lambda number: number * 2)
    assert [double(number) for number in range(500)] == [number * 2 for number in range(500)]
    with pytest.raises(ZeroDivisionError):
        recording.timed(lambda number: 1 / number)(0)
    for _ in range(2 * MOST_SPANS):
        recording.add("plan", 1, 2)
    made = recording.finish()
    assert len(made) == MOST_SPANS + 2
    (score,) = (span for span in made if span.name == "score")
    assert score.attributes == {"request_logger.documents": 501}
    assert made[-1].name == "answer"
    assert made[-1].start == max(span.end for span in made[:-1])


def stored(result: object) -> Future[Any]:
    """A future that has ended."""
    future: Future[Any] = Future()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def test_the_end_of_a_plan_ends_a_trace_without_a_request() -> None:
    """The pipeline's own end comes first. A record that Kafka's consumer submits again goes on in the same trace."""
    down, refused = StoreUnavailableError("down"), RejectedError("refused")
    for source, result, ends in (
        (Source.EVENT, None, False),
        (Source.FEEDBACK, refused, False),
        (Source.SPOOL, down, True),
        (Source.SPOOL, None, True),
        (Source.KAFKA, down, False),
        (Source.KAFKA, refused, True),
        (Source.KAFKA, None, True),
    ):
        log: list[Any] = []
        recording = Recording(None, source, lambda made, error, log=log: log.append((made, error)))  # type: ignore[misc]
        recording.ending(lambda future, log=log: log.append("ended"))(stored(result))  # type: ignore[misc]
        assert log == ["ended", *([(recording, result)] if ends else [])]
        assert [span.name for span in recording.finish()] == (["answer"] if source.is_request else [])


def made_event(trace_id: str | None = None) -> Event:
    """A response."""
    attributes = {"type": "io.seldon.serving.inference.response", "requestid": "r1", "source": "here"}
    event = from_attributes(attributes, Body(b"{}", "application/json", 2), Settings())
    event.trace_id = trace_id
    return event


class Pipeline:
    """Decodes an event as the pipeline does, and stores it at once."""

    def __init__(self, result: object = None) -> None:
        self.result = result

    def admit(self, event: Event) -> Event:
        return event

    redact = admit

    def decoded(self, event: Event, recording: Recording | None = None) -> Prepared:
        def queue() -> Future[Any]:
            future = stored(self.result)
            if recording is not None:
                recording.add("bulk", recording.started, recording.started)
                recording.ending(lambda future: None)(future)
            return future

        return Prepared(1, queue)

    def prepared(self, event: Event, recording: Recording | None = None) -> Callable[[], Future[Any]]:
        return self.decoded(event, recording).queue


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_traces_of_records_of_feedback_and_of_the_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the trace of the sender where that is known, with the attributes of a request's; an error is named."""
    with Receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracer = Tracer(Telemetry(CollectorRegistry()))
        headers = (("type", b"io.seldon.serving.inference.response"), ("requestid", b"r1"))
        for more in ((("traceparent", PARENT.encode()),), ((("Traceparent"), PARENT[:-2].encode() + b"00"),), ()):
            _, send = prepared(Pipeline(), Record("t", 0, 5, None, None, headers + more, b"{}"), Settings(), tracer)
            send()
        trace_id = "f" * 32
        for result in (None, StoreUnavailableError("down")):
            pipeline: Any = Pipeline(result)
            _decoded_and_traced(pipeline, tracer, made_event(trace_id)).queue()
        traces = RequestTraces(tracer, Source.FEEDBACK, PARENT)
        for outcome in (None, RejectedError("secret")):
            recording = traces.begin()
            assert recording is not None
            recording.received(made_event())
            traces.end(recording, outcome)
        tracer.close(10)
    roots = [span for span in collector.spans if span.name in {source.value for source in Source}]
    found = [(span.name, span.trace_id.hex(), span.status.code) for span in roots]
    sender = PARENT.split("-")[1]
    assert found[0] == ("consume", sender, 0)
    assert found[1][0] == "consume"
    assert found[1][1] not in (sender, trace_id)
    assert found[2:4] == [("replay", trace_id, 0), ("replay", trace_id, 2)]
    assert found[4:] == [("POST /v1/feedback", sender, 0), ("POST /v1/feedback", sender, 2)]
    assert [span.parent_span_id.hex() for span in roots[2:]] == ["", "", *2 * [PARENT.split("-")[2]]]
    described = [{pair.key: pair.value.string_value for pair in span.attributes} for span in roots]
    assert all(each["request_logger.request_id"] == "r1" for each in described)
    assert [each.get("error.type") for each in described[3:]] == ["StoreUnavailableError", None, "RejectedError"]
    assert described[4]["http.route"] == "/v1/feedback"
    assert "secret" not in str(collector.spans)
    names = [[span.name for span in collector.spans if span.parent_span_id == root.span_id] for root in roots]
    assert names == [["receive", "bulk"]] * 2 + [["bulk"]] * 2 + [["receive", "answer"]] * 2


def test_metrics_keep_their_names_and_values() -> None:
    """Counters are cumulative sums, buckets no longer cumulative; all labels are there."""
    registry = CollectorRegistry()
    counter = Counter("requests", "All requests", ("part",), registry=registry)
    counter.labels("a").inc(3)
    counter.labels("b").inc(4)
    Gauge("waiting", "What waits", registry=registry).set(2.5)
    histogram = Histogram("seconds", "How long", ("of",), registry=registry, buckets=(1, 5))
    for value in (0.5, 0.7, 3, 99):
        histogram.labels("x").observe(value)
    (group,) = metrics_data(registry.collect(), Resource({}), 1000, 2000).resource_metrics
    made: dict[str, Any] = {metric.name: metric for metric in group.scope_metrics[0].metrics}
    assert set(made) == {"requests_total", "waiting", "seconds"}
    points = made["requests_total"].data.data_points
    assert {point.attributes["part"]: point.value for point in points} == {"a": 3, "b": 4}
    assert made["requests_total"].data.is_monotonic
    assert (points[0].start_time_unix_nano, points[0].time_unix_nano) == (1000, 2000)
    assert made["waiting"].data.data_points[0].value == 2.5
    (point,) = made["seconds"].data.data_points
    assert (point.attributes, point.count, point.sum) == ({"of": "x"}, 4, 103.2)
    assert (point.bucket_counts, point.explicit_bounds) == ([2, 1, 1], [1, 5])


def test_nothing_starts_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where OpenTelemetry is switched off, as a whole or in part."""
    telemetry = Telemetry(CollectorRegistry())
    assert start(Settings(), telemetry, Exported(list)) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert start(ENDPOINT, telemetry, Exported(list)) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "false")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    started = start(ENDPOINT, telemetry, Exported(list))
    assert started is not None
    assert (started.tracer, started.metrics) == (None, None)


def test_a_stop_does_not_wait_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has as long as the caller says."""
    with Receiver(hangs=True) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
        settings = Settings(otel_exporter_otlp_endpoint=collector.url)
        started = start(settings, Telemetry(CollectorRegistry()), Exported(list))
        assert started is not None
        assert started.tracer is not None
        assert started.metrics is not None
        recording = started.tracer.begin({})
        assert recording is not None
        started.tracer.end(recording, 503)
        began = time.monotonic()
        started.tracer.close(0.3)
        started.metrics.close(0.3)
        # The SDK by itself would wait for 30 s.
        assert time.monotonic() - began < 10


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra and another protocol."""
    telemetry = Telemetry(CollectorRegistry())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, found 'grpc'$"):
        start(ENDPOINT, telemetry, Exported(list))
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    for wrong in ("collector:4318", "http://"):
        with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://"):
            start(Settings(otel_exporter_otlp_endpoint=wrong), telemetry, Exported(list))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    check(ENDPOINT)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "40")
    with pytest.raises(SettingsError, match=r"^OTEL_\.\.\.: max_export_batch_size must be less than or equal to max_q"):
        check(ENDPOINT)
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "request_logger.otlp."))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("metrics_export", "tracer"):
        monkeypatch.delattr(otlp, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics.export", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with pytest.raises(
        SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: needs opentelemetry[\w.]*: run pip install"
    ):
        start(ENDPOINT, telemetry, Exported(list))


def test_the_sdk_is_not_imported_without_an_endpoint() -> None:
    """Whatever else the application imports."""
    program = (
        "import sys\n"
        "from request_logger.server.app import close, create_app\n"
        "from request_logger.settings import Settings\n"
        "app = create_app(Settings(elasticsearch_port=9))\n"
        # The client of Elasticsearch imports OpenTelemetry's interface, which does nothing by itself.
        "parts = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "assert not [name for name in sys.modules if name.startswith(parts)]\n"
        "assert app.wsgi_app._tracer is None\n"
        "close(app)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
