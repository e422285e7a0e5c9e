"""A document's `metrics` when it is written: made, kept as they are, replaced, or taken away."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import row_position, settler

SETTLE = settler(Chooser("binary", None))
RESPONSE = {"instance": [0.2, 0.8]}
FEEDBACK = {"truth": {"data": {"ndarray": [1]}}}
OLD = {"scorer": "binary", "correct": 0, "scored_at": "2020-01-01T00:00:00.000Z"}


def test_a_pair_is_scored() -> None:
    """With its time, in a document of its own."""
    document: dict[str, Any] = {"response": RESPONSE, "feedback": FEEDBACK}
    found = SETTLE(document)
    assert (found["metrics"]["scorer"], found["metrics"]["correct"]) == ("binary", 1)
    assert found["metrics"]["scored_at"] > OLD["scored_at"]
    assert "metrics" not in document


def test_what_is_scored_as_before_keeps_its_time() -> None:
    """The document is the same one, so that nothing is written."""
    document = SETTLE({"response": RESPONSE, "feedback": FEEDBACK})
    document["metrics"]["scored_at"] = OLD["scored_at"]
    assert SETTLE(document) is document


def test_other_metrics_replace_what_was_there() -> None:
    """All of it: nothing of the old ones is left."""
    found = SETTLE({"response": RESPONSE, "feedback": FEEDBACK, "metrics": {**OLD, "of_another_scorer": 1}})
    assert found["metrics"]["correct"] == 1
    assert "of_another_scorer" not in found["metrics"]
    assert found["metrics"]["scored_at"] > OLD["scored_at"]


@pytest.mark.parametrize("rest", [{"response": RESPONSE}, {"request": RESPONSE}, {"feedback": FEEDBACK}])
def test_what_is_no_pair_any_more_has_no_metrics(rest: dict[str, Any]) -> None:
    """Those of an earlier pair go, and a document without any stays the same one."""
    settled = SETTLE({**rest, "metrics": OLD})
    assert settled == SETTLE(rest)
    assert "metrics" not in settled
    assert SETTLE(settled) is settled


@pytest.mark.parametrize(("reward", "agrees"), [(1, True), (0, False), (1.0, True), (2, None), (0.5, None)])
def test_rewards_of_right_and_wrong_are_compared(reward: float, agrees: bool | None) -> None:
    """A reward of 0 or 1 says whether the answer was right; any other says something else."""
    found = SETTLE({"response": RESPONSE, "feedback": {**FEEDBACK, "reward": reward}})["metrics"]
    assert found["reward"] == reward
    assert found.get("reward_agrees") is agrees


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ({}, (0, 1)),
        ({"item": 0}, (0, 1)),
        ({"item": 2, "items": 3}, (2, 3)),
        ({"item": 3, "items": 3}, (0, 1)),
        ({"item": 1}, (0, 1)),
        ({"item": -1, "items": 3}, (0, 1)),
        ({"item": True, "items": 3}, (0, 1)),
        ({"item": 1, "items": "3"}, (0, 1)),
        ({"item": 0, "items": 0}, (0, 0)),
    ],
)
def test_which_row_a_feedback_is_for(feedback: dict[str, Any], expected: tuple[int, int]) -> None:
    """That which it says, the only one of one where it says nothing that makes sense."""
    assert row_position(feedback) == expected
