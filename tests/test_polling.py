"""`PollingThread`: steps, pauses, failures, and its end."""

from __future__ import annotations

import threading

from request_logger.common.polling import Pause, PollingThread

_PATIENCE = 10.0
_LONG = 1000.0


class Steps:
    """Counts steps; the pause after each is ``pause``, and the step with the number ``fails`` raises."""

    def __init__(self, pause: Pause, *, fails: int = 0) -> None:
        self.pause = pause
        self.fails = fails
        self.taken = 0
        self.errors: list[Exception] = []
        self._happened = threading.Condition()

    def step(self) -> Pause:
        with self._happened:
            self.taken += 1
            self._happened.notify_all()
            if self.taken == self.fails:
                raise ValueError("a defect")
        return self.pause

    def failed(self, error: Exception) -> Pause:
        self.errors.append(error)
        return Pause(0.0)

    def reach(self, count: int) -> bool:
        with self._happened:
            return self._happened.wait_for(lambda: self.taken >= count, _PATIENCE)


def test_a_step_that_raises_is_followed_by_others() -> None:
    steps = Steps(Pause(0.001), fails=2)
    thread = PollingThread("steps", steps.step, steps.failed)
    thread.start()
    assert steps.reach(4)
    thread.close(_PATIENCE)
    assert [str(error) for error in steps.errors] == ["a defect"]


def test_it_can_be_woken_and_ends_at_once() -> None:
    """However long its pause is; the last step is at the end."""
    steps = Steps(Pause(_LONG))
    thread = PollingThread("steps", steps.step, steps.failed, is_last_at_end=True)
    thread.start()
    assert steps.reach(1)
    thread.wake()
    assert steps.reach(2)
    thread.close(_PATIENCE)
    assert steps.taken == 3


def test_a_pause_that_nobody_can_shorten() -> None:
    steps = Steps(Pause(0.0, _LONG))
    thread = PollingThread("steps", steps.step, steps.failed)
    thread.start()
    assert steps.reach(1)
    thread.wake()
    thread.close(_PATIENCE)
    assert steps.taken == 1


def test_one_that_was_not_started() -> None:
    steps = Steps(Pause(0.0))
    PollingThread("steps", steps.step, steps.failed, is_last_at_end=True).close(_PATIENCE)
    assert steps.taken == 0
