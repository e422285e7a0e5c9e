"""Generates the Grafana dashboard on the program itself (classic JSON, 9 to 13), for a Prometheus data source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.dashboards.grafana_grid import Grid
from request_logger.dashboards.operation_panels import VARIABLES, OperationPanel, OperationRow
from request_logger.dashboards.promql import Queries
from request_logger.telemetry_definitions import WORKERS

Json = dict[str, Any]

PROMETHEUS = "prometheus"
_NUMBER_SIZE, _LINES_SIZE = (4, 4), (12, 8)


def dashboard(rows: list[OperationRow]) -> Json:
    """Return the dashboard."""
    grid: Grid[OperationPanel] = Grid(lambda panel: _NUMBER_SIZE if panel.is_number else _LINES_SIZE, _panel)
    return {
        "uid": "request-logger-operation",
        "title": "Request logger",
        "description": "Made by `request-logger dashboards`. The program itself: traffic, search engine, what waits.",
        "tags": ["request-logger", "seldon", "kserve"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 36,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": grid.lay_out([(row.title, row.panels) for row in rows], expanded=4),
    }


def _variables() -> Iterator[Json]:
    yield {"name": "datasource", "label": "data source", "type": "datasource", "query": PROMETHEUS, "refresh": 1}
    before = ""
    for name in VARIABLES:
        query = f"label_values({Queries('', before).series(WORKERS)}, {name})"
        yield {
            "name": name, "label": name, "type": "query", "datasource": _datasource(),
            "query": query, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"], "selected": True},
        }  # fmt: skip
        before = ",".join(filter(None, (before, f'{name}=~"${name}"')))


def _datasource() -> Json:
    return {"type": PROMETHEUS, "uid": "${datasource}"}


def _panel(panel: OperationPanel, number: int, place: Json) -> Json:
    options: Json = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if panel.is_number:
        whole = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options = {"reduceOptions": whole, "colorMode": "none", "graphMode": "area"}
    return {
        "id": number,
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _datasource(),
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": _datasource(),
                "expr": curve.query,
                "legendFormat": curve.legend,
                "range": True,
            }
            for position, curve in enumerate(panel.curves)
        ],
    }
