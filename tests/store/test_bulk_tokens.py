"""Processes take turns, and one that dies with its tokens holds nobody up."""

from __future__ import annotations

import os
import select
import signal
import time
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from request_logger.store.writing import bulk_tokens
from request_logger.store.writing.bulk_tokens import BulkTokens

_FORK = get_context("fork")


def _work(tokens: BulkTokens, times: int, out: Connection) -> None:
    spans = []
    for _ in range(times):
        with tokens:
            started = time.monotonic()
            time.sleep(0.001)
            spans.append((started, time.monotonic()))
    out.send(spans)


def _die(tokens: BulkTokens) -> None:
    with tokens:
        os.kill(os.getpid(), signal.SIGKILL)


def _spans(tokens: BulkTokens, processes: int, times: int) -> list[tuple[float, float]]:
    running = []
    for _ in range(processes):
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_work, args=(tokens, times, send))
        process.start()
        running.append((process, receive))
    spans = sorted(span for _, receive in running for span in receive.recv())
    for process, _ in running:
        process.join()
    return spans


def test_one_at_a_time() -> None:
    """No two processes have their tokens together."""
    spans = _spans(BulkTokens(1, patience=60), 3, 50)
    assert len(spans) == 150
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_process_that_dies_with_its_turn() -> None:
    """The others go on after their patience, and one at a time again."""
    tokens = BulkTokens(1, patience=0.5)
    dead = _FORK.Process(target=_die, args=(tokens,))
    dead.start()
    dead.join()
    with tokens:
        pass
    tokens._patience = 60  # a machine that is busy elsewhere is not a dead process
    spans = _spans(tokens, 2, 20)
    assert len(spans) == 40
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_token_too_many_goes_again() -> None:
    """Who lost patience with a slow process puts a second token in; when both are back, there is one."""
    tokens = BulkTokens(1, patience=0.01)
    with tokens, tokens:
        pass
    tokens._patience = 60
    spans = _spans(tokens, 2, 20)
    assert len(spans) == 40
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_token_is_taken_and_put_back() -> None:
    """As often as it is there, with no wait."""
    tokens = BulkTokens(1, patience=60)
    for _ in range(3):
        with tokens:
            assert not select.select([tokens._out], [], [], 0)[0]
    assert select.select([tokens._out], [], [], 0)[0]


def test_another_process_takes_the_token_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw that it was there; the one that is too late waits again, for its patience."""
    tokens = BulkTokens(1, patience=60)
    seen = iter([[tokens._out], []])
    os.read(tokens._out, 1)
    monkeypatch.setattr(bulk_tokens.select, "select", lambda *_: (next(seen), [], []))
    with tokens:
        assert next(seen, None) is None
