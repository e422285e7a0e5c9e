"""Which index has a document, where there is one a month or day (INDEX_PERIOD), or there was.

The versions of known documents are in the cache, with their index. An unknown one is looked for by real-time gets
(``_mget``, which needs no refresh) in the indices of its name: what feedback is about before it is written, since it
is there, of another day; anything else after it was created in the index of its own day, since it is new. So a _bulk
with unknown documents costs one more round trip.

Two loggers may begin one document in two indices: the request before midnight, the response after it. Each first
stores its own and then looks for the other's, in all indices that there are by then, so that one of them sees both.
The older index wins (that without a period first of all): what the other has is joined to it, and then removed, each
on the condition of its version. An event is acknowledged after that. Who is killed in between leaves two documents;
the event that comes again, or the next feedback, finds both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from request_logger.periods import index_at
from request_logger.serialize import dumps, loads
from request_logger.store.asks import Asks
from request_logger.store.cache import Cache, Known
from request_logger.store.change import Document, StoreUnavailableError, current, unchanged
from request_logger.store.indices import Indices
from request_logger.store.work import Slot

# Gets of one _mget.
_MOST_GETS = 10_000

Merge = Callable[[Document, Document], Document | None]


@dataclass(slots=True)
class _Look:
    """A look for the document of a slot: where, what was found, and why the engine can't tell."""

    slot: Slot
    names: list[str]
    found: list[Known] = field(default_factory=list)
    problem: str = ""


