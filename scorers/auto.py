"""Chooses the scorer for a pair by its shapes alone: the setting ``auto``.

====================================================== ======================================== ===========
truth                                                  prediction                               scorer
====================================================== ======================================== ===========
none                                                   anything                                 reward
object of numbers (item: gain)                         list or object                           ranking
text                                                   list of texts (best first)               ranking
list of texts                                          list of texts, text, or row of numbers   multilabel
list of 0/1 with none or several set                   list of as many numbers                  multilabel
one-hot list                                           row within [0, 1] whose sum is not 1     multilabel
number, boolean, text, one-hot or probabilities        2 numbers                                binary [1]_
number, boolean, text, one-hot or probabilities        more than 2 numbers, or an object        multiclass
other list of numbers                                  list of as many numbers                  regression
0, 1 or boolean                                        number in [0, 1] or boolean              binary
whole number                                           whole number                             multiclass
number                                                 number, one of the two with a fraction   regression
text, or text and number                               text, or text and number                 multiclass
long text (over 64 characters, 5 words or one line)    text                                     text
====================================================== ======================================== ===========

.. [1] multiclass where the truth is a whole number other than 0 and 1, or a text that is no class name of the pair.

For a record as text (JSON, a Python literal, a tensor) and other text it is multiclass, which reports why they can't be
compared.

A list of one counts as its element, and numeric text as the number. Only one pair is considered, so a model whose pairs
match several rows of the table (classes 0 to 9, of which 0 and 1 look binary; ratings that are sometimes whole numbers)
needs its scorer set by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scorers.base import Row, finite, unwrap
from scorers.labels import numeric_text
from scorers.probabilities import SUM_TOLERANCE, is_nearly_within
from scorers.structured import is_structured

SCORERS = ("reward", "ranking", "multilabel", "binary", "multiclass", "regression", "text")

_LONG_CHARACTERS = 64
_LONG_WORDS = 5


def scorer_name(truth: Row | None, prediction: Row | None) -> str:
    """Return the name of the scorer for a pair, by the table above. Never raises; pure."""
    if truth is None or prediction is None:
        return "reward"
    predicted = _plain(prediction.value)
    if _is_texts(truth.value) and (_is_texts(predicted) or isinstance(predicted, (str, list, tuple))):
        return "multilabel"
    actual = _plain(truth.value)
    if isinstance(actual, dict):
        return "ranking"
    if isinstance(predicted, dict):
        return "multiclass"
    if isinstance(predicted, (list, tuple)):
        if _is_texts(predicted):
            return "ranking"
        if isinstance(actual, (list, tuple)):
            return _for_lists(actual, predicted)
        return _for_row(actual, predicted, prediction.names)
    if isinstance(actual, (list, tuple)):
        return "multiclass"
    return _for_scalars(actual, predicted)


def response_scorer_name(prediction: Row) -> str | None:
    """Return the name of the scorer that reads a response by itself, None where the truth decides how it is read.

    ==================================================== ==========
    response                                             scorer
    ==================================================== ==========
    boolean                                              binary
    2 probabilities whose sum is 1, or 0 and 1           binary
    more of these, or an object of such probabilities    multiclass
    number with a fraction outside of [0, 1]             regression
    anything else                                        none
    ==================================================== ==========

    Never raises; pure. A number may be a class or an amount, a number within [0, 1] a probability or an amount, a text
    a class or an answer, and other lists may be sets of labels, amounts, items or scores.
    """
    predicted = _plain(prediction.value)
    if isinstance(predicted, dict):
        return "multiclass" if _is_distribution(list(predicted.values())) else None
    if isinstance(predicted, (list, tuple)):
        if len(predicted) < 2 or not (_is_distribution(predicted) or _is_one_hot(predicted)):
            return None
        return "binary" if len(predicted) == 2 else "multiclass"
    if isinstance(predicted, bool):
        return "binary"
    is_amount = isinstance(predicted, float) and finite(predicted) and not predicted.is_integer()
    return "regression" if is_amount and not is_nearly_within(predicted, predicted) else None


def _is_distribution(row: Sequence[Any]) -> bool:
    try:
        return (
            len(row) > 1
            and any(type(value) is float for value in row)
            and abs(math.fsum(row) - 1.0) <= SUM_TOLERANCE
            and is_nearly_within(min(row), max(row))
        )
    except (TypeError, ValueError, OverflowError):
        return False


def _is_one_hot(row: Sequence[Any]) -> bool:
    return all(type(value) is int and value in (0, 1) for value in row) and sum(row) == 1


def _plain(value: Any) -> Any:
    value = unwrap(value)
    if isinstance(value, str):
        figure = numeric_text(value)
        return value if figure is None else figure
    return value


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) for item in value)


def _for_lists(truth: Sequence[Any], prediction: Sequence[Any]) -> str:
    by_width = "binary" if len(prediction) == 2 else "multiclass"
    try:
        is_indicator = all(item in (0, 1) for item in truth)
        ones, total = math.fsum(truth), math.fsum(prediction)
        within = is_nearly_within(min(prediction), max(prediction))
        is_distribution = abs(total - 1.0) <= SUM_TOLERANCE
        is_soft = is_nearly_within(min(truth), max(truth)) and abs(ones - 1.0) <= SUM_TOLERANCE
    except (TypeError, ValueError, OverflowError):
        return by_width
    if len(truth) != len(prediction):
        return by_width
    if is_indicator:
        return "multilabel" if ones != 1 or (within and not is_distribution) else by_width
    return by_width if is_soft and within and is_distribution else "regression"


def _for_row(truth: Any, prediction: Sequence[Any], names: tuple[str, ...]) -> str:
    if len(prediction) != 2:
        return "multiclass"
    fits = truth in names if isinstance(truth, str) and names else truth in (0, 1) or isinstance(truth, str)
    return "binary" if fits or str(truth) in names else "multiclass"


def _for_scalars(truth: Any, prediction: Any) -> str:
    if isinstance(truth, str) or isinstance(prediction, str):
        if not isinstance(truth, str) or not isinstance(prediction, str):
            return "multiclass"
        if is_structured(truth) != is_structured(prediction):
            # It raises UnscorableError with the reason; as texts the two would be compared, and never be equal.
            return "multiclass"
        return "text" if _is_long(truth) or _is_long(prediction) else "multiclass"
    if not isinstance(truth, (int, float)) or not isinstance(prediction, (int, float)):
        return "multiclass"
    if truth in (0, 1) and is_nearly_within(prediction, prediction):
        return "binary"
    whole = all(finite(value) and value == int(value) for value in (truth, prediction))
    return "multiclass" if whole else "regression"


def _is_long(text: str) -> bool:
    return len(text) > _LONG_CHARACTERS or "\n" in text or text.count(" ") >= _LONG_WORDS
