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

.. [1] multiclass where the truth is a whole number other than 0 and 1, or a text that isn't a class name of the pair.

For a record as text (JSON, a Python literal, a tensor) and other text it is multiclass, which reports why they can't be
compared.

A list of one counts as its element, and numeric text as the number. One pair may look like another task's: the classes
0 and 1 of ten look binary, and ratings that happen to be whole numbers like classes. :func:`decided` therefore takes
the forms of all pairs of a deployment (:mod:`scorers.forms`): of the scorers that they have alone, the most general one
that reads a pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from scorers.base import Row, finite
from scorers.forms import READINGS, Form, form_of, plain
from scorers.probabilities import SUM_TOLERANCE, is_nearly_within

SCORERS = ("reward", "ranking", "multilabel", "binary", "multiclass", "regression", "text")
GENERALITY = ("binary", "multiclass", "multilabel", "ranking", "regression", "text")
"""Of two scorers for one deployment, the later one here reads the pairs of the earlier one, too."""

_TEXTS = frozenset({Form.TEXT, Form.ITEM, Form.LONG_TEXT})
_DIGITS = frozenset({Form.DIGITS_01, Form.DIGITS_SCORE, Form.DIGITS_WHOLE, Form.DIGITS_AMOUNT})
_SCORES = frozenset({Form.SCORE, Form.DIGITS_SCORE})
_CODES = frozenset({Form.WHOLE_CODE, Form.CODE})
_WHOLES = frozenset({Form.WHOLE, Form.DIGITS_WHOLE})
_ANSWERS = frozenset({Form.WHOLE_01, Form.DIGITS_01})


class Decision(NamedTuple):
    """A scorer, and whether it takes all of the deployment's predictions for probabilities."""

    scorer: str
    probabilities: bool = False


def scorer_name(truth: Row | None, prediction: Row | None) -> str:
    """Return the name of the scorer for a pair alone, by the table above. Never raises; pure."""
    return "reward" if truth is None or prediction is None else READINGS[form_of(truth, prediction)].alone


def most_general(scorers: Iterable[str]) -> str:
    """Return that of several scorers which reads the pairs of all; of those that ``auto`` never chooses, the first."""
    return max(scorers, key=lambda name: GENERALITY.index(name) if name in GENERALITY else -1)


@lru_cache(maxsize=4096)
def decided(form: Form, shown: frozenset[Form]) -> Decision:
    """Return the decision on pairs of a form, in a deployment whose pairs have shown these forms. Pure.

    ===================================== ==================================================================
    shown                                 reading
    ===================================== ==================================================================
    scores, and whole numbers beyond 0, 1 numbers are amounts (regression)
    scores, and codes as truths           the truths 0 and 1 are the classes, so binary; a code is unscorable
    scores                                predictions of exactly 0 and 1 are probabilities, too
    texts                                 numbers written as text are texts
    anything else                         the most general of the forms' scorers that reads the pair
    ===================================== ==================================================================

    A form of which no scorer of the deployment reads any pair is decided alone.
    """
    has_scores = not shown.isdisjoint(_SCORES)
    counted = shown - _CODES if has_scores else shown
    if not counted.isdisjoint(_TEXTS):
        counted -= _DIGITS
    scorers = {READINGS[each].alone for each in counted}
    if has_scores and not counted.isdisjoint(_WHOLES):
        scorers.add("regression")
    readers = scorers & READINGS[form].scorers
    scorer = most_general(sorted(readers)) if readers else READINGS[form].alone
    return Decision(scorer, probabilities=scorer == "binary" and has_scores and form in _ANSWERS)


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
    predicted = plain(prediction.value)
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
            and float in map(type, row)
            and abs(math.fsum(row) - 1.0) <= SUM_TOLERANCE
            and is_nearly_within(min(row), max(row))
        )
    except (TypeError, ValueError, OverflowError):
        return False


def _is_one_hot(row: Sequence[Any]) -> bool:
    return all(type(value) is int and value in (0, 1) for value in row) and sum(row) == 1
