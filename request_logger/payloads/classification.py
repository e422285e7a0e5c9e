"""Decodes Triton's classification extension: BYTES of ``score:index[:label]``, the best class first.

If a request asks for the ``k`` best classes of an output, the response has a tensor of such texts instead, with the
shape [batch, k], or [k] for a model without batches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from request_logger.payloads.base import Decoded, Item

_ENTRY = re.compile(r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)):(\d{1,9})(?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One class of a row; ``label`` is empty if the model has no labels."""

    score: float
    index: int
    label: str

    @property
    def name(self) -> Any:
        """The class: its label, else its index."""
        return self.label or self.index


Row = list[Entry]


def rows_of(array: Any, shape: tuple[int, ...] | None) -> list[Row] | None:
    """Return the classes of each row of a BYTES tensor; None if it has other text.

    Text such as "16:9" or "12:30:45" is not a classification: that has scores with a decimal point, labels that aren't
    numbers, or several different classes with descending scores.
    """
    if shape is None or len(shape) not in (1, 2):
        return None
    flat = array if len(shape) == 1 else [text for row in array for text in row]
    entries = [_entry(text) for text in flat]
    if None in entries:
        return None
    found: Row = [entry for entry in entries if entry is not None]
    if len(shape) == 2:
        rows = [found[start : start + shape[1]] for start in range(0, len(found), shape[1])]
    else:
        rows = [found] if _is_ranking(found) else [[entry] for entry in found]
    has_points = all("." in text.partition(":")[0] for text in flat)
    has_labels = all(entry.label and not entry.label.isdecimal() for entry in found)
    is_ranked = len(rows[0]) > 1 and all(map(_is_ranking, rows))
    return rows if has_points or has_labels or is_ranked else None


def _entry(text: Any) -> Entry | None:
    match = _ENTRY.fullmatch(text) if isinstance(text, str) else None
    return Entry(float(match[1]), int(match[2]), match[3] or "") if match else None


def _is_ranking(row: Row) -> bool:
    """Return whether the entries are different classes, the best first, like those of one row."""
    scores = [entry.score for entry in row]
    return len({entry.index for entry in row}) == len(row) and scores == sorted(scores, reverse=True)


def decode(rows: list[Row], fields: dict[str, Any]) -> Decoded:
    """Return rows of classes as a decoded body.

    If every row has all classes (from 0 to the greatest index, at least two), a row is the list of scores in the order
    of the classes, and the labels are the column names. Otherwise a row is the result of :func:`prediction`, and its
    elements are ``label`` and ``score`` of the best class.
    """
    names = _names(rows)
    if names is not None:
        scores = [[entry.score for entry in sorted(row, key=lambda entry: entry.index)] for row in rows]
        known = [name for name in names if name]
        items = [Item(row, dict(zip(known, row, strict=True)) if known else None) for row in scores]
        return Decoded("tabular", items, known or None, fields)
    return Decoded("text", [Item(prediction(row), elements(row)) for row in rows], None, fields)


def prediction(row: Row) -> Any:
    """Return label -> score for a row of several probabilities, else the label or index of the best class.

    Scores outside [0, 1] aren't probabilities: only their order counts.
    """
    scores = {str(entry.name): entry.score for entry in row}
    within = all(0.0 <= score <= 1.0 for score in scores.values())
    return scores if len(row) > 1 and len(scores) == len(row) and within else row[0].name


def elements(row: Row) -> dict[str, Any]:
    """Return label (always as text) and score of the best class."""
    return {"label": str(row[0].name), "score": row[0].score}


def _names(rows: list[Row]) -> list[str] | None:
    """Return the labels in the order of the classes (all empty if there are none); None if some are missing.

    None, too, if two classes have the same label, or a class has two labels.
    """
    count = len(rows[0])
    labels = {(entry.index, entry.label) for row in rows for entry in row}
    names = [label for _, label in sorted(labels)]
    is_whole = count > 1 and all({entry.index for entry in row} == set(range(count)) for row in rows)
    if not is_whole or len(names) != count:
        return None
    return names if not any(names) or (all(names) and len(set(names)) == count) else None
