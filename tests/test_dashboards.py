"""Dashboards and alerts as code: up to date, valid, and their figures are scikit-learn's."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import elasticsearch as grafana_elasticsearch
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.expr import TypeMath
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from request_logger.analytics.drift.gauges import exposition
from request_logger.analytics.selection import PREDICTIONS
from request_logger.cli import main
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.dashboards import files
from request_logger.dashboards.grafana import EXPRESSION
from request_logger.dashboards.panels import means, rows
from request_logger.metrics_server.exporter import CELLS
from request_logger.scoring.registry import build, registered
from request_logger.telemetry import Telemetry
from tests import dashboard_queries as asked
from tests.k8s.manifests import problems

FOLDER = Path(__file__).parent.parent / "k8s" / "dashboards"
GRAFANA = {
    kind: json.loads((FOLDER / "grafana" / kind / "prediction-quality.json").read_text())
    for kind in ("elasticsearch", "opensearch")
}
KIBANA = [json.loads(line) for line in (FOLDER / "kibana" / "prediction-quality.ndjson").read_text().splitlines()]
PANELS = {panel.title: panel for row in rows() for panel in row.panels}


def test_files_are_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`k8s/dashboards` is what the command writes, no more and no less; --check tells what isn't."""
    there = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    assert there == files(), "run request-logger dashboards"
    assert main(["dashboards", "--check", "--dir", str(FOLDER)]) == 0
    assert main(["dashboards", "--check", "--dir", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()
    assert main(["dashboards", "--dir", str(tmp_path)]) == 0
    (tmp_path / "prometheus" / "rules.yaml").write_text("groups: []\n")
    capsys.readouterr()
    assert main(["dashboards", "--check", "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path / 'prometheus' / 'rules.yaml'}: not up to date\n"


@pytest.mark.parametrize("kind", GRAFANA)
def test_grafana_knows_every_field(kind: str) -> None:
    """Grafana's own types read the dashboard and its queries, and write the same: nothing is misspelt."""
    made = GRAFANA[kind]
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(made)))
    assert lost(made, read, skip=("targets",)) == []
    for panel in asked.grafana_panels(made).values():
        for target in panel["targets"]:
            if target["datasource"]["uid"] == EXPRESSION:
                query = json.loads(JSONEncoder(sort_keys=True).encode(TypeMath.from_json(target)))
                assert lost(target, query) == []
                continue
            known = {name: value for name, value in target.items() if name not in ("datasource", "queryType")}
            query = json.loads(JSONEncoder(sort_keys=True).encode(grafana_elasticsearch.Dataquery.from_json(known)))
            assert lost(known, query) == []
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


def lost(made: Any, read: Any, path: str = "", skip: tuple[str, ...] = ()) -> list[str]:
    """What of one JSON value is not in the other."""
    if isinstance(made, dict) and isinstance(read, dict):
        return [
            each
            for name, value in made.items()
            if name not in skip
            for each in (lost(value, read[name], f"{path}.{name}", skip) if name in read else [f"{path}.{name}"])
        ]
    if isinstance(made, list) and isinstance(read, list) and len(made) == len(read):
        return [e for k, pair in enumerate(zip(made, read, strict=True)) for e in lost(*pair, f"{path}[{k}]", skip)]
    return [] if made == read else [f"{path}: {made!r} became {read!r}"]


@pytest.mark.parametrize("kind", GRAFANA)
def test_grafana_panels_have_places_and_variables(kind: str) -> None:
    """Ids are unique, nothing overlaps, and every variable that is used exists."""
    made = GRAFANA[kind]
    panels = list(asked.grafana_panels(made).values())
    ids = [panel["id"] for panel in [*panels, *(p for p in made["panels"] if p["type"] == "row")]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    names = {variable["name"] for variable in made["templating"]["list"]}
    assert names == {"datasource", *ORIGIN_KEYWORDS, "class", "evaluation", "window"}
    references = set()
    for panel in panels:
        for target in panel["targets"]:
            # An expression's variables are the queries of its panel.
            if target["datasource"]["uid"] == EXPRESSION:
                used = set(re.findall(r"\$(\w+)", target["expression"]))
                assert used == {each["refId"] for each in panel["targets"] if each.get("hide")}
                references |= used
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(made))) - {"__all"} - references == names
    assert {panel["title"] for panel in panels} == set(PANELS)


def test_saved_objects_belong_together() -> None:
    """Every reference leads to an object of its type, every name in the texts to a reference."""
    known = {(each["type"], each["id"]) for each in KIBANA}
    assert len(known) == len(KIBANA)
    for each in KIBANA:
        references = {reference["name"] for reference in each["references"]}
        assert {(reference["type"], reference["id"]) for reference in each["references"]} <= known
        assert set(re.findall(r'RefName\\*":\\*"([\w.]+)', json.dumps(each))) == references
        for name in ("visState", "panelsJSON", "optionsJSON", "uiStateJSON"):
            if name in each["attributes"]:
                json.loads(each["attributes"][name])
    (dashboard,) = (each for each in KIBANA if each["type"] == "dashboard")
    shown = {reference["id"] for reference in dashboard["references"]}
    assert shown == {each["id"] for each in KIBANA if each["type"] == "visualization"}
    places = [panel["gridData"] for panel in json.loads(dashboard["attributes"]["panelsJSON"])]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert {each["attributes"]["title"] for each in KIBANA if each["type"] == "index-pattern"} == {PREDICTIONS}


def test_provisioning_names_the_same() -> None:
    """The data sources are of the dashboards' types and find the logger's indices."""
    for kind, made in GRAFANA.items():
        folder = FOLDER / "grafana" / kind
        (source,) = yaml.safe_load((folder / "datasource.yaml").read_text())["datasources"]
        (variable,) = (each for each in made["templating"]["list"] if each["type"] == "datasource")
        assert source["type"] == variable["query"]
        assert PREDICTIONS in (source["jsonData"].get("index"), source["jsonData"].get("database"))
        (provider,) = yaml.safe_load((folder / "provider.yaml").read_text())["providers"]
        assert provider["type"] == "file"


def test_alerts_are_of_metrics_that_exist() -> None:
    """PromQL that parses, over names that the server shows or a rule before records; both files have the same."""
    rules = yaml.safe_load((FOLDER / "prometheus" / "rules.yaml").read_text())
    operator = yaml.safe_load((FOLDER / "prometheus" / "prometheusrule.yaml").read_text())
    assert problems(operator) == []
    assert operator["spec"] == rules
    registry = CollectorRegistry()
    Telemetry(registry)
    known = {f"seldon_metric_{cell}_total" for cell in CELLS}
    for metric in registry.collect():
        known |= {metric.name + suffix for suffix in {"counter": ("_total",), "gauge": ("",)}.get(metric.type, ())}
    known |= drift_gauges()
    names = []
    for group in rules["groups"]:
        for rule in group["rules"]:
            promql_parser.parse(rule["expr"])
            used = set(re.findall(r"\b((?:seldon_metric|request_logger)[\w:]+)", rule["expr"]))
            assert used
            assert used <= known, rule
            if "record" in rule:
                known.add(rule["record"])
            else:
                names.append(rule["alert"])
                assert rule["annotations"]["summary"]
    page = (Path(__file__).parent.parent / "docs" / "alerts.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_alert_on_a_drop_is_judged_by_the_limit_of_its_interval() -> None:
    """The recorded drop is the lower limit of the difference of two shares; each pair is two outcomes."""
    rules = yaml.safe_load((FOLDER / "prometheus" / "rules.yaml").read_text())["groups"][0]["rules"]
    found = next(rule["expr"] for rule in rules if "accuracy_drop" in rule.get("record", ""))
    formula = found.partition(" and ")[0]
    for pattern, value in (
        (r"sum by \([^)]*\) \(request_logger:outcomes:1d offset 1w\)", "4000"),
        (r"sum by \([^)]*\) \(request_logger:outcomes:1d\)", "2000"),
        ("request_logger:accuracy:1d offset 1w", "0.95"),
        ("request_logger:accuracy:1d", "0.9"),
    ):
        formula = re.sub(pattern, value, formula)
    expected = 0.95 - 0.9 - 1.96 * math.sqrt(0.9 * 0.1 / 1000 + 0.95 * 0.05 / 2000)
    assert eval(formula, {"sqrt": math.sqrt}) == pytest.approx(expected, abs=1e-12)


def drift_gauges() -> set[str]:
    """The names of the gauges that `request-logger drift --textfile` writes."""
    nothing = {"target": "", "against": "reference", "fields": [], "documents": 0, "reference": {"documents": 0}}
    text = exposition({**nothing, "made_at": "2026-01-02T03:04:05Z"})
    return {family.name for family in text_string_to_metric_families(text)}


def test_what_is_an_average_is_found_by_what_it_computes() -> None:
    """A root of a mean is no mean; every scorer has at least one figure."""
    names = {metric.name: field for metric, field in means(build("regression", {}).metrics)}
    assert names["mse"] == "metrics.squared_error"
    assert "rmse" not in names
    assert all(means(build(name, {}).metrics) for name in registered())
