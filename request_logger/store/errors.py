"""What an engine says is wrong: whether it is, and in one line that names the index why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.common.json import dumps

_MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """A shard that did not answer: its index (empty where not said), the types of all its causes, and one line."""

    index: str
    types: frozenset[str]
    text: str


def reason_of(answer: Any) -> str:
    """Return the first cause that an engine names for an error, or for the shards that it left out; else all of it.

    ``answer`` is the parsed body, of whatever shape. Where the cause is that of one index, its name comes first.
    """
    failures = failures_of(answer)
    if failures:
        named = f"index {failures[0].index}: " if failures[0].index else ""
        return named + failures[0].text
    error = answer.get("error") if isinstance(answer, Mapping) else None
    found = error if isinstance(error, Mapping) else {}
    causes = found.get("root_cause")
    cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else found
    if not cause.get("reason") and isinstance(found.get("caused_by"), Mapping):
        # An engine that failed to put the shards' answers together names no root cause.
        cause = found["caused_by"]
    named = f"index {cause['index']}: " if cause.get("index") else ""
    return named + _line(cause, answer)


def failures_of(answer: Any) -> list[Failure]:
    """Return the shards that an answer names as failed; empty where it names none, whatever its shape."""
    if not isinstance(answer, Mapping):
        return []
    error, shards = answer.get("error"), answer.get("_shards")
    listed: Any = error.get("failed_shards") if isinstance(error, Mapping) else None
    if not listed:
        listed = shards.get("failures") if isinstance(shards, Mapping) else None
    return [_failure(each) for each in listed or [] if isinstance(each, Mapping)] if isinstance(listed, list) else []


def is_partial(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer to a search leaves out documents: of shards that failed, are missing, or had no time.

    An engine counts a shard that is assigned to no node as one of all, but not always as failed.
    """
    shards = answer.get("_shards")
    if not isinstance(shards, Mapping):
        return bool(answer.get("timed_out"))
    total, successful = shards.get("total"), shards.get("successful")
    missing = isinstance(total, int) and isinstance(successful, int) and successful < total
    return bool(answer.get("timed_out") or shards.get("failed") or missing)


def _failure(shard: Mapping[str, Any]) -> Failure:
    cause = shard.get("reason")
    cause = cause if isinstance(cause, Mapping) else {"reason": cause}
    index = shard.get("index") or cause.get("index")
    types = frozenset(str(each["type"]) for each in _causes(cause) if each.get("type"))
    return Failure(index if isinstance(index, str) else "", types, _line(cause, shard))


def _causes(cause: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a cause and those that it names as its own."""
    found = [cause]
    # Deep enough for any engine; an answer of nonsense must end as well.
    while len(found) < 20 and isinstance(inner := found[-1].get("caused_by"), Mapping):
        found.append(inner)
    return found


def _line(cause: Mapping[str, Any], whole: Any) -> str:
    text = cause.get("reason")
    if not isinstance(text, str):
        text = cause.get("type") or (whole if isinstance(whole, str) else dumps(whole).decode())
    elif cause.get("type"):
        text = f"{cause['type']}: {text}"
    return " ".join(str(text).split())[:_MOST_CHARACTERS]
