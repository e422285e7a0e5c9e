"""The pair of a document: what its scorer compares is what an export shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from request_logger.scoring.reasons import PairReason, PairWarning
from request_logger.scoring.score import pair, score
from scorers.base import Row


class Recording:
    """Chooses itself, and records what it compares."""

    name = "recording"

    def __init__(self) -> None:
        self.seen: list[tuple[Row | None, Row | None]] = []
        self.named: list[tuple[str, ...]] = []

    def choose(self, *arguments: Any) -> Recording:
        self.named.append(arguments[:4])
        return self

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        self.seen.append((truth, prediction))
        return {"correct": 1}


def ndarray(rows: Any, names: list[str] | None = None) -> dict[str, Any]:
    return {"data": {"ndarray": rows, **({"names": names} if names else {})}}


def document(response: Any = None, /, **feedback: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"feedback": feedback}
    if response is not None:
        made["response"] = response
    return made


DOCUMENTS = [
    (document({"instance": [0.2, 0.8]}, truth=ndarray([1])), Row(1), Row([0.2, 0.8])),
    (document({"instance": 3, "names": ["a"]}, truth=ndarray([[2]], ["x"])), Row([2], ("x",)), Row(3, ("a",))),
    (document({"instance": 3, "names": ["a", 1]}, truth=ndarray([2])), Row(2), Row(3)),
    (document({"instance": 3, "names": "ab"}, truth=ndarray([2])), Row(2), Row(3)),
    (document({"instance": [0.1, 0.2, 0.7]}, truth=ndarray([0, 0, 1])), Row([0, 0, 1]), Row([0.1, 0.2, 0.7])),
    (document({"instance": [0.1, 0.9]}, truth=ndarray([0, 0, 1])), Row(0), Row([0.1, 0.9])),
    (document({"instance": [0.1, 0.9]}, truth=ndarray([[0, 1], [1, 0]])), Row([0, 1]), Row([0.1, 0.9])),
    (document({"instance": 3}, truth=ndarray([5, 6, 7]), item=1, items=3), Row(6), Row(3)),
    (document(None, truth=ndarray([5, 6]), response=ndarray([7, 8]), item=1, items=2), Row(6), Row(8)),
    (document({"instance": 3}, truth=ndarray([5]), response=ndarray([7])), Row(5), Row(3)),
]


@pytest.mark.parametrize(("made", "truth", "prediction"), DOCUMENTS)
def test_what_is_compared(made: dict[str, Any], truth: Row, prediction: Row) -> None:
    """The stored response before the feedback's, and the row of the feedback; a flat truth can be one row."""
    recording = Recording()
    found = score(made, recording)
    assert found is not None
    assert recording.seen == [(truth, prediction)]
    assert pair(made) == (truth, prediction)
    assert (found["scorer"], found["basis"], found["correct"]) == ("recording", "truth", 1)


def test_extra_rows_and_another_response_are_noted() -> None:
    """They don't keep the pair from being scored."""
    noted = score(document({"instance": [0.1, 0.9]}, truth=ndarray([0, 0, 1])), Recording())
    assert noted is not None
    assert noted["warning"] == PairWarning.TRUTH_LONG
    alike, differs = (
        score(document({"instance": 3.0}, truth=ndarray([5]), response=ndarray([value])), Recording())
        for value in (3, 7)
    )
    assert alike is not None and differs is not None
    assert "response_disagrees" not in alike
    assert "warning" not in alike
    assert differs["response_disagrees"] is True


@pytest.mark.parametrize(
    ("made", "reason", "pair_is"),
    [
        (document({"instance": 3}, undecodable="?"), PairReason.FEEDBACK_UNDECODABLE, (None, Row(3))),
        (document({"instance": 3}), PairReason.NOTHING_SAID, (None, Row(3))),
        (document({"instance": 3}, truth={"data": 7}), PairReason.TRUTH_UNDECODABLE, (None, Row(3))),
        (
            document({"instance": 3}, truth=ndarray([1, 2]), item=2, items=3),
            PairReason.TRUTH_SHORT,
            (None, Row(3)),
        ),
        (
            document({"instance": 3}, reward=[1, 0], item=2, items=3),
            PairReason.REWARD_SHORT,
            (None, Row(3)),
        ),
        (document({"undecodable": "?"}, truth=ndarray([1])), PairReason.RESPONSE_UNDECODABLE, (Row(1), None)),
        (document({"payload_dropped": {}}, truth=ndarray([1])), PairReason.RESPONSE_DROPPED, (Row(1), None)),
        (document({"names": []}, truth=ndarray([1])), PairReason.RESPONSE_WITHOUT_INSTANCE, (Row(1), None)),
        (
            document(None, truth=ndarray([1]), response={"data": 7}),
            PairReason.FEEDBACK_RESPONSE_UNDECODABLE,
            (Row(1), None),
        ),
        (
            document({"undecodable": "?"}, truth=ndarray([1]), response={"data": 7}),
            PairReason.RESPONSE_UNDECODABLE,
            (Row(1), None),
        ),
    ],
)
def test_no_pair(made: dict[str, Any], reason: PairReason, pair_is: Any) -> None:
    """The reason is a fixed text, under both names; what there is of the pair is still shown."""
    recording = Recording()
    found = score(made, recording)
    assert found is not None
    assert (found["unscorable"], found["error"]) == (reason, reason)
    assert recording.seen == []
    assert pair(made) == pair_is


