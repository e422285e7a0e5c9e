"""A real Prometheus reads a real server and answers every panel's query; promtool judges every alert.

Skipped where they are not installed (Debian: `apt-get install prometheus`).
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from request_logger.dashboards.operation_panels import rows
from request_logger.dashboards.operation_rules import alerts
from request_logger.kafka.telemetry import KafkaTelemetry
from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.promql import concrete, program

RULES = Path(__file__).parent.parent / "k8s" / "dashboards" / "prometheus" / "operation-rules.yaml"
MINUTES = 120
# Per alert: series that raise it (with promtool's notation "start+step x times"), and the same ones in good order.
POD = 'namespace="n",pod="p"'
HELD, BUDGET = "request_logger_memory_held_bytes", "request_logger_memory_budget_bytes"
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "RequestLoggerCannotStore": (
        {'request_logger_events_total{namespace="n",outcome="unavailable",part=""}': "0+1x"},
        {'request_logger_events_total{namespace="n",outcome="stored",part=""}': "0+1x"},
    ),
    "RequestLoggerSpoolGrows": (
        {f"request_logger_spool_events{{{POD}}}": "5+1x", f"request_logger_spool_replayed_total{{{POD}}}": "7+0x"},
        {f"request_logger_spool_events{{{POD}}}": "5+1x", f"request_logger_spool_replayed_total{{{POD}}}": "7+1x"},
    ),
    "RequestLoggerQueueLags": (
        {f"request_logger_spool_oldest_seconds{{{POD}}}": "61+1x"},
        {f"request_logger_spool_oldest_seconds{{{POD}}}": "59+0x"},
    ),
    "RequestLoggerEngineSlow": (
        {
            'request_logger_bulk_seconds_bucket{namespace="n",le="2.5"}': "0+0x",
            'request_logger_bulk_seconds_bucket{namespace="n",le="5.0"}': "0+9x",
            'request_logger_bulk_seconds_bucket{namespace="n",le="+Inf"}': "0+9x",
        },
        {
            'request_logger_bulk_seconds_bucket{namespace="n",le="0.1"}': "0+9x",
            'request_logger_bulk_seconds_bucket{namespace="n",le="5.0"}': "0+9x",
            'request_logger_bulk_seconds_bucket{namespace="n",le="+Inf"}': "0+9x",
        },
    ),
    "RequestLoggerDeadLetters": (
        {'request_logger_store_total{namespace="n",what="dead_letter"}': "0+1x"},
        {
            'request_logger_store_total{namespace="n",what="dead_letter"}': "3+0x",
            'request_logger_store_total{namespace="n",what="conflict"}': "0+1x",
        },
    ),
    "RequestLoggerSpoolNearlyFull": (
        {f"request_logger_spool_bytes{{{POD}}}": "81+0x", f"request_logger_spool_max_bytes{{{POD}}}": "100+0x"},
        {f"request_logger_spool_bytes{{{POD}}}": "79+0x", f"request_logger_spool_max_bytes{{{POD}}}": "100+0x"},
    ),
    "RequestLoggerSpoolDamaged": (
        {'request_logger_store_total{namespace="n",what="spool_bad"}': "0+1x"},
        {'request_logger_store_total{namespace="n",what="retry"}': "0+1x"},
    ),
    "RequestLoggerMemoryNearlyFull": (
        {
            f"request_logger_memory_held_bytes{{{POD}}}": "81+0x",
            f"request_logger_memory_budget_bytes{{{POD}}}": "100+0x",
        },
        {
            f"request_logger_memory_held_bytes{{{POD}}}": "79+0x",
            f"request_logger_memory_budget_bytes{{{POD}}}": "100+0x",
        },
    ),
    "RequestLoggerCannotScore": (
        {
            'request_logger_unscored_total{namespace="n"}': "0+6x",
            'request_logger_events_total{namespace="n",part="feedback",outcome="stored"}': "0+10x",
        },
        {
            'request_logger_unscored_total{namespace="n"}': "0+4x",
            'request_logger_events_total{namespace="n",part="feedback",outcome="stored"}': "0+10x",
        },
    ),
    "RequestLoggerScorerFails": (
        {'request_logger_scorer_errors_total{namespace="n"}': "0+1x"},
        {'request_logger_scorer_errors_total{namespace="n"}': "3+0x"},
    ),
    "RequestLoggerCannotDecode": (
        {
            'request_logger_undecodable_total{namespace="n",part="response"}': "0+2x",
            'request_logger_events_total{namespace="n",part="response",outcome="stored"}': "0+10x",
        },
        {
            'request_logger_undecodable_total{namespace="n",part="response"}': "0+1x",
            'request_logger_events_total{namespace="n",part="response",outcome="stored"}': "0+20x",
        },
    ),
    "RequestLoggerRefusesEvents": (
        {'request_logger_events_total{namespace="n",part="",outcome="bad"}': "0+1x"},
        {'request_logger_events_total{namespace="n",part="",outcome="ignored"}': "0+1x"},
    ),
    "RequestLoggerForwardingLoses": (
        {'request_logger_forwarded_total{namespace="n",outcome="dropped"}': "0+1x"},
        {'request_logger_forwarded_total{namespace="n",outcome="sent"}': "0+1x"},
    ),
    "RequestLoggerForwardingLags": (
        {f"request_logger_forward_oldest_seconds{{{POD}}}": "301+0x"},
        {f"request_logger_forward_oldest_seconds{{{POD}}}": "299+0x"},
    ),
    "RequestLoggerRepliesLost": (
        {'request_logger_replies_total{namespace="n",outcome="failed"}': "0+1x"},
        {'request_logger_replies_total{namespace="n",outcome="sent"}': "0+1x"},
    ),
    "RequestLoggerFallsBehind": (
        {'request_logger_kafka_lag{namespace="n",topic="t",partition="0"}': "1001+1x"},
        {'request_logger_kafka_lag{namespace="n",topic="t",partition="0"}': "2000-1x"},
    ),
    "RequestLoggerConsumerPaused": (
        {f"request_logger_kafka_paused{{{POD}}}": "1+0x"},
        {f"request_logger_kafka_paused{{{POD}}}": "0+0x"},
    ),
    "RequestLoggerPoison": (
        {'request_logger_kafka_poison_total{namespace="n",where="topic"}': "0+1x"},
        {'request_logger_kafka_poison_total{namespace="n",where="topic"}': "3+0x"},
    ),
}


def test_every_alert_has_a_case() -> None:
    """One that raises it, and one that doesn't."""
    assert list(CASES) == [rule["alert"] for rule in alerts()]