class Places:
    """Finds the places of slots. ``merge`` joins a copy to a document, None where it is of another deployment.

    ``told`` is called after each look with the number of gets and the seconds that they took. For one thread.
    """

    def __init__(self, engine: Asks, period: str, merge: Merge, told: Callable[[int, float], None]) -> None:
        self._engine = engine
        self._period = period
        self._merge = merge
        self._told = told
        self._indices = Indices(engine, period)
        self._most_gets = _MOST_GETS
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="places")

    def locate(self, slots: Iterable[Slot], cache: Cache) -> tuple[list[Slot], list[tuple[Slot, str]]]:
        """Give slots their places, and look for copies of those that are unsure; a further call sees to the rest.

        Returns those that were unsure and have no copy, and those of which the engine can't tell now, with its reason.
        Raises StoreUnavailableError.
        """
        wanted = [slot for slot in slots if slot.waiting and not self._is_placed(slot, cache)]
        if not wanted:
            return [], []
        now = {slot.index for slot in wanted if self._needs_all(slot)}
        self._indices.refresh({slot.index for slot in wanted} - now)
        # They are asked for while the indices that are known are looked through.
        listing = self._beside.submit(self._indices.ask, now) if now else None
        try:
            looks = self._looks(wanted)
            done = self._look(looks)
        finally:
            if listing is not None:
                listing.result()
        done = done and self._look([self._further(look) for look in looks if self._needs_all(look.slot)], looks)
        if not done:
            return [], []
        single = [look.slot for look in looks if not look.problem and self._take(look, cache)]
        return single, [(look.slot, look.problem) for look in looks if look.problem]

    def find(self, index: str, id: str) -> Known | None:
        """Look for a document of a name; where several indices have it, the oldest's. Raises StoreUnavailableError."""
        self._indices.refresh([index])
        look = _Look(Slot(index, id), self._indices.of(index))
        self._look([look])
        if look.problem:
            raise StoreUnavailableError(look.problem)
        return look.found[0] if look.found else None

    def is_spread(self, slot: Slot) -> bool:
        """Say whether the slot's document may be in several indices."""
        return self._indices.is_spread(slot.index)

    def made(self, name: str) -> None:
        """Note an index that was made, or is written to for the first time."""
        self._indices.made(name)

    def merged(self, document: Document, copies: Sequence[Known]) -> Document:
        """Join the copies to the document."""
        for copy in copies:
            document = self._merge(document, loads(copy.source)) or document
        return document

    def _is_placed(self, slot: Slot, cache: Cache) -> bool:
        if slot.unsure:
            return False
        if not slot.place and self._indices.is_alone(slot.index):
            slot.place = slot.index
        if slot.place:
            return True
        known = None if slot.again else cache.get(slot.index, slot.id)
        if known is not None:
            slot.place = known.place
        elif all(change.day is None for _, _, change in slot.waiting):
            # A tool's change: it names the very index.
            slot.place = slot.index
        return bool(slot.place)

    def _needs_all(self, slot: Slot) -> bool:
        """Say whether all indices that there are by now must be looked through, and not those of a while ago.

        Who has stored its own and looks for the other's must: that one may have made an index meanwhile.
        """
        again = slot.again or any(change.apply is current for _, _, change in slot.waiting)
        return slot.unsure or (again and self._indices.is_spread(slot.index))

    def _looks(self, slots: list[Slot]) -> list[_Look]:
        """Say where to look for which slots, as many as go into one request; give those their place that need none."""
        looks: list[_Look] = []
        gets = 0
        for slot in slots:
            names = self._to_ask(slot)
            if names and looks and gets + len(names) > self._most_gets:
                continue
            if names or self._needs_all(slot):
                looks.append(_Look(slot, names))
                gets += len(names)
        return looks

    def _to_ask(self, slot: Slot) -> list[str]:
        if slot.unsure:
            return self._others(slot.index, slot.place)
        home = self._home(slot)
        others = self._others(slot.index, home)
        late = any(change.late or change.apply is unchanged for *_, change in slot.waiting)
        if self._needs_all(slot) or (late and others):
            return [home, *others]
        slot.place = home
        return []

    def _home(self, slot: Slot) -> str:
        day = next(change.day for _, _, change in slot.waiting if change.day is not None)
        return index_at(slot.index, day, self._period)

    def _others(self, index: str, home: str) -> list[str]:
        return [name for name in self._indices.of(index) if name != home]

    def _further(self, look: _Look) -> _Look:
        """Give the look for a slot in the indices that have appeared since."""
        mine = look.slot.place if look.slot.unsure else ""
        return _Look(look.slot, [name for name in self._others(look.slot.index, mine) if name not in look.names])

    def _look(self, looks: list[_Look], into: list[_Look] | None = None) -> bool:
        """Carry out looks with one request; False where the engine takes no request of so many, but of fewer.

        What is found is added to the looks ``into`` for the same slots.
        """
        docs = [{"_index": name, "_id": look.slot.id} for look in looks for name in look.names]
        if not docs:
            return True
        started = time.monotonic()
        status, answer = self._engine.request("POST", "/_mget", {"docs": docs})
        if status == 413 and self._most_gets > 1:
            self._most_gets = max(min(self._most_gets, len(docs)) // 2, 1)
            return False
        if status != 200:
            raise StoreUnavailableError(f"the engine answered {status} to _mget of {len(docs)}: {str(answer)[:200]}")
        self._told(len(docs), time.monotonic() - started)
        answers = iter(answer["docs"])
        targets = {id(look.slot): look for look in into or looks}
        for look in looks:
            target = targets[id(look.slot)]
            for name, one in zip(look.names, islice(answers, len(look.names)), strict=True):
                problem = _problem(one)
                target.problem = target.problem or (problem and f"{name}: {problem}")
                if one.get("found"):
                    target.found.append(Known(one["_seq_no"], one["_primary_term"], dumps(one["_source"]), name))
        return True

    def _take(self, look: _Look, cache: Cache) -> bool:
        """Note where a slot's document was found; say whether it was unsure, and is the only one."""
        slot, found = look.slot, look.found
        was_unsure, slot.unsure, slot.again, slot.looked = slot.unsure, False, False, True
        if was_unsure:
            assert slot.known is not None
            mine = slot.known
            found = [mine, *(known for known in found if self._are_one(mine, known))]
        if not found:
            slot.place = self._home(slot)
            return False
        first, *copies = sorted(found, key=lambda known: (known.place != slot.index, known.place))
        slot.place, slot.known = first.place, first
        cache.put(slot.index, slot.id, first)
        slot.copies = [known for known in copies if self._are_one(first, known)]
        return was_unsure and not slot.copies

    def _are_one(self, one: Known, other: Known) -> bool:
        return self._merge(loads(one.source), loads(other.source)) is not None


def _problem(answer: Mapping[str, Any]) -> str:
    """Say why the engine can't tell whether it has a document; empty where it can."""
    error = answer.get("error")
    kind = str(error.get("type", "error") if isinstance(error, dict) else error or "")
    return "" if kind in ("index_not_found_exception", "index_closed_exception") else kind
