"""A server with a collector: traces, metrics, and what a collector that is gone or hangs costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.otlp.receiver import Receiver
from tests.test_http import counted

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FEEDBACK = b'{"truth": {"data": {"ndarray": [1]}}}'
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500"}

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers with a spool and without an engine."""
    servers: list[Server] = []

    def make(endpoint: str, **env: str) -> Server:
        server = Server(
            f"http://127.0.0.1:{free_port()}",
            tmp_path / f"{len(servers)}.log",
            SPOOL_DIR=str(tmp_path / "spool"),
            QUEUE="always",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            **{**QUICK, **env},
        )
        servers.append(server)
        return server.wait("/healthz")

    yield make
    for server in servers:
        # Its writer would wait for the engine, which is not there.
        server.kill()


def send(server: Server, count: int, **headers: str) -> list[int]:
    """Send events; return the statuses."""
    sender = Sender(server.url)
    statuses = [
        sender.send({**event("response", f"r{number}", "otlp"), **headers}, ndarray([[0.1, 0.9]]))[0]
        for number in range(count)
    ]
    sender.close()
    return statuses


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span, those that are texts."""
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


@pytest.mark.engine
def test_a_trace_shows_where_an_events_time_goes(make_server: Callable[..., Server], deployment: str) -> None:
    """The sender's trace goes on: the parts of an event are the children of its request."""
    with Receiver() as collector:
        server = make_server(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="mine", **QUICK)
        sender = Sender(server.url)
        for part, body in (("response", ndarray([[0.1, 0.9]])), ("feedback", FEEDBACK)):
            headers = {**event(part, "r1", deployment), "Traceparent": PARENT}
            assert sender.send(headers, body)[0] == 200
        collector.until(lambda: sum(span.name == "answer" for span in collector.spans) == 2)
        collector.until(lambda: collector.metrics)
        sender.close()
        server.stop()
    assert collector.resources[0]["service.name"] == "mine"
    assert {span.trace_id.hex() for span in collector.spans} == {PARENT.split("-")[1]}
    roots = [span for span in collector.spans if span.name == "POST /"]
    assert {span.parent_span_id.hex() for span in roots} == {PARENT.split("-")[2]}
    for root in roots:
        children = sorted(
            (span for span in collector.spans if span.parent_span_id == root.span_id),
            key=lambda s: s.start_time_unix_nano,
        )
        names = [span.name for span in children]
        is_feedback = attributes(root)["request_logger.part"] == "feedback"
        assert names[:2] == ["receive", "decode"]
        assert names[-1] == "answer"
        assert {"wait", "bulk", "plan"} | ({"score"} if is_feedback else set()) <= set(names)
        for span in children:
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
        # The parts of its time leave no gap of importance.
        known = sum(s.end_time_unix_nano - s.start_time_unix_nano for s in children if s.name != "score")
        whole = root.end_time_unix_nano - root.start_time_unix_nano
        assert known > 0.5 * whole
        assert attributes(root)["http.response.status_code"] == 200
        assert attributes(root)["request_logger.request_id"] == "r1"


def test_metrics_are_those_of_all_workers_and_sent_by_one(start: Start) -> None:
    """The same figures as /metrics."""
    with Receiver() as collector:
        server = start(collector.url, GUNICORN_WORKERS="2")
        assert set(send(server, 40)) == {200}
        time.sleep(0.1)
        collector.metrics.clear()
        collector.until(lambda: len(collector.metrics) >= 3)
        found = collector.metrics[-1]
        points = found["request_logger_events_total"].sum.data_points
        by_outcome = {attributes(point)["outcome"]: point.as_double for point in points}
        assert by_outcome["spooled"] == 40
        assert found["request_logger_events_total"].sum.is_monotonic
        assert found["request_logger_workers"].gauge.data_points[0].as_double == 2
        http = found["flask_http_request_duration_seconds"].histogram.data_points
        assert sum(point.count for point in http if attributes(point)["url_rule"] == "/") == 40
        assert counted(server, "request_logger_otlp_total", what="metrics_sent") >= 3
        starts = {
            point.start_time_unix_nano
            for each in collector.metrics
            for point in each["request_logger_events_total"].sum.data_points
        }
        assert len(starts) == 1


def test_the_sampler_is_that_of_opentelemetry(start: Start) -> None:
    """A sender's decision holds; what isn't sampled is not recorded, and stored."""
    with Receiver() as collector:
        server = start(collector.url, GUNICORN_WORKERS="1")
        assert send(server, 5, Traceparent=PARENT.removesuffix("01") + "00") == [200] * 5
        assert send(server, 1) == [200]
        collector.until(lambda: any(span.name == "answer" for span in collector.spans))
        assert {span.name for span in collector.spans} == {"POST /", "receive", "spool", "answer"}
        assert sum(span.name == "POST /" for span in collector.spans) == 1
        # Garbage in the header is no error.
        assert send(server, 1, Traceparent="00-nonsense") == [200]


def test_a_dead_collector_costs_a_warning(start: Start) -> None:
    """Events are answered, spans are counted as lost, and the server stops in time."""
    server = start(f"http://127.0.0.1:{free_port()}", GUNICORN_WORKERS="1", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert set(send(server, 20)) == {200}
    deadline = time.monotonic() + 20
    while counted(server, "request_logger_otlp_total", what="spans_failed") < 20:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert set(send(server, 20)) == {200}
    lines = server.log.read_text().splitlines()
    assert sum("otlp_traces" in line for line in lines) in (1, 2)
    assert not any("Traceback" in line or "Failed to export" in line for line in lines)


def test_a_collector_that_hangs_costs_its_spans(start: Start) -> None:
    """A bounded number waits; the others are dropped and counted."""
    with Receiver(hangs=True) as collector:
        server = start(
            collector.url, GUNICORN_WORKERS="1", OTEL_BSP_MAX_QUEUE_SIZE="40", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10"
        )
        assert set(send(server, 60)) == {200}
        assert counted(server, "request_logger_otlp_total", what="spans_dropped") > 0
        assert requests.get(f"{server.url}/healthz", timeout=5).status_code == 200
    assert "OTEL_BSP_MAX_QUEUE_SIZE" in server.log.read_text()
