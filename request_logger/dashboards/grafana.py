"""Generates the Grafana dashboard (classic JSON, 9 to 13) and its provisioning, for Elasticsearch and OpenSearch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import yaml

from request_logger.analytics.selection import PREDICTIONS, TIME
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.dashboards.grafana_grid import Grid
from request_logger.dashboards.panels import (
    BARS,
    CLASSES,
    EVALUATED,
    LINES,
    MATRIX,
    NUMBER,
    TABLE,
    TRUTH,
    Figure,
    Panel,
    PanelRow,
)

Json = dict[str, Any]

# The uid of the data source in which Grafana evaluates expressions.
EXPRESSION = "__expr__"
ELASTICSEARCH, OPENSEARCH = "elasticsearch", "grafana-opensearch-datasource"
# Inserted verbatim where "All" is chosen; it also matches documents without the field.
ALL = "* OR *:*"
_WINDOWS = "1m,5m,15m,1h,6h,1d,7d"
_SIZES = {NUMBER: (3, 4), LINES: (12, 8), BARS: (8, 8), TABLE: (24, 8), MATRIX: (8, 8)}
_TYPES = {NUMBER: "stat", LINES: "timeseries", BARS: "bargauge", TABLE: "table", MATRIX: "table"}


def dashboard(rows: list[PanelRow], source: str) -> Json:
    """Return the dashboard for a data source of this type (ELASTICSEARCH or OPENSEARCH)."""
    grid: Grid[Panel] = Grid(lambda panel: _SIZES[panel.shape], partial(_panel, source))
    return {
        "uid": "request-logger" if source == ELASTICSEARCH else "request-logger-opensearch",
        # Both may be in one folder, where titles must be unique.
        "title": "Prediction quality" if source == ELASTICSEARCH else "Prediction quality (OpenSearch)",
        "description": "Made by `request-logger dashboards`. Choose the interval of the curves with `window`.",
        "tags": ["request-logger", "seldon", "kserve"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 36,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": list(_variables(source))},
        # A model has only one scorer, so few rows are needed at a time.
        "panels": grid.lay_out([(row.title, row.panels) for row in rows]),
    }


def query_of(panel: Panel, where: str = "") -> str:
    """Return a panel's Lucene query, with the dashboard's variables and the further condition ``where``."""
    chosen = [f"({field}:${name})" for name, field in ORIGIN_KEYWORDS.items()]
    if panel.of_class:
        chosen.append(f"({panel.of_class}:$class)")
    own = [f"({query})" for query in (panel.query, where) if query]
    return " AND ".join([*own, *chosen])


def _variables(source: str) -> Iterator[Json]:
    yield {"name": "datasource", "label": "data source", "type": "datasource", "query": source, "refresh": 1}
    before = ""
    for name, field in ORIGIN_KEYWORDS.items():
        yield _variable(name, field, before, source)
        before = f"({field}:${name})"
    yield _variable("class", TRUTH, before, source)
    # One at a time: it is a part of a field's name.
    everything = _variable("evaluation", EVALUATED, before, source)
    yield {**everything, "multi": False, "includeAll": False, "allValue": "", "current": {}}
    options = [{"text": window, "value": window, "selected": window == "1h"} for window in _WINDOWS.split(",")]
    yield {
        "name": "window",
        "label": "window",
        "type": "interval",
        "query": _WINDOWS,
        "refresh": 2,
        "current": {"text": "1h", "value": "1h", "selected": True},
        "options": options,
    }


def _variable(name: str, field: str, query: str, source: str) -> Json:
    find = f'{{"find": "terms", "field": "{field}", "size": 500' + (f', "query": "{query}"}}' if query else "}")
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": _datasource(source),
        "query": find,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ALL,
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }


def _datasource(source: str) -> Json:
    return {"type": source, "uid": "${datasource}"}


def _panel(source: str, panel: Panel, number: int, grid_position: Json) -> Json:
    bounds = {"min": 0, "max": 1} if panel.share else {}
    is_count = panel.formula is None and all(figure.kind == "count" for figure in panel.figures)
    decimals = {} if is_count else {"decimals": 4}
    named = {"displayName": panel.formula.label} if panel.formula and panel.shape == LINES else {}
    whole = {"calcs": ["sum" if _adds_up(panel) else "lastNotNull"], "fields": "", "values": False}
    by_shape: dict[str, Json] = {
        NUMBER: {"reduceOptions": whole, "colorMode": "none", "graphMode": "none"},
        LINES: {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}},
        BARS: {
            "reduceOptions": {"calcs": [], "fields": "", "values": True, "limit": CLASSES},
            "orientation": "horizontal", "displayMode": "basic",
        },
        TABLE: {"showHeader": True},
        MATRIX: {"showHeader": True},
    }  # fmt: skip
    made = {
        "id": number,
        "type": _TYPES[panel.shape],
        "title": panel.title,
        "datasource": _datasource(source),
        "gridPos": grid_position,
        "fieldConfig": {"defaults": {**bounds, **decimals, **named}, "overrides": []},
        "options": by_shape[panel.shape],
        "targets": _targets(panel, source),
        **({"description": panel.about} if panel.about else {}),
        **({"repeat": "class", "repeatDirection": "h"} if panel.each_class else {}),
    }
    if panel.shape == MATRIX:
        rows, columns = panel.by
        fields = {"rowField": rows.field, "columnField": columns.field, "valueField": "Count", "emptyValue": "zero"}
        made["transformations"] = [{"id": "groupingToMatrix", "options": fields}]
    return made


def _adds_up(panel: Panel) -> bool:
    return panel.formula is None and all(figure.kind in ("count", "sum") for figure in panel.figures)


def _targets(panel: Panel, source: str) -> list[Json]:
    """Return one query per curve (which gives each its name) or formula figure; otherwise one with all figures."""
    is_split = panel.shape == LINES or panel.formula is not None
    groups = [(figure,) for figure in panel.figures] if is_split else [panel.figures]
    hidden = {"hide": True} if panel.formula else {}
    kind = {"queryType": "lucene"} if source == OPENSEARCH else {}
    made = []
    for position, figures in enumerate(groups):
        # Old versions require ids that are unique over buckets and figures.
        buckets = _buckets(panel, first=len(figures) + 1)
        made.append(
            {
                "refId": chr(ord("A") + position),
                "datasource": _datasource(source),
                "query": query_of(panel, figures[0].where),
                "timeField": TIME,
                "alias": figures[0].label if panel.shape == LINES and not panel.formula else "",
                "metrics": [_metric(figure, number) for number, figure in enumerate(figures, start=1)],
                "bucketAggs": buckets,
                **kind,
                **hidden,
            }
        )
    if panel.formula is not None:
        made.append(
            {
                "refId": chr(ord("A") + len(groups)),
                "datasource": {"type": EXPRESSION, "uid": EXPRESSION},
                "type": "math",
                "expression": panel.formula.expression,
            }
        )
    return made


def _metric(figure: Figure, number: int) -> Json:
    return {"id": str(number), "type": figure.kind, **({"field": figure.field} if figure.field else {})}


def _buckets(panel: Panel, first: int) -> list[Json]:
    if panel.shape == LINES:
        return [_over_time(first, "$window")]
    if panel.shape == NUMBER:
        # Counts and sums can be added up over time; an average is queried once over the whole range.
        if _adds_up(panel):
            return [_over_time(first, "auto")]
        return [_filter(first)]
    return [_terms(first + position, by.field) for position, by in enumerate(panel.by)]


def _over_time(number: int, interval: str) -> Json:
    settings = {"interval": interval, "min_doc_count": "0", "trimEdges": "0"}
    return {"id": str(number), "type": "date_histogram", "field": TIME, "settings": settings}


def _filter(number: int) -> Json:
    return {"id": str(number), "type": "filters", "settings": {"filters": [{"label": "all", "query": "*"}]}}


def _terms(number: int, field: str) -> Json:
    settings = {"size": str(CLASSES), "order": "desc", "orderBy": "_count", "min_doc_count": "1"}
    return {"id": str(number), "type": "terms", "field": field, "settings": settings}


def provisioning() -> Iterator[tuple[str, str]]:
    """Yield Grafana's provisioning files, which name the search engine and the dashboard: path and text."""
    secret = {"basicAuthPassword": "$ELASTICSEARCH_PASS"}
    at_opensearch: Json = {
        "flavor": "opensearch", "version": "3.0.0", "pplEnabled": False, "database": PREDICTIONS,
    }  # fmt: skip
    sources: tuple[tuple[str, str, Json], ...] = (
        ("elasticsearch", ELASTICSEARCH, {"index": PREDICTIONS}),
        ("opensearch", OPENSEARCH, at_opensearch),
    )
    for name, source, more in sources:
        about = {
            "name": f"request-logger-{name}",
            "uid": f"request-logger-{name}",
            "type": source,
            "access": "proxy",
            "url": "$ELASTICSEARCH_URL",
            "basicAuth": True,
            "basicAuthUser": "$ELASTICSEARCH_USER",
            "secureJsonData": secret,
            "jsonData": {**more, "timeField": TIME, "maxConcurrentShardRequests": 5},
        }
        yield f"grafana/{name}/datasource.yaml", _yaml({"apiVersion": 1, "datasources": [about]})
        provider = {
            "name": "request-logger",
            "folder": "Predictions",
            "type": "file",
            "options": {"path": "/var/lib/grafana/dashboards/request-logger"},
        }
        yield f"grafana/{name}/provider.yaml", _yaml({"apiVersion": 1, "providers": [provider]})


def _yaml(content: Json) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120)
