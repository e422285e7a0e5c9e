"""A future ends once and notifies all waiters, whether they wait before or after."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from request_logger.store.writing import future as module
from request_logger.store.writing.future import Future


def test_result_and_error() -> None:
    """What it ended with, as often as it is asked; `then` is called at the end."""
    ended: list[Future[int]] = []
    future: Future[int] = Future(ended.append)
    assert not future.done()
    with pytest.raises(TimeoutError):
        future.result(0.001)
    future.set_result(5)
    assert (future.done(), future.result(0), future.exception(), ended) == (True, 5, None, [future])
    failed: Future[int] = Future()
    failed.set_exception(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failed.result()
    assert isinstance(failed.exception(), ValueError)


def test_nobody_waits_for_ever() -> None:
    """However the end and those who wait for it meet, all of them go on."""
    for _ in range(300):
        future: Future[int] = Future()
        start = threading.Barrier(4)

        def ask(future: Future[int] = future, start: Any = start) -> int:
            start.wait()
            return future.result(10)

        def end(future: Future[int] = future, start: Any = start) -> None:
            start.wait()
            future.set_result(1)

        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(ask) for _ in range(3)]
            threads.submit(end)
            assert [each.result() for each in waiting] == [1, 1, 1]


def test_all_who_wait_are_woken() -> None:
    """The second one waits with what the first one made."""
    future: Future[int] = Future()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(future.result, 60) for _ in range(3)]
        with pytest.raises(TimeoutError):
            future.result(0.01)
        future.set_result(1)
        assert [each.result(60) for each in waiting] == [1, 1, 1]


def test_the_end_comes_before_the_wait_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two looks at the future: who was about to wait sees its end."""
    ended: Future[int] = Future()

    class Ending:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            ended.set_result(1)

    monkeypatch.setattr(module, "_WAITER_CREATION", Ending())
    assert ended.result(0) == 1
