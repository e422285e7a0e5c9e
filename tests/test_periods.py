"""INDEX_PERIOD: names of periods, and one document a prediction wherever its events begin, through two servers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from request_logger import events, periods
from request_logger.access import Access
from request_logger.names import is_legal_index
from request_logger.settings import Settings, SettingsError
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.model import Store, in_order, without_times

DAYS = st.dates(date(2000, 1, 1), date(2999, 12, 31))
NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", categories=["Ll", "Nd"]), min_size=1, max_size=260),
    st.sampled_from(["inference-log-a-2026.01", "a-2026.01.02", "a-2026.13", "a" * 244, "a" * 245, "é" * 125]),
).filter(is_legal_index)


@given(index=NAMES, day=DAYS, period=st.sampled_from(["month", "day"]))
def test_names_are_legal_and_say_what_they_are(index: str, day: date, period: str) -> None:
    """Whatever the index is called: a legal name that matches the pattern, ends after the day, and is of that index."""
    name = periods.index_at(index, day, period)
    assert is_legal_index(name)
    assert name.startswith(periods.pattern(index)[:-2])
    assert periods.is_of(name, index)
    assert name == periods.index_at(index, day, period)
    end = periods.end_of(name)
    assert end is not None
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert midnight < end <= midnight + timedelta(days=31 if period == "month" else 1)
    assert periods.index_at(index, day, "none") == index


@given(one=NAMES, other=NAMES, day=DAYS, another=DAYS)
def test_two_names_never_meet(one: str, other: str, day: date, another: date) -> None:
    """An index of a period is of one name only, and no name of an event is that of a period of another one."""
    for period in ("month", "day"):
        name = periods.index_at(one, day, period)
        assert periods.is_of(name, other) == (one == other)
        if one != other:
            assert name != periods.index_at(other, another, period)
        # Such a name gets a stem of its own.
        assert periods.stem(name) != name


def made(**attributes: str) -> events.Event:
    headers = {name.lower(): value for name, value in event("request", "r1", "iris", **attributes).items()}
    return events.from_headers(headers, events.Body(b"{}"), Settings())


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-01-31T23:59:59.999999999Z", date(2026, 1, 31)),
        ("2026-02-01T00:00:00Z", date(2026, 2, 1)),
        ("2026-02-01T00:30:00+01:00", date(2026, 1, 31)),
        ("2026-01-31T23:30:00-01:00", date(2026, 2, 1)),
        ("2016-02-29 12:00:00", date(2016, 2, 29)),
    ],
)
def test_a_document_begins_on_its_day_in_utc(time: str, day: date) -> None:
    assert made(Ce_Time=time).day == day


@pytest.mark.parametrize("time", ["", "yesterday", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "2999-01-01"])
def test_a_clock_that_is_wrong_makes_no_index(time: str) -> None:
    """Then the day of arrival is taken."""
    before = datetime.now(UTC).date()
    assert before <= made(Ce_Time=time).day <= datetime.now(UTC).date()


def test_a_name_that_ends_like_a_period_is_set_apart_where_namespaces_are() -> None:
    """The predictor 2026.01 of one namespace is not January of a shorter name, of another namespace."""
    access = Access(Settings(allowed_namespaces="test,other", index_period="month"))
    plain, odd = (access.admit(made(Ce_Endpoint=endpoint)) for endpoint in ("default", "2026.01"))
    assert plain.index == index_of("iris")
    assert not periods.has_period(odd.index)
    assert odd.index.startswith("inference-log-seldon-test-iris-2026.01-test~")


def test_an_index_name_can_not_end_with_a_period() -> None:
    with pytest.raises(SettingsError, match="INDEX_NAME: expected no month or day"):
        Settings(index_name="logs-2026.01", index_period="month")
    assert Settings(index_name="logs-2026.01").index_name == "logs-2026.01"


MIDNIGHT = ("2026-01-31T23:59:59.900Z", "2026-02-01T00:00:00.100Z")


def feedback(**fields: Any) -> bytes:
    truth = fields.pop("truth", None)
    return json.dumps({**fields, **({"truth": {"data": {"ndarray": truth}}} if truth is not None else {})}).encode()


# (part, body, ce-time): on both sides of a month's end, with feedback in further months.
TRAFFIC: dict[str, list[tuple[str, bytes, str]]] = {
    "single": [
        ("request", ndarray([[1, 2]], ["a", "b"]), MIDNIGHT[0]),
        ("response", ndarray([[0.2, 0.8]], ["no", "yes"]), MIDNIGHT[1]),
        ("feedback", feedback(reward=0, truth=[0]), "2026-02-03T00:00:00Z"),
        ("feedback", feedback(reward=1, truth=[1]), "2026-03-03T00:00:00Z"),
    ],
    "batch": [
        ("request", ndarray([[1, 2], [3, 4], [5, 6]], ["a", "b"]), MIDNIGHT[0]),
        ("response", ndarray([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]], ["no", "yes"]), MIDNIGHT[1]),
        ("outlier", b'{"data": {"is_outlier": [1, 0, 1]}}', "2026-02-01T00:00:00.300Z"),
        ("feedback", feedback(reward=[1, 0, 0.5], truth=[1, 1, 1]), "2026-02-02T00:00:00Z"),
        ("feedback", feedback(truth=[0, 1]), "2026-03-03T00:00:00Z"),
    ],
    "orphan": [("feedback", feedback(reward=1), "2026-03-02T00:00:00Z")],
}
MESSAGES = [(request_id, *message) for request_id, messages in TRAFFIC.items() for message in messages]


def store(store: dict[tuple[str, str], Any], deployment: str) -> Store:
    """Documents by the name of their index without its period; none may be in two of them."""
    joined: Store = {}
    for (name, id), source in store.items():
        index = index_of(deployment)
        assert name == index or periods.is_of(name, index)
        assert (index, id) not in joined, f"{id} is in two indices"
        joined[index, id] = source
    return without_times(joined)


def expected(deployment: str) -> Store:
    """What the pure functions make of the traffic, each event once and in its order."""
    sent = []
    for request_id, part, body, time in MESSAGES:
        headers = {name.lower(): value for name, value in event(part, request_id, deployment, Ce_Time=time).items()}
        sent.append(events.from_headers(headers, events.Body(body, "application/json", len(body)), Settings()))
    return in_order(sent)


class Deliveries(RuleBasedStateMachine):
    """Sends events until each has been acknowledged at least once, then compares what the engine holds."""

    urls: tuple[str, ...]
    index: Index

    @initialize()
    def start(self) -> None:
        self.deployment = f"p-{uuid.uuid4().hex[:12]}"
        self.pool = ThreadPoolExecutor(16)
        self.sent: list[Future[tuple[int, bytes]]] = []
        self.delivered: set[int] = set()

    @rule(numbers=st.lists(st.integers(0, len(MESSAGES) - 1), min_size=1, max_size=12), first=st.integers(0, 1))
    def burst(self, numbers: list[int], first: int) -> None:
        """Several events at the same time, every other one to the other server."""
        for place, number in enumerate(numbers):
            self.sent.append(self.pool.submit(self.send, number, self.urls[(first + place) % 2]))
            self.delivered.add(number)

    @rule()
    def pause(self) -> None:
        """Wait until all that was sent is acknowledged."""
        assert {future.result() for future in self.sent} <= {(200, b"")}

    def send(self, number: int, url: str) -> tuple[int, bytes]:
        request_id, part, body, time = MESSAGES[number]
        sender = Sender(url)
        try:
            return sender.send(event(part, request_id, self.deployment, Ce_Time=time), body)
        finally:
            sender.close()

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        rest = [number for number in range(len(MESSAGES)) if number not in self.delivered]
        self.sent += [self.pool.submit(self.send, number, self.urls[number % 2]) for number in rest]
        statuses = {future.result() for future in self.sent}
        self.pool.shutdown()
        assert statuses <= {(200, b"")}
        pattern = f"{index_of(self.deployment)}*"
        found = store(self.index.documents(pattern), self.deployment)
        self.index.drop(pattern)
        assert found == expected(self.deployment)


@pytest.fixture(scope="module")
def monthly(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server(INDEX_PERIOD="month")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def other(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server(INDEX_PERIOD="month", GUNICORN_WORKERS="1")
    yield server
    server.stop()


@pytest.mark.engine
def test_any_order_over_a_border_through_two_servers_gives_one_result(
    monthly: Server, other: Server, index: Index
) -> None:
    """One document a prediction, the same one whatever came when, where and how often: as without periods."""
    Deliveries.urls = monthly.url, other.url
    Deliveries.index = index
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=8, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
