"""Keeps answers for some seconds: viewers of a page share one computation, and see the old one while it is renewed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from request_logger.server.background import Background
from request_logger.server.responses import Answer

# As long as nobody notices on a page that is loaded again by hand.
SECONDS = 5.0
# A page that takes long is renewed less often, so that it takes at most this share of the time of a search engine that
# stores events.
SHARE = 0.1
MOST_SECONDS = 30.0
# An older page is not shown: the next view waits for a new one. The quicker a page is to compute, the sooner it is too
# old: OLD_SECONDS_PER_SECOND of its age per second of computing.
OLDEST_SECONDS = 60.0
OLD_SECONDS_PER_SECOND = 60.0
# Pages have up to some hundred KB.
_MOST_ANSWERS = 64
_MOST_BYTES = 32 * 2**20

Make = Callable[[Mapping[str, str]], Answer]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, when it was made, after which time a view renews it, and after which it is not shown."""

    answer: Answer
    made: float
    until: float
    end: float


class AnswerCache:
    """Answers by path and parameters; the oldest are dropped beyond a number and a size. Thread-safe.

    An answer that is no longer new is still returned at once, while ``background`` renews it.
    """

    def __init__(self, background: Background, clock: Callable[[], float] = time.monotonic) -> None:
        self._background = background
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[Any, _Kept] = OrderedDict()
        self._bytes = 0

    def answer(self, path: str, parameters: Mapping[str, str], make: Make, renew: Make) -> Answer:
        """Return the answer that is known, with its Age; else that of ``make``. Errors are not kept.

        ``renew`` makes it again, in another thread.
        """
        key = path, tuple(sorted(parameters.items()))
        now = self._clock()
        with self._lock:
            self._drop_old(now)
            kept = self._answers.get(key)
        if kept is None:
            return self._made(key, parameters, make)
        if kept.until < now:
            self._background.submit(key, lambda: self._renewed(key, parameters, renew))
        return replace(kept.answer, headers={**kept.answer.headers, "Age": str(int(now - kept.made))})

    def _renewed(self, key: Any, parameters: Mapping[str, str], renew: Make) -> None:
        """Replace an answer, or drop it if it can't be computed: the next view then shows the error."""
        answer = None
        try:
            answer = self._made(key, parameters, renew)
        finally:
            if answer is None or answer.status != 200:
                with self._lock:
                    self._drop(key)

    def _made(self, key: Any, parameters: Mapping[str, str], make: Make) -> Answer:
        started = self._clock()
        answer = make(parameters)
        if answer.status == 200 and len(answer.body) <= _MOST_BYTES:
            made = self._clock()
            took = made - started
            new = min(max(SECONDS, took / SHARE), MOST_SECONDS)
            shown = max(new, min(took * OLD_SECONDS_PER_SECOND, OLDEST_SECONDS))
            with self._lock:
                self._drop(key)
                self._answers[key] = _Kept(answer, made, made + new, made + shown)
                self._bytes += len(answer.body)
                while len(self._answers) > _MOST_ANSWERS or self._bytes > _MOST_BYTES:
                    self._drop(next(iter(self._answers)))
        return answer

    def _drop_old(self, now: float) -> None:
        old = [key for key, kept in self._answers.items() if now > kept.end]
        for key in old:
            # A renewal that waits or runs must not be computed a second time by a view.
            if not self._background.has(key):
                self._drop(key)

    def _drop(self, key: Any) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.answer.body)
