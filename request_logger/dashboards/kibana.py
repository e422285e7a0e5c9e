"""Generates the same dashboard for Kibana and OpenSearch Dashboards: saved objects, one JSON object per line.

They use the format of Kibana 7.10, from which OpenSearch Dashboards was forked; newer versions migrate them on import.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.selection import PREDICTIONS, TIME
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.dashboards.panels import (
    BARS,
    CLASSES,
    LINES,
    MATRIX,
    NUMBER,
    TABLE,
    TRUTH,
    By,
    Figure,
    Panel,
    PanelRow,
)

Json = dict[str, Any]

PATTERN = "request-logger-predictions"
DASHBOARD = "request-logger-prediction-quality"
_TYPES = {NUMBER: "metric", LINES: "line", BARS: "horizontal_bar", TABLE: "table", MATRIX: "heatmap"}
_VERSIONS = {"index-pattern": "7.6.0", "visualization": "7.10.0", "dashboard": "7.9.3"}
_WIDTH = 48
_SIZES = {NUMBER: (8, 7), LINES: (24, 14), BARS: (16, 14), TABLE: (48, 14), MATRIX: (16, 14)}
_SOURCE_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"


def saved_objects(rows: list[PanelRow]) -> Iterator[Json]:
    """Yield the index pattern, the controls, a visualization per panel, and the dashboard that contains them."""
    yield _object("index-pattern", PATTERN, {"title": PREDICTIONS, "timeFieldName": TIME}, [])
    yield _controls()
    # Kibana's classic visualizations can't calculate with several figures, and their fields are fixed.
    panels = [panel for row in rows for panel in row.panels if panel.is_plain]
    for panel in panels:
        yield _visualization(panel)
    yield _dashboard(panels)


def _object(kind: str, name: str, attributes: Json, references: list[Json]) -> Json:
    return {
        "type": kind,
        "id": name,
        "attributes": attributes,
        "references": references,
        "migrationVersion": {kind: _VERSIONS[kind]},
    }


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _name(panel: Panel) -> str:
    return "request-logger-" + "".join(c if c.isalnum() else "-" for c in panel.title.lower())


def _visualization(panel: Panel) -> Json:
    shape = _TYPES[panel.shape]
    state = {"title": panel.title, "type": shape, "params": _params(panel), "aggs": _aggregations(panel)}
    source = {"query": {"query": panel.query, "language": "lucene"}, "filter": [], "indexRefName": _SOURCE_INDEX}
    attributes = {
        "title": panel.title,
        "description": panel.about,
        "visState": _text(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
    }
    reference = {"name": _SOURCE_INDEX, "type": "index-pattern", "id": PATTERN}
    return _object("visualization", _name(panel), attributes, [reference])


def _aggregations(panel: Panel) -> list[Json]:
    found = [_figure(figure, number) for number, figure in enumerate(panel.figures, start=1)]
    first = len(found) + 1
    if panel.shape == LINES:
        params: Json = {
            "field": TIME, "interval": "auto", "min_doc_count": 1, "drop_partials": False, "extended_bounds": {},
            "useNormalizedEsInterval": True, "scaleMetricValues": False,
        }  # fmt: skip
        return [*found, _aggregation(first, "date_histogram", "segment", params)]
    schemas = {TABLE: ["bucket"] * len(panel.by), BARS: ["segment"], MATRIX: ["group", "segment"]}.get(panel.shape, [])
    for position, (by, schema) in enumerate(zip(panel.by, schemas, strict=True)):
        found.append(_terms(by, first + position, schema))
    return found


def _figure(figure: Figure, number: int) -> Json:
    field = {"field": figure.field} if figure.field else {}
    return _aggregation(number, figure.kind, "metric", {**field, "customLabel": figure.label})


def _terms(by: By, number: int, schema: str) -> Json:
    params = {
        "field": by.field, "size": CLASSES, "order": "desc", "orderBy": "_key", "otherBucket": False,
        "missingBucket": False, "customLabel": by.label,
    }  # fmt: skip
    return _aggregation(number, "terms", schema, params)


def _aggregation(number: int, kind: str, schema: str, params: Json) -> Json:
    return {"id": str(number), "enabled": True, "type": kind, "schema": schema, "params": params}


def _params(panel: Panel) -> Json:
    common: Json = {"addTooltip": True, "addLegend": panel.shape == LINES, "legendPosition": "bottom"}
    if panel.shape == NUMBER:
        style = {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 36}
        shown = {
            "percentageMode": False, "useRanges": False, "colorSchema": "Green to Red", "metricColorMode": "None",
            "colorsRange": [{"from": 0, "to": 10000}], "labels": {"show": True}, "invertColors": False, "style": style,
        }  # fmt: skip
        return {"addTooltip": True, "addLegend": False, "type": "metric", "metric": shown}
    if panel.shape == TABLE:
        return {
            "perPage": 20, "showPartialRows": False, "showMetricsAtAllLevels": False, "showTotal": False,
            "totalFunc": "sum", "percentageCol": "", "sort": {"columnIndex": None, "direction": None},
        }  # fmt: skip
    if panel.shape == MATRIX:
        axis = {
            "id": "ValueAxis-1", "type": "value", "show": False, "scale": {"type": "linear", "defaultYExtents": False},
            "labels": {"show": True, "rotate": 0, "overwriteColor": False, "color": "black"},
        }  # fmt: skip
        return {
            **common, "type": "heatmap", "enableHover": False, "times": [], "colorsNumber": 6, "colorSchema": "Blues",
            "setColorRange": False, "colorsRange": [], "invertColors": False, "percentageMode": False,
            "valueAxes": [axis],
        }  # fmt: skip
    return {**common, "type": _TYPES[panel.shape], **_axes(panel)}


def _axes(panel: Panel) -> Json:
    lines = panel.shape == LINES
    scale: Json = {"type": "linear", "mode": "normal"}
    if panel.share:
        scale |= {"setYExtents": True, "min": 0, "max": 1}
    below, left = ("bottom", "left") if lines else ("left", "bottom")
    labels = {"show": True, "rotate": 0, "filter": False, "truncate": 100}
    category = {
        "id": "CategoryAxis-1", "type": "category", "position": below, "show": True, "style": {},
        "scale": {"type": "linear"}, "labels": labels, "title": {},
    }  # fmt: skip
    value = {
        "id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": left, "show": True, "style": {},
        "scale": scale, "labels": labels, "title": {"text": ""},
    }  # fmt: skip
    series = [
        {
            "show": True, "type": "line" if lines else "histogram", "mode": "normal", "valueAxis": "ValueAxis-1",
            "data": {"label": figure.label, "id": str(number)}, "drawLinesBetweenPoints": True, "showCircles": True,
        }
        for number, figure in enumerate(panel.figures, start=1)
    ]  # fmt: skip
    return {
        "grid": {"categoryLines": False}, "categoryAxes": [category], "valueAxes": [value], "seriesParams": series,
        "times": [], "addTimeMarker": False, "labels": {}, "thresholdLine": {"show": False, "value": 10, "width": 1},
    }  # fmt: skip


def _controls() -> Json:
    fields = {**ORIGIN_KEYWORDS, "class": TRUTH}
    controls = [
        {
            "id": name, "indexPatternRefName": f"control_{position}_index_pattern", "fieldName": field, "parent": "",
            "label": name, "type": "list",
            "options": {"type": "terms", "multiselect": True, "dynamicOptions": True, "size": CLASSES, "order": "desc"},
        }
        for position, (name, field) in enumerate(fields.items())
    ]  # fmt: skip
    params = {"controls": controls, "updateFiltersOnChange": True, "useTimeFilter": True, "pinFilters": False}
    title = "Which predictions"
    state = {"title": title, "type": "input_control_vis", "params": params, "aggs": []}
    attributes = {
        "title": title,
        "description": "",
        "visState": _text(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": {"query": "", "language": "lucene"}, "filter": []})
        },
    }
    references = [
        {"name": control["indexPatternRefName"], "type": "index-pattern", "id": PATTERN} for control in controls
    ]
    return _object("visualization", "request-logger-controls", attributes, references)


def _dashboard(panels: list[Panel]) -> Json:
    placed: list[Json] = []
    references: list[Json] = []
    top = left = height = 0

    def add(name: str, width: int, panel_height: int) -> None:
        nonlocal top, left, height
        if left + width > _WIDTH or (height and panel_height != height):
            top, left, height = top + height, 0, 0
        number = str(len(placed) + 1)
        grid = {"x": left, "y": top, "w": width, "h": panel_height, "i": number}
        reference = f"panel_{len(placed)}"
        placed.append(
            {
                "version": "7.10.0",
                "gridData": grid,
                "panelIndex": number,
                "embeddableConfig": {},
                "panelRefName": reference,
            }
        )
        references.append({"name": reference, "type": "visualization", "id": name})
        left, height = left + width, panel_height

    add("request-logger-controls", _WIDTH, 7)
    for panel in panels:
        add(_name(panel), *_SIZES[panel.shape])
    source = {"query": {"query": "", "language": "lucene"}, "filter": []}
    attributes = {
        "title": "Prediction quality",
        "description": "Made by `request-logger dashboards`.",
        "panelsJSON": _text(placed),
        "optionsJSON": _text({"useMargins": True, "hidePanelTitles": False}),
        "version": 1,
        "timeRestore": True,
        "timeFrom": "now-7d",
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 0},
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
    }
    return _object("dashboard", DASHBOARD, attributes, references)