def test_no_response_is_no_metrics() -> None:
    """The pair may be completed later; a response of the feedback that lacks the row is none."""
    assert score(document(None, truth=ndarray([1])), Recording()) is None
    found = document(None, truth=ndarray([1, 2]), response=ndarray([7]), item=1, items=2)
    assert score(found, Recording()) is None
    assert pair(found) == (Row(2), None)


@pytest.mark.parametrize(
    ("reward", "row", "stored"),
    [(1, 0, 1.0), ([1, 0.5], 1, 0.5), (True, 0, None), ([True, 2], 1, 2.0), (None, 0, None), (math.nan, 0, None)],
)
def test_rewards(reward: Any, row: int, stored: float | None) -> None:
    """A number, that of the row where there are several; a boolean isn't one, and what isn't finite is warned of."""
    found = score(document({"instance": 3}, truth=ndarray([3, 3]), reward=reward, item=row, items=2), Recording())
    assert found is not None
    assert found.get("reward") == stored
    assert found.get("warning") == (PairWarning.REWARD_NOT_FINITE if isinstance(reward, float) else None)


def test_reward_instead_of_a_truth() -> None:
    """It is what the scorer gets as the truth, the row's own where there are several."""
    recording = Recording()
    found = score(document({"instance": 3}, reward=[1, 0.5], item=1, items=2), recording)
    assert found is not None
    assert found["basis"] == "reward"
    assert recording.seen == [(Row(0.5), Row(3))]


@pytest.mark.parametrize(("row", "counted"), [(0, True), (1, False)])
def test_custom_metrics_of_a_batch_are_counted_once(row: int, counted: bool) -> None:
    """In its first row; feedback of such metrics alone is not scored."""
    metrics = [{"key": "hits", "value": 2}]
    alone = score(document({"instance": 3}, metrics=metrics, item=row, items=2), Recording())
    assert ((alone or {}).get("counter__hits") == 2.0) is counted
    assert "scorer" not in (alone or {})
    both = score(document({"instance": 3}, metrics=metrics, truth=ndarray([3, 3]), item=row, items=2), Recording())
    assert both is not None
    assert both["correct"] == 1
    assert ("counter__hits" in both) is counted
    rewarded = score(document({"instance": 3}, metrics=metrics, reward=1), Recording())
    assert rewarded is not None
    assert rewarded["basis"] == "reward"


def test_origin_of_a_document() -> None:
    """The scorer is chosen by namespace, deployment, predictor and model; what is no text is empty."""
    recording = Recording()
    names = {"Ce-Namespace": "n", "Ce-Inferenceservicename": "d", "Ce-Endpoint": "p", "Ce-Modelid": "m"}
    made = document({"instance": 3}, truth=ndarray([3]))
    score({**names, **made}, recording)
    score({**names, "Ce-Endpoint": 7, **made}, recording)
    score(made, recording)
    assert recording.named == [("n", "d", "p", "m"), ("n", "d", "", "m"), ("", "", "", "")]


class Broken(dict[str, Any]):
    """A document that can't be read."""

    def get(self, *_: Any) -> Any:
        raise LookupError("secret")

    def __iter__(self) -> Iterator[str]:
        raise LookupError("secret")


def test_a_defect_in_scoring_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    """The thread that stores events goes on; the log has the traceback, the document the type of the error."""
    found = score(Broken(feedback={}), Recording())
    assert found == {"error": "scoring raised LookupError", "unscorable": "scoring raised LookupError"}
    assert "a document could not be scored" in caplog.text


def test_a_chooser_that_raises() -> None:
    """The type of its error is the reason."""

    class Raising(Recording):
        def choose(self, *arguments: Any) -> Recording:
            raise KeyError(arguments)

    found = score(document({"instance": 3}, truth=ndarray([3])), Raising())
    assert found is not None
    assert found["unscorable"] == "the choice of a scorer raised KeyError"
