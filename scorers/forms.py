"""The form of a pair: which row of the table of ``auto`` it is in, and which scorers can read pairs of its form.

One pair shows little: the classes 1 and 0 have the form of a binary pair, in a model of ten classes too. So a form is
also what a pair tells of its deployment; :mod:`scorers.auto` decides by the forms of many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from scorers.base import Row, finite, unwrap
from scorers.labels import numeric_text
from scorers.probabilities import SUM_TOLERANCE, is_nearly_within
from scorers.structured import is_structured

_LONG_CHARACTERS = 64
_LONG_WORDS = 5


class Form(StrEnum):
    """The form of a pair, truth first. The values are stored in the search engine."""

    BOOLEAN = "boolean"
    """0, 1 or a boolean against a boolean."""
    WHOLE_01 = "whole_01"
    """0 or 1 against 0 or 1."""
    SCORE = "score"
    """0 or 1 against a fraction within [0, 1]."""
    WHOLE = "whole"
    """Whole numbers, the prediction (or only the truth, of two texts) is neither 0 nor 1."""
    WHOLE_CODE = "whole_code"
    """Another whole number against 0 or 1."""
    CODE = "code"
    """Another whole number than 0 and 1 against a fraction within [0, 1]."""
    AMOUNT = "amount"
    """Any other two numbers."""
    DIGITS_01 = "digits_01"
    DIGITS_SCORE = "digits_score"
    DIGITS_WHOLE = "digits_whole"
    DIGITS_AMOUNT = "digits_amount"
    """Numbers of these forms, both written as text."""
    TEXT = "text"
    ITEM = "item"
    """A text against a list of one text."""
    LONG_TEXT = "long_text"
    RECORD = "record"
    """A record as text against other text."""
    OTHER = "other"
    """A text against a number, and what no scorer reads."""
    PAIR = "pair"
    """A class against two columns."""
    PAIR_OTHER = "pair_other"
    """A number other than 0 and 1, or a text that isn't a name of the response, against two columns."""
    ROW = "row"
    """Anything against other numbers of columns, or an object."""
    ONE_HOT_PAIR = "one_hot_pair"
    ONE_HOT_ROW = "one_hot_row"
    """A one-hot list or probabilities, against two columns, and against more."""
    ONE_HOT_SCORES = "one_hot_scores"
    """A one-hot list against a row within [0, 1] whose sum is not 1."""
    INDICATOR = "indicator"
    """A list of 0 and 1 with none or several set, against a row."""
    VECTOR = "vector"
    """Other lists of as many numbers."""
    LABELS = "labels"
    """A list of texts against a list of texts."""
    LABELS_ROW = "labels_row"
    """A list of texts against a text, or a row of numbers."""
    RANKED = "ranked"
    """A text against a list of texts."""
    GAINS = "gains"
    """An object of numbers against anything."""


class Reading(NamedTuple):
    """How pairs of a form are read: the scorer for such a pair alone, and all that read or refuse it with a reason."""

    alone: str
    scorers: frozenset[str]


_NUMBERS = frozenset({"binary", "multiclass", "regression"})
_DIGITS = _NUMBERS | {"text"}
_LISTS = frozenset({"binary", "multiclass", "multilabel", "regression"})
_COLUMNS = frozenset({"binary", "multiclass"})
_TEXTS = frozenset({"multiclass", "text"})

READINGS: Mapping[Form, Reading] = {
    Form.BOOLEAN: Reading("binary", _NUMBERS),
    Form.WHOLE_01: Reading("binary", _NUMBERS),
    Form.SCORE: Reading("binary", _NUMBERS),
    Form.WHOLE: Reading("multiclass", _NUMBERS),
    Form.WHOLE_CODE: Reading("multiclass", _NUMBERS),
    Form.CODE: Reading("regression", _NUMBERS),
    Form.AMOUNT: Reading("regression", _NUMBERS),
    Form.DIGITS_01: Reading("binary", _DIGITS),
    Form.DIGITS_SCORE: Reading("binary", _DIGITS),
    Form.DIGITS_WHOLE: Reading("multiclass", _DIGITS),
    Form.DIGITS_AMOUNT: Reading("regression", _DIGITS),
    Form.TEXT: Reading("multiclass", _TEXTS),
    Form.ITEM: Reading("multiclass", _TEXTS | {"multilabel", "ranking"}),
    Form.LONG_TEXT: Reading("text", _TEXTS),
    # As texts the two would be compared, and never be equal; multiclass says so.
    Form.RECORD: Reading("multiclass", frozenset({"multiclass"})),
    Form.OTHER: Reading("multiclass", frozenset({"multiclass"})),
    Form.PAIR: Reading("binary", _COLUMNS),
    Form.PAIR_OTHER: Reading("multiclass", _COLUMNS),
    Form.ROW: Reading("multiclass", frozenset({"multiclass"})),
    Form.ONE_HOT_PAIR: Reading("binary", _LISTS),
    Form.ONE_HOT_ROW: Reading("multiclass", _LISTS),
    Form.ONE_HOT_SCORES: Reading("multilabel", _LISTS),
    Form.INDICATOR: Reading("multilabel", _LISTS),
    Form.VECTOR: Reading("regression", _LISTS),
    Form.LABELS: Reading("multilabel", frozenset({"multilabel", "ranking"})),
    Form.LABELS_ROW: Reading("multilabel", frozenset({"multilabel"})),
    Form.RANKED: Reading("ranking", frozenset({"multilabel", "ranking"})),
    Form.GAINS: Reading("ranking", frozenset({"ranking"})),
}

