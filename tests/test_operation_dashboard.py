"""The dashboard and the alerts on the program itself: every expression asks for what /metrics has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import prometheus as grafana_prometheus
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from request_logger.commands.reference import alerts_file
from request_logger.dashboards.operation_panels import rows
from request_logger.dashboards.operation_rules import alerts
from request_logger.dashboards.promql import Queries
from request_logger.telemetry_definitions import EVENTS, HTTP, KAFKA, SERVER
from tests import dashboard_queries as asked
from tests.helpers import Server, event, free_port, ndarray
from tests.k8s.manifests import problems
from tests.promql import concrete, selectors, unknown
from tests.test_dashboards import lost

ROOT = Path(__file__).parent.parent
DASHBOARD = json.loads((ROOT / "k8s/dashboards/grafana/prometheus/operation.json").read_text())
PANELS = [panel for row in rows() for panel in row.panels]
EXPRESSIONS = [curve.query for panel in PANELS for curve in panel.curves]
RULES = alerts()
ALL = (*SERVER, *KAFKA, *HTTP)


def test_panels_ask_for_metrics_that_exist() -> None:
    """Each query is PromQL over defined metrics, labels and values, and every metric is on the dashboard."""
    assert {query: unknown(concrete(query), ALL) for query in EXPRESSIONS if unknown(concrete(query), ALL)} == {}
    shown = {selector.name for query in EXPRESSIONS for selector, _ in selectors(concrete(query))}
    assert [each.name for each in ALL if not any(name.startswith(each.name) for name in shown)] == []
    for panel in PANELS:
        used = {selector.name for curve in panel.curves for selector, _ in selectors(concrete(curve.query))}
        assert all(any(name.startswith(each.name) for each in panel.of) for name in used), panel.title
        assert all(each.meaning in panel.about for each in panel.of)


def test_the_check_finds_mistakes() -> None:
    """A metric, a label and a value that don't exist."""
    assert unknown("rate(request_logger_event_total[5m])", ALL) == ["request_logger_event_total"]
    assert unknown("sum by (what) (request_logger_events_total)", ALL) == ["request_logger_events_total by what"]
    assert unknown('request_logger_events_total{outcome=~"bad|worse"}', ALL) == ["outcome=worse"]
    with pytest.raises(ValueError, match="request_logger_events has no label what: expected one of part, outcome"):
        Queries("5m").rate(EVENTS, what="bad")
    with pytest.raises(ValueError, match="outcome is never worse: expected stored"):
        Queries("5m").rate(EVENTS, outcome="bad|worse")


def test_grafana_knows_every_field() -> None:
    """Grafana's own types read the dashboard and its queries, and write the same: nothing is misspelt."""
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(DASHBOARD)))
    assert lost(DASHBOARD, read, skip=("targets",)) == []
    panels = asked.grafana_panels(DASHBOARD)
    assert list(panels) == [panel.title for panel in PANELS]
    for panel in panels.values():
        for target in panel["targets"]:
            known = {name: value for name, value in target.items() if name != "datasource"}
            query = json.loads(JSONEncoder(sort_keys=True).encode(grafana_prometheus.Dataquery.from_json(known)))
            assert lost(known, query) == []
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__all", "__rate_interval"} == names


def test_panels_do_not_overlap() -> None:
    """Within the rows that are open, and within each that is not."""
    assert len({row["id"] for row in asked.grafana_panels(DASHBOARD).values()}) == len(PANELS)
    for group in [DASHBOARD["panels"], *(panel["panels"] for panel in DASHBOARD["panels"] if panel.get("panels"))]:
        places = [panel["gridPos"] for panel in group]
        cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


def test_alerts_ask_for_metrics_that_exist() -> None:
    """And each has a line in the docs, and is the same in both files."""
    assert {rule["alert"]: unknown(rule["expr"], ALL) for rule in RULES if unknown(rule["expr"], ALL)} == {}
    page = (ROOT / "docs/operations.md").read_text()
    assert [rule["alert"] for rule in RULES if f"| {rule['alert']} |" not in page] == []
    text = (ROOT / "k8s/common/prometheus-rule.yaml").read_text()
    assert text == f"{alerts_file()}\n", "run make docs"
    operator = yaml.safe_load(text)
    assert problems(operator) == []
    assert operator["spec"] == yaml.safe_load((ROOT / "k8s/dashboards/prometheus/operation-rules.yaml").read_text())
    assert operator["spec"]["groups"][0]["rules"] == RULES


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """/metrics of a server with two workers, a spool and no engine, after one event."""
    folder = tmp_path_factory.mktemp("metrics")
    server = Server(
        f"http://127.0.0.1:{free_port()}", folder / "log", SPOOL_DIR=str(folder / "spool"), STORE_TIMEOUT_SECONDS="0.2"
    ).wait("/healthz")
    headers = event("response", "one", "dashboard")
    assert requests.post(server.url, data=ndarray([[1.0]]), headers=headers, timeout=10).status_code == 200
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    yield {family.name: family for family in text_string_to_metric_families(text)}
    server.stop()


def test_a_server_exposes_what_the_dashboard_asks_for(families: dict[str, Any]) -> None:
    """The definitions are those of a real /metrics: names, and labels of those metrics that have series."""
    missing = [each.name for each in (*SERVER, *HTTP) if each.name not in families]
    assert missing == ["request_logger_undecodable"]  # no series before the first one
    for each in (*SERVER, *HTTP):
        if each.name in families:
            assert families[each.name].type == each.kind
            labels = {label for sample in families[each.name].samples for label in sample.labels}
            assert labels - {"le"} == set(each.labels)
    assert sum(sample.value for sample in families["request_logger_workers"].samples) == 2
    assert families["request_logger_spool_max_bytes"].samples[0].value > 2**20
    assert families["request_logger_memory_budget_bytes"].samples[0].value > 2**20
    # An alert on an increase needs the zero before it.
    zeros = {sample.labels["what"] for sample in families["request_logger_store"].samples}
    assert "dead_letter" in zeros
