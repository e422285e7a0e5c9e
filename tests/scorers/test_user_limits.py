"""What a user's own scorer may return, at the last value on each side, and how scorers are named and built."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from request_logger.scoring import user_scorers
from request_logger.scoring.registry import ALIASES, ScorerError, build, parse, scorer_class
from scorers.base import Row, UnscorableError


class Returns:
    """A scorer that returns what it was given."""

    def __init__(self, found: Any, name: Any = "mine") -> None:
        self.found, self.name = found, name

    def score(self, truth: Row, prediction: Row) -> Any:
        return self.found


def stored(found: Any) -> dict[str, Any]:
    return user_scorers.run(Returns(found), Row(1), Row(1))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**63, 2.0**63),
        (-(2**63), -(2.0**63)),
        ("x" * 8000, "x" * 8000),
        (True, True),
        ([1.5, math.nan, None, "a"], [1.5, "a"]),
        ([0.0] * 10_000, [0.0] * 10_000),
        (np.zeros(10_000), [0.0] * 10_000),
        (np.float64(0.25), 0.25),
        ({1}, [1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kept(value: Any, kept: Any) -> None:
    found = stored({"a": value})["a"]
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize("value", [None, math.nan, -math.inf, 10**400])
def test_left_out(value: Any) -> None:
    """No JSON number, or none at all: the other fields are kept."""
    assert stored({"a": value, "b": 1}) == {"b": 1}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([1], "expected a dict of fields"),
        ({f"f{k}": k for k in range(201)}, "more than 200 fields"),
        ({"x" * 201: 1}, "a field whose name is no text of 1 to 200 characters"),
        ({" .": 1}, "a field whose name is no text"),
        ({1: 1}, "a field whose name is no text"),
        ({"a": "x" * 8001}, "a text of more than 8000 characters"),
        ({"a": [0] * 10_001}, "a list of more than 10000 values"),
        ({"a": np.zeros(10_001)}, "a field that is neither a number"),
        ({"a": {"b": 1}}, "a field that is neither a number"),
        ({"a": [[1]]}, "a field that is neither a number"),
        ({"a": object()}, "a field that is neither a number"),
    ],
)
def test_refused(found: Any, why: str) -> None:
    with pytest.raises(UnscorableError, match=why):
        stored(found)


def test_as_much_as_is_allowed() -> None:
    """Fields that scoring itself writes are not the scorer's to give, and a text named error is its reason."""
    fields = {f"f{k}": k for k in range(199)} | {"x" * 200: 1}
    assert stored(fields) == fields
    ours = ("scorer", "basis", "scored_at", "unscorable", "warning", "reward_agrees", "response_disagrees")
    ours += ("evaluated", "evaluation_labels", "evaluations")
    assert stored(dict.fromkeys(ours, 1) | {"error": "x", "a": 2}) == {"a": 2}
    assert stored({"error": 0.5}) == {"error": 0.5}


@pytest.mark.parametrize(
    ("name", "kept"), [("x" * 200, True), ("x" * 201, False), ("x", True), ("", False), (7, False)]
)
def test_names(name: Any, kept: bool) -> None:
    assert user_scorers.name_of(Returns({}, name)) == (name if kept else "Returns")


class WithoutReasonError(UnscorableError):
    """An error of a user's own, whose constructor leaves out the attributes."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnscorableError("about the pair", reason="x"), "x"),
        (UnscorableError("about the pair", reason="x" * 200), "x" * 200),
        (WithoutReasonError(), "scorer tests.scorers.test_user_limits.Raises raised WithoutReasonError"),
    ],
)
def test_reasons(error: UnscorableError, reason: str) -> None:
    """A reason of 1 to 200 characters is kept; an error without one is named by its type."""

    class Raises(Returns):
        def score(self, truth: Row, prediction: Row) -> Any:
            raise error

    Raises.__qualname__ = "Raises"
    with pytest.raises(UnscorableError) as caught:
        user_scorers.run(Raises({}), Row(1), Row(1))
    assert caught.value.reason == reason


def test_a_useless_result_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason of the documents, which names the scorer."""
    user_scorers._warn_once.cache_clear()
    reasons = []
    for _ in range(3):
        with pytest.raises(UnscorableError) as caught:
            stored({"a": [[1]]})
        reasons.append(caught.value.reason)
    assert [record.getMessage() for record in caplog.records] == reasons[:1]


def test_a_response_that_a_scorer_can_not_read(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once with the place; nothing else is lost."""
    user_scorers._warn_once.cache_clear()

    class Reads(Returns):
        def prediction_fields(self, prediction: Row) -> Any:
            raise ValueError("about the response")

    Reads.__qualname__ = "Reads"
    assert user_scorers.read(Reads({}), Row(1)) == user_scorers.read(Reads({}), Row(2)) == {}
    said = r"scorer tests\.scorers\.test_user_limits\.Reads raised ValueError: the response has no prediction fields"
    (record,) = caplog.records
    assert re.fullmatch(rf"{said} at {re.escape(__file__)}:\d+", record.getMessage())


def test_an_object_whose_class_has_a_long_name() -> None:
    """No text is made of it, though its name is cut there."""
    for length in (99, 100, 101, 150):
        with pytest.raises(UnscorableError, match="a field that is neither a number"):
            stored({"a": type("X" * length, (), {})()})


def test_aliases() -> None:
    """Class paths of Seldon's MetricsServer stand for the scorers that compute the same."""
    found = {path.rpartition(".")[2]: scorer_class(path).__name__ for path in ALIASES}
    assert found == {
        "BinaryMetrics": "ByNumber",
        "MulticlassNumeric": "ByColumn",
        "MultiClassNumeric": "ByColumn",
        "MulticlassOneHot": "OneHot",
    }


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("binary", ("binary", {})),
        (" binary: ", ("binary", {})),
        ("binary:threshold=0.3, positive_label=1", ("binary", {"threshold": 0.3, "positive_label": "1"})),
        ("binary:probabilities=True,threshold=1", ("binary", {"probabilities": True, "threshold": 1})),
        ("multiclass:classes=no|yes", ("multiclass", {"classes": ["no", "yes"]})),
        ("ranking:k=5,other=x", ("ranking", {"k": 5, "other": "x"})),
        ("binary:probabilities=perhaps", ("binary", {"probabilities": "perhaps"})),
    ],
)
def test_settings(setting: str, found: tuple[str, dict[str, Any]]) -> None:
    assert parse(setting) == found


@pytest.mark.parametrize("setting", ["binary:threshold", "binary:=1", "binary:threshold=1,,"])
def test_no_setting(setting: str) -> None:
    with pytest.raises(ScorerError, match="expected option=value"):
        parse(setting)


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"k": True}, ["option k must be int or null, not True"]),
        ({"k": "5", "x": 1}, ["option k must be int or null, not '5'", "unknown option 'x': Ranking has k, scores"]),
        ({"k": 0}, ["option k"]),
    ],
)
def test_wrong_options(options: dict[str, Any], problems: list[str]) -> None:
    """A line each."""
    with pytest.raises(ScorerError) as caught:
        build("ranking", options)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(problems)
    assert all(line.startswith(problem) for line, problem in zip(lines, problems, strict=True))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "unknown scorer 'nothing': there are binary, .* or a dotted path"),
        ("math.pi", "is not a class with a method score or transform"),
        ("decimal.Decimal", "is not a class with a method score or transform"),
        ("math.nothing", "can't be imported"),
        ("nothing.at.all", "can't be imported"),
    ],
)
def test_no_scorer(name: str, why: str) -> None:
    with pytest.raises(ScorerError, match=why):
        scorer_class(name)
