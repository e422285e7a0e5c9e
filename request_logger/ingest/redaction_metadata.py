"""Applies drops and hashes to the metadata of an event: headers and annotations, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from request_logger.common.json import dumps
from request_logger.common.mapped_fields import COMPONENT
from request_logger.documents.event_metadata import KINDS, UNINDEXED, Fields, dropped, parsed_attribute
from request_logger.ingest.redaction_walk import Action, Walk

UNREADABLE = "it can't be parsed, and so not redacted"


def header_name(name: str) -> str:
    """Return the form in which names of headers and rules are compared: ``X-User`` and ``ce_x-user`` are ``x_user``."""
    plain = name.lower().replace("-", "_")
    return plain.removeprefix("ce_")


def redacted_metadata(extensions: Fields, actions: Mapping[str, Action], walk: Walk) -> Fields:
    """Return the fields of `read_extensions` without what rules name.

    ``actions`` is by `header_name`. Lists are hashed per entry, and JSON within a value is redacted too. What isn't an
    object has no names to redact by: only its size is kept.
    """
    found: Fields = {}
    for name, value in extensions.items():
        if name in KINDS:
            found[name] = _by_names(value, actions, walk)
        elif name == UNINDEXED:
            found[name] = {
                kind: _by_names(entry, actions, walk)
                if kind in KINDS and isinstance(entry, dict)
                else dropped(len(dumps(entry)), UNREADABLE)
                for kind, entry in value.items()
            }
        else:
            found |= _by_names({name: value}, actions if name == COMPONENT else {}, walk)
    return {name: value for name, value in found.items() if value != {}}


def redacted_header(name: str, text: str, actions: Mapping[str, Action], walk: Walk) -> str:
    """Return the value of a header that no rule names, without what rules name within it."""
    if header_name(name) not in KINDS:
        return str(walk.body(text))
    value = parsed_attribute(text)
    if not isinstance(value, dict):
        return dumps(dropped(len(text), UNREADABLE)).decode()
    return dumps(_by_names(value, actions, walk)).decode()


def _by_names(values: Mapping[str, Any], actions: Mapping[str, Action], walk: Walk) -> Fields:
    found: Fields = {}
    for name, value in values.items():
        action = actions.get(header_name(name))
        if action is None:
            found[name] = walk.body(value)
        elif action == "hash":
            found[name] = walk.hashed(value)
    return found
