"""Removes what a pattern or an entity matches from every text of a body: REDACT's rules `/.../` and `presidio:...`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from request_logger.ingest.redaction_check import LeftOutError
from request_logger.ingest.redaction_finders import Finder
from request_logger.ingest.redaction_walk import Action

REMOVED = "[redacted]"
TOO_SLOW = "the patterns to redact take too long in its texts: only the size of the body is kept"
# For all texts of a body. A pattern that backtracks can take years; others take milliseconds for 1 MB.
_SECONDS = 1.0


def without_patterns(value: Any, patterns: Sequence[tuple[Finder, Action]], hasher: Callable[[str], Any]) -> Any:
    """Return a body whose texts, and keys, have ``[redacted]`` or the hash in place of what the patterns match.

    Raises LeftOutError if that takes too long.
    """
    return _Replacement(patterns, hasher).value(value) if patterns else value


class _Replacement:
    """The replacement of what patterns match, in one body and within a time."""

    def __init__(self, patterns: Sequence[tuple[Finder, Action]], hasher: Callable[[str], Any]) -> None:
        self._patterns = patterns
        self._hasher = hasher
        self._until = time.monotonic() + _SECONDS

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if isinstance(value, dict):
            return {self._text(key): self.value(entry) for key, entry in value.items()}
        return value

    def _text(self, text: str) -> str:
        for finder, action in self._patterns:
            left = self._until - time.monotonic()
            if left <= 0:
                raise LeftOutError(TOO_SLOW)
            try:
                text = finder.replaced(text, _removed if action == "drop" else self._hashed, left)
            except TimeoutError:
                raise LeftOutError(TOO_SLOW) from None
        return text

    def _hashed(self, found: str) -> str:
        return str(self._hasher(found))


def _removed(_: str) -> str:
    return REMOVED
