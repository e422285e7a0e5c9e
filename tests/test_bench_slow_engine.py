"""The benchmark with a slow engine: events are counted by what became of them; and the rows that `make bench` adds."""

from __future__ import annotations

from typing import Any

import pytest

from bench import load, slow_engine, speed
from bench.faults.proxy import Asked, Reply
from bench.measure import Measured
from bench.ordinary_traffic import Traffic
from bench.shapes import columns


def test_one_bulk_in_fifty_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The p99 of _bulk requests is above 5 s; other requests aren't delayed, and each is answered by the engine."""
    slept: list[float] = []
    monkeypatch.setattr(slow_engine.time, "sleep", slept.append)
    rule = slow_engine.SlowBulks()
    asked = Asked("POST", "/_bulk?filter_path=items", b"", lambda: Reply.of(b"{}"))
    assert {rule(asked) for _ in range(1000)} == {None}
    assert slept == rule.seconds
    assert sorted(slept)[990] > 5
    assert sorted(slept)[500] < 0.1
    assert rule(Asked("GET", "/_mget", b"", lambda: Reply.of(b"{}"))) is None
    assert len(slept) == 1000


@pytest.mark.engine
@pytest.mark.parametrize("spool", [False, True])
def test_events_are_counted_by_their_fate(engine: Any, monkeypatch: pytest.MonkeyPatch, spool: bool) -> None:
    """While every _bulk takes 1 s, senders that wait for 0.2 s give up; nothing acknowledged is missing."""
    monkeypatch.setattr(slow_engine, "_SLOW_SHARE", 1.0)
    monkeypatch.setattr(slow_engine, "_SLOW_SECONDS", (1.0, 1.0))
    monkeypatch.setattr(slow_engine, "GIVE_UP_SECONDS", 0.2)
    row = slow_engine.run(engine.url, Traffic(rate=10, seconds=1, feedback_after=0.1), columns(2), spool=spool)
    assert row.problems == ()
    assert row.events == 24
    assert row.in_time + row.unavailable + row.given_up + row.other == 24
    assert row.given_up > 0
    assert (row.missing, row.duplicates) == (0, 0)
    assert row.bulk_p99 == pytest.approx(1000)
    assert slow_engine.as_table([row]).count("\n") == 2


def test_a_closing_request() -> None:
    """The server is asked to close the connection; the rest of the request is unchanged."""
    request = load.Request((1, "request"), load.post("http://h:1/p", {"Ce-Id": "1"}, b"body\r\n"))
    closing = load.closing(request)
    assert closing.raw.startswith(b"POST /p HTTP/1.1\r\nConnection: close\r\nHost: h:1\r\n")
    assert closing.raw.replace(b"Connection: close\r\n", b"") == request.raw


def test_ratios_to_the_older_version() -> None:
    """Rates and CPU of the code here divided by those of the older one; without it there are no such lines."""
    new = Measured(100, 0, 1.0, 0, 0, 0, 0.1, 0.2, 0)
    old = Measured(100, 0, 2.0, 0, 0, 0, 0.4, 0.4, 0)
    assert speed.compared({speed.OURS: new, speed.BATCHES: new}) == []
    assert speed.compared({speed.OURS: new, speed.BATCHES: new, speed.BEFORE: old}) == [
        "| after / before, one event per request, events/s | 2.00 | |",
        "| after / before, one event per request, logger CPU per event | 0.25 | |",
        "| after / before, one event per request, engine CPU per event | 0.50 | |",
    ]
