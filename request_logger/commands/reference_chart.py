"""Generates chart/values.schema.json, by which Helm rejects misspelled values, from the settings."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from request_logger.settings import Settings

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
# A values file may spell 7 as 7 or "7": the template turns either into text.
_TYPES: dict[type, list[str]] = {
    bool: ["boolean", "string"],
    int: ["integer", "string"],
    float: ["number", "string"],
    str: ["string", "number", "boolean"],
}


def chart_schema() -> str:
    """Return chart/values.schema.json as text. Secret settings are not in it: a ConfigMap must not hold them."""
    settings = {
        spec.name.upper(): _schema_of(type(spec.default), spec.metadata["choices"])
        for spec in fields(Settings)
        if not spec.metadata["secret"]
    }
    pods = {"type": "integer", "minimum": 1}
    values = {
        "image": _closed({"repository": {**_TEXT, "minLength": 1}, "tag": {"type": ["string", "number"]}}),
        # OpenTelemetry's SDK reads many variables; which of them are in docs/settings.md is our choice.
        "settings": {**_closed(settings), "patternProperties": {"^OTEL_[A-Z_]+$": {"type": _TYPES[str]}}},
        "autoscaler": _closed({"min": pods, "max": pods}),
        "resources": _closed({"requests": {"type": "object"}, "limits": {"type": "object"}}),
        "networkPolicy": _FLAG,
        "monitoring": _FLAG,
        "prune": _closed({key: {**_TEXT, "pattern": "^([0-9]+[dhw])?$"} for key in ("olderThan", "payloadsOlderThan")}),
        # Helm adds it for charts that others depend on; the condition of that dependency is a value of this chart, too.
        "global": {"type": "object"},
        "enabled": {"const": True},
    }
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_closed(values)}
    return json.dumps(schema, indent=1)


def _schema_of(kind: type, choices: tuple[str, ...]) -> dict[str, Any]:
    return {"enum": list(choices)} if choices else {"type": _TYPES[kind]}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}
