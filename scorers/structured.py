"""Detects text that can't be a class name: a record in text form, or a very long answer."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

from scorers.base import UnscorableError
from scorers.reasons import Reason, of_side

# Class names are at most this long: see `labels.MAX_LABEL`. The reasons mention this number.
MAX_NAME_CHARACTERS = 512
# Parsing a longer text as a literal takes too long: if it has the brackets of a record, it counts as one.
_MAX_CHARACTERS = 20_000
_SCORED = re.compile(r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?:\d+(?::.*)?", re.DOTALL)
_TENSOR = re.compile(r"(?:tensor|array)\(.*\)", re.DOTALL)


def check_comparable_text(truth: Any, prediction: Any) -> None:
    """Raise UnscorableError if one side is structured or very long text, and the other isn't.

    Such a text can't be a class name: it would count as a wrong answer, and as an additional class. If both sides have
    the same form, they are compared.
    """
    if not (_has_text(truth) or _has_text(prediction)):
        return
    what = _only_one(is_structured, truth, prediction)
    if what:
        raise UnscorableError(f"the {what} is structured text", reason=of_side(what, "STRUCTURED"))
    what = _only_one(_is_long, truth, prediction)
    if what:
        raise UnscorableError(f"the {what} is too long for the name of a class", reason=of_side(what, "LONG_TEXT"))


def check_class_text(prediction: Any) -> None:
    """Raise UnscorableError if a prediction is, or has, text that can't be a class name."""
    if not _has_text(prediction):
        return
    if _any(is_structured, prediction):
        raise UnscorableError("the prediction is structured text", reason=Reason.PREDICTION_STRUCTURED)
    if _any(_is_long, prediction):
        text = "the prediction is too long for the name of a class"
        raise UnscorableError(text, reason=Reason.PREDICTION_LONG_TEXT)


def _only_one(judge: Callable[[str], bool], truth: Any, prediction: Any) -> str:
    """Return the only side for which a predicate holds; empty if it holds for both or neither."""
    of_truth, of_prediction = _any(judge, truth), _any(judge, prediction)
    return "" if of_truth == of_prediction else "truth" if of_truth else "prediction"


def is_structured(text: str) -> bool:
    """Return whether text is a JSON or Python literal of a list or object, a tensor, or a class with its score."""
    text = text.strip()
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
        return len(text) > _MAX_CHARACTERS or _is_literal(text)
    return bool(_SCORED.fullmatch(text) or _TENSOR.fullmatch(text))


def _is_long(text: str) -> bool:
    return len(text) > MAX_NAME_CHARACTERS


def _has_text(value: Any) -> bool:
    """Return whether there is text to check; a row of numbers, which may be long, has none."""
    return isinstance(value, str) or (isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], str))


def _any(judge: Any, value: Any) -> bool:
    if isinstance(value, str):
        return bool(judge(value))
    return _has_text(value) and any(isinstance(item, str) and judge(item) for item in value)


def _is_literal(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        try:
            ast.literal_eval(_FLOATS.visit(ast.parse(text, mode="eval")))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return False
    return True


class _Floats(ast.NodeTransformer):
    """Replaces ``inf`` and ``nan``, which Python writes and doesn't read as literals, by a number."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Constant(0.0), node) if node.id in ("inf", "nan") else node


_FLOATS = _Floats()
