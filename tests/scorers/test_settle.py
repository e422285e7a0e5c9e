"""A document's `metrics` when it is written: made, kept as they are, replaced, or taken away."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.common.mapped_fields import DELAY
from request_logger.documents.folds import fold_of
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import id_of, pair, row_position, settler
from scorers.base import Row

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


def test_only_metrics_are_added_by_default() -> None:
    """Without AUDIT_RATE no document is in an audit; one without a request id has no fold."""
    document = {"response": RESPONSE, "feedback": FEEDBACK, "@timestamp": OLD["scored_at"]}
    assert SETTLE(document).keys() - document.keys() == {"metrics", "prediction"}
    named = {**document, "RequestId": "r", "x": "y"}
    assert SETTLE(named).keys() - named.keys() == {"metrics", "prediction", "fold"}
    assert SETTLE(named)["fold"] == fold_of("r")
    assert "warning" not in SETTLE({**document, "feedback": {"reward": 1}})["metrics"]


@pytest.mark.parametrize(
    ("feedback", "delay"),
    [
        (FEEDBACK, 2.5),
        ({"truth": "no class"}, 2.5),
        ({"reward": 1}, 2.5),
        ({"undecodable": "it is cut off"}, 2.5),
        ({"metrics": [{"key": "clicks", "type": "COUNTER", "value": 1}]}, None),
    ],
    ids=["truth", "unscorable", "reward", "undecodable", "custom metrics"],
)
def test_a_truth_or_a_reward_has_its_delay(feedback: dict[str, Any], delay: float | None) -> None:
    """Whether or not the pair can be scored; custom metrics alone are no label."""
    times = {"@timestamp": "2026-01-01T00:00:00.000Z", "response": RESPONSE}
    found = SETTLE({**times, "feedback": {**feedback, "ce-time": "2026-01-01T00:00:02.500Z"}})["metrics"]
    assert found.get(DELAY) == delay
    assert ("unscorable" in found) == (feedback == {"truth": "no class"} or "undecodable" in feedback)
    assert "warning" not in found


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"RequestId": "r", "feedback": {}}, "r"),
        ({"RequestId": "r", "feedback": {"item": 0, "items": 1}}, "r"),
        ({"RequestId": "r", "feedback": {"item": 0, "items": 2}}, "r:0"),
        ({"RequestId": "r", "feedback": {"item": 1, "items": 2}}, "r:1"),
        ({"RequestId": 7, "feedback": {"item": 1, "items": 2}}, ":1"),
    ],
)
def test_each_row_of_a_batch_has_an_id_of_its_own(document: dict[str, Any], expected: str) -> None:
    """By which the sample of pairs is chosen: the rows of one request are not all in it, or all left out."""
    assert id_of(document) == expected


def test_a_row_whose_messages_are_its_own() -> None:
    """Truth and response of such a feedback have one row, whichever row of the batch it is for."""
    own = {"item": 2, "items": 3, "body_item": 0, "truth": {"data": {"ndarray": [1]}}}
    own["response"] = {"data": {"ndarray": [0.3, 0.7]}}
    assert SETTLE({"feedback": own})["metrics"]["correct"] == 1
    shared = {**own, "body_item": 2}
    assert "metrics" not in SETTLE({"feedback": shared})
    assert "unscorable" in SETTLE({"response": RESPONSE, "feedback": shared})["metrics"]


@pytest.mark.parametrize(
    ("truth", "prediction", "row", "surplus"),
    [
        ([0, 0, 1], [0.2, 0.3, 0.5], [0, 0, 1], False),
        ([0, [0], 1], [0.2, 0.3, 0.5], 0, True),
        ([0, 1], [0.2, 0.3, 0.5], 0, True),
        ([1], [0.7], 1, False),
        ([0, 1], [0.2, 0.8], [0, 1], False),
    ],
)
def test_a_flat_truth_for_one_prediction(truth: list[Any], prediction: list[float], row: Any, surplus: bool) -> None:
    """As many numbers as the prediction has columns are one row of them; anything else is a batch."""
    document = {"response": {"instance": prediction}, "feedback": {"truth": {"data": {"ndarray": truth}}}}
    assert pair(document) == (Row(row), Row(prediction))
    assert ("warning" in settler(Chooser("multiclass", None))(document)["metrics"]) == surplus


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
