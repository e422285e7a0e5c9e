"""The endpoints beside the events: health, readiness, metrics over all workers, and what no route takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers import Index, Sender, Server, event, index_of, ndarray

pytestmark = pytest.mark.engine


def counted(server: Server, name: str, **labels: str) -> float:
    """A counter's value on /metrics, over the labels that are not given."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_health(server: Server) -> None:
    """Liveness and readiness answer 200 while the engine does."""
    for path in ("/healthz", "/readyz"):
        assert requests.get(server.url + path, timeout=10).status_code == 200


def test_metrics_add_up_over_all_workers(make_server: Callable[..., Server], deployment: str) -> None:
    """Each connection lands on some worker; whichever is asked, /metrics has the sum of them all."""
    server = make_server(GUNICORN_WORKERS="3")
    for number in range(30):
        sender = Sender(server.url)  # a new connection each
        assert sender.send(event("request", f"m{number}", deployment), ndarray([[1]]))[0] == 200
        sender.close()
    sender = Sender(server.url)
    sender.send(event("request", "m0", deployment), b"{")
    sender.send(event("request", "m0", deployment, Ce_Type="other"), b"{}")
    sender.send({"Ce-Type": "x"}, b"{}")
    sender.close()
    for _ in range(5):
        assert counted(server, "request_logger_events_total", outcome="stored") == 31
        assert counted(server, "request_logger_events_total", outcome="ignored") == 1
        assert counted(server, "request_logger_events_total", outcome="bad") == 1
        assert counted(server, "request_logger_undecodable_total", part="request") == 1
    assert counted(server, "flask_http_request_total", status="200") >= 32
    server.stop()


def test_unscored_feedback_is_counted(make_server: Callable[..., Server], deployment: str, tmp_path: Path) -> None:
    """A feedback that can't be scored is stored and counted, its scorer's fault apart; a large body, too."""
    rules = tmp_path / "scorers.yaml"
    rules.write_text(f"rules: [{{deployment: {deployment}-fails, scorer: tests.scorers.legacy_classes.Fails}}]")
    server = make_server(GUNICORN_WORKERS="1", MAX_PAYLOAD_BYTES="500", SCORERS_CONFIG=str(rules))
    sender = Sender(server.url)
    sender.send(event("response", "r1", deployment), ndarray([[0.2, 0.8]]))
    sender.send(event("feedback", "r1", deployment), b'{"truth": {"data": {"ndarray": [[0, 0, 0, 1]]}}}')
    sender.send(event("request", "r1", deployment), b"x" * 501)
    assert counted(server, "request_logger_unscored_total") == 1
    assert counted(server, "request_logger_scorer_errors_total") == 0
    sender.send(event("response", "r2", f"{deployment}-fails"), ndarray([[9]]))
    sender.send(event("feedback", "r2", f"{deployment}-fails"), b'{"truth": {"data": {"ndarray": [[9]]}}}')
    assert counted(server, "request_logger_unscored_total") == 2
    assert counted(server, "request_logger_scorer_errors_total") == 1
    assert counted(server, "request_logger_payload_dropped_total") == 1
    sender.close()
    server.stop()


def test_what_no_route_takes(sender: Sender) -> None:
    """Errors are one line of JSON, with the right status."""
    for method, path, expected in (("GET", "/nothing", 404), ("DELETE", "/", 405), ("PUT", "/", 405)):
        status, body = sender.send({}, b"", method=method, path=path)
        assert status == expected
        assert json.loads(body)["error"]


def test_an_event_may_come_as_a_get(sender: Sender, index: Index, deployment: str) -> None:
    """As in the original, the method may be GET."""
    assert sender.send(event("request", "r1", deployment), ndarray([[1]]), method="GET")[0] == 200
    assert index.count(index_of(deployment)) == 1


def test_errors_do_not_echo_input_as_html(sender: Sender, deployment: str) -> None:
    """An id or type with markup comes back, if at all, as JSON."""
    status, body = sender.send({"Ce-Requestid": "<script>alert(1)</script>", "Ce-Type": ""}, b"")
    assert status == 400
    assert b"<script>" not in body
