"""Processes take turns, and one that dies with its turn holds nobody up."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection

from request_logger.store.turn import Turn

_FORK = get_context("fork")


def _work(turn: Turn, times: int, out: Connection) -> None:
    spans = []
    for _ in range(times):
        with turn:
            started = time.monotonic()
            time.sleep(0.001)
            spans.append((started, time.monotonic()))
    out.send(spans)


def _die(turn: Turn) -> None:
    with turn:
        os.kill(os.getpid(), signal.SIGKILL)


def _spans(turn: Turn, processes: int, times: int) -> list[tuple[float, float]]:
    running = []
    for _ in range(processes):
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_work, args=(turn, times, send))
        process.start()
        running.append((process, receive))
    spans = sorted(span for _, receive in running for span in receive.recv())
    for process, _ in running:
        process.join()
    return spans


def test_one_at_a_time() -> None:
    """No two processes have their turn together."""
    spans = _spans(Turn(1, patience=60), 3, 50)
    assert len(spans) == 150
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_process_that_dies_with_its_turn() -> None:
    """The others go on after their patience, and one at a time again."""
    turn = Turn(1, patience=0.5)
    dead = _FORK.Process(target=_die, args=(turn,))
    dead.start()
    dead.join()
    with turn:
        pass
    turn._patience = 60  # a machine that is busy elsewhere is not a dead process
    spans = _spans(turn, 2, 20)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_token_too_many_goes_again() -> None:
    """Who lost patience with a slow process puts a second token in; when both are back, there is one."""
    turn = Turn(1, patience=0.01)
    with turn, turn:
        pass
    turn._patience = 60
    spans = _spans(turn, 2, 20)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
