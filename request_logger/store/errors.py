"""Reads errors and shard failures from answers of the search engine, as one line that names the index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.common.json import dumps

FORBIDDEN = "security_exception"
"""The type of the errors of access control."""
LACKING = "the user lacks the privilege"
"""How `lacking_privilege` begins where the refusal names a privilege."""
_MAX_CHARACTERS = 300
# OpenSearch: "no permissions for [indices:admin/create] and User [...]". Elasticsearch: "action
# [indices:admin/auto_create] is unauthorized for user [...] on indices [...], this action is granted by the index
# privileges [auto_configure,create_index,manage,all]".
_ACTION = re.compile(r"no permissions for \[([^\[\]]{1,100})\]|action \[([^\[\]]{1,100})\] is unauthorized")
_GRANTING = re.compile(r"granted by the \w+ privileges \[([^\[\]]{1,150})\]")


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A failed shard: its index (empty if unknown), the types of all its causes, and the reason in one line."""

    index: str
    types: frozenset[str]
    text: str


def reason_of(answer: Any) -> str:
    """Return the first cause of an error or of failed shards, in one line; without a cause the whole answer.

    ``answer`` is the parsed body, of any shape. If the cause concerns one index, the line starts with its name. A
    refusal by access control is the missing privilege, without the user's name.
    """
    reason = _reason_of(answer)
    return lacking_privilege(reason) or reason


def _reason_of(answer: Any) -> str:
    failures = failures_of(answer)
    if failures:
        named = f"index {failures[0].index}: " if failures[0].index else ""
        return named + failures[0].text
    error = answer.get("error") if isinstance(answer, Mapping) else None
    found = error if isinstance(error, Mapping) else {}
    causes = found.get("root_cause")
    cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else found
    if not cause.get("reason") and isinstance(found.get("caused_by"), Mapping):
        # If reducing the shards' answers failed, there is no root cause.
        cause = found["caused_by"]
    named = f"index {cause['index']}: " if cause.get("index") else ""
    return named + _line(cause, answer)


def lacking_privilege(reason: str) -> str:
    """Return which privilege a refusal by access control names, as one line; empty if ``reason`` isn't such a refusal.

    OpenSearch names the action, Elasticsearch also the privileges that grant it.
    """
    if FORBIDDEN not in reason:
        return ""
    action = _ACTION.search(reason)
    if action is None:
        return "the user may not do this"
    granting = _GRANTING.search(reason)
    granted_by = f", which {' or '.join(granting[1].split(','))} grants" if granting else ""
    return f"{LACKING} {action[1] or action[2]}{granted_by}"


def failures_of(answer: Any) -> list[ShardFailure]:
    """Return the failed shards that an answer (of any shape) names; empty if it names none."""
    if not isinstance(answer, Mapping):
        return []
    error, shards = answer.get("error"), answer.get("_shards")
    listed: Any = error.get("failed_shards") if isinstance(error, Mapping) else None
    if not listed:
        listed = shards.get("failures") if isinstance(shards, Mapping) else None
    return [_failure(each) for each in listed or [] if isinstance(each, Mapping)] if isinstance(listed, list) else []


def is_partial(answer: Mapping[str, Any]) -> bool:
    """Return whether the answer to a search is incomplete: shards failed, are missing, or timed out.

    A shard that is assigned to no node is counted in the total, but not always as failed.
    """
    shards = answer.get("_shards")
    if not isinstance(shards, Mapping):
        return bool(answer.get("timed_out"))
    total, successful = shards.get("total"), shards.get("successful")
    missing = isinstance(total, int) and isinstance(successful, int) and successful < total
    return bool(answer.get("timed_out") or shards.get("failed") or missing)


def _failure(shard: Mapping[str, Any]) -> ShardFailure:
    cause = shard.get("reason")
    cause = cause if isinstance(cause, Mapping) else {"reason": cause}
    index = shard.get("index") or cause.get("index")
    types = frozenset(str(each["type"]) for each in _causes(cause) if each.get("type"))
    return ShardFailure(index if isinstance(index, str) else "", types, _line(cause, shard))


def _causes(cause: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a cause and its nested causes."""
    found = [cause]
    # Search engines nest a handful; the bound is for malformed answers.
    while len(found) < 20 and isinstance(inner := found[-1].get("caused_by"), Mapping):
        found.append(inner)
    return found


def _line(cause: Mapping[str, Any], whole: Any) -> str:
    text = cause.get("reason")
    if not isinstance(text, str):
        text = cause.get("type") or (whole if isinstance(whole, str) else dumps(whole).decode())
    elif cause.get("type"):
        text = f"{cause['type']}: {text}"
    return " ".join(str(text).split())[:_MAX_CHARACTERS]
