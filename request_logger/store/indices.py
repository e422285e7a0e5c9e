"""Which indices of a name there are: that without a period, and those of months or days (INDEX_PERIOD)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from request_logger.periods import is_of, pattern
from request_logger.store.asks import Asks
from request_logger.store.responses import Refusal, read_aliases

log = logging.getLogger(__name__)

MOST_PERIODS = 60
"""So many periods of a name are known, the newest, beside the index without one."""
REFRESH_SECONDS = 5.0
# Some engines and proxies refuse longer ones.
_MOST_PATH = 3000
_LENIENT = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "open"}


@dataclass(slots=True)
class _Listed:
    names: list[str]
    until: float


class Indices:
    """A list of indices for each name, asked of the engine for several names at once.

    ``period`` is INDEX_PERIOD: with ``none`` a name that has no index of a period will not have one later.
    """

    def __init__(self, engine: Asks, period: str) -> None:
        self._engine = engine
        self._period = period
        self._listed: dict[str, _Listed] = {}
        self._refused = False
        self._alone: set[str] = set()

    def of(self, index: str) -> list[str]:
        """Give the indices of a name as they are known, that without a period first, then by their periods."""
        listed = self._listed.get(index)
        return listed.names if listed is not None else []

    def is_spread(self, index: str) -> bool:
        """Say whether documents of a name may be in several indices."""
        return self._period != "none" or any(name != index for name in self.of(index))

    def is_alone(self, index: str) -> bool:
        """Say whether it is known that there is no other index of a name, nor will be."""
        return index in self._alone

    def made(self, name: str) -> None:
        """Note an index that was made, or is written to for the first time."""
        for index, listed in self._listed.items():
            if (name == index or is_of(name, index)) and name not in listed.names:
                listed.names = _in_order(index, [*listed.names, name])
                listed.until = 0.0

    def refresh(self, indices: Iterable[str]) -> None:
        """Ask for the lists that are missing or older than REFRESH_SECONDS. Raises StoreUnavailableError."""
        now = time.monotonic()
        self.ask([index for index in indices if self._is_stale(index, now)])

    def ask(self, indices: Collection[str]) -> None:
        """Ask which indices of these names there are now. Raises StoreUnavailableError."""
        for group in _groups(indices):
            answer = read_aliases(*self._engine.request("GET", f"{_path(group)}/_alias", params=_LENIENT))
            if isinstance(answer, Refusal) and not self._refused:
                self._refused = True
                log.warning("documents of other periods can't be found: %s to GET /%s/_alias", answer.status, group[0])
            found = set() if isinstance(answer, Refusal) else _usable(answer)
            for index in group:
                names = _in_order(index, [name for name in found if name == index or is_of(name, index)])
                self._listed[index] = _Listed(names, time.monotonic() + REFRESH_SECONDS)
                if not self.is_spread(index):
                    self._alone.add(index)

    def _is_stale(self, index: str, now: float) -> bool:
        listed = self._listed.get(index)
        return listed is None or (now >= listed.until and self.is_spread(index))


def _groups(indices: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for index in sorted(indices):
        if group and len(_path([*group, index])) > _MOST_PATH:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _path(indices: Iterable[str]) -> str:
    return "/" + ",".join(quote(name, safe="*") for index in indices for name in (index, pattern(index)))


def _usable(aliases: Mapping[str, set[str]]) -> set[str]:
    """Give the names of indices and aliases; a name with several indices behind it can't be asked for one document."""
    names = Counter(aliases.keys())
    for each in aliases.values():
        names.update(each)
    return {name for name, count in names.items() if count == 1}


def _in_order(index: str, names: list[str]) -> list[str]:
    periods = sorted(name for name in names if name != index)
    return [*([index] if index in names else []), *periods[-MOST_PERIODS:]]
