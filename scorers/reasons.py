"""The reasons why a pair can't be scored: fixed texts, so that documents can be counted by them.

The texts are stored in an indexed field, so they have no content of a pair. docs/scorers.md lists each of them.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reasons of the built-in scorers."""

    NOT_A_CLASS = "a class is expected to be a number, a text or a boolean"
    CLASSES_NOT_CONNECTED = (
        "the truth and the prediction are a class name and an index that nothing connects: set the option classes"
    )
    POSITIVE_UNKNOWN = "either class may be the positive one: set the option positive_label"
    INDICATOR_UNKNOWN = "the lists may be rows of 0 and 1 or sets of class indexes: set the option indicator"
    SCORES_UNKNOWN = "the list of whole numbers may have scores or items: set the option scores"
    TRUTH_NULL = "the truth is null"
    TRUTH_EMPTY = "the truth is empty"
    TRUTH_NOT_NUMBER = "the truth is not a number"
    TRUTH_NOT_FINITE = "the truth is not a finite number"
    TRUTH_NOT_NUMBERS = "the truth has a column that is not a finite number"
    TRUTH_NOT_ONE_CLASS = "the truth names no class or several: multilabel scores sets of labels"
    TRUTH_STRUCTURED = "the truth is structured text, not a class name"
    TRUTH_LONG_TEXT = "the truth is text of more than 512 characters, not a class name"
    TRUTH_NEITHER_CLASS = "the truth is neither of the two classes"
    TRUTH_NOT_AMONG_CLASSES = "the truth is none of the classes"
    TRUTH_NO_COLUMN = "the truth is no index of the prediction's columns, counted from 0: set the option classes"
    TRUTH_BETWEEN_CLASSES = "the truth is a number between 0 and 1, not a class: set the option classes"
    TRUTH_NOT_INDICATOR = "the truth has other values than 0 and 1"
    TRUTH_NOT_TEXT = "the truth is not a text"
    TRUTH_NOT_RELEVANT = "the truth names no relevant item"
    TRUTH_GAIN_BELOW_ZERO = "the truth has a gain below 0"
    TRUTH_TOO_LARGE = "the truth is too large to be squared or added up"
    TRUTH_BEYOND_LEVELS = "the truth is beyond the greatest level"
    PREDICTION_NULL = "the prediction is null"
    PREDICTION_EMPTY = "the prediction is empty"
    PREDICTION_NOT_NUMBER = "the prediction is not a number"
    PREDICTION_NOT_FINITE = "the prediction is not a finite number"
    PREDICTION_NOT_NUMBERS = "the prediction has a column that is not a finite number"
    PREDICTION_STRUCTURED = "the prediction is structured text, not a class name"
    PREDICTION_LONG_TEXT = "the prediction is text of more than 512 characters, not a class name"
    PREDICTION_NOT_TWO_COLUMNS = "the prediction has other columns than 1 or 2: use the scorer multiclass"
    PREDICTION_NOT_PROBABILITY = "the prediction is not within [0, 1]: set logits where it is a logit"
    PREDICTION_NOT_AMONG_CLASSES = "the prediction is none of the classes"
    PREDICTION_BETWEEN_CLASSES = (
        "the prediction is a number between 0 and 1, not a class: use the scorer binary or regression"
    )
    PREDICTION_NOT_INDICATOR = "the prediction has other values than 0 and 1"
    PREDICTION_NOT_TEXT = "the prediction is not a text"
    PREDICTION_NOT_RANKED = "the prediction is empty or has an item twice"
    PREDICTION_TOO_LARGE = "the prediction is too large to be added up"
    PREDICTION_BEYOND_LEVELS = "the prediction is beyond the greatest level"
    ERROR_TOO_LARGE = "the error between truth and prediction is too large to be squared"
    LENGTHS_DIFFER = "the truth and the prediction have different numbers of values"
    COLUMNS_NOT_CLASSES = "the rows have another number of columns than the option classes has names"
    COLUMNS_NOT_NAMED = "labels on one side and a row on the other that nothing names: set the option classes"
    REWARD_NOT_NUMBER = "the reward is not a number"
    REWARD_NOT_FINITE = "the reward is not a finite number"
    VALUE_NOT_NUMBER = "a value is not a number"
    VALUE_NOT_FINITE = "a value is not a finite number"
    VALUE_NOT_NUMBERS = "a list has a column that is not a finite number"
    VALUE_TOO_LARGE = "the numbers of a list are too large to be added up"


_SIDES = {"truth": "TRUTH", "gain": "TRUTH", "prediction": "PREDICTION", "score": "PREDICTION", "reward": "REWARD"}


def of_side(what: str, kind: str) -> Reason:
    """Return the reason ``kind`` (such as ``NOT_NUMBER``) for the value ``what``: ``truth``, ``score of ...``.

    A value that is not of a truth, a prediction or a reward is called "a value".
    """
    side = _SIDES.get(what.partition(" ")[0], "VALUE")
    return Reason.__members__.get(f"{side}_{kind}") or Reason[f"VALUE_{kind}"]
