"""Keeps answers for some seconds, so that several viewers of one page cost one computation."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from request_logger.server.responses import Answer

# As long as nobody notices on a page that is loaded again by hand.
SECONDS = 5.0
# A page that takes long is kept longer, so that its viewers take at most this share of the time of a search engine that
# stores events.
SHARE = 0.1
MOST_SECONDS = 30.0
# Pages have up to some hundred KB.
_MOST_ANSWERS = 64
_MOST_BYTES = 32 * 2**20


class AnswerCache:
    """Answers by path and parameters; the oldest are dropped beyond a number and a size. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Each with the time until which it is kept.
        self._answers: OrderedDict[Any, tuple[float, Answer]] = OrderedDict()
        self._bytes = 0

    def answer(self, path: str, parameters: Mapping[str, str], make: Callable[[Mapping[str, str]], Answer]) -> Answer:
        """Return the answer that is known, else that of ``make``; errors are not kept."""
        key = path, tuple(sorted(parameters.items()))
        started = self._clock()
        self._drop_older_than(started)
        if key in self._answers:
            return self._answers[key][1]
        answer = make(parameters)
        if answer.status == 200 and len(answer.body) <= _MOST_BYTES:
            made = self._clock()
            self._answers[key] = made + min(max(SECONDS, (made - started) / SHARE), MOST_SECONDS), answer
            self._bytes += len(answer.body)
            while len(self._answers) > _MOST_ANSWERS or self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._answers)))
        return answer

    def _drop_older_than(self, now: float) -> None:
        for key in [key for key, (until, _) in self._answers.items() if until < now]:
            self._drop(key)

    def _drop(self, key: Any) -> None:
        _, answer = self._answers.pop(key)
        self._bytes -= len(answer.body)
