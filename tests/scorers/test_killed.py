"""A thread that is ended ends, also inside of user code: gevent's GreenletExit is no error of a scorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gevent import GreenletExit

from request_logger.scoring import user_scorers
from request_logger.scoring.legacy import LegacyScorer
from request_logger.scoring.predictions import with_prediction
from request_logger.scoring.score import score
from scorers.base import Row

PAIR: dict[str, Any] = {"response": {"instance": 1}, "feedback": {"truth": {"data": {"ndarray": [1]}}}}


class Ends:
    """User code that is interrupted, wherever it is."""

    @property
    def name(self) -> str:
        raise GreenletExit

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        raise GreenletExit

    def prediction_fields(self, prediction: Row) -> Any:
        raise GreenletExit

    def transform(self, truth: Any, response: Any, request: Any) -> Any:
        raise GreenletExit

    def choose(self, *_: Any) -> Any:
        raise GreenletExit

    def get(self, *_: Any) -> Any:
        raise GreenletExit


class Chooses:
    """A chooser that always chooses the same scorer."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer

    def choose(self, *_: Any) -> Any:
        return self._scorer


class Unreadable(Ends, dict[str, Any]):
    """A document during whose reading the thread ends."""


@pytest.mark.parametrize(
    "run",
    [
        lambda: user_scorers.name_of(Ends()),
        lambda: user_scorers.run(Ends(), Row(1), Row(1)),
        lambda: user_scorers.read(Ends(), Row(1)),
        lambda: LegacyScorer(Ends()).score(Row(1), Row(1)),
        lambda: score(PAIR, Ends()),
        lambda: score(PAIR, Chooses(Ends())),
        lambda: with_prediction({"response": Unreadable(instance=1)}, Chooses(Ends())),
        lambda: score(Unreadable(feedback={}), Chooses(Ends())),
    ],
    ids=["name", "score", "prediction fields", "transform", "choose", "whole", "response", "document"],
)
def test_the_thread_ends(run: Callable[[], Any]) -> None:
    """The document isn't stored with a wrong reason: its event isn't acknowledged, so the sender retries."""
    with pytest.raises(GreenletExit):
        run()
