"""User code (scorers, choosers, decoders, schemas) does what it likes: the document is stored, and says what it did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.common.json import dumps, loads
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import merging
from request_logger.metadata import Schema
from request_logger.scoring import user_scorers
from request_logger.scoring.legacy import LegacyScorer
from request_logger.scoring.reasons import PairReason, is_code_error
from request_logger.scoring.score import score, settler
from request_logger.settings import Settings
from scorers.base import Row, UnscorableError

MARKER = "M4RKER"
DOCUMENT = {
    "@timestamp": "2026-01-01T00:00:00Z",
    "response": {"instance": 1.0, "ce-time": "2026-01-01T00:00:00Z"},
    "feedback": {"truth": 2, "reward": 1, "ce-time": "2026-01-02T00:00:00Z"},
}


def event(body: bytes = b'{"a": 1}') -> Event:
    headers = {"ce-type": "io.seldon.serving.inference.request", "ce-requestid": "r1"}
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


@dataclass
class Mine:
    """A scorer that does what a test wants."""

    act: Callable[[], Any]
    name: Any = "mine"
    metrics: Any = ()

    def score(self, truth: Row, prediction: Row) -> Any:
        return self.act()


class Choosing:
    """A chooser of one scorer."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def choose(self, *origin: Any) -> Any:
        if isinstance(self.scorer, BaseException):
            raise self.scorer
        return self.scorer


def metrics_of(scorer: Any) -> dict[str, Any]:
    """Score by every way there is: all give the same, and JSON."""
    chooser = Choosing(scorer)
    found = score(DOCUMENT, chooser)
    assert found is not None
    settle = settler(chooser)
    settled = settle(DOCUMENT)
    assert loads(dumps(settled["metrics"])) == settled["metrics"]
    assert {**settled["metrics"], "scored_at": 0} == {**found, "scored_at": 0}
    # What comes back from the engine is as it was: it is not written again.
    again = loads(dumps(settled))
    assert settle(again) is again
    merged = merging(settle)(again, {**again, "request": {"instance": 1}})
    assert merged is not None
    assert {**merged["metrics"], "scored_at": 0} == {**found, "scored_at": 0}
    return found


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def act() -> NoReturn:
        raise error

    return act


def endless() -> Any:
    return endless()


class OddError(BaseException):
    """No Exception at all."""


ERRORS: list[BaseException] = [
    ValueError(MARKER), KeyError(MARKER), AssertionError(), RecursionError(), MemoryError(), SystemExit(MARKER),
    KeyboardInterrupt(), GeneratorExit(), StopIteration(), OSError(MARKER), OddError(MARKER),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_scorer_that_raises(error: BaseException) -> None:
    """The type of the error is stored, and nothing that it says."""
    found = metrics_of(Mine(raising(error)))
    assert found["unscorable"] == found["error"] == f"scorer tests.test_user_code.Mine raised {type(error).__name__}"
    assert (found["scorer"], found["reward"]) == ("mine", 1.0)
    assert is_code_error(found["unscorable"])
    assert MARKER not in json.dumps(found)


def test_a_scorer_without_end() -> None:
    """It recurses until CPython stops it."""
    assert metrics_of(Mine(endless))["unscorable"].endswith(" raised RecursionError")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_choice_that_raises(error: BaseException) -> None:
    """So does what chooses."""
    assert metrics_of(error)["unscorable"] == f"the choice of a scorer raised {type(error).__name__}"
    assert is_code_error(metrics_of(error)["unscorable"])
    assert not any(map(is_code_error, PairReason))


def test_a_choice_of_nothing() -> None:
    """It has no method score."""
    assert metrics_of(None)["unscorable"] == "scorer builtins.NoneType raised AttributeError"


class Raiser:
    """Whose attributes raise."""

    @property
    def name(self) -> NoReturn:
        raise SystemExit

    def score(self, *pair: Any) -> dict[str, Any]:
        return {"correct": 1}


@pytest.mark.parametrize(
    ("scorer", "name"), [(Raiser(), "Raiser"), (Mine(dict, name=3), "Mine"), (Mine(dict, name="x" * 201), "Mine")]
)
def test_a_name_that_is_none(scorer: Any, name: str) -> None:
    """The class has one."""
    assert metrics_of(scorer)["scorer"] == name


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnscorableError(f"about {MARKER}", reason="the price is not above 0"), "the price is not above 0"),
        (UnscorableError(f"about {MARKER}"), "scorer tests.test_user_code.Mine raised UnscorableError"),
        (UnscorableError("", reason="x" * 201), "scorer tests.test_user_code.Mine raised UnscorableError"),
        (UnscorableError("", reason=3), "scorer tests.test_user_code.Mine raised UnscorableError"),  # type: ignore[arg-type]
        (UnscorableError("", reason="two\nlines"), "two lines"),
    ],
)
def test_a_reason_of_ones_own(error: UnscorableError, reason: str) -> None:
    """Only what is given as the fixed reason is stored."""
    assert metrics_of(Mine(raising(error)))["unscorable"] == reason


