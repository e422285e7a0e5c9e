"""Runs scorers in a guard, and checks their results: whatever a scorer does, the document is stored.

The fields that a scorer returns are stored in documents and read by aggregations. So they are converted to plain JSON
of bounded size here; if that isn't possible, the pair is unscorable, and the reason names the scorer's class.
"""

from __future__ import annotations

import logging
import math
import traceback
from functools import lru_cache
from itertools import islice
from typing import Any

from request_logger.common.guard import reraise_if_killed, type_name
from request_logger.common.json import copied, plain
from request_logger.common.mapped_fields import DELAY
from request_logger.scoring.legacy import LegacyScorer
from request_logger.scoring.reasons import MAX_REASON_CHARACTERS, raised, returned
from scorers.base import LABEL, RESPONSE_FIELDS, Row, UnscorableError

# Each new name is a field of the index's mapping, whose limit is 2,000 for all parts and scorers together.
MAX_FIELDS = 200
# Elasticsearch accepts longer names, but Kibana doesn't show them.
MAX_NAME_CHARACTERS = 200
# Longer text is stored and not indexed (store.indices.templates.IGNORE_ABOVE), so documents can't be counted by it.
MAX_TEXT_CHARACTERS = 8000
# The maximum number of values of a terms aggregation; a model with more labels can't be rolled up exactly.
MAX_VALUES = 10_000

# The fields that scoring itself writes. A text `error` is the reason of an unscorable pair.
_OURS = frozenset(
    (
        "scorer",
        "basis",
        "scored_at",
        "unscorable",
        "warning",
        "reward_agrees",
        "response_disagrees",
        "evaluated",
        "evaluation_labels",
        "evaluations",
        DELAY,
    )
)

log = logging.getLogger(__name__)


def name_of(scorer: Any) -> str:
    """Return a scorer's name for the field ``scorer``: its own, or that of its class if it has none."""
    try:
        name = scorer.name
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS:
            return str.__str__(name)
    except BaseException as error:
        reraise_if_killed(error)
    return type_name(scorer)


def run(scorer: Any, truth: Row, prediction: Row) -> dict[str, Any]:
    """Return the fields of a pair. Raises UnscorableError with a fixed reason if the scorer raises or misbehaves."""
    user = scorer.scorer if isinstance(scorer, LegacyScorer) else scorer
    try:
        if _is_own(scorer):
            # The built-in scorers return plain values, which tests check.
            return scorer.score(truth, prediction)  # type: ignore[no-any-return]
        found = scorer.score(_copy(truth), _copy(prediction))
    except UnscorableError as error:
        raise UnscorableError(str(type(error)), reason=_reason(user, error)) from None
    except BaseException as error:
        reraise_if_killed(error)
        _warn_once(raised(user, error), _raised_at(error))
        raise UnscorableError(type_name(error), reason=raised(user, error)) from None
    return _checked(user, found)


def _is_own(scorer: Any) -> bool:
    """Return whether a scorer is a built-in one."""
    return type(scorer).__module__.startswith("scorers.")


def _copy(row: Row) -> Row:
    """Return a row for user code, which may modify its value: the document has the same one."""
    return Row(copied(row.value), row.names)


def _reason(scorer: Any, error: UnscorableError) -> str:
    reason = getattr(error, "reason", "")
    if isinstance(reason, str) and 0 < len(reason) <= MAX_REASON_CHARACTERS:
        return " ".join(str.__str__(reason).split())
    return raised(scorer, error)


def _checked(scorer: Any, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _unusable(scorer, f"a {type_name(found)}, expected a dict of fields")
    if len(found) > MAX_FIELDS:
        raise _unusable(scorer, f"more than {MAX_FIELDS} fields")
    fields: dict[str, Any] = {}
    # dict's own method: a subclass could override it with anything.
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
    """Return a field's value as it is stored; None if it is left out: null, or a number that isn't finite."""
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
    """Return the number of values of a numpy array, 0 for anything else."""
    size = getattr(value, "size", 0) if type(value).__module__ == "numpy" else 0
    return size if isinstance(size, int) else 0


def _scalar(scorer: Any, value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            raise _unusable(scorer, f"a text of more than {MAX_TEXT_CHARACTERS} characters")
        # The value must be equal when it is read back; otherwise each scoring would write the document again.
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


def read(scorer: Any, prediction: Row) -> dict[str, Any]:
    """Return what a scorer reads in a response by itself, empty if it reads nothing. Raises only if it is killed."""
    user = scorer.scorer if isinstance(scorer, LegacyScorer) else scorer
    try:
        method = getattr(scorer, "prediction_fields", None)
        if method is None:
            return {}
        if _is_own(scorer):
            return method(prediction)  # type: ignore[no-any-return]
        found = method(_copy(prediction))
        return _checked_response(user, found)
    except UnscorableError:
        return {}
    except BaseException as error:
        reraise_if_killed(error)
        _warn_once(f"{raised(user, error)}: the response has no prediction fields", _raised_at(error))
        return {}


def _checked_response(scorer: Any, found: Any) -> dict[str, Any]:
    fields = _checked(scorer, found)
    if not fields.keys() <= set(RESPONSE_FIELDS):
        raise _unusable(scorer, f"other prediction fields than {', '.join(RESPONSE_FIELDS)}")
    for name, value in fields.items():
        if not _is_of_type(name, value):
            raise _unusable(scorer, f"a {name} that is not {'text' if name == LABEL else 'a number'}")
    return fields


def _is_of_type(name: str, value: Any) -> bool:
    if name != LABEL:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(isinstance(entry, str) for entry in listed)


def _unusable(scorer: Any, found: str) -> UnscorableError:
    reason = returned(scorer, found)
    _warn_once(reason, "")
    return UnscorableError(reason, reason=reason)


def _raised_at(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


@lru_cache(maxsize=256)
def _warn_once(what: str, where: str) -> None:
    """Log a warning about user code, once per text: the documents show how often it occurs."""
    log.warning("%s%s", what, where)
