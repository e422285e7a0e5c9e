"""How the engine is told to index: fixed types for our own fields, and none that a later value can break.

Numbers become double and text becomes keyword, whatever the first value of a field looks like; dates are not guessed.
Payloads, instances and truths are stored and not indexed: they have no fixed shape, and indexing every pixel is what
made the original lose events. Every text field has a ``.keyword`` beside it, because that is what dashboards made
for the original's dynamic mapping ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from request_logger.common.mapped_fields import KEYWORD_METRICS, NUMBER_METRICS
from request_logger.common.periods import with_periods
from request_logger.settings import Settings

Mapping = dict[str, Any]

TEMPLATE_NAME = "request-logger"
# Raise it with every change below: a template of a lower version is replaced at start.
VERSION = 2
INDEX_PATTERNS = ["inference-log-*", "reference-log-*", "drift-log-*"]
DEAD_LETTER_INDEX = "request-logger-dead-letters"
# The engine counts all fields of an index together, objects and `.keyword` fields, too. Ours are in the mapping from
# the start, so no number of elements can use up their room; there are some 200 (a test keeps them within it).
OWN_FIELDS = 300
# Of names that documents bring: elements, custom metrics. A number is one field, text is two.
DYNAMIC_FIELDS = 2000
FIELD_LIMIT = OWN_FIELDS + DYNAMIC_FIELDS
# A longer text is stored and not indexed: an engine refuses terms of over 32,766 bytes.
IGNORE_ABOVE = 8000

_KEYWORD: Mapping = {
    "type": "keyword",
    "ignore_above": IGNORE_ABOVE,
    "fields": {"keyword": {"type": "keyword", "ignore_above": IGNORE_ABOVE}},
}
_PLAIN_KEYWORD: Mapping = {"type": "keyword", "ignore_above": IGNORE_ABOVE}
_DATE: Mapping = {"type": "date", "ignore_malformed": True}
_DOUBLE: Mapping = {"type": "double", "ignore_malformed": True}
_STORED: Mapping = {"type": "object", "enabled": False}
_STORED_TEXT: Mapping = {"type": "keyword", "index": False, "doc_values": False}
# What `documents.degrade` adds to a part: without them in the mapping, a form that is to be taken in any case may be
# refused for them.
_UNINDEXED: Mapping = {"unindexed": _STORED_TEXT, "unindexed_reason": _PLAIN_KEYWORD}


def metrics_mapping() -> Mapping:
    """Return the types of all fields that the built-in scorers write.

    Any other of a scorer's, and each custom metric, is a double or a keyword by its value.
    """
    return {
        "properties": {
            **dict.fromkeys(KEYWORD_METRICS, _PLAIN_KEYWORD),
            **dict.fromkeys(NUMBER_METRICS, _DOUBLE),
            # A number of regression; of what can't be scored the reason, which is not indexed here but below.
            "error": _DOUBLE,
            "unscorable": _PLAIN_KEYWORD,
            "warning": _PLAIN_KEYWORD,
            "series": _KEYWORD,
            "scored_at": {"type": "date"},
            "correct": {"type": "byte"},
            "truth_rank": {"type": "integer"},
            "score_bin": {"type": "integer"},
            "calibration_bin": {"type": "integer"},
            "reward": {"type": "double"},
            "reward_agrees": {"type": "boolean"},
            "response_disagrees": {"type": "boolean"},
            **_UNINDEXED,
        }
    }


def _part(**fields: Mapping) -> Mapping:
    return {
        "properties": {
            "ce-time": _DATE,
            "ce-source": _KEYWORD,
            "received-time": _DATE,
            "trace-id": _KEYWORD,
            **_UNINDEXED,
            "undecodable": _PLAIN_KEYWORD,
            "payload_dropped": {
                "properties": {
                    "bytes": {"type": "long"},
                    "sha256": _PLAIN_KEYWORD,
                    # Those without a type of their own before have the one that their values got.
                    "item": _DOUBLE,
                    "reason": _KEYWORD,
                }
            },
            "payload": _STORED,
            **fields,
        }
    }


def _prediction() -> Mapping:
    return _part(
        # So that a strict mapping refuses an element by its name, and not all of the part.
        elements={"type": "object"},
        id=_KEYWORD,
        model_name=_KEYWORD,
        model_version=_KEYWORD,
        signature_name=_KEYWORD,
        instance=_STORED,
        dataType=_KEYWORD,
        names=_KEYWORD,
        rows={"type": "integer"},
        elements_unindexed=_STORED_TEXT,
        parameters=_STORED,
        outputs=_STORED,
        meta={"properties": {"metrics": _STORED, "routing": _STORED, "requestPath": _STORED}},
    )


def dynamic_templates() -> list[Mapping]:
    """Types of fields that have no fixed one: numbers are doubles, all else that is no object is a keyword."""
    return [
        {"whole_numbers": {"match_mapping_type": "long", "mapping": _DOUBLE}},
        {"numbers": {"match_mapping_type": "double", "mapping": _DOUBLE}},
        {"booleans": {"match_mapping_type": "boolean", "mapping": _KEYWORD}},
        {"text": {"match_mapping_type": "string", "mapping": _KEYWORD}},
    ]


def mapping() -> Mapping:
    """The whole mapping of an index."""
    return {
        "date_detection": False,
        "numeric_detection": False,
        "dynamic_templates": dynamic_templates(),
        "properties": {
            "@timestamp": {"type": "date"},
            "RequestId": _KEYWORD,
            "ServingEngine": _KEYWORD,
            "Ce-Inferenceservicename": _KEYWORD,
            "Ce-Endpoint": _KEYWORD,
            "Ce-Namespace": _KEYWORD,
            "Ce-Modelid": _KEYWORD,
            "request": _prediction(),
            "response": _prediction(),
            "feedback": _part(
                reward=_DOUBLE,
                truth=_STORED,
                request=_STORED,
                response=_STORED,
                metrics=_STORED,
                instance=_STORED,
                item={"type": "integer"},
                items={"type": "integer"},
            ),
            "outlier": _part(),
            "drift": _part(),
            "nodes": _STORED,
            "metrics": metrics_mapping(),
        },
    }


def wanted(settings: Settings) -> dict[str, Mapping]:
    """The index templates that an engine should have, by name."""
    own = index_template(_number(settings.index_shards), _number(settings.index_replicas))
    index_name = settings.index_name
    if index_name:
        # With .v2 and so on: the copies that `request-logger check` advises.
        own["index_patterns"] = sorted(
            {f"{index_name}.v*", *with_periods(index_name, settings.index_period), *INDEX_PATTERNS}
        )
    letters = {
        "index_patterns": [DEAD_LETTER_INDEX],
        "priority": 100,
        "template": {"mappings": dead_letter_mapping()},
        "version": VERSION,
    }
    return {TEMPLATE_NAME: own, DEAD_LETTER_INDEX: letters}


def is_current(installed: Sequence[Mapping], template: Mapping) -> bool:
    """Say whether one of the installed templates is this one, or a newer one, for all its indices."""
    return any(
        there.get("version", 0) >= template["version"]
        and set(template["index_patterns"]) <= set(there.get("index_patterns", []))
        and (there.get("version", 0) > template["version"] or _has_numbers(there, template))
        for there in installed
    )


def _has_numbers(there: Mapping, template: Mapping) -> bool:
    """Say whether a template has the shards and replicas that are asked for; where none are, any will do."""
    has = there.get("template", {}).get("settings", {}).get("index", {})
    asked = template["template"].get("settings", {})
    names = ("number_of_shards", "number_of_replicas")
    return all(has.get(name) == str(asked[f"index.{name}"]) for name in names if f"index.{name}" in asked)


def _number(text: str) -> int | None:
    return int(text) if text else None


def index_template(shards: int | None = None, replicas: int | None = None) -> Mapping:
    """The composable index template for the indices whose names we make.

    Without a number of ``shards`` or ``replicas`` a new index has the engine's own.
    """
    numbers = {"index.number_of_shards": shards, "index.number_of_replicas": replicas}
    settings = {"index.mapping.total_fields.limit": FIELD_LIMIT}
    settings |= {name: number for name, number in numbers.items() if number is not None}
    return {
        "index_patterns": INDEX_PATTERNS,
        "version": VERSION,
        "priority": 100,
        "template": {"settings": settings, "mappings": mapping()},
    }


def additions(present: Mapping) -> Mapping:
    """What an index with this mapping still lacks of ours; empty where that is nothing.

    A field that is there keeps its type, since no engine changes one. An index that the original made gets our types
    for all that it has not seen yet: `metrics`, and payloads, truths and elements that are still to come. Dynamic
    templates of somebody else's are left alone.
    """
    wanted: Mapping = {}
    if present.get("date_detection") is not False:
        wanted["date_detection"] = False
    if not present.get("dynamic_templates"):
        wanted["dynamic_templates"] = dynamic_templates()
    properties = _missing(_our_properties(), present.get("properties", {}))
    return {**wanted, "properties": properties} if properties else wanted


@cache
def _our_properties() -> Mapping:
    properties: Mapping = mapping()["properties"]
    return properties


def _missing(ours: Mapping, theirs: Mapping) -> Mapping:
    missing: Mapping = {}
    for name, field in ours.items():
        found = theirs.get(name)
        if found is None:
            missing[name] = field
        elif "properties" in field and found.get("type", "object") == "object" and found.get("enabled", True):
            inner = _missing(field["properties"], found.get("properties", {}))
            if inner:
                missing[name] = {"properties": inner}
    return missing


def pieces(additions: Mapping) -> list[Mapping]:
    """Split additions so that each can be refused by itself: the fields of the document, then what is not a field."""
    fields = [{"properties": {name: field}} for name, field in additions.get("properties", {}).items()]
    return fields + [{name: value} for name, value in additions.items() if name != "properties"]


def count_fields(mapping: Mapping) -> int:
    """Count fields as the engine's limit does: objects and fields beside fields included."""
    return sum(
        1 + count_fields(field) + len(field.get("fields", {})) for field in mapping.get("properties", {}).values()
    )


def dead_letter_mapping() -> Mapping:
    """The mapping of the dead-letter index: it refuses nothing."""
    return {
        "dynamic": False,
        "properties": {
            "@timestamp": {"type": "date"},
            "index": _PLAIN_KEYWORD,
            "id": _PLAIN_KEYWORD,
            "reason": _PLAIN_KEYWORD,
            "document": _STORED_TEXT,
        },
    }
