"""Reads evaluations in feedback: named judgements of one prediction by people, judges (models) or code.

Each becomes an entry of one form, whatever its sender's was: ``name``, ``id``, ``time``, and ``value``, ``label`` or
``error``; ``source`` and ``explanation`` where they are known. Reading an entry of this form returns it unchanged. An
entry that can't be read is kept as ``unusable`` with the reason. Pure code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from request_logger.common.json import dumps
from request_logger.common.times import time_key
from request_logger.payloads import otel_evaluations

Entry = dict[str, Any]

EVALUATIONS = "evaluations"
LEFT_OUT = "evaluations_left_out"
"""The field of a feedback that says that it had more than MAX_ENTRIES evaluations."""
ONLY = "evaluations_only"
"""The field of a feedback that says that it has nothing but evaluations."""
UNUSABLE = "unusable"
THUMB = "thumb"
# Per prediction, over all its feedback: a document must stay small enough for the search engine to merge.
MAX_ENTRIES = 100
# A name becomes a field name, and a label a keyword that documents are grouped by.
MAX_NAME_CHARACTERS = 200
MAX_LABEL_CHARACTERS = 200
MAX_ID_CHARACTERS = 500
# With MAX_ENTRIES of them a document has 1 MB of explanations.
MAX_EXPLANATION_CHARACTERS = 10_000

SOURCES = ("human", "judge", "code")
_SOURCES: Mapping[str, str] = {
    **{source: source for source in SOURCES},
    # MLflow's and Langfuse's.
    "llm_judge": "judge", "llm": "judge", "ai_judge": "judge", "eval": "judge", "model": "judge",
    "annotation": "human", "annotator": "human", "user": "human",
    "api": "code", "heuristic": "code",
}  # fmt: skip
_UP = frozenset(("up", "thumbs_up", "thumbsup", "thumb_up", "👍"))
_DOWN = frozenset(("down", "thumbs_down", "thumbsdown", "thumb_down", "👎"))
# In an evaluation of one of these names -1 and 0 are a thumb down; in others -1 may be a value of a scale.
_THUMB_NAMES = frozenset((THUMB, "thumbs", "thumbs_up", "thumb_up", "thumbsup"))
_EXPLANATIONS = ("explanation", "rationale", "comment")
# Without any of these a feedback has no evaluations.
_MAY_HAVE = frozenset((EVALUATIONS, THUMB, ONLY, LEFT_OUT, *otel_evaluations.KEYS))
# What a feedback may have in addition to an event of OpenTelemetry, whose own fields are in the evaluations.
_BESIDE_EVENTS = frozenset(("truth", "reward", "request", "response", "metrics", EVALUATIONS, THUMB))
_READ = frozenset(("name", "value", "label", THUMB, "source", "id", "time", "error", *_EXPLANATIONS))
_OF_UNUSABLE = ("id", "time", "reason")
_SAYING = ("value", "label", "thumb", "error")


class EvaluationError(ValueError):
    """An evaluation can't be read; the text names the field and what was expected, never a value."""


def with_evaluations(content: dict[str, Any], time: str) -> dict[str, Any]:
    """Return a feedback whose evaluations have the one form; itself if it has none.

    ``time`` is that of evaluations without one. Evaluations are those of the field ``evaluations``, of ``thumb``, and
    of OpenTelemetry's event ``gen_ai.evaluation.result``.
    """
    if _MAY_HAVE.isdisjoint(content):
        return content
    # Reserved: a sender must not influence how versions are joined.
    content = {name: value for name, value in content.items() if name not in (ONLY, LEFT_OUT)}
    events = otel_evaluations.records(content)
    if events is not None:
        content = {name: value for name, value in content.items() if name in _BESIDE_EVENTS}
    own = _listed(content.get(EVALUATIONS))
    if events is None and THUMB not in content and not own:
        return content
    raws = [*own, *(event.entry for event in events or ())]
    if THUMB in content:
        raws.append({"name": THUMB, "value": content[THUMB]})
    kept, is_cut = bounded(merged(read_leniently(raw, time) for raw in raws))
    rest = {name: value for name, value in content.items() if name not in (EVALUATIONS, THUMB)}
    only = {} if rest else {ONLY: True}
    return {**rest, **only, EVALUATIONS: kept, **({LEFT_OUT: True} if is_cut else {})}


def entries_of(content: Mapping[str, Any]) -> list[Entry]:
    """Return the evaluations of a stored feedback, which may be any program's: those of the one form, or read as such.

    One that has no time is the earliest.
    """
    return [read_leniently(raw, "") for raw in _listed(content.get(EVALUATIONS))]


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]