class OddDict(dict[Any, Any]):
    """A dict whose methods raise."""

    def __iter__(self) -> NoReturn:
        raise KeyboardInterrupt

    items = keys = values = get = __iter__  # type: ignore[assignment]


class OddText:
    """An object that no text can be made of."""

    def __str__(self) -> NoReturn:
        raise SystemExit

    __repr__ = __str__


class OddDecimal(Decimal):
    """A number that can't be looked at."""

    def is_finite(self) -> NoReturn:
        raise SystemExit


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.int64(3), 3), (np.float32(0.5), 0.5), (np.float64(0.25), 0.25), (np.bool_(True), True), (np.str_("a"), "a"),
        (Decimal("0.5"), 0.5), ({"b", "a"}, ["a", "b"]), (frozenset({2, 1}), [1, 2]), (("a", 1), ["a", 1]),
        (np.array([1.5, np.nan]), [1.5]), (np.array(2), 2), ([np.int8(1), None, float("inf")], [1]), (2**70, 2.0**70),
        ("\ud800", "?"), (True, True), (b"a", "a"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_become_plain(value: Any, stored: Any) -> None:
    """numpy's, sets and the like are what was meant."""
    found = metrics_of(Mine(lambda: OddDict(field=value)))
    assert found["field"] == stored
    assert type(found["field"]) is type(stored)


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf"), np.float64("nan"), Decimal("NaN"), 10**400])
def test_values_that_are_left_out(value: Any) -> None:
    """Absent means not applicable."""
    found = metrics_of(Mine(lambda: {"field": value, "correct": 1}))
    assert "field" not in found
    assert found["correct"] == 1


def many(count: int) -> dict[str, int]:
    return {f"f{number}": number for number in range(count)}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "a NoneType, expected a dict of fields"), ([1], "a list, expected a dict of fields"),
        (np.int64(1), "a int64, expected a dict of fields"), ("text", "a str, expected a dict of fields"),
        (SimpleNamespace(a=1), "a SimpleNamespace, expected a dict of fields"),
        (many(201), "more than 200 fields"), ({1: 1}, "a field whose name is no text of 1 to 200 characters"),
        ({"x" * 201: 1}, "a field whose name is no text of 1 to 200 characters"),
        ({"": 1}, "a field whose name is no text of 1 to 200 characters"),
        ({OddText(): 1}, "a field whose name is no text of 1 to 200 characters"),
        ({"a": "x" * 8001}, "a text of more than 8000 characters"),
        ({"a": ["x" * 8001]}, "a text of more than 8000 characters"),
        ({"a": [1] * 10_001}, "a list of more than 10000 values"),
        *(({"a": value}, "a field that is neither a number, a text, a boolean nor a list of these") for value in (
            {"b": 1}, OddDict(b=1), [[1]], [{"a": 1}], OddText(), OddDecimal(1), object(), complex(1), iter([1]),
            np.zeros((200, 200)), np.zeros((2, 2)))),
    ],
    ids=lambda value: str(type(value).__name__),
)  # fmt: skip
def test_results_that_are_refused(value: Any, found: str) -> None:
    """The class and what it returned, without a value."""
    metrics = metrics_of(Mine(lambda: value))
    assert metrics["unscorable"] == f"scorer tests.test_user_code.Mine returned {found}"
    assert metrics["scorer"] == "mine"


def test_the_most_that_is_taken() -> None:
    """The limits themselves are fine."""
    found = metrics_of(Mine(lambda: {**many(199), "x" * 200: ["y" * 8000] * 10}))
    assert "unscorable" not in found
    assert len(found) == 200 + len(["reward", "scorer", "basis", "delay_seconds"])
    assert len(metrics_of(Mine(lambda: {"labels": ["a"] * 10_000}))["labels"]) == 10_000


