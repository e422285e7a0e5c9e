"""Which indices of a name there are: that without a period, and those of months or days (INDEX_PERIOD)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from request_logger.common.periods import is_of, pattern
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.ports import EngineReader
from request_logger.store.responses import Refusal, read_aliases

log = logging.getLogger(__name__)

MOST_PERIODS = 60
"""So many periods of a name are known, the newest, beside the index without one."""
REFRESH_SECONDS = 5.0
# Some engines and proxies refuse longer ones.
_MOST_PATH = 3000
_FORBIDDEN = "security_exception"
_LENIENT = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "open"}


@dataclass(slots=True)
class _Listed:
    names: list[str]
    until: float


class Catalog:
    """The indices of each name, as they were listed last.

    ``period`` is INDEX_PERIOD: with ``none`` a name that has no index of a period will not have one later. ``now`` is
    in seconds of any clock that doesn't go back.
    """

    def __init__(self, period: str) -> None:
        self.period = period
        self._listed: dict[str, _Listed] = {}
        self._alone: set[str] = set()
        self._is_warned = False

    def of(self, index: str) -> list[str]:
        """Return the indices of a name as they are known, the one without a period first, then by period."""
        listed = self._listed.get(index)
        return listed.names if listed is not None else []

    def is_spread(self, index: str) -> bool:
        """Return whether documents of a name may be in several indices."""
        return self.period != "none" or any(name != index for name in self.of(index))

    def is_alone(self, index: str) -> bool:
        """Return whether it is known that there is no other index of a name, nor will be."""
        return index in self._alone

    def is_stale(self, index: str, now: float) -> bool:
        """Return whether a name must be listed (again) before its list is used."""
        listed = self._listed.get(index)
        return listed is None or (now >= listed.until and self.is_spread(index))

    def made(self, name: str) -> None:
        """Note an index that was made, or is written to for the first time."""
        for index, listed in self._listed.items():
            if (name == index or is_of(name, index)) and name not in listed.names:
                listed.names = _in_order(index, [*listed.names, name])
                listed.until = 0.0

    def note(self, found: Mapping[str, list[str] | None], now: float) -> None:
        """Note what `list_indices` has found."""
        for index, names in found.items():
            if names is None and not self._is_warned:
                self._is_warned = True
                log.warning("documents of other periods can't be found: this user may not list %s", _path([index])[1:])
            self._listed[index] = _Listed(names or [], now + REFRESH_SECONDS)
            if not self.is_spread(index):
                self._alone.add(index)


def list_indices(engine: EngineReader, indices: Collection[str]) -> dict[str, list[str] | None]:
    """Ask the engine which indices of these names there are; None for a name that this user may not list.

    Raises StoreUnavailableError.
    """
    listed: dict[str, list[str] | None] = {}
    for group in _groups(indices):
        answer = read_aliases(*engine.request("GET", f"{_path(group)}/_alias", params=_LENIENT))
        if not isinstance(answer, Refusal):
            found = _usable(answer)
            for index in group:
                listed[index] = _in_order(index, [name for name in found if name == index or is_of(name, index)])
        elif answer.kind == _FORBIDDEN:
            listed.update(dict.fromkeys(group))
        else:
            raise StoreUnavailableError(f"the engine answered {answer.status} to a request for indices")
    return listed


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