# The forms of two scalars, where both are written as text.
_OF_TEXTS = {
    Form.OTHER: Form.TEXT,
    Form.WHOLE_01: Form.DIGITS_01,
    Form.SCORE: Form.DIGITS_SCORE,
    Form.WHOLE: Form.DIGITS_WHOLE,
    Form.WHOLE_CODE: Form.DIGITS_WHOLE,
    Form.CODE: Form.DIGITS_AMOUNT,
    Form.AMOUNT: Form.DIGITS_AMOUNT,
}


def form_of(truth: Row, prediction: Row) -> Form:
    """Return the form of a pair. Never raises; pure."""
    predicted = plain(prediction.value)
    if _is_texts(truth.value) and isinstance(predicted, (str, list, tuple)):
        return Form.LABELS if _is_texts(prediction.value) else Form.LABELS_ROW
    actual = plain(truth.value)
    if isinstance(actual, dict):
        return Form.GAINS
    if isinstance(predicted, dict):
        return Form.ROW
    if isinstance(predicted, (list, tuple)):
        if _is_texts(predicted):
            return Form.RANKED
        if isinstance(actual, (list, tuple)):
            return _of_lists(actual, predicted)
        return _of_row(actual, predicted, prediction.names)
    if isinstance(actual, (list, tuple)):
        return Form.OTHER
    form = _of_scalars(actual, predicted)
    if form is Form.TEXT and _is_texts(prediction.value):
        return Form.ITEM
    if form in _OF_TEXTS and isinstance(unwrap(truth.value), str) and isinstance(unwrap(prediction.value), str):
        return _OF_TEXTS[form]
    return form


def plain(value: Any) -> Any:
    """Return a value without lists of one around it, and a text that is a number as that number."""
    value = unwrap(value)
    if isinstance(value, str):
        figure = numeric_text(value)
        return value if figure is None else figure
    return value


def _is_texts(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value or not isinstance(value[0], str):
        return False
    return all(isinstance(item, str) for item in value)


def _of_lists(truth: Sequence[Any], prediction: Sequence[Any]) -> Form:
    unread = Form.PAIR if len(prediction) == 2 else Form.ROW
    try:
        is_indicator = all(item in (0, 1) for item in truth)
        ones, total = math.fsum(truth), math.fsum(prediction)
        within = is_nearly_within(min(prediction), max(prediction))
        is_distribution = abs(total - 1.0) <= SUM_TOLERANCE
        is_soft = is_nearly_within(min(truth), max(truth)) and abs(ones - 1.0) <= SUM_TOLERANCE
    except (TypeError, ValueError, OverflowError):
        return unread
    if len(truth) != len(prediction):
        return unread
    if is_indicator and ones != 1:
        return Form.INDICATOR
    if is_indicator and within and not is_distribution:
        return Form.ONE_HOT_SCORES
    if is_indicator or (is_soft and within and is_distribution):
        return Form.ONE_HOT_PAIR if len(prediction) == 2 else Form.ONE_HOT_ROW
    return Form.VECTOR


def _of_row(truth: Any, prediction: Sequence[Any], names: tuple[str, ...]) -> Form:
    if len(prediction) != 2:
        return Form.ROW
    fits = truth in names if isinstance(truth, str) and names else truth in (0, 1) or isinstance(truth, str)
    return Form.PAIR if fits or str(truth) in names else Form.PAIR_OTHER


def _of_scalars(truth: Any, prediction: Any) -> Form:
    if isinstance(truth, str) or isinstance(prediction, str):
        if not isinstance(truth, str) or not isinstance(prediction, str):
            return Form.OTHER
        if is_structured(truth) != is_structured(prediction):
            return Form.RECORD
        return Form.LONG_TEXT if _is_long(truth) or _is_long(prediction) else Form.TEXT
    if not isinstance(truth, (int, float)) or not isinstance(prediction, (int, float)):
        return Form.OTHER
    is_whole, is_within = _is_whole(prediction), is_nearly_within(prediction, prediction)
    if truth in (0, 1) and is_within:
        if isinstance(prediction, bool):
            return Form.BOOLEAN
        return Form.WHOLE_01 if is_whole else Form.SCORE
    if not _is_whole(truth):
        return Form.AMOUNT
    if is_whole:
        return Form.WHOLE_CODE if is_within else Form.WHOLE
    return Form.CODE if is_within else Form.AMOUNT


def _is_whole(value: float) -> bool:
    return finite(value) and value == int(value)


def _is_long(text: str) -> bool:
    return len(text) > _LONG_CHARACTERS or "\n" in text or text.count(" ") >= _LONG_WORDS
