"""The documents that changes are waiting for, and those of them that the engine has a request for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from request_logger.store.work import Slot


class Slots:
    """Slots by index and id. For one thread at a time; `has_idle` and whether there are any may be asked by all."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, str], Slot] = {}
        self._under_way = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Slot]:
        """Give them all, whatever is forgotten meanwhile."""
        return iter(list(self._slots.values()))

    @property
    def has_idle(self) -> bool:
        """Whether there are some without a request under way."""
        return len(self._slots) > self._under_way

    def idle(self) -> list[Slot]:
        """Give those without a request under way."""
        return [slot for slot in self._slots.values() if not slot.under_way]

    def of(self, index: str, id: str, fixed: str) -> Slot:
        """Give a document's slot; a new one is in the index ``fixed``, where that is not empty."""
        slot = self._slots.get((index, id))
        if slot is None:
            slot = self._slots[index, id] = Slot(index, id, fixed)
        return slot

    def forget(self, slot: Slot) -> None:
        """Leave out a slot, unless it has a request under way: then it is left out when that comes back."""
        # Another may have taken its place since all of its own changes failed.
        if not slot.under_way and self._slots.get((slot.index, slot.id)) is slot:
            del self._slots[slot.index, slot.id]

    def sent(self, slots: Iterable[Slot]) -> None:
        """Note that requests for them are under way."""
        for slot in slots:
            slot.under_way = True
            self._under_way += 1

    def back(self, slots: Iterable[Slot]) -> None:
        """Note that their requests are answered, or never will be."""
        for slot in slots:
            slot.under_way = False
            self._under_way -= 1
            if not slot.waiting:
                self.forget(slot)
