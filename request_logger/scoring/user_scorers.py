"""A scorer's code runs here, and what it returns is checked: whatever it does, the document is stored.

What a scorer gives is written into documents of all replicas and read by aggregations. So its fields become plain
JSON of a bounded size here; a pair for which that is not possible is unscorable, with the scorer's class and what it
did.
"""

from __future__ import annotations

import logging
import math
import traceback
from functools import lru_cache
from itertools import islice
from typing import Any

from request_logger.common.guard import reraise_if_killed, type_name
from request_logger.common.json import plain
from request_logger.scoring.legacy import LegacyScorer
from request_logger.scoring.reasons import LONGEST_REASON, raised, returned
from scorers.base import Row, UnscorableError

# Each new name is a field of the index's mapping, whose limit is 2,000 for all parts and scorers together.
MAX_FIELDS = 200
# Elasticsearch takes longer names, and Kibana shows none of them.
MAX_NAME_CHARACTERS = 200
# A longer text is stored and not indexed (`store.templates.IGNORE_ABOVE`), so nothing could be counted by it.
MAX_TEXT_CHARACTERS = 8000
# As many values as a terms aggregation returns; a multilabel model with more labels can't be rolled up exactly.
MAX_VALUES = 10_000

# What is written beside a scorer's fields. `error` is the reason of what can't be scored, where it is text.
_OURS = frozenset({"scorer", "basis", "scored_at", "unscorable", "warning", "reward_agrees", "response_disagrees"})

log = logging.getLogger(__name__)


def name_of(scorer: Any) -> str:
    """Return a scorer's name for the field ``scorer``: its own, or that of its class where it has none."""
    try:
        name = scorer.name
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS:
            return str.__str__(name)
    except BaseException as error:
        reraise_if_killed(error)
    return type_name(scorer)


def run(scorer: Any, truth: Row, prediction: Row) -> dict[str, Any]:
    """Score a pair. Raises UnscorableError with a fixed reason, whatever the scorer raises or returns."""
    user = scorer.scorer if isinstance(scorer, LegacyScorer) else scorer
    try:
        found = scorer.score(truth, prediction)
        # The built-in ones return plain values, which tests hold them to.
        if type(scorer).__module__.startswith("scorers."):
            return found  # type: ignore[no-any-return]
    except UnscorableError as error:
        raise UnscorableError(str(type(error)), reason=_reason(user, error)) from None
    except BaseException as error:
        reraise_if_killed(error)
        _tell(raised(user, error), _place(error))
        raise UnscorableError(type_name(error), reason=raised(user, error)) from None
    return _checked(user, found)


def _reason(scorer: Any, error: UnscorableError) -> str:
    reason = getattr(error, "reason", "")
    if isinstance(reason, str) and 0 < len(reason) <= LONGEST_REASON:
        return " ".join(str.__str__(reason).split())
    return raised(scorer, error)


def _checked(scorer: Any, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _unusable(scorer, f"a {type_name(found)}, expected a dict of fields")
    if len(found) > MAX_FIELDS:
        raise _unusable(scorer, f"more than {MAX_FIELDS} fields")
    fields: dict[str, Any] = {}
    # dict's own method: that of a subclass may do anything.
    for name, value in dict.items(found):
        if not isinstance(name, str) or not name.strip(" .") or len(name) > MAX_NAME_CHARACTERS:
            raise _unusable(scorer, f"a field whose name is no text of 1 to {MAX_NAME_CHARACTERS} characters")
        if name in _OURS:
            continue
        kept = _value(scorer, value)
        if kept is not None and not (name == "error" and not isinstance(kept, (int, float))):
            fields[str.__str__(name)] = kept
    return fields


def _value(scorer: Any, value: Any) -> Any:
    """Give a field's value as it is stored, None for one that is left out: null, and numbers that are not finite."""
    kind = type(value)
    if kind is bool or kind is float or kind is int or kind is str:
        return _scalar(scorer, value)
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) > MAX_VALUES:
        raise _unusable(scorer, f"a list of more than {MAX_VALUES} values")
    if isinstance(value, dict) or _size(value) > MAX_VALUES:
        raise _unusable(scorer, "a field that is neither a number, a text, a boolean nor a list of these")
    known = plain(value)
    if isinstance(known, list):
        listed = [_scalar(scorer, entry) for entry in islice(known, MAX_VALUES)]
        return [entry for entry in listed if entry is not None]
    if known == f"<{type(value).__qualname__[:100]}>":
        raise _unusable(scorer, "a field that is neither a number, a text, a boolean nor a list of these")
    return _scalar(scorer, known)


def _size(value: Any) -> int:
    """Return how many values numpy's array has, 0 for anything else."""
    size = getattr(value, "size", 0) if type(value).__module__ == "numpy" else 0
    return size if isinstance(size, int) else 0


def _scalar(scorer: Any, value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            raise _unusable(scorer, f"a text of more than {MAX_TEXT_CHARACTERS} characters")
        # What is written must be what is read back, or the document would be written anew at every look.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        if not math.isfinite(number):
            return None
        return value if isinstance(value, float) or abs(value) < 2**63 else number
    raise _unusable(scorer, "a field that is neither a number, a text, a boolean nor a list of these")


def _unusable(scorer: Any, found: str) -> UnscorableError:
    reason = returned(scorer, found)
    _tell(reason, "")
    return UnscorableError(reason, reason=reason)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


@lru_cache(maxsize=256)
def _tell(what: str, place: str) -> None:
    """Log a mistake of user code, each once: the documents say how often it was."""
    log.warning("%s%s", what, place)