@pytest.mark.skipif(program("promtool") is None, reason="needs promtool")
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Promtool evaluates each alert on both of its cases."""
    by_name = {rule["alert"]: rule for rule in alerts()}
    tests: list[dict[str, Any]] = []
    for name, cases in CASES.items():
        for is_raised, series in zip((True, False), cases, strict=True):
            text = next(iter(series))
            labels = {"namespace": "n"} | ({"pod": "p"} if 'pod="p"' in text and "pod" in by_name[name]["expr"] else {})
            if name == "RequestLoggerSpoolGrows":
                labels = {"namespace": "n"}
            raised = {
                "exp_labels": {**labels, **by_name[name]["labels"]},
                "exp_annotations": by_name[name]["annotations"],
            }
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": key, "values": f"{value}{MINUTES}"} for key, value in series.items()],
                    "alert_rule_test": [
                        {"eval_time": f"{MINUTES}m", "alertname": name, "exp_alerts": [raised] if is_raised else []}
                    ],
                }
            )
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    found = subprocess.run(
        [str(program("promtool")), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[:3000]


@pytest.fixture(scope="module")
def kafka_metrics() -> Iterator[int]:
    """The port of an exporter of the consumer's metrics, of a consumer of one partition."""
    registry = CollectorRegistry()
    telemetry = KafkaTelemetry(registry)
    telemetry.lag.labels("events", "0").set(7)
    for counter in (telemetry.consumed, telemetry.committed):
        counter.labels("events", "0").inc()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(generate_latest(registry))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.engine
@pytest.mark.skipif(program("prometheus") is None, reason="needs prometheus")
def test_every_panel_shows_what_happened(
    make_server: Callable[..., Server], tmp_path: Path, kafka_metrics: int
) -> None:
    """After some traffic each query has an answer; the numbers are those of the traffic."""
    server = make_server(
        SPOOL_DIR=str(tmp_path / "spool"), INDEX_PERIOD="day", FORWARD_URL=f"http://127.0.0.1:{free_port()}"
    )
    port = free_port()
    targets = [{"targets": [server.url.removeprefix("http://"), f"127.0.0.1:{kafka_metrics}"]}]
    scrape = {"job_name": "logger", "scrape_interval": "1s", "static_configs": targets}
    config = {"scrape_configs": [scrape], "rule_files": [str(RULES)]}
    (tmp_path / "prometheus.yaml").write_text(json.dumps(config))
    command = [
        str(program("prometheus")), f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as prometheus:
        try:
            sender = Sender(server.url)
            deadline = time.monotonic() + 60
            number = 0
            while True:
                number += 1
                sender.send(event("response", f"{number}", "dashboard"), ndarray([[0.1, 0.9]]))
                sender.send(event("feedback", f"{number}", "dashboard"), b'{"truth": {"data": {"ndarray": [1]}}}')
                # One that can't be scored, one that can't be decoded, one that can't be stored.
                sender.send(event("feedback", f"{number}-none", "dashboard"), b"{}")
                sender.send(event("response", f"{number}-bad", "dashboard"), b"{")
                sender.send({"Ce-Type": "io.seldon.serving.inference.response"}, b"{}")
                found = answers(port)
                empty = {title for title, each in found.items() if not each}
                if (not empty and rates(found).get("feedback")) or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            sender.close()
            assert empty == set()
            assert [value for _, value in found["Workers: "]] == [2]
            assert [value for _, value in found["Kafka lag: "]] == [7]
            assert rates(found)["feedback"] > 0
            assert {"response", "feedback", ""} <= set(rates(found))
        finally:
            prometheus.terminate()


def rates(found: dict[str, list[tuple[dict[str, str], float]]]) -> dict[str, float]:
    """Events per second, by part."""
    return {labels.get("part", ""): value for labels, value in found.get("Events by part: {{part}}", [])}


def answers(port: int) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What Prometheus answers to the query of each panel: labels and value of each series that is a number."""
    found = {}
    for row in rows():
        for panel in row.panels:
            for curve in panel.curves:
                try:
                    answer = requests.get(
                        f"http://127.0.0.1:{port}/api/v1/query", {"query": concrete(curve.query)}, timeout=10
                    ).json()
                except requests.ConnectionError:
                    return {"Prometheus": []}
                assert answer["status"] == "success", (curve.query, answer)
                values = [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
                found[f"{panel.title}: {curve.legend}"] = [pair for pair in values if pair[1] == pair[1]]
    return found
