"""SAMPLE_RATE: a stable share of the predictions, each whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.event import Body, IgnoredEventError, from_headers
from request_logger.ingest.sampling import SAMPLED, is_kept, sample
from request_logger.settings import Settings, SettingsError
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_http import counted


@given(st.text(), st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_higher_rate_keeps_what_a_lower_one_keeps(request_id: str, one: float, other: float) -> None:
    """The decision depends on the id alone, and is monotone in the rate; at 1 everything is kept."""
    low, high = sorted((one, other))
    assert is_kept(request_id, low) <= is_kept(request_id, high)
    assert is_kept(request_id, 1)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    """Of 20,000 ids the share is kept, to three standard deviations."""
    kept = sum(is_kept(f"request-{number}", rate) for number in range(20_000))
    assert abs(kept - 20_000 * rate) < 3 * (20_000 * rate * (1 - rate)) ** 0.5


def test_the_decision_never_changes() -> None:
    """Another version or replica decides alike: these are fixed."""
    assert [is_kept(f"r{number}", 0.5) for number in range(8)] == [False, False, False, False, False, True, True, False]


@pytest.mark.parametrize("kind", ["reference.request", "inference.drift"])
def test_what_is_of_no_prediction_is_kept(kind: str) -> None:
    """Reference data and drift messages are never left out; a request at the same rate is."""
    for type_, is_left_out in ((kind, False), ("inference.request", True)):
        headers = {"ce-type": f"io.seldon.serving.{type_}", "ce-requestid": "r1"}
        made = from_headers(headers, Body(b""), Settings())
        try:
            sample(made, 1e-18)
            assert not is_left_out
        except IgnoredEventError as error:
            assert is_left_out
            assert error.reason == SAMPLED


@pytest.mark.parametrize("rate", ["0", "-1", "1.1", "nan", "all"])
def test_a_rate_that_makes_no_sense_is_said_at_start(rate: str) -> None:
    """One line, which names the variable."""
    with pytest.raises(SettingsError, match=r"^SAMPLE_RATE: [^\n]*$"):
        Settings.from_env({"SAMPLE_RATE": rate})


@pytest.mark.engine
def test_predictions_are_whole_or_absent(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """All is answered 200; each kept prediction has all its parts, also of a batch; the rest is counted."""
    server = make_server(SAMPLE_RATE="0.4", GUNICORN_WORKERS="1")
    sender = Sender(server.url)
    ids = [f"p{number}" for number in range(30)]
    for part, body in (
        ("feedback", b'{"reward": 1}'),
        ("response", ndarray([[0.1], [0.9]])),
        ("request", ndarray([[1], [2]])),
    ):
        for request_id in ids:
            assert sender.send(event(part, request_id, deployment), body) == (200, b"")
    sender.close()
    documents = index.documents(index_of(deployment)).values()
    kept = [request_id for request_id in ids if is_kept(request_id, 0.4)]
    assert sorted(source["RequestId"] for source in documents) == sorted(kept * 2)
    assert all({"request", "response", "feedback"} <= set(source) for source in documents)
    assert counted(server, "request_logger_events_total", outcome="sampled") == 3 * (30 - len(kept))
    server.stop()
