"""The cache of pages: one computation for many viewers, for some seconds, bounded in number and size."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from request_logger.server.answer_cache import (
    _MOST_ANSWERS,
    _MOST_BYTES,
    MOST_SECONDS,
    SECONDS,
    SHARE,
    AnswerCache,
)
from request_logger.server.responses import Answer


class Maker:
    """Counts the answers that it makes, of a size."""

    def __init__(self, size: int = 1, status: int = 200) -> None:
        self.made = 0
        self._size, self._status = size, status

    def __call__(self, parameters: Mapping[str, str]) -> Answer:
        self.made += 1
        return Answer(self._status, b"x" * self._size)


def test_one_computation_for_some_seconds() -> None:
    now = [0.0]
    cache, maker = AnswerCache(lambda: now[0]), Maker()
    for parameters in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        cache.answer("/ui", parameters, maker)
    assert maker.made == 1
    cache.answer("/ui", {"a": "1"}, maker)
    cache.answer("/ui/compare", {"a": "1"}, maker)
    assert maker.made == 3
    now[0] = SECONDS
    cache.answer("/ui", {"a": "1"}, maker)
    assert maker.made == 3
    now[0] = SECONDS + 0.001
    cache.answer("/ui", {"a": "1"}, maker)
    assert maker.made == 4


@pytest.mark.parametrize(
    ("takes", "kept"), [(SECONDS * SHARE / 2, SECONDS), (2.0, 2.0 / SHARE), (MOST_SECONDS, MOST_SECONDS)]
)
def test_what_takes_long_is_kept_longer(takes: float, kept: float) -> None:
    now = [100.0]
    cache, quick, slow = AnswerCache(lambda: now[0]), Maker(), Maker()

    def slowly(parameters: Mapping[str, str]) -> Answer:
        now[0] += takes
        return slow(parameters)

    cache.answer("/ui", {"slow": ""}, slowly)
    made = now[0]
    cache.answer("/ui", {"quick": ""}, quick)
    for later, computed in ((kept, 1), (kept + 0.001, 2)):
        now[0] = made + later
        cache.answer("/ui", {"slow": ""}, slowly)
        assert slow.made == computed
    # It is dropped in its own time, whatever was kept before it.
    cache.answer("/ui", {"quick": ""}, quick)
    assert quick.made == 2


def test_errors_are_computed_again() -> None:
    cache, maker = AnswerCache(), Maker(status=503)
    assert [cache.answer("/ui", {}, maker).status for _ in range(2)] == [503, 503]
    assert maker.made == 2


def test_bounds() -> None:
    """The oldest answers go first; one that is larger than all is not kept."""
    cache, maker = AnswerCache(lambda: 0.0), Maker()
    for number in range(_MOST_ANSWERS + 1):
        cache.answer("/ui", {"n": str(number)}, maker)
    cache.answer("/ui", {"n": "1"}, maker)
    assert maker.made == _MOST_ANSWERS + 1
    cache.answer("/ui", {"n": "0"}, maker)
    assert maker.made == _MOST_ANSWERS + 2
    large = Maker(_MOST_BYTES // 2)
    for name in "abca":
        cache.answer("/ui", {"large": name}, large)
    assert large.made == 4
    too_large = Maker(_MOST_BYTES + 1)
    for _ in range(2):
        cache.answer("/ui", {"too": "large"}, too_large)
    assert too_large.made == 2
