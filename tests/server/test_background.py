"""Pages that are renewed: one job at a time, with rests, and a search engine that is left to those who wait."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from request_logger.server.background import REST, Background
from request_logger.server.gentle_engine import REST as REST_OF_ENGINE
from request_logger.server.gentle_engine import GentleEngine


def test_one_job_at_a_time_and_each_key_once(caplog: pytest.LogCaptureFixture) -> None:
    """One that raises is logged, and the next one runs. After each job the thread rests as long as it took."""
    rests: list[float] = []
    background, first, last = Background(rests.append), threading.Event(), threading.Event()
    done: list[str] = []

    def held() -> None:
        assert first.wait(30)
        done.append("held")

    background.submit("a", held)
    background.submit("a", lambda: done.append("never"))
    background.submit("b", lambda: 1 / 0)
    background.submit("c", last.set)
    assert all(background.has(key) for key in "abc")
    assert (done, background.has("d")) == ([], False)
    first.set()
    assert last.wait(30)
    again = threading.Event()
    background.submit("a", again.set)
    assert again.wait(30)
    assert done == ["held"]
    assert [record.getMessage() for record in caplog.records] == ["a page could not be renewed"]
    assert len(rests) >= 3
    assert all(rest >= 0 for rest in rests)
    assert REST > 0


class Engine:
    """Remembers the parameters of each request, and whether others had to wait for it."""

    def __init__(self, turn: threading.Lock) -> None:
        self.turn = turn
        self.asked: list[tuple[str, Mapping[str, str] | None, bool]] = []

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        self.asked.append((path, params, self.turn.locked()))
        return 200, body


@pytest.mark.parametrize(
    ("path", "narrow"),
    [
        ("/a/_search", {"max_concurrent_shard_requests": "1"}),
        ("/_msearch", {"max_concurrent_shard_requests": "1", "max_concurrent_searches": "1"}),
        ("/a/_field_caps", {}),
        ("/_search/scroll", {}),
    ],
)
def test_a_gentle_engine(path: str, narrow: dict[str, str]) -> None:
    """One request on one core, in turn with those that a reader waits for; then it rests, and the turn is free."""
    turn = threading.Lock()
    engine = Engine(turn)
    rests: list[tuple[float, bool]] = []
    gentle = GentleEngine(engine, turn, lambda seconds: rests.append((seconds, turn.locked())))
    assert gentle.request("POST", path, {"x": 1}, {"y": "2"}) == (200, {"x": 1})
    assert engine.asked == [(path, {"y": "2", **narrow}, True)]
    ((rest, was_held),) = rests
    assert (rest >= 0, was_held) == (True, False)
    assert REST_OF_ENGINE > 0


def test_it_waits_for_its_turn() -> None:
    turn = threading.Lock()
    engine = Engine(turn)
    gentle = GentleEngine(engine, turn, lambda _: None)
    turn.acquire()
    asking = threading.Thread(target=gentle.request, args=["POST", "/a/_search"])
    asking.start()
    asking.join(0.2)
    assert (asking.is_alive(), engine.asked) == (True, [])
    turn.release()
    asking.join(30)
    assert len(engine.asked) == 1
