"""Headers of an event -> where it goes and when it was: as the original, on every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.common import times
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

SETTINGS = Settings.from_env({})


def of(part: str, body: bytes = b"", **headers: str) -> Event:
    found = {name.lower(): value for name, value in event(part, "r1", "dep", **headers).items()}
    return from_headers(found, Body(body, "application/json", len(body)), SETTINGS)


@pytest.mark.parametrize(
    ("source", "detector"),
    [
        ("io.seldon.serving.det", "det"),
        ("org.kubeflow.serving.det", "det"),
        ("io.seldon.serving.org.kubeflow.serving.det", "org.kubeflow.serving.det"),
        ("http://:8000/", "dep"),
        ("det", "dep"),
        ("io.seldon.serving.", "unknown-inferenceservice"),
        ("", "unknown-detector"),
    ],
)
def test_a_drift_detector_is_named_by_its_source_else_by_its_deployment(source: str, detector: str) -> None:
    """What follows the type prefix; a source without one, as of a detector that is called directly, names nothing."""
    headers = {name.lower(): value for name, value in event("drift", "r1", "dep").items()}
    found = from_headers({**headers, "ce-source": source}, Body(b""), SETTINGS)
    assert found.index == f"drift-log-seldon-test-{detector}"


def test_an_empty_header_is_none() -> None:
    """As if it were not sent."""
    headers = {name.lower(): value for name, value in event("request", "r1", "dep").items()}
    found = from_headers({**headers, "ce-source": "", "ce-time": ""}, Body(b"{}"), SETTINGS)
    assert (found.source, found.time) == (None, None)
    assert {"ce-source", "ce-time"}.isdisjoint(parts_of(found)[0].content)


@pytest.mark.parametrize(
    ("flag", "stored"), [("null", False), ("0", False), ("1", True), ("0.0", False), ("true", True), ('""', False)]
)
def test_is_drift_is_a_boolean(flag: str, stored: bool) -> None:
    """Also where the detector says null."""
    (part,) = parts_of(of("drift", b'{"data": {"is_drift": %s}}' % flag.encode()))
    assert part.content["data"] == {"is_drift": stored, "drift_type": "batch"}


def test_is_drift_that_is_missing_stays_so() -> None:
    """No verdict is made up."""
    (part,) = parts_of(of("drift", b'{"data": {"distance": 0.5}}'))
    assert part.content["data"] == {"distance": 0.5, "drift_type": "batch"}


TIMES = {
    "2026": "2026-01-01T00:00:00",
    "2026-02": "2026-02-01T00:00:00",
    "2026-01-02": "2026-01-02T00:00:00",
    "2026-01-02T03": "2026-01-02T03:00:00",
    "2026-01-02T03:04Z": "2026-01-02T03:04:00",
    "2026-01-02T03:04:05": "2026-01-02T03:04:05",
    "2026-01-02T03:04:05.123456789Z": "2026-01-02T03:04:05.123",
    "2026-01-02T03:04:05+0100": "2026-01-02T02:04:05",
    "2026-01-02T03:04:05.5-07:00": "2026-01-02T10:04:05.500",
    "1767323045000": "2026-01-02T03:04:05",
}


@pytest.mark.parametrize("time", TIMES)
def test_a_time_that_engines_take_stays_as_it_came(time: str) -> None:
    """It orders as what it means."""
    assert times.as_timestamp(time) == time
    moment = datetime.fromisoformat(TIMES[time]).replace(tzinfo=UTC)
    found = times.time_key(time)
    assert found is not None
    assert found // 10**6 == round(moment.timestamp() * 1000)


@given(st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?Z", fullmatch=True))
def test_the_usual_form_of_a_time_is_read_as_any_other(time: str) -> None:
    """The form that is read quickly means the same as the general one."""
    assert times.time_key(time) == times.time_key(time[:-1] + "+00:00")
    if times.time_key(time) is not None:
        assert times.as_timestamp(time) == time


@pytest.mark.parametrize(
    ("time", "timestamp"),
    [
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02 03:04", "2026-01-02T03:04:00Z"),
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.500000000Z"),
        (" 2026-01-02", "2026-01-02T00:00:00Z"),
        ("2026-01-02T03:04:05+01", "2026-01-02T02:04:05Z"),
        ("2026-01-02 03:04:05 GMT", "2026-01-02T03:04:05Z"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
        ("sun, 6 nov 1994 08:49:37 gmt", "1994-11-06T08:49:37Z"),
        ("Sun, 06 Nov 1994 08:49:37 +0100", "1994-11-06T07:49:37Z"),
        ("06 Nov 1994 08:49 UT", "1994-11-06T08:49:00Z"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"),
        ("Friday, 02-Jan-26 03:04:05 GMT", "2026-01-02T03:04:05Z"),
        ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"),
        ("Fri Jan  2 03:04:05 GMT 2026", "2026-01-02T03:04:05Z"),
    ],
)
def test_a_time_that_engines_refuse_is_written_anew(time: str, timestamp: str) -> None:
    """Where it can be read."""
    assert times.as_timestamp(time) == timestamp


@pytest.mark.parametrize(
    "time",
    [
        "",
        "now",
        "2026-1-2",
        "2026-00",
        "2026-13",
        "2026-02-30",
        "0000",
        "2026-01-02T24",
        "-5",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun Nov 1994",
    ],
)
def test_what_is_no_time_gives_way_to_now(time: str) -> None:
    """The document is found where people look for it."""
    assert times.time_key(time) is None
    assert datetime.now(UTC) - datetime.fromisoformat(times.as_timestamp(time)) < timedelta(minutes=1)


@pytest.mark.engine
def test_engines_take_these_times(server: Server, index: Index, deployment: str) -> None:
    """Each is the date that it says, under the text that came."""
    sender = Sender(server.url)
    for number, time in enumerate(TIMES):
        assert sender.send(event("request", f"r{number}", deployment, Ce_Time=time), ndarray([1])) == (200, b"")
    sender.close()
    index.refresh()
    wanted = {"size": 100, "docvalue_fields": [{"field": "@timestamp", "format": "epoch_millis"}]}
    hits = index.request("POST", f"/{index_of(deployment)}/_search", wanted)["hits"]["hits"]
    found = {hit["_source"]["@timestamp"]: int(float(hit["fields"]["@timestamp"][0])) for hit in hits}
    moments = {time: datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for time, text in TIMES.items()}
    assert found == {time: round(seconds * 1000) for time, seconds in moments.items()}
