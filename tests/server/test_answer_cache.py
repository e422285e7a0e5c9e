"""The cache of pages: one computation for many viewers, for some seconds, bounded in number and size, then renewed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import pytest

from request_logger.server.answer_cache import (
    _MOST_ANSWERS,
    _MOST_BYTES,
    MOST_SECONDS,
    OLD_SECONDS_PER_SECOND,
    OLDEST_SECONDS,
    SECONDS,
    SHARE,
    AnswerCache,
)
from request_logger.server.background import Background
from request_logger.server.responses import Answer

# Seconds: long enough that an old page is shown for as long as any.
TAKES = 1.0


class Maker:
    """Counts the answers that it makes, of a size."""

    def __init__(self, size: int = 1, status: int = 200) -> None:
        self.made = 0
        self._size, self._status = size, status

    def __call__(self, parameters: Mapping[str, str]) -> Answer:
        self.made += 1
        return Answer(self._status, b"x" * self._size)


class Later(Background):
    """Keeps the jobs until they are run here."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[Hashable, Callable[[], object]] = {}

    def submit(self, key: Hashable, job: Callable[[], object]) -> None:
        self.waiting.setdefault(key, job)

    def has(self, key: Hashable) -> bool:
        return key in self.waiting

    def run(self) -> None:
        for job in list(self.waiting.values()):
            job()
        self.waiting = {}


class Cache:
    """A cache with a clock and jobs that run when told; what renews an answer is what makes it unless said."""

    def __init__(self, takes: float = 0.0) -> None:
        self.now = 100.0
        self.later = Later()
        self._takes = takes
        self._cache = AnswerCache(self.later, lambda: self.now)

    def answer(
        self,
        path: str,
        parameters: Mapping[str, str],
        make: Callable[[Mapping[str, str]], Answer],
        renew: Callable[[Mapping[str, str]], Answer] | None = None,
    ) -> Answer:
        def made(parameters: Mapping[str, str]) -> Answer:
            self.now += self._takes
            return make(parameters)

        return self._cache.answer(path, parameters, made, renew or made)


def test_one_computation_for_some_seconds() -> None:
    cache, maker = Cache(), Maker()
    for parameters in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        cache.answer("/ui", parameters, maker)
    assert maker.made == 1
    cache.answer("/ui", {"a": "1"}, maker)
    cache.answer("/ui/compare", {"a": "1"}, maker)
    assert maker.made == 3
    cache.now += SECONDS
    cache.answer("/ui", {"a": "1"}, maker)
    assert (maker.made, cache.later.waiting) == (3, {})
    cache.now += 0.001
    cache.answer("/ui", {"a": "1"}, maker)
    # One that is quick to compute is computed at once.
    assert (maker.made, cache.later.waiting) == (4, {})


def test_an_old_page_is_shown_while_it_is_renewed() -> None:
    """At once, with its age; the renewed one follows. Whatever its age, nobody computes it a second time meanwhile."""
    cache, maker, renewer = Cache(TAKES), Maker(1), Maker(2)
    assert "Age" not in cache.answer("/ui", {}, maker).headers
    made = cache.now
    for later in (TAKES / SHARE + 1, OLDEST_SECONDS, 2 * OLDEST_SECONDS):
        cache.now = made + later
        old = cache.answer("/ui", {}, maker, renewer)
        assert (old.body, old.headers["Age"]) == (b"x", str(int(later)))
    assert (maker.made, renewer.made) == (1, 0)
    cache.later.run()
    new = cache.answer("/ui", {}, maker, renewer)
    assert (new.body, new.headers["Age"]) == (b"xx", "0")
    assert (maker.made, renewer.made) == (1, 1)


@pytest.mark.parametrize(("takes", "oldest"), [(TAKES, OLDEST_SECONDS), (0.25, 0.25 * OLD_SECONDS_PER_SECOND)])
def test_who_comes_back_after_a_while_waits_for_a_new_page(takes: float, oldest: float) -> None:
    cache, maker = Cache(takes), Maker()
    cache.answer("/ui", {}, maker)
    cache.now += oldest
    cache.answer("/ui", {}, maker)
    assert maker.made == 1
    cache.later.waiting = {}
    cache.now += 0.001
    assert "Age" not in cache.answer("/ui", {}, maker).headers
    assert maker.made == 2


def raising(parameters: Mapping[str, str]) -> Answer:
    raise RuntimeError(parameters["x"])


@pytest.mark.parametrize("renew", [Maker(status=503), raising])
def test_a_page_that_cannot_be_renewed_is_dropped(renew: Callable[[Mapping[str, str]], Answer]) -> None:
    """The next view shows why."""
    cache, maker = Cache(TAKES), Maker()
    cache.answer("/ui", {"x": "1"}, maker)
    cache.now += TAKES / SHARE + 1
    cache.answer("/ui", {"x": "1"}, maker, renew)
    (job,) = cache.later.waiting.values()
    if renew is raising:
        with pytest.raises(RuntimeError):
            job()
    else:
        job()
    cache.later.waiting = {}
    cache.answer("/ui", {"x": "1"}, maker)
    assert maker.made == 2


@pytest.mark.parametrize(
    ("takes", "kept"), [(SECONDS * SHARE / 2, SECONDS), (2.0, 2.0 / SHARE), (MOST_SECONDS, MOST_SECONDS)]
)
def test_what_takes_long_is_renewed_less_often(takes: float, kept: float) -> None:
    cache, maker = Cache(takes), Maker()
    cache.answer("/ui", {}, maker)
    made = cache.now
    for later, renewed in ((kept, 0), (kept + 0.001, 1)):
        cache.now = made + later
        cache.answer("/ui", {}, maker)
        assert len(cache.later.waiting) == renewed
    assert maker.made == 1


def test_errors_are_computed_again() -> None:
    cache, maker = Cache(), Maker(status=503)
    assert [cache.answer("/ui", {}, maker).status for _ in range(2)] == [503, 503]
    assert maker.made == 2


def test_bounds() -> None:
    """The oldest answers go first; one that is larger than all is not kept."""
    cache, maker = Cache(), Maker()
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
