"""Class names: the same name for a class, however the truth and the response write it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from scorers.base import Row, UnscorableError, finite, shown, unwrap
from scorers.reasons import Reason, of_side

# A keyword of more than 32,766 bytes can't be indexed; real class names are far shorter.
MAX_LABEL = 512
_MAX_INDEX = 2**63
_INTEGER_CHARACTERS = len(str(-_MAX_INDEX))
_DIGITS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_WHOLE = re.compile(r"(?:0|-?[1-9][0-9]*)(?:\.0+)?")


def label(value: Any) -> str:
    """Return the class name of a scalar: 1, 1.0, "1" and true are ``CLASS_1``, other text ("1.0", "01") is unchanged.

    Text of more than 512 characters is shortened and ends with its hash. Raises UnscorableError for null, NaN,
    infinity, lists and objects.
    """
    kind = type(value)
    if kind is str:
        return _text_label(value)
    if (kind is int or kind is bool) and -_MAX_INDEX <= value <= _MAX_INDEX:
        return f"CLASS_{int(value)}"
    if kind is float and math.isfinite(value):
        return f"CLASS_{int(value) if value.is_integer() else value!r}"
    text = f"{shown(value)} is not a class: a number, a text or a boolean is expected"
    raise UnscorableError(text, reason=Reason.NOT_A_CLASS)


def _text_label(text: str) -> str:
    figure = class_number(text)
    if figure is not None:
        return label(figure)
    if len(text) <= MAX_LABEL:
        return text
    return f"{text[: MAX_LABEL - 17]} {hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"


def numeric_text(text: str) -> float | None:
    """Return the number that a text represents ("1", "-2.5", "1e3"), None for any other text.

    Zero-padded codes such as "0123" are text: they are identifiers, and 0123 and 123 may be different.
    """
    if text[:1] not in _DIGITS or text[-1].isspace() or "_" in text or (text[0] == "0" and text[1:2].isdigit()):
        return None
    try:
        figure = int(text) if text.isdecimal() else float(text)
    except ValueError:
        return None
    return figure if finite(figure) and abs(figure) <= _MAX_INDEX else None


def class_number(text: str) -> float | None:
    """Return the number of which a text is the only spelling ("1", "-2.5"), None for any other text.

    Texts that are equal as numbers ("10.1" and "10.10", "1000" and "1e3") may be the names of different classes: only
    one of them can be the number's own.
    """
    if _INTEGER.fullmatch(text):
        # The length bounds the time that a conversion takes.
        figure = int(text) if len(text) <= _INTEGER_CHARACTERS else None
        return figure if figure is not None and abs(figure) <= _MAX_INDEX else None
    number = numeric_text(text)
    return number if number is not None and not float(number).is_integer() and repr(number) == text else None


@lru_cache(maxsize=256)
def columns(names: tuple[str, ...]) -> Mapping[str, int]:
    """Return the column of each class name; empty if the names aren't distinct, and so can't be used."""
    index = {name: column for column, name in enumerate(names)}
    return index if len(index) == len(names) else {}


def column_label(column: int, names: tuple[str, ...]) -> str:
    """Return the class name of a column: its name if there is one, else ``CLASS_k``."""
    return names[column] if 0 <= column < len(names) else f"CLASS_{column}"


def class_names(prediction: Row, width: int, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the class names in column order, empty if they are unknown.

    The option ``classes`` has precedence over the response's names, which are used if there is one for each of
    ``width`` columns.
    """
    if classes:
        return classes
    names = prediction.names
    return names if width > 1 and len(names) == width and columns(names) else ()


def scalar_label(value: Any, names: tuple[str, ...]) -> str:
    """Return the class name of a scalar: by name, by a name that is this number, or by column.

    Names such as "1", "2", "3" are compared as text before 1 is interpreted as a column. Raises UnscorableError as
    :func:`label` does.
    """
    if not names:
        return label(value)
    index = columns(names)
    if isinstance(value, str):
        if value in index:
            return value
        # These names are all that there are, so that "2.0" is the same class as 2.
        figure = numeric_text(value) if _WHOLE.fullmatch(value) else None
        if figure is None:
            return _text_label(value)
        value = figure
    if type(value) is float and repr(value) in index:
        return repr(value)
    if finite(value) and value == int(value):
        column = int(value)
        for name in (str(column), f"{column}.0"):
            if name in index:
                return name
        if 0 <= column < len(names):
            return names[column]
    return label(value)


def numbers(value: Any, what: str) -> float:
    """Return the sum of a list, checked to have only finite numbers (booleans count as 0 and 1).

    Raises UnscorableError that names ``what`` and the first invalid value.
    """
    try:
        total = float(sum(value))
    except (TypeError, OverflowError):
        total = math.nan
    if math.isfinite(total):
        return total
    for column, item in enumerate(value):
        if not finite(item):
            text = f"column {column} of the {what} is {shown(item)}, not a finite number"
            raise UnscorableError(text, reason=of_side(what, "NOT_NUMBERS"))
    raise UnscorableError(f"the numbers of the {what} are too large to add up", reason=of_side(what, "TOO_LARGE"))


def only_column(truth: Sequence[float]) -> int:
    """Return the column of a truth's greatest value. Raises UnscorableError for a tie: it names no class or several."""
    numbers(truth, "truth")
    highest = max(truth)
    if truth.count(highest) > 1:
        text = f"the truth {shown(truth)} names no class or several: multilabel scores sets of labels"
        raise UnscorableError(text, reason=Reason.TRUTH_NOT_ONE_CLASS)
    return truth.index(highest)


def one_class(truth: Row, names: tuple[str, ...]) -> str:
    """Return the class name of a truth: a label, a class index, a boolean, or a one-hot (or probability) list.

    Raises UnscorableError if the list is empty, has a tie (no class, or several), or has anything but numbers.
    """
    value = unwrap(truth.value)
    if isinstance(value, dict):
        truth = Row(list(value.values()), tuple(map(str, value)))
        value = truth.value
    if not isinstance(value, (list, tuple)):
        if value is None:
            raise UnscorableError("the truth is null", reason=Reason.TRUTH_NULL)
        return scalar_label(value, names)
    if not value:
        raise UnscorableError("the truth is empty", reason=Reason.TRUTH_EMPTY)
    column = only_column(value)
    own = truth.names
    if len(own) == len(value) and (not names or own[column] in columns(names)):
        return str(own[column])
    return column_label(column, names)
