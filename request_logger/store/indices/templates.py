"""Index templates: fixed types for our own fields, and dynamic types that no later value can conflict with.

Numbers become double and text becomes keyword, whatever the first value of a field looks like; dates are not detected.
Payloads, instances and truths are stored and not indexed: they have no fixed shape, and indexing every pixel made the
original logger lose events. Column names are stored only, too: they are the same in every document of a deployment.
Text fields that a dashboard made for the original's dynamic mapping may group by have a ``.keyword`` subfield: the
header's, elements, tags, the data type and the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from request_logger.common.join_keys import KEYS_INDEX, is_keys_index
from request_logger.common.mapped_fields import (
    BINS,
    COMPONENT,
    DELAY,
    KEYWORD_METRICS,
    LATENCY,
    NUMBER_METRICS,
    NUMBER_PREDICTIONS,
    PREDICTION,
    SEARCHABLE_TEXT,
    STATUS,
)
from request_logger.common.periods import pattern, with_periods
from request_logger.settings import Settings
from request_logger.store.indices.lean_template import CHOSEN_CODEC, CHOSEN_CODEC_META, CODEC

Mapping = dict[str, Any]

TEMPLATE_NAME = "request-logger"
# Increase it with every change below: at start, a template with a lower version is replaced.
VERSION = 6
INDEX_PATTERNS = ["inference-log-*", "reference-log-*", "drift-log-*"]
DEAD_LETTER_INDEX = "request-logger-dead-letters"
# The limit counts all fields of an index, including objects and `.keyword` subfields. Ours are in the mapping from the
# start, so elements can't use up their share; there are about 200 (a test checks that they fit).
OWN_FIELDS = 300
# For names from documents: elements and custom metrics. A number takes one field, text takes two.
DYNAMIC_FIELDS = 2000
FIELD_LIMIT = OWN_FIELDS + DYNAMIC_FIELDS
# Longer text is stored and not indexed: Lucene refuses terms of more than 32,766 bytes, four per character at most.
IGNORE_ABOVE = 8000

_FIELD_LIMIT = "index.mapping.total_fields.limit"
_REFRESH_INTERVAL = "index.refresh_interval"

_WITH_SUBFIELD: Mapping = {
    "type": "keyword",
    "ignore_above": IGNORE_ABOVE,
    "fields": {"keyword": {"type": "keyword", "ignore_above": IGNORE_ABOVE}},
}
_KEYWORD: Mapping = {"type": "keyword", "ignore_above": IGNORE_ABOVE}
_DATE: Mapping = {"type": "date", "ignore_malformed": True}
_DOUBLE: Mapping = {"type": "double", "ignore_malformed": True}
_INTEGER: Mapping = {"type": "integer"}
_STATUS_CODE: Mapping = {"type": "integer", "ignore_malformed": True}
_STORED: Mapping = {"type": "object", "enabled": False}
_STORED_TEXT: Mapping = {"type": "keyword", "index": False, "doc_values": False}
# The fields that `document.degrade` adds to a part. If they were missing in the mapping, a strict mapping would refuse
# the degraded form because of them.
_UNINDEXED: Mapping = {"unindexed": _STORED_TEXT, "unindexed_reason": _KEYWORD}


def metrics_mapping() -> Mapping:
    """Return the types of all fields that the built-in scorers write.

    Any other field of a scorer, and each custom metric, becomes a double or a keyword, depending on its value.
    """
    return {
        "properties": {
            **dict.fromkeys(KEYWORD_METRICS, _KEYWORD),
            **dict.fromkeys(NUMBER_METRICS, _DOUBLE),
            # In regression a number; for a pair that can't be scored a text, which is indexed as `unscorable`.
            "error": _DOUBLE,
            "unscorable": _KEYWORD,
            "warning": _KEYWORD,
            "series": _KEYWORD,
            "scored_at": {"type": "date"},
            "correct": {"type": "byte"},
            "truth_rank": {"type": "integer"},
            **dict.fromkeys(BINS, _INTEGER),
            "reward": {"type": "double"},
            "reward_agrees": {"type": "boolean"},
            "response_disagrees": {"type": "boolean"},
            DELAY: _DOUBLE,
            "evaluated": _KEYWORD,
            "evaluation_labels": _KEYWORD,
            # Declared so that a strict mapping refuses the evaluations by their name, and not all metrics.
            "evaluations": {"type": "object"},
            **_UNINDEXED,
        }
    }


def prediction_mapping() -> Mapping:
    """Return the types of what a response says by itself: those of the same figures in `metrics`."""
    return {
        "properties": {
            "label": _KEYWORD,
            **dict.fromkeys(NUMBER_PREDICTIONS, _DOUBLE),
            **dict.fromkeys(BINS, _INTEGER),
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
            "undecodable": _KEYWORD,
            "payload_dropped": {
                "properties": {
                    "bytes": {"type": "long"},
                    "sha256": _KEYWORD,
                    "reason": _KEYWORD,
                }
            },
            "payload": _STORED,
            **fields,
        }
    }


def _prediction(grouped: Mapping, *, text_search: bool) -> Mapping:
    """Return the types of a request's or response's fields; ``grouped`` is that of texts that dashboards group by."""
    searched: Mapping = {SEARCHABLE_TEXT: {"type": "text"}} if text_search else {}
    return _part(
        # Declared so that a strict mapping refuses a single element by its name, and not the whole part.
        elements={"type": "object"},
        metadata={"type": "object"},
        annotations={"type": "object"},
        metadata_unindexed=_STORED_TEXT,
        **{COMPONENT: _KEYWORD, "ce-recordedtime": _DATE, STATUS: _STATUS_CODE},
        id=_KEYWORD,
        model_name=grouped,
        model_version=grouped,
        signature_name=grouped,
        instance=_STORED,
        dataType=grouped,
        # The same in all documents of a deployment: indexing them costs as much as all columns.
        names=_STORED_TEXT,
        rows={"type": "integer"},
        body_item={"type": "integer"},
        elements_unindexed=_STORED_TEXT,
        parameters=_STORED,
        outputs=_STORED,
        meta={"properties": {"metrics": _STORED, "routing": _STORED, "requestPath": _STORED}},
        **searched,
    )


def dynamic_templates(*, keyword_subfields: bool = True) -> list[Mapping]:
    """Return the types of fields without a fixed type: numbers are doubles, other scalars are keywords."""
    text = _WITH_SUBFIELD if keyword_subfields else _KEYWORD
    return [
        # Before the others: of these no dashboard of the original can have a subfield.
        {
            "evaluations": {
                "path_match": "metrics.evaluations.*",
                "match_mapping_type": "string",
                "mapping": _KEYWORD,
            }
        },
        {"whole_numbers": {"match_mapping_type": "long", "mapping": _DOUBLE}},
        {"numbers": {"match_mapping_type": "double", "mapping": _DOUBLE}},
        {"booleans": {"match_mapping_type": "boolean", "mapping": text}},
        {"text": {"match_mapping_type": "string", "mapping": text}},
    ]


def mapping(*, keyword_subfields: bool = True, text_search: bool = False) -> Mapping:
    """Return the complete mapping of an index; with ``text_search`` the texts of requests and responses are indexed.

    Without ``keyword_subfields`` only the header's fields, which the logger's own queries use, have subfields.
    """
    grouped = _WITH_SUBFIELD if keyword_subfields else _KEYWORD
    return {
        "date_detection": False,
        "numeric_detection": False,
        "dynamic_templates": dynamic_templates(keyword_subfields=keyword_subfields),
        "properties": {
            "@timestamp": {"type": "date"},
            "RequestId": _WITH_SUBFIELD,
            "ServingEngine": _WITH_SUBFIELD,
            "Ce-Inferenceservicename": _WITH_SUBFIELD,
            "Ce-Endpoint": _WITH_SUBFIELD,
            "Ce-Namespace": _WITH_SUBFIELD,
            "Ce-Modelid": _WITH_SUBFIELD,
            "fold": {"type": "byte"},
            "audit": {"type": "boolean"},
            "payload_removed": {"type": "date"},
            "request": _prediction(grouped, text_search=text_search),
            "response": _prediction(grouped, text_search=text_search),
            "feedback": _part(
                reward=_DOUBLE,
                truth=_STORED,
                request=_STORED,
                response=_STORED,
                metrics=_STORED,
                instance=_STORED,
                item={"type": "integer"},
                items={"type": "integer"},
                body_item={"type": "integer"},
                evaluations=_STORED,
                evaluations_left_out={"type": "boolean"},
                evaluations_only={"type": "boolean"},
            ),
            "outlier": _part(),
            "drift": _part(),
            "nodes": _STORED,
            LATENCY: _DOUBLE,
            "metrics": metrics_mapping(),
            PREDICTION: prediction_mapping(),
        },
    }


def wanted(settings: Settings) -> dict[str, Mapping]:
    """Return the index templates that must be installed, by name."""
    own = index_template(
        settings.index_shards,
        settings.index_replicas,
        settings.index_refresh_seconds,
        codec=settings.index_codec,
        keyword_subfields=settings.keyword_subfields,
        text_search=settings.text_search,
    )
    index_name = settings.index_name
    if index_name:
        # Including .v2 and so on: the copies that `request-logger check` recommends.
        own["index_patterns"] = sorted(
            {f"{index_name}.v*", *with_periods(index_name, settings.index_period), *INDEX_PATTERNS}
        )
    dead_letters = {
        "index_patterns": [DEAD_LETTER_INDEX],
        "priority": 100,
        "template": {"mappings": dead_letter_mapping()},
        "version": VERSION,
    }
    templates = {TEMPLATE_NAME: own, DEAD_LETTER_INDEX: dead_letters}
    if settings.join_keys:
        templates[KEYS_INDEX] = _of_keys(own)
    return templates


def _of_keys(own: Mapping) -> Mapping:
    """Return the template of the documents of join keys, with the shards and the codec of the other indices."""
    kept = {name: value for name, value in own["template"]["settings"].items() if name != _FIELD_LIMIT}
    template = {
        "index_patterns": [KEYS_INDEX, pattern(KEYS_INDEX)],
        "priority": 100,
        "template": {"settings": kept, "mappings": key_mapping()},
        "version": VERSION,
    }
    return template if CODEC in kept else {**template, "_meta": CHOSEN_CODEC_META}


def is_current(installed: Sequence[Mapping], template: Mapping) -> bool:
    """Return whether an installed template has this version or a newer one, and covers all of its patterns."""
    return any(
        candidate.get("version", 0) >= template["version"]
        and set(template["index_patterns"]) <= set(candidate.get("index_patterns", []))
        and (candidate.get("version", 0) > template["version"] or _has_choices(candidate, template))
        for candidate in installed
    )


def _has_choices(candidate: Mapping, template: Mapping) -> bool:
    """Return whether a template has what an operator chose: numbers if configured, codec, the mapping."""
    has = candidate.get("template", {}).get("settings", {}).get("index", {})
    asked = template["template"].get("settings", {})
    names = ("number_of_shards", "number_of_replicas", "refresh_interval", "codec")
    return candidate.get("_meta") == template.get("_meta") and all(
        has.get(name) == str(asked[f"index.{name}"]) for name in names if f"index.{name}" in asked
    )


def index_template(
    shards: str = "",
    replicas: str = "",
    refresh_seconds: str = "",
    *,
    codec: str = CHOSEN_CODEC,
    keyword_subfields: bool = True,
    text_search: bool = False,
) -> Mapping:
    """Return the composable index template for the indices whose names the logger generates.

    Where one of the numbers is empty, a new index has the search engine's default.
    """
    numbers: Mapping = {"index.number_of_shards": shards, "index.number_of_replicas": replicas}
    settings: Mapping = {_FIELD_LIMIT: FIELD_LIMIT}
    if codec != CHOSEN_CODEC:
        settings[CODEC] = codec
    settings |= {name: int(number) for name, number in numbers.items() if number}
    if refresh_seconds:
        settings[_REFRESH_INTERVAL] = f"{int(refresh_seconds)}s"
    return {
        "index_patterns": INDEX_PATTERNS,
        "version": VERSION,
        "priority": 100,
        "template": {
            "settings": settings,
            "mappings": mapping(keyword_subfields=keyword_subfields, text_search=text_search),
        },
        # Which mapping it is, for the comparison with an installed template.
        "_meta": {"keyword_subfields": keyword_subfields, **({"text_search": True} if text_search else {})},
    }


def additions(present: Mapping, *, text_search: bool = False) -> Mapping:
    """Return the part of our mapping that an index with this mapping lacks; empty if it lacks nothing.

    An existing field keeps its type, which can't be changed. An index that the original logger created gets our types
    for all fields that it doesn't have yet: `metrics`, and future payloads, truths and elements. Dynamic templates of
    other origin are kept.
    """
    wanted: Mapping = {}
    if present.get("date_detection") is not False:
        wanted["date_detection"] = False
    if not present.get("dynamic_templates"):
        wanted["dynamic_templates"] = dynamic_templates()
    properties = _missing(_our_properties(text_search=text_search), present.get("properties", {}))
    return {**wanted, "properties": properties} if properties else wanted


def additions_for(index: str, present: Mapping, *, text_search: bool = False) -> Mapping:
    """Return the part of the mapping that an index with this name has to have, and lacks: see `additions`."""
    return key_additions(present) if is_keys_index(index) else additions(present, text_search=text_search)


def key_additions(present: Mapping) -> Mapping:
    """Return the part of `key_mapping` that an index with this mapping lacks."""
    wanted = key_mapping()
    properties = _missing(wanted["properties"], present.get("properties", {}))
    fixed: Mapping = {} if str(present.get("dynamic")).lower() == "false" else {"dynamic": False}
    return {**fixed, "properties": properties} if properties else fixed


@cache
def _our_properties(*, text_search: bool) -> Mapping:
    properties: Mapping = mapping(text_search=text_search)["properties"]
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
    """Split additions so that each can be refused separately: the top-level fields, then the other parameters."""
    fields = [{"properties": {name: field}} for name, field in additions.get("properties", {}).items()]
    return fields + [{name: value} for name, value in additions.items() if name != "properties"]


def count_fields(mapping: Mapping) -> int:
    """Count fields as the search engine's limit does: objects and subfields included."""
    return sum(
        1 + count_fields(field) + len(field.get("fields", {})) for field in mapping.get("properties", {}).values()
    )


def key_mapping() -> Mapping:
    """Return the mapping of the documents of join keys: they are read by their ids, and found by their age."""
    return {"dynamic": False, "properties": {"@timestamp": _DATE, "join_key": _KEYWORD, "index": _KEYWORD}}


def dead_letter_mapping() -> Mapping:
    """Return the mapping of the dead-letter index, which refuses no document."""
    return {
        "dynamic": False,
        "properties": {
            "@timestamp": {"type": "date"},
            "index": _KEYWORD,
            "id": _KEYWORD,
            "reason": _KEYWORD,
            "document": _STORED_TEXT,
        },
    }
