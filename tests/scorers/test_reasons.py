"""Reasons are fixed texts: each is in the docs, none has a value in it, and no other is ever stored."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from request_logger.scoring.reasons import MAX_REASON_CHARACTERS, PairReason, PairWarning
from request_logger.scoring.registry import build, registered
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score
from scorers.base import Row, UnscorableError, number
from scorers.labels import numbers
from scorers.reasons import Reason
from tests.scorers.test_binary import VALUES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scorers.md").read_text(encoding="utf-8")
KNOWN = {*map(str, Reason), *map(str, PairReason)}


def told(heading: str) -> set[str]:
    section = TEXT.split(f"\n{heading}\n")[1].split("\n#")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_every_reason_is_documented_and_no_other() -> None:
    """Those of user code are patterns: they name classes and types."""
    assert {reason for reason in told("## Reasons") if "<" not in reason and "..." not in reason} == KNOWN
    assert told("### Warnings") == set(map(str, PairWarning))


def test_reasons_are_short_and_different() -> None:
    """As keywords; two that are one could not be told apart."""
    texts = [*map(str, Reason), *map(str, PairReason)]
    assert len(set(texts)) == len(texts)
    texts += map(str, PairWarning)
    assert max(map(len, texts)) <= MAX_REASON_CHARACTERS
    assert all(len(enum.__members__) == len(list(enum)) for enum in (Reason, PairReason, PairWarning))


def test_every_error_of_a_scorer_has_a_reason() -> None:
    """An expression that gives a member of Reason, and never a text made at run time."""
    raised = [
        node
        for path in (ROOT / "scorers").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UnscorableError"
    ]
    assert raised
    for node in raised:
        (reason,) = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
        assert re.match(r"Reason\.[A-Z_]+$|of_side\(what, '[A-Z_]+'\)$", ast.unparse(reason)), ast.unparse(reason)


def test_every_reason_is_used() -> None:
    """One that nothing gives is a row of the docs that nobody can meet."""
    sources = [*(ROOT / "scorers").glob("*.py"), *(ROOT / "request_logger").rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    kinds = set(re.findall(r'of_side\(what, "([A-Z_]+)"\)', code))
    for reason in Reason:
        side, _, kind = reason.name.partition("_")
        assert f"Reason.{reason.name}" in code or (
            side in ("TRUTH", "PREDICTION", "REWARD", "VALUE") and kind in kinds
        ), reason
    for name in (*PairReason.__members__, *PairWarning.__members__):
        assert re.search(rf"(PairReason|PairWarning)\.{name}\b", code), name


@given(truth=VALUES, prediction=VALUES)
def test_no_reason_has_a_value(truth: Any, prediction: Any) -> None:
    """Whatever the pair, each scorer's reason is one of the fixed texts."""
    for name in registered():
        try:
            build(name, {}).score(Row(truth), Row(prediction))
        except UnscorableError as error:
            assert error.reason in KNOWN
    found = score({"response": {"instance": prediction}, "feedback": {"truth": truth}}, Chooser())
    assert found is not None
    assert found.get("unscorable", Reason.TRUTH_NULL) in KNOWN


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("truth", Reason.TRUTH_NOT_NUMBER),
        ("truth of output 3", Reason.TRUTH_NOT_NUMBER),
        ("score of secret", Reason.PREDICTION_NOT_NUMBER),
        ("gain of secret", Reason.TRUTH_NOT_NUMBER),
        ("reward", Reason.REWARD_NOT_NUMBER),
        ("price", Reason.VALUE_NOT_NUMBER),
        ("", Reason.VALUE_NOT_NUMBER),
    ],
)
def test_the_reason_of_a_number(what: str, reason: Reason) -> None:
    """By what it is of; anything that a scorer of one's own calls it is a value."""
    with pytest.raises(UnscorableError) as caught:
        number("text", what)
    assert caught.value.reason == reason
    for values in ([None], [1e308, 1e308]):
        with pytest.raises(UnscorableError) as caught:
            numbers(values, what)
        assert caught.value.reason in KNOWN


MARKER = "M4RKER"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"feedback": {"undecodable": MARKER}}, PairReason.FEEDBACK_UNDECODABLE),
        ({"feedback": {"note": MARKER}, "response": {"instance": MARKER}}, PairReason.NOTHING_SAID),
        ({"feedback": {"truth": []}, "response": {"instance": 1}}, PairReason.TRUTH_UNDECODABLE),
        ({"feedback": {"truth": {MARKER: 1}}, "response": {"instance": 1}}, PairReason.TRUTH_UNDECODABLE),
        ({"feedback": {"truth": [1], "item": 1, "items": 2}, "response": {"instance": 1}}, PairReason.TRUTH_SHORT),
        ({"feedback": {"reward": [1], "item": 1, "items": 2}, "response": {"instance": 1}}, PairReason.REWARD_SHORT),
        ({"feedback": {"truth": 1}, "response": {"undecodable": MARKER}}, PairReason.RESPONSE_UNDECODABLE),
        ({"feedback": {"truth": 1}, "response": {"payload_dropped": {"bytes": 1}}}, PairReason.RESPONSE_DROPPED),
        ({"feedback": {"truth": 1}, "response": {"dataType": MARKER}}, PairReason.RESPONSE_WITHOUT_INSTANCE),
        ({"feedback": {"truth": 1, "response": {MARKER: 1}}}, PairReason.FEEDBACK_RESPONSE_UNDECODABLE),
        ({"feedback": {"reward": MARKER}, "response": {"instance": 1}}, Reason.REWARD_NOT_NUMBER),
    ],
)
def test_why_there_is_no_pair(document: dict[str, Any], reason: str) -> None:
    """By the shape of the document; what is in it does not show."""
    found = score(document, Chooser())
    assert found is not None
    assert found["unscorable"] == found["error"] == reason
    assert type(found["unscorable"]) is str
    assert MARKER not in repr(found)


@pytest.mark.parametrize(
    ("feedback", "warning"),
    [
        ({"truth": [1, 2, 3]}, PairWarning.TRUTH_LONG),
        ({"truth": 1, "reward": MARKER}, PairWarning.REWARD_NOT_FINITE),
        ({"truth": 1, "reward": {MARKER: 1}}, PairWarning.REWARD_NOT_FINITE),
        ({"truth": 1, "metrics": MARKER}, f"metrics: {PairWarning.METRICS_NOT_LIST}"),
        ({"truth": 1, "metrics": [MARKER]}, f"metrics: {PairWarning.METRIC_WITHOUT_VALUE}"),
        (
            {"truth": 1, "metrics": [{"key": "k", "value": 1, "type": MARKER}]},
            f"metrics: {PairWarning.METRIC_KIND_UNKNOWN}",
        ),
        (
            {"truth": 1, "metrics": [{"key": MARKER * 2000, "value": 1}] * 2},
            f"metrics: {PairWarning.METRIC_TOO_LONG}",
        ),
        (
            {"truth": {"data": {"ndarray": [1]}, "meta": {"metrics": [MARKER]}}, "metrics": 3},
            [
                f"metrics: {PairWarning.METRICS_NOT_LIST}",
                f"truth.meta.metrics: {PairWarning.METRIC_WITHOUT_VALUE}",
            ],
        ),
    ],
)
def test_warnings_are_fixed_texts(feedback: dict[str, Any], warning: Any) -> None:
    """One, or a list of several."""
    found = score({"response": {"instance": 1}, "feedback": feedback}, Chooser())
    assert found is not None
    assert found["warning"] == warning
    assert MARKER not in repr(found)
