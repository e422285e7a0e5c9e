"""A failed request (its response has a status over 399) is stored, but is no prediction: nothing of it is scored."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.documents.event import Body, Event, from_headers
from request_logger.scoring.reasons import PairReason
from request_logger.scoring.score import pair
from request_logger.settings import Settings
from tests.helpers import ndarray
from tests.model import in_order

ERROR = b'{"error": "model is not ready"}'
TRUTH = json.dumps({"truth": {"data": {"ndarray": ["yes"]}}, "reward": 1}).encode()
FAILED = {"error": PairReason.REQUEST_FAILED, "unscorable": PairReason.REQUEST_FAILED}


def event(part: str, body: bytes, status: str = "", second: int = 0) -> Event:
    headers = {
        "ce-id": "r1",
        "ce-type": "org.kubeflow.serving." + (part if part == "feedback" else f"inference.{part}"),
        "ce-inferenceservicename": "iris",
        "ce-time": f"2026-01-02T03:04:{second:02}Z",
        **({"ce-statuscode": status} if status else {}),
    }
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


def rows(count: int) -> bytes:
    return ndarray([[1.0, 2.0]] * count, ["a", "b"])


def answers(count: int) -> bytes:
    return ndarray([[0.2, 0.8]] * count, ["no", "yes"])


@pytest.mark.parametrize("body", [ERROR, answers(1), b"", b"upstream connect error"])
@pytest.mark.parametrize("status", ["400", "503"])
def test_a_failed_request_is_stored_and_not_scored(body: bytes, status: str) -> None:
    """Whatever its body has; in every order, with duplicates; the feedback says why."""
    events = [event("request", rows(1)), event("response", body, status), event("feedback", TRUTH)]
    found = [in_order([*order, order[0]]) for order in itertools.permutations(events)]
    assert all(store == found[0] for store in found)
    ((_, document),) = found[0].items()
    assert document["metrics"] == FAILED
    assert document["response"]["ce-statuscode"] == int(status)
    assert pair(document)[1] is None


def test_a_response_in_the_feedback_does_not_make_it_a_prediction() -> None:
    """Nobody got that response."""
    feedback = json.dumps({**json.loads(TRUTH), "response": json.loads(answers(1))}).encode()
    ((_, document),) = in_order([event("response", ERROR, "500"), event("feedback", feedback)]).items()
    assert document["metrics"] == FAILED


def test_custom_metrics_are_kept() -> None:
    """They are figures of the sender's own, not of a prediction."""
    own = {"metrics": [{"key": "clicks", "type": "COUNTER", "value": 2}]}
    feedback = json.dumps({**json.loads(TRUTH), **own}).encode()
    ((_, document),) = in_order([event("response", ERROR, "500"), event("feedback", feedback)]).items()
    assert document["metrics"]["counter__clicks"] == 2
    assert document["metrics"].items() >= FAILED.items()


@pytest.mark.parametrize("status", ["", "200", "399", "abc"])
def test_other_responses_are_scored(status: str) -> None:
    ((_, document),) = in_order([event("response", answers(1), status), event("feedback", TRUTH)]).items()
    assert document["metrics"]["correct"] == 1


def test_a_failed_batch_fails_in_every_row() -> None:
    """The error has one row, the request several: each of them is a failed request, in every order of arrival."""
    truths = json.dumps({"truth": {"data": {"ndarray": ["yes", "no", "yes"]}}}).encode()
    events = [event("request", rows(3)), event("response", ERROR, "500"), event("feedback", truths)]
    for order in itertools.permutations(events):
        found = in_order(order)
        assert {id for _, id in found} == {"r1-item-0", "r1-item-1", "r1-item-2"}
        for document in found.values():
            assert document["response"]["ce-statuscode"] == 500
            assert document["metrics"] == FAILED


@pytest.mark.parametrize("seconds", [(1, 3), (3, 1)])
def test_a_failed_try_keeps_the_number_of_rows(seconds: tuple[int, int]) -> None:
    """It may replace the only part that had it: the feedback is still that of every row, in every order of arrival."""
    answered, failed = seconds
    truths = json.dumps({"truth": {"data": {"ndarray": ["yes", "yes"]}}}).encode()
    events = [event("request", rows(2)), event("response", answers(2), "200", answered)]
    events += [event("response", ERROR, "500", failed), event("feedback", truths, second=20)]
    for order in itertools.permutations(events):
        found = in_order(order)
        assert [document["feedback"]["item"] for _, document in sorted(found.items())] == [0, 1]
        assert {document["response"]["rows"] for document in found.values()} == {2}


@st.composite
def deliveries(draw: Any) -> list[Event]:
    """A request of some rows that fails and succeeds at different times, with feedback; shuffled, some twice."""
    count = draw(st.integers(1, 3))
    truths = json.dumps({"truth": {"data": {"ndarray": ["yes"] * count}}}).encode()
    sent = [event("request", rows(count)), event("feedback", truths, second=20)]
    for second in draw(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True)):
        failed = draw(st.booleans())
        body, status = (ERROR, "500") if failed else (answers(count), "200")
        sent.append(event("response", body, status, second))
    again = draw(st.lists(st.sampled_from(sent), max_size=3))
    shuffled: list[Event] = draw(st.permutations([*sent, *again]))
    return shuffled


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=deliveries())
def test_the_latest_response_decides(events: list[Event]) -> None:
    """Of a request that was tried several times, whatever arrives first, and however often."""
    latest = max((event for event in events if event.part == "response"), key=lambda event: event.timestamp)
    assert latest.extensions is not None
    failed = latest.extensions["ce-statuscode"] == 500
    count = max(1, sum("-item-" in id for _, id in in_order(events)))
    found = in_order(events)
    assert len(found) == count
    for document in found.values():
        assert document["response"]["ce-statuscode"] == (500 if failed else 200)
        if failed:
            assert document["metrics"] == FAILED
        else:
            assert document["metrics"]["correct"] == 1
