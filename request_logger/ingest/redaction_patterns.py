"""Removes what a pattern matches from every text of a body: REDACT's rules between slashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from request_logger.ingest.redaction_check import LeftOutError
from request_logger.ingest.redaction_rules import Pattern
from request_logger.ingest.redaction_walk import Action

REMOVED = "[redacted]"
TOO_SLOW = "a pattern to redact takes too long in its text: only the size of the body is kept"
# Per text and pattern. A pattern that backtracks can take years; others take milliseconds for a text of 1 MB.
_SECONDS = 0.5


def without_patterns(value: Any, patterns: Sequence[tuple[Pattern, Action]], hasher: Callable[[str], Any]) -> Any:
    """Return a body whose texts, and keys, have ``[redacted]`` or the hash in place of what the patterns match.

    Raises LeftOutError if a pattern takes too long.
    """
    if not patterns:
        return value
    if isinstance(value, str):
        return _replaced(value, patterns, hasher)
    if isinstance(value, list):
        return [without_patterns(entry, patterns, hasher) for entry in value]
    if isinstance(value, dict):
        return {
            _replaced(key, patterns, hasher): without_patterns(entry, patterns, hasher) for key, entry in value.items()
        }
    return value


def _replaced(text: str, patterns: Sequence[tuple[Pattern, Action]], hasher: Callable[[str], Any]) -> str:
    for pattern, action in patterns:
        try:
            if action == "drop":
                text = pattern.sub(REMOVED, text, timeout=_SECONDS)
            else:
                text = pattern.sub(lambda match: str(hasher(match[0])), text, timeout=_SECONDS)
        except TimeoutError:
            raise LeftOutError(TOO_SLOW) from None
    return text
