"""INDEX_PERIOD: names of periods, and one document a prediction wherever its events begin, through two servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.common import periods
from request_logger.common.names import is_legal_index
from request_logger.documents.event import Body, Event, from_headers
from request_logger.ingest.access import Access
from request_logger.settings import Settings, SettingsError
from tests.deliveries import Deliveries, Traffic, deliver, feedback
from tests.helpers import Index, Server, event, index_of, ndarray
from tests.model import Store, without_times

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
        # Such a name gets a separate stem.
        assert periods.stem(name) != name


def made(**attributes: str) -> Event:
    headers = {name.lower(): value for name, value in event("request", "r1", "iris", **attributes).items()}
    return from_headers(headers, Body(b"{}"), Settings())


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


# (part, body, ce-time): on both sides of a month's end, with feedback in further months.
TRAFFIC: Traffic = {
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


def store(store: dict[tuple[str, str], Any], deployment: str) -> Store:
    """Documents by the name of their index without its period; none may be in two of them."""
    joined: Store = {}
    for (name, id), source in store.items():
        index = index_of(deployment)
        assert name == index or periods.is_of(name, index)
        assert (index, id) not in joined, f"{id} is in two indices"
        joined[index, id] = source
    return without_times(joined)


class OverABorder(Deliveries):
    """With INDEX_PERIOD=month."""

    traffic = TRAFFIC

    def stored(self) -> Store:
        pattern = f"{index_of(self.deployment)}*"
        found = store(self.index.documents(pattern), self.deployment)
        self.index.drop(pattern)
        return found


@pytest.fixture(scope="module")
def monthly(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server(INDEX_PERIOD="month")
    yield server
    server.stop()


@pytest.mark.engine
def test_any_order_over_a_border_through_two_servers_gives_one_result(
    monthly: Server, other_monthly: Server, index: Index
) -> None:
    """One document a prediction, the same one whatever came when, where and how often: as without periods."""
    deliver(OverABorder, (monthly.url, other_monthly.url), index, examples=8, steps=6)
