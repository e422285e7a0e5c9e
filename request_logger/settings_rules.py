"""What the values of settings may be: conversion from text, and the rules of each variable. Pure code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field
from typing import Any
from urllib.parse import urlsplit

from request_logger.common.header_lines import parse_header_lines
from request_logger.common.join_keys import parse_join_keys
from request_logger.common.json import loads
from request_logger.common.names import is_legal_index
from request_logger.common.periods import has_period

# The limit of shards per index in Elasticsearch and OpenSearch, unless index.max_number_of_shards raises it.
_MOST_SHARDS = 1024
# Numbers of new indices, which may be empty: the least and the most. A refresh less often than hourly saves no more.
_NUMBERS_OF_AN_INDEX = {
    "index_shards": (1, _MOST_SHARDS),
    "index_replicas": (0, _MOST_SHARDS),
    "index_refresh_seconds": (1, 3600),
}
# A longer delay would merge little more, and dashboards would lag behind by it.
_LONGEST_QUEUE_DELAY_SECONDS = 60
# What FOLD_KEY may name: fields of a prediction's parts, and its top-level fields.
FOLD_PARTS = ("request", "response", "feedback", "outlier")
FOLD_ATTRIBUTES = ("Ce-Modelid", "Ce-Endpoint", "Ce-Inferenceservicename", "Ce-Namespace", "ServingEngine", "RequestId")


def problems_by_field(specs: Iterable[Field[Any]], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the problem of each field whose value is invalid, as one line. ``values`` has all fields."""
    problems: dict[str, str] = {}
    for spec in specs:
        minimum, choices = spec.metadata["minimum"], spec.metadata["choices"]
        value = values[spec.name]
        if choices and value not in choices:
            expected = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
            problems[spec.name] = f"{spec.name.upper()}: expected {expected}, found {value!r}"
        # Not `value < minimum`: that is False for NaN.
        if minimum is not None and not value >= minimum:
            problems[spec.name] = f"{spec.name.upper()}: expected at least {minimum}, found {value}"
    index_name = values["index_name"]
    if index_name and not is_legal_index(index_name):
        problems["index_name"] = (
            'INDEX_NAME: expected a legal index name (lower case, no spaces, none of \\/*?"<>|,#:), '
            f"found {index_name!r}"
        )
    elif values["index_period"] != "none" and has_period(index_name):
        problems["index_name"] = (
            f"INDEX_NAME: expected no month or day at its end, which INDEX_PERIOD puts there, found {index_name!r}"
        )
    for name, (least, most) in _NUMBERS_OF_AN_INDEX.items():
        text = values[name]
        if text and not (text.isdecimal() and text.isascii() and least <= int(text) <= most):
            problems[name] = f"{name.upper()}: expected a whole number from {least} to {most}, found {text!r}"
    reply_url = values["reply_url"]
    if reply_url and not _has_host(reply_url):
        problems["reply_url"] = "REPLY_URL: expected a URL with http:// or https://, and a host"
    if values["dashboards_url"] and not _is_http_url(values["dashboards_url"]):
        problems["dashboards_url"] = "DASHBOARDS_URL: expected a URL with http:// or https://, a host, and no user"
    problems |= _problems_of_forwarding(values["forward_url"], values["forward_headers"])
    labels = values["predictor_labels"]
    if labels and not _is_json_object(labels):
        problems["predictor_labels"] = f"PREDICTOR_LABELS: expected a JSON object, found {labels!r}"
    delay = values["queue_delay_seconds"]
    if delay > _LONGEST_QUEUE_DELAY_SECONDS:
        problems["queue_delay_seconds"] = (
            f"QUEUE_DELAY_SECONDS: expected at most {_LONGEST_QUEUE_DELAY_SECONDS}, found {delay}"
        )
    if values["queue"] == "always" and not values["spool_dir"]:
        problems["queue"] = "QUEUE: expected SPOOL_DIR, the folder of the queue, to be set for 'always', found nothing"
    problems |= _problems_of_join_keys(values["join_keys"], values["keep_payload"])
    problems |= _problems_of_fold_key(values["fold_key"], values["keep_payload"])
    return problems | _problems_of_rates(values["sample_rate"], values["audit_rate"])


def _problems_of_rates(sample_rate: float, audit_rate: float) -> dict[str, str]:
    problems = {}
    if not 0 < sample_rate <= 1:
        problems["sample_rate"] = f"SAMPLE_RATE: expected a number over 0 and at most 1, found {sample_rate}"
    if not 0 <= audit_rate <= 1:
        problems["audit_rate"] = f"AUDIT_RATE: expected a number from 0 to 1, found {audit_rate}"
    return problems


def _problems_of_forwarding(url: str, headers: str) -> dict[str, str]:
    """Return the problems without the values: both may have a password."""
    problems = {}
    if url and not _is_http_url(url):
        problems["forward_url"] = "FORWARD_URL: expected a URL with http:// or https://, a host, and no user"
    try:
        parse_header_lines(headers)
    except ValueError as error:
        problems["forward_headers"] = f"FORWARD_HEADERS: {error}"
    return problems


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_http_url(url: str) -> bool:
    return _has_host(url) and "@" not in urlsplit(url).netloc and not set(url) & set(" \t\r\n")


def _problems_of_join_keys(text: str, keep_payload: str) -> dict[str, str]:
    try:
        keys = parse_join_keys(text)
    except ValueError as error:
        return {"join_keys": f"JOIN_KEYS: {error}, found {text!r}"}
    if keep_payload == "none" and any(key.field.partition(".")[0] == "payload" for key in keys):
        return {"join_keys": "JOIN_KEYS: expected no path in payload with KEEP_PAYLOAD=none"}
    return {}


def _problems_of_fold_key(path: str, keep_payload: str) -> dict[str, str]:
    names = path.split(".")
    part, is_within = names[0], len(names) > 1 and all(names)
    if path and not (part in FOLD_ATTRIBUTES and len(names) == 1) and not (part in FOLD_PARTS and is_within):
        expected = f"a field of {', '.join(FOLD_PARTS)}, such as request.elements.customer, or one of "
        return {"fold_key": f"FOLD_KEY: expected {expected}{', '.join(FOLD_ATTRIBUTES)}, found {path!r}"}
    if keep_payload == "none" and names[1:2] == ["payload"]:
        return {"fold_key": "FOLD_KEY: expected no path in payload with KEEP_PAYLOAD=none"}
    return {}


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(loads(text), dict)
    except ValueError:
        return False


def converted(text: str, kind: type) -> Any:
    """Return the value of a variable's text. Raises ValueError that says what was expected."""
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("true", "1", "yes", "on"):
            return True
        if lowered in ("false", "0", "no", "off"):
            return False
        raise ValueError("expected true or false")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError("expected a whole number") from None
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError("expected a number") from None
    return text
