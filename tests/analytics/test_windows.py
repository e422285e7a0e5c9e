"""The windows that a time span is compared with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.scope import Scope
from request_logger.analytics.windows import instant, windows_of

NOW = datetime(2026, 3, 31, 12, 34, 56, 789_000, UTC)
ORIGIN = (
    {"term": {"Ce-Namespace.keyword": "ns"}},
    {"term": {"Ce-Inferenceservicename.keyword": "iris"}},
    {"term": {"Ce-Endpoint.keyword": "default"}},
)
SCOPE = Scope("inference-log-*", ORIGIN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02", "2026-01-02T00:00:00+00:00"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05+02:00"),
        ("now", "2026-03-31T12:34:56.789000+00:00"),
        ("now-7d", "2026-03-24T12:34:56.789000+00:00"),
        ("now-1M", "2026-02-28T12:34:56.789000+00:00"),
        ("now-1M+1y", "2027-02-28T12:34:56.789000+00:00"),
        ("now-4M/M", "2025-11-01T00:00:00+00:00"),
        ("now/w", "2026-03-30T00:00:00+00:00"),
        ("now/d-1d", "2026-03-30T00:00:00+00:00"),
        ("now-2h/h", "2026-03-31T10:00:00+00:00"),
        ("now/y", "2026-01-01T00:00:00+00:00"),
        ("now/m", "2026-03-31T12:34:00+00:00"),
        ("now/s-90s", "2026-03-31T12:33:26+00:00"),
        ("now+2w", "2026-04-14T12:34:56.789000+00:00"),
    ],
)
def test_instant(text: str, expected: str) -> None:
    assert instant(text, NOW).isoformat() == expected


def test_previous_and_same_weekday() -> None:
    week = windows_of(replace(SCOPE, start="now-2d", end="now/d"), "previous", NOW)
    assert (week.current.start, week.current.end) == ("2026-03-29T12:34:56.789Z", "2026-03-31T00:00:00.000Z")
    assert (week.reference.start, week.reference.end) == ("2026-03-28T01:09:53.578Z", week.current.start)
    assert week.fixed == ""
    day = windows_of(replace(SCOPE, start="2026-03-31"), "same-weekday", NOW)
    assert (day.reference.start, day.reference.end) == ("2026-03-24T00:00:00.000Z", "2026-03-24T12:34:56.789Z")
    long = windows_of(replace(SCOPE, start="now-8d"), "same-weekday", NOW)
    assert long.reference.end == "2026-03-17T12:34:56.789Z"
    assert day.reference.filters == ORIGIN


def test_period_and_reference_data() -> None:
    found = windows_of(SCOPE, "2026-01-01..2026-02-01", NOW)
    assert (found.reference.start, found.reference.end) == ("2026-01-01", "2026-02-01")
    assert (found.current.start, found.current.end) == ("2026-02-01", None)
    assert found.fixed == "2026-01-01..2026-02-01"
    assert windows_of(SCOPE, "now-60d..now-30d", NOW).fixed == ""
    assert windows_of(replace(SCOPE, start="now-1d"), "2026-01-01..2026-02-01", NOW).current.start == "now-1d"
    data = windows_of(replace(SCOPE, start="now-1d"), "reference", NOW)
    assert (data.reference, data.fixed) == (Scope("reference-log-*", ORIGIN[:2]), "reference")


@pytest.mark.parametrize(
    ("scope", "against", "message"),
    [
        (SCOPE, "yesterday", "--against: expected reference, previous, same-weekday or DATE..DATE such as"),
        (SCOPE, "2026-01-01..", "--against: expected"),
        (SCOPE, "2026-01-02..2026-01-01", "starts before it ends"),
        (SCOPE, "previous", "--against previous: expected --from"),
        (replace(SCOPE, start="now-1d", end="now-2d"), "previous", "--from: expected a time before the end"),
        (replace(SCOPE, start="now-3000y"), "previous", "expected a time since the year 1"),
        (replace(SCOPE, start="0001-01-02", end="now"), "same-weekday", "--from: expected a later time"),
        (Scope("inference-log-x"), "reference", "expected a deployment as the target, found an index"),
        (Scope("inference-log-*", ({"term": {"Ce-Modelid.keyword": "m"}},)), "reference", "expected a deployment"),
    ],
)
def test_what_can_not_be_compared(scope: Scope, against: str, message: str) -> None:
    with pytest.raises(BadQueryError, match=message.replace("..", r"\.\.")):
        windows_of(scope, against, NOW)
