"""The catalog of the indices of each name: the one without a period, and those per month or day (INDEX_PERIOD)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from request_logger.common.periods import is_of, pattern
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import FORBIDDEN
from request_logger.store.ports import EngineReader
from request_logger.store.responses import Refusal, read_aliases

log = logging.getLogger(__name__)

MAX_PERIODS = 60
"""The newest periods of a name that are kept, in addition to the index without a period."""
REFRESH_SECONDS = 5.0
"""How long a list of indices is used before it is fetched again."""
# Search engines accept a request line of 4,096 bytes; some proxies less.
_MAX_PATH = 3000
_LENIENT = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "open"}


@dataclass(slots=True)
class _Listed:
    names: list[str]
    until: float


class Catalog:
    """The indices of each name, as they were last listed.

    ``period`` is INDEX_PERIOD: with ``none``, a name without period indices never gets one later. ``now`` is in seconds
    of a monotonic clock. Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self, period: str) -> None:
        self.period = period
        self._listed: dict[str, _Listed] = {}
        self._alone: set[str] = set()
        self._is_warned = False

    def of(self, index: str) -> list[str]:
        """Return the known indices of a name, the one without a period first, then by period."""
        listed = self._listed.get(index)
        return listed.names if listed is not None else []

    def is_multi_index(self, index: str) -> bool:
        """Return whether documents of a name may be in several indices."""
        return self.period != "none" or any(name != index for name in self.of(index))

    def is_single_index(self, index: str) -> bool:
        """Return whether a name is known to have no other index, now and later."""
        return index in self._alone

    def is_stale(self, index: str, now: float) -> bool:
        """Return whether the indices of a name must be listed (again) before the list is used."""
        listed = self._listed.get(index)
        return listed is None or (now >= listed.until and self.is_multi_index(index))

    def add(self, name: str) -> None:
        """Add an index that was created, or is written to for the first time."""
        for index, listed in self._listed.items():
            if (name == index or is_of(name, index)) and name not in listed.names:
                listed.names = _in_order(index, [*listed.names, name])
                listed.until = 0.0

    def note(self, found: Mapping[str, list[str] | None], now: float) -> None:
        """Record the result of `list_indices`."""
        for index, names in found.items():
            if names is None and not self._is_warned:
                self._is_warned = True
                log.warning("documents of other periods can't be found: this user may not list %s", _path([index])[1:])
            self._listed[index] = _Listed(names or [], now + REFRESH_SECONDS)
            if not self.is_multi_index(index):
                self._alone.add(index)


def list_indices(engine: EngineReader, indices: Collection[str]) -> dict[str, list[str] | None]:
    """Return the indices of each name; None for a name that this user may not list.

    Raises StoreUnavailableError.
    """
    listed: dict[str, list[str] | None] = {}
    for group in _groups(indices):
        answer = read_aliases(*engine.request("GET", f"{_path(group)}/_alias", params=_LENIENT))
        if not isinstance(answer, Refusal):
            found = _usable(answer)
            for index in group:
                listed[index] = _in_order(index, [name for name in found if name == index or is_of(name, index)])
        elif answer.kind == FORBIDDEN:
            listed.update(dict.fromkeys(group))
        else:
            raise StoreUnavailableError(f"the engine answered {answer.status} to a request for indices")
    return listed


def _groups(indices: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for index in sorted(indices):
        if group and len(_path([*group, index])) > _MAX_PATH:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _path(indices: Iterable[str]) -> str:
    return "/" + ",".join(quote(name, safe="*") for index in indices for name in (index, pattern(index)))


def _usable(aliases: Mapping[str, set[str]]) -> set[str]:
    """Return the names of indices and aliases, without aliases of several indices, which support no single get."""
    names = Counter(aliases.keys())
    for each in aliases.values():
        names.update(each)
    return {name for name, count in names.items() if count == 1}


def _in_order(index: str, names: list[str]) -> list[str]:
    periods = sorted(name for name in names if name != index)
    return [*([index] if index in names else []), *periods[-MAX_PERIODS:]]
