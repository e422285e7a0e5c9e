"""A promise ends once; whoever waits for it, before or after, is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from request_logger.store.promise import Promise


def test_result_and_error() -> None:
    """What it ended with, as often as it is asked; `then` is called at the end."""
    ended: list[Promise[int]] = []
    promise: Promise[int] = Promise(ended.append)
    assert not promise.done()
    with pytest.raises(TimeoutError):
        promise.result(0.001)
    promise.set_result(5)
    assert (promise.done(), promise.result(0), promise.exception(), ended) == (True, 5, None, [promise])
    failed: Promise[int] = Promise()
    failed.set_exception(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failed.result()
    assert isinstance(failed.exception(), ValueError)


def test_nobody_waits_for_ever() -> None:
    """However the end and those who wait for it meet, all of them go on."""
    for _ in range(300):
        promise: Promise[int] = Promise()
        start = threading.Barrier(4)

        def ask(promise: Promise[int] = promise, start: Any = start) -> int:
            start.wait()
            return promise.result(10)

        def end(promise: Promise[int] = promise, start: Any = start) -> None:
            start.wait()
            promise.set_result(1)

        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(ask) for _ in range(3)]
            threads.submit(end)
            assert [each.result() for each in waiting] == [1, 1, 1]