def test_fields_that_are_ours() -> None:
    """A scorer can't say that it could not score, nor when, nor how late the feedback was."""
    ours = dict.fromkeys(("unscorable", "scored_at", "warning", "error", "delay_seconds"), MARKER)
    found = metrics_of(Mine(lambda: {**ours, "a": 1}))
    assert found == {"reward": 1.0, "scorer": "mine", "basis": "truth", "a": 1, "delay_seconds": 86400.0}
    assert metrics_of(Mine(lambda: {"error": 0.5}))["error"] == 0.5


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.dates()
    | st.builds(OddText) | st.just(np.float32(1)) | st.builds(lambda: 10**5000) | st.just(object()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    | st.dictionaries(st.text(), inner).map(OddDict),
    max_leaves=10,
)  # fmt: skip


@given(anything)
def test_a_scorer_that_returns_anything(value: Any) -> None:
    """No exception, and JSON that is stored as it is."""
    metrics_of(Mine(lambda: value))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raising(ValueError(MARKER)), "raised ValueError"),
        (raising(SystemExit()), "raised SystemExit"),
        (lambda: SimpleNamespace(metrics={"a": 1}), "returned metrics of type dict, expected a list"),
        (lambda: SimpleNamespace(metrics=[MARKER]), "returned metrics: not a metric of key, type and value"),
        (lambda: SimpleNamespace(metrics=[{"key": OddText(), "value": 1}]), "raised SystemExit"),
    ],
)
def test_a_class_of_the_metrics_server(answer: Callable[[], Any], reason: str) -> None:
    """Its mistakes are named as a scorer's are."""
    scorer = LegacyScorer(SimpleNamespace(transform=lambda *arguments: answer()))
    assert metrics_of(scorer)["unscorable"] == f"scorer types.SimpleNamespace {reason}"


def test_a_scorers_field_of_a_custom_metrics_name() -> None:
    """Of the feedback's own metric and another value the two can't add up."""
    feedback = {**DOCUMENT["feedback"], "metrics": [{"key": "k", "value": 1e308}]}  # type: ignore[dict-item]
    for value in ("text", None, 1e308):
        fields = {"counter__k": value, "series": 3}
        found = score({**DOCUMENT, "feedback": feedback}, Choosing(Mine(fields.copy)))
        assert found is not None
        assert loads(dumps(found)) == found


@pytest.mark.parametrize("digits", [309, 310, 5000])
def test_a_reward_of_many_digits(digits: int) -> None:
    """It is no number that can be kept: the truth is scored, and the document warns."""
    document = {**DOCUMENT, "feedback": {"truth": 2, "reward": 10**digits}}
    found = score(document, Choosing(Mine(lambda: {"correct": 1})))
    assert found == {"correct": 1, "scorer": "mine", "basis": "truth", "warning": "the reward is not a finite number"}


def test_user_code_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the place of the mistake, and no value."""
    user_scorers._warn_once.cache_clear()
    for _ in range(3):
        metrics_of(Mine(raising(ValueError(MARKER))))
    (record,) = caplog.records
    pattern = rf"scorer tests\.test_user_code\.Mine raised ValueError at {re.escape(__file__)}:\d+"
    assert re.fullmatch(pattern, record.getMessage())
    assert MARKER not in caplog.text


def test_a_scorer_that_modifies_its_rows() -> None:
    """The document has the rows as they were."""

    def modify(truth: Row, prediction: Row) -> dict[str, int]:
        truth.value.append(MARKER)
        prediction.value[0]["a"] = MARKER
        return {"mine": 1}

    class Modifying:
        name = "mine"
        score = staticmethod(modify)
        metrics = staticmethod(list)

    truth, prediction = Row([1]), Row([{"a": 1}])
    assert user_scorers.run(Modifying(), truth, prediction) == {"mine": 1}
    assert (truth, prediction) == (Row([1]), Row([{"a": 1}]))


def test_a_schema_that_raises() -> None:
    """The elements stay as the body has them."""

    class Broken(Schema):
        def _features(self, side: Any) -> NoReturn:
            raise RuntimeError(MARKER)

    (part,) = parts_of(event(b'{"data": {"ndarray": [[1, 2]], "names": ["a", "b"]}}'), Broken())
    assert part.content["elements"] == {"a": 1.0, "b": 2.0}
