"""What an engine says is wrong: whether it is, and in one line that names the index why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from request_logger.serialize import dumps

_MOST_CHARACTERS = 300


def reason_of(answer: Any) -> str:
    """Say the first cause that an engine names for an error, or for the shards that it left out; all where it has none.

    ``answer`` is the parsed body. Where the cause is that of one index, its name comes first.
    """
    failure, cause = _first_cause(answer)
    index = failure.get("index") or cause.get("index")
    text = cause.get("reason")
    if not isinstance(text, str):
        text = answer if isinstance(answer, str) else dumps(answer).decode()
    elif cause.get("type"):
        text = f"{cause['type']}: {text}"
    named = f"index {index}: " if index else ""
    return named + " ".join(text.split())[:_MOST_CHARACTERS]


def is_partial(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer to a search leaves out documents: of shards that failed, or had no time."""
    shards = answer.get("_shards")
    return bool(answer.get("timed_out") or (isinstance(shards, Mapping) and shards.get("failed")))


def _first_cause(answer: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give the first shard's failure, and its cause; each empty where there is none."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    shards = answer.get("_shards") if isinstance(answer, Mapping) else None
    found = error if isinstance(error, Mapping) else {}
    failures = found.get("failed_shards") or (shards.get("failures") if isinstance(shards, Mapping) else None)
    first = failures[0] if isinstance(failures, list) and failures else None
    if isinstance(first, Mapping):
        cause = first.get("reason")
        return first, cause if isinstance(cause, Mapping) else {"reason": cause}
    causes = found.get("root_cause")
    root = causes[0] if isinstance(causes, list) and causes else None
    return {}, root if isinstance(root, Mapping) else found
