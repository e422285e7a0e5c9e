"""Finds OpenTelemetry's event ``gen_ai.evaluation.result`` in JSON: alone, as attributes, or in OTLP's log records.

The attributes are those of the semantic conventions for generative AI (``gen_ai.evaluation.name``,
``.score.value``, ``.score.label``, ``.explanation``, ``gen_ai.response.id``, ``error.type``). Pure code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

EVENT = "gen_ai.evaluation.result"
_NAME = "gen_ai.evaluation.name"
_RESPONSE = "gen_ai.response.id"
LOGS = "resourceLogs"
"""The field of OTLP's log records in JSON."""
KEYS = (LOGS, "attributes", _NAME)
"""The fields of an object of which at least one is there if it has an evaluation event."""
_FIELDS = {
    _NAME: "name",
    "gen_ai.evaluation.score.value": "value",
    "gen_ai.evaluation.score.label": "label",
    "gen_ai.evaluation.explanation": "explanation",
    "error.type": "error",
}
_READ = frozenset((*_FIELDS, _RESPONSE, "event.name"))
_EVENT_NAMES = ("eventName", "event_name", "name", "event.name")
_TIMES = ("timeUnixNano", "observedTimeUnixNano")
# Of OTLP's AnyValue; intValue is text in JSON.
_VALUES = ("stringValue", "doubleValue", "intValue", "boolValue")


@dataclass(frozen=True, slots=True)
class Record:
    """One event: the evaluation as a feedback has it, and the id of the response that it judges, empty if unknown."""

    entry: dict[str, Any]
    response_id: str


def records(content: Any) -> list[Record] | None:
    """Return the evaluation events in an object; None if it has none."""
    if not isinstance(content, dict):
        return None
    if LOGS in content:
        found = [record for each in _log_records(content) if (record := _record(each)) is not None]
        return found or None
    if _NAME in content:
        # The names of attributes have dots, those of a feedback's own fields have none.
        return [_read({name: value for name, value in content.items() if "." in name}, _plain_time(content))]
    if "attributes" in content:
        record = _record(content)
        return [record] if record is not None else None
    return None


def _log_records(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in _objects(content.get(LOGS)):
        for scope in _objects(resource.get("scopeLogs")):
            yield from _objects(scope.get("logRecords"))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict))


def _record(event: dict[str, Any]) -> Record | None:
    attributes = _attributes(event.get("attributes"))
    is_named = any(event.get(field) == EVENT for field in _EVENT_NAMES) or attributes.get("event.name") == EVENT
    if not is_named and _NAME not in attributes:
        return None
    time = next((time for field in _TIMES if (time := _time(event.get(field)))), "")
    return _read(attributes, time or _plain_time(event))


def _read(attributes: dict[str, Any], time: str) -> Record:
    entry = {field: attributes[name] for name, field in _FIELDS.items() if attributes.get(name) is not None}
    others = {name: value for name, value in attributes.items() if name not in _READ}
    if others:
        entry["attributes"] = others
    if time:
        entry["time"] = time
    response = attributes.get(_RESPONSE)
    return Record(entry, response if isinstance(response, str) else "")


def _attributes(value: Any) -> dict[str, Any]:
    """Return attributes as a dict: OTLP has a list of keys and typed values."""
    if isinstance(value, dict):
        return value
    return {each["key"]: _value(each.get("value")) for each in _objects(value) if isinstance(each.get("key"), str)}


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return next((value[kind] for kind in _VALUES if kind in value), None)
    return value


def _time(nanoseconds: Any) -> str:
    try:
        seconds, nanos = divmod(int(nanoseconds), 10**9)
        moment = datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z" if seconds or nanos else ""


def _plain_time(event: dict[str, Any]) -> str:
    return next((event[field] for field in ("timestamp", "time") if isinstance(event.get(field), str)), "")