def merged(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Return the latest entry of each key; of equal times that whose JSON text sorts last, whatever their order is."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = key_of(entry)
        known = found.get(key)
        if known is None or (known != entry and _rank(entry) > _rank(known)):
            found[key] = entry
    return found


def _rank(entry: Entry) -> tuple[int, str]:
    time = time_key(entry.get("time"))
    return -1 if time is None else time, json.dumps(entry, sort_keys=True)


def bounded(entries: Mapping[tuple[str, str], Entry]) -> tuple[list[Entry], bool]:
    """Return MAX_ENTRIES of the entries in order of their keys, and whether there were more.

    Which ones depends on their keys alone (by a hash, so that it is fair), so that it is the same in whatever order
    they arrive.
    """
    keys = sorted(entries)
    if len(keys) <= MAX_ENTRIES:
        return [entries[key] for key in keys], False
    chosen = set(sorted(keys, key=_digest)[:MAX_ENTRIES])
    return [entries[key] for key in keys if key in chosen], True


def _digest(key: tuple[str, str]) -> bytes:
    return hashlib.sha256(repr(key).encode("utf-8", "replace")).digest()


def key_of(entry: Entry) -> tuple[str, str]:
    """Return name and id: an evaluation with the same key overwrites an earlier one."""
    return str(entry.get("name", "")), str(entry.get("id", ""))


def read_leniently(raw: Any, time: str) -> Entry:
    """Return the entry of an evaluation; one that can't be read as ``unusable``."""
    if isinstance(raw, dict) and UNUSABLE in raw and all(isinstance(raw.get(name), str) for name in _OF_UNUSABLE):
        return raw
    try:
        return read(raw, time)
    except EvaluationError as error:
        text = dumps(raw)
        digest = hashlib.sha256(text).hexdigest()[:16]
        kept = raw if len(text) <= MAX_EXPLANATION_CHARACTERS else {"bytes": len(text)}
        return {"id": digest, "time": time, UNUSABLE: kept, "reason": str(error)}


def read(raw: Any, time: str) -> Entry:
    """Return the entry of an evaluation; ``time`` is its time where it has no usable one. Raises EvaluationError."""
    if not isinstance(raw, dict):
        raise EvaluationError("expected an object with a name and a value or a label")
    name = _text(raw, "name", MAX_NAME_CHARACTERS)
    if not name:
        raise EvaluationError(f"name: expected text of 1 to {MAX_NAME_CHARACTERS} characters")
    source, rater = _source(raw.get("source"))
    identity = raw.get("id")
    entry: Entry = {"name": name, "id": rater or source or "" if identity is None else _identity(identity)}
    label = _text(raw, "label", MAX_LABEL_CHARACTERS)
    if raw.get(THUMB) is not None:
        entry["value"] = _thumb(raw[THUMB])
    elif raw.get("value") is not None:
        value = _value(raw["value"], is_thumb=name.lower() in _THUMB_NAMES)
        if isinstance(value, float):
            entry["value"] = value
        else:
            label = label or value
    if label:
        entry["label"] = label
    error = _text(raw, "error", MAX_LABEL_CHARACTERS)
    if error:
        entry["error"] = error
    if not any(field in entry for field in _SAYING):
        raise EvaluationError(f"expected one of {', '.join(_SAYING)}")
    if source:
        entry["source"] = source
    explanation = next((raw[field] for field in _EXPLANATIONS if isinstance(raw.get(field), str)), "")
    if explanation:
        entry["explanation"] = explanation[:MAX_EXPLANATION_CHARACTERS]
    entry["time"] = raw["time"] if time_key(raw.get("time")) is not None else time
    entry.update((field, value) for field, value in raw.items() if field not in _READ)
    return entry


def _text(raw: Entry, field: str, most: int) -> str:
    text = raw.get(field)
    if text is None:
        return ""
    if isinstance(text, bool):
        return str(text).lower()
    if isinstance(text, (int, float)):
        return f"{text:.15g}"
    if not isinstance(text, str) or len(text) > most:
        raise EvaluationError(f"{field}: expected text of up to {most} characters")
    return text.strip()


def _identity(identity: Any) -> str:
    if isinstance(identity, (str, int)) and len(str(identity)) <= MAX_ID_CHARACTERS:
        return str(identity)
    raise EvaluationError(f"id: expected text of up to {MAX_ID_CHARACTERS} characters")


def _source(source: Any) -> tuple[str, str]:
    """Return the kind of a source (human, judge, code; empty if unknown), and the rater's id where it has one."""
    rater = ""
    if isinstance(source, dict):
        # MLflow's form.
        rater = source.get("source_id") or source.get("id") or ""
        source = source.get("source_type") or source.get("type")
    if source is None:
        return "", _identity(rater)
    known = _SOURCES.get(_word(source)) if isinstance(source, str) else None
    if known is None:
        raise EvaluationError(f"source: expected {', '.join(SOURCES)}")
    return known, _identity(rater)


def _word(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")


def _value(value: Any, *, is_thumb: bool) -> float | str:
    """Return a value as a number, or as the label that its text is."""
    if is_thumb:
        return _thumb(value)
    if isinstance(value, str):
        text = value.strip()
        if _word(text) in _UP | _DOWN:
            return _thumb(text)
        try:
            value = float(text)
        except ValueError:
            if 0 < len(text) <= MAX_LABEL_CHARACTERS:
                return text
            expected = f"a number, or text of 1 to {MAX_LABEL_CHARACTERS} characters"
            raise EvaluationError(f"value: expected {expected}") from None
    if isinstance(value, (bool, int, float)):
        number = _finite(value)
        if number is not None:
            return number
    raise EvaluationError("value: expected a finite number, true, false, up, down or a label")


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _thumb(value: Any) -> float:
    """Return 1 for a thumb up (1, true, "up"), 0 for one down (-1, 0, false, "down")."""
    if isinstance(value, (bool, int, float)) and value in (1, 0, -1):
        return float(value == 1)
    text = _word(value) if isinstance(value, str) else ""
    if text in _UP or text in ("1", "+1", "true", "yes"):
        return 1.0
    if text in _DOWN or text in ("_1", "0", "false", "no"):
        return 0.0
    raise EvaluationError("thumb: expected 1, -1, up, down, true or false")
