"""Extracts the prediction from a response's row that contains more than it. Pure code.

Servers return a label with its probabilities, records of several fields, pairs of labels and scores, or such a record
as text. Scoring compares a class, or a row of probabilities: this module finds it in the forms that docs/payloads.md
lists. A row of any other form is kept unchanged.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

from request_logger.common.json import JsonText, all_parsed
from request_logger.payloads.base import Decoded, Item
from request_logger.payloads.llm.fields import is_number

# Normalised names (lower case, letters and digits only), in order of precedence.
_LABELS = (
    "predict", "prediction", "predictions", "predicted", "predictedlabel", "predictedclass", "predictedvalue",
    "outputlabel", "label", "labels", "classid", "classids", "class", "classes",
)  # fmt: skip
_SCORES = (
    "predictproba", "probabilities", "probability", "probas", "proba", "outputprobability", "classprobabilities",
    "predictionprobabilities", "predictedprobabilities", "scores", "score", "confidences", "confidence",
)  # fmt: skip
# Names that show that labels and scores are for objects within an input (detection), not for the input.
_PLACES = re.compile(r"start|end|.*(?:box|mask|polygon|keypoint).*")
_NOT_LETTERS = re.compile(r"[\W_]+")
_PROBABILITY_OF = re.compile(r"(?:probability|proba|p)(?:_(.+)|\((.+)\))", re.IGNORECASE | re.DOTALL)
# A text is a row of numbers.
_NUMBERS = frozenset({int, float, bool, type(None), JsonText})
# Rounded probabilities need not add up to exactly 1.
_SUM_TOLERANCE = 0.02
# Enough for a record of a thousand classes. Longer text is an answer, and takes too long to parse as a Python literal.
_MAX_CHARACTERS = 20_000


def predicted(decoded: Decoded) -> Decoded:
    """Return a decoded response with the prediction as the instance of each row; unchanged if it has nothing else.

    The elements of a changed row are the fields of its record, so that each of them can be searched.
    """
    items: list[Item] = []
    is_changed = False
    # Columns of different lengths are one row of kind json: they don't describe a single input.
    names = decoded.names if decoded.data_type != "json" and _tell_roles(tuple(decoded.names or ())) else None
    if not names and _are_numbers(decoded.items):
        return decoded
    for item in decoded.items:
        value = item.instance
        if names and isinstance(value, list) and len(value) == len(names):
            value = all_parsed(dict(zip(names, value, strict=True)))
        found = prediction_of(value)
        if found is value:
            items.append(item)
            continue
        is_changed = True
        as_elements = value if isinstance(value, dict) and decoded.has_elements else None
        items.append(Item(found, item.elements or as_elements))
    # Without the names, which are those of the record's fields.
    return replace(decoded, items=items, names=None) if is_changed else decoded


def _are_numbers(items: Sequence[Item]) -> bool:
    """Return whether each row is a number, or a list that starts with one: such rows have no known form. Fast."""
    heads = {type(row[0]) if type(row) is list and row else type(row) for row in [item.instance for item in items]}
    return heads <= _NUMBERS


@lru_cache(maxsize=256)
def _tell_roles(names: tuple[str, ...]) -> bool:
    """Return whether columns with these names may be a label and its scores, not classes or features."""
    return len(names) > 1 and any(_plain(name) in _LABELS or _PROBABILITY_OF.fullmatch(name) for name in names)


def _plain(name: str) -> str:
    return _NOT_LETTERS.sub("", name.lower())


def wrapped(value: Any) -> dict[str, Any] | None:
    """Return a list of records with label and score (a Hugging Face pipeline's answer) as a body with predictions.

    None for any other list. A list of different labels with descending scores that add up to 1 is one row.
    """
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(row, list) and _pairs(row) for row in value):
        return {"predictions": value}
    if all(isinstance(row, dict) and isinstance(row.get("generated_text"), str) for row in value):
        return {"generated_text": [row["generated_text"] for row in value]}
    pairs = _pairs(value)
    if not pairs:
        return None
    scores = [score for _, score in pairs]
    is_one = len(pairs) > 1 and _are_distinct(label for label, _ in pairs) and scores == sorted(scores, reverse=True)
    return {"predictions": [value] if is_one and _add_up_to_one(scores) else value}


def prediction_of(value: Any) -> Any:
    """Return the prediction in a row: a label, a row of probabilities, or an object of label -> probability.

    A row without a known form is returned unchanged.
    """
    if isinstance(value, dict):
        return _of_record(value)
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, str) and value[:1] in ("{", "[") and len(value) <= _MAX_CHARACTERS:
        return _of_text(value)
    return value


def _of_record(record: dict[str, Any]) -> Any:
    known = {_plain(name): value for name, value in record.items()}
    if any(map(_PLACES.fullmatch, known)):
        return record
    labels = next((known[name] for name in _LABELS if name in known), None)
    if labels is not None and len(record) == 1:
        return labels if _is_label(_unwrapped(labels)) else record
    by_name = _probabilities_by_name(record)
    if by_name:
        said = labels if labels is not None else _class_among(record, by_name)
        return by_name if said is None else _joined(said, by_name, record)
    scores = next((known[name] for name in _SCORES if name in known), None)
    return record if labels is None or scores is None else _joined(labels, scores, record)


def _probabilities_by_name(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return class -> probability from PMML's outputs, such as ``Probability_setosa``; empty if there are none."""
    found = {
        match[1] or match[2]: value
        for name, value in record.items()
        if (match := _PROBABILITY_OF.fullmatch(name)) and is_number(value)
    }
    return found if len(found) > 1 and _add_up_to_one(found.values()) else {}


def _class_among(record: Mapping[str, Any], classes: Mapping[str, Any]) -> str | None:
    """Return the only value of a record that is a class name: PMML names the label's field after the target."""
    found = [value for value in record.values() if isinstance(value, str) and value in classes]
    return found[0] if len(found) == 1 else None


def _joined(labels: Any, scores: Any, record: dict[str, Any]) -> Any:
    """Return the scores by class if they agree with the label, else the label.

    A list of scores is by class index: it is used if the label is the index of the greatest score. Otherwise the
    classes have other names, or the server uses a threshold, and only the label is known.
    """
    label, scores = _unwrapped(labels), _unwrapped(scores)
    if isinstance(label, list):
        is_ranking = isinstance(scores, list) and len(label) == len(scores) and all(map(is_number, scores))
        if not is_ranking or not all(map(_is_label, label)) or not _are_distinct(label):
            return record
        return {str(name): score for name, score in zip(label, scores, strict=True)}
    if not _is_label(label):
        return record
    if isinstance(scores, dict) and scores and all(map(is_number, scores.values())):
        return scores if scores.get(str(label)) == max(scores.values()) else label
    if isinstance(scores, list) and len(scores) > 1 and all(map(is_number, scores)):
        index = _index(label)
        return scores if index is not None and index < len(scores) and scores[index] == max(scores) else label
    return label if is_number(scores) else record


def _of_list(row: list[Any]) -> Any:
    if len(row) == 1 and isinstance(row[0], (str, dict)):
        found = prediction_of(row[0])
        return row if found is row[0] else found
    if len(row) == 2 and isinstance(row[0], str) and type(row[1]) is float and 0.0 <= row[1] <= 1.0:
        return row[0]
    pairs = _pairs(row)
    if not pairs:
        return row
    if len(pairs) == 1:
        return pairs[0][0]
    if not any(label for label, _ in pairs):
        # TensorFlow lists classes without labels in the order of their indexes.
        return [score for _, score in pairs]
    if not _are_distinct(label for label, _ in pairs):
        return row
    return {str(label): score for label, score in pairs}


def _pairs(row: list[Any]) -> list[tuple[Any, float]]:
    """Return the labels and scores of a list of pairs, or of records with only these; empty for other lists."""
    found: list[tuple[Any, float]] = []
    for entry in row:
        label: Any = None
        score: Any = None
        if isinstance(entry, dict) and entry.keys() == {"label", "score"}:
            label, score = entry["label"], entry["score"]
        elif isinstance(entry, list) and len(entry) == 2:
            label, score = entry
        if not isinstance(label, str) or not is_number(score):
            return []
        found.append((label, score))
    return found


def _of_text(text: str) -> Any:
    """Return the prediction in a record, or an object of class -> score, in text form: JSON or a Python literal."""
    value = _literal(text.strip())
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        found = prediction_of(value)
        return text if found is value and not _is_forecast(value) else found
    if isinstance(value, dict):
        # By index, as written by KServe's Hugging Face server: {0: 0.1, 1: 0.9}, also for logits.
        scores = {str(name): score for name, score in value.items() if type(name) is int and is_number(score)}
        return scores if len(scores) == len(value) > 1 else text
    found = prediction_of(value) if isinstance(value, list) else value
    return text if found is value else found


def _literal(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _is_forecast(value: Mapping[str, Any]) -> bool:
    """Return whether an object maps several names to probabilities that add up to 1."""
    scores = list(value.values())
    return (
        len(scores) > 1
        and all(type(score) is float and 0.0 <= score <= 1.0 for score in scores)
        and _add_up_to_one(scores)
    )


def _add_up_to_one(scores: Iterable[float]) -> bool:
    try:
        return abs(math.fsum(scores) - 1.0) <= _SUM_TOLERANCE
    except OverflowError:
        # The sum of the greatest doubles has none.
        return False


def _unwrapped(value: Any) -> Any:
    """Return a value without surrounding lists of one: ``[2]`` is 2, ``[[0.2, 0.8]]`` is ``[0.2, 0.8]``."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _is_label(value: Any) -> bool:
    return isinstance(value, (str, bool)) or is_number(value)


def _are_distinct(labels: Iterable[Any]) -> bool:
    listed = list(map(str, labels))
    return len(set(listed)) == len(listed)


def _index(label: Any) -> int | None:
    """Return the class index that a label (number, boolean or text) denotes; None for any other label."""
    if isinstance(label, str):
        return int(label) if label.isascii() and label.isdecimal() else None
    return int(label) if label >= 0 and label == int(label) else None
