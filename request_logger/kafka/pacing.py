"""Reads topics that belong together in step, so that the records of one prediction are written together. Pure code.

Kafka gives each partition about as many bytes at a time, so the topic with the smaller records runs ahead, the farther
the longer the backlog. Records that are ahead of another topic of their group, by their timestamps, are held until that
one has caught up, and a request until the response with its key can be submitted with it; a partition with many held
records is paused. Nothing is held for a topic without a backlog, nor for one from which nothing comes, nor for longer
than `MOST_HELD_SECONDS`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from itertools import chain

from request_logger.kafka.partition import PendingRecord

Key = tuple[str, int]
# Since when a record is held, in the time spent reading, and the record.
_Held = tuple[float, PendingRecord]

MOST_HELD_SECONDS = 10.0
"""The longest that a record is held, whatever the timestamps: producers' clocks may differ.

It is the time spent reading, as for silence: with a backlog a turn of the consumer alone may take so long."""
MOST_APART_MILLISECONDS = 1000
"""A record is held until one of its group with the same key is read, or all are read this much further: most
predictions take less time, and one that failed has no response."""
SILENT_SECONDS = 5.0
"""A partition from which no record came for so long is not waited for: its leader may be gone. It is less than
`MOST_HELD_SECONDS`, after which the group is no longer read in step, and more than a fetch of all others takes."""
FEW = 10
"""A partition with fewer records to be read is not waited for: the transactions of a producer have offsets, too."""
# After a record was held for too long, its group is read as it comes for this time.
_FREE_SECONDS = 60.0
LEAST_SHARE, LEAST_SHARE_BYTES = 100, 2**17
"""A pause discards what was fetched, so no partition is paused for fewer held records of fewer bytes: two fetches."""
# What is read at least at a time, however much is held.
_LEAST_TURN = 500
# A turn of the consumer may take seconds in which it reads nothing: no silence of Kafka's.
_MOST_TURN_SECONDS = 0.25
# Where a backlog is read, so many records count as a second: on a busy machine they take longer, and every partition
# has its share of them.
_BACKLOG_RECORDS, _RECORDS_PER_SECOND = 100, 5000
# How often those groups are looked at of which nothing came, for records that are held too long.
_ALL_SECONDS = 0.2


@dataclass(slots=True)
class _Place:
    """How far a partition is read. ``read_at``: when its last record came, in the time spent reading."""

    group: Hashable
    read_at: float
    timestamp: float = -math.inf
    offset: int = -1
    """The offset after its last record."""
    ahead: int = 0
    """How many of its held records are later than the limit of their group."""
    ahead_bytes: int = 0


class Pacing:
    """The partitions of one consumer. Owned by its thread.

    ``group_of`` returns what the partitions have in common that belong together, None for one that stands alone.
    ``most_held`` and ``most_bytes`` are how many records may be held in all.
    """

    def __init__(self, group_of: Callable[[str, int], Hashable], most_held: int, most_bytes: int) -> None:
        self._group_of = group_of
        self._most_held = most_held
        self._most_bytes = most_bytes
        # The time spent reading so far, and when it was last measured.
        self._reading = 0.0
        self._turn_at = 0.0
        self._places: dict[Key, _Place] = {}
        self._free_until: dict[Hashable, float] = {}
        self._held: dict[Hashable, list[_Held]] = {}
        self._bytes: dict[Hashable, int] = {}
        # The limits of the last turn, and when all groups were looked at.
        self._limits_then: dict[Hashable, float] = {}
        self._all_at = 0.0

    @property
    def held(self) -> int:
        """How many records are held."""
        return sum(map(len, self._held.values()))

    @property
    def held_bytes(self) -> int:
        """The weight of the records that are held."""
        return sum(self._bytes.values())

    @property
    def room(self) -> int:
        """How many records may be read in one turn: by more, held ones would have to be submitted early."""
        return max(self._most_held - self.held, min(self._most_held, _LEAST_TURN))

    def assigned(self, keys: Iterable[Key]) -> None:
        """Add partitions."""
        for key in keys:
            group = self._group_of(*key)
            if group is not None:
                self._places[key] = _Place(group, self._reading)

    def resumed(self, keys: Iterable[Key]) -> None:
        """Wait for partitions that were paused: nothing came from them because nothing was asked for."""
        for key in keys:
            if key in self._places:
                self._places[key].read_at = self._reading

    def dropped(self, keys: Iterable[Key]) -> None:
        """Remove partitions and their held records: another member reads them again, in step."""
        gone = {key: place for key in keys if (place := self._places.pop(key, None)) is not None}
        for group in {place.group for place in gone.values()}:
            kept = [each for each in self._held.get(group, ()) if _key(each[1]) not in gone]
            self._hold(group, kept, self._limits_then.get(group, math.inf))

    def due(
        self, new: list[PendingRecord], high_offset: Callable[[Key], int | None], now: float
    ) -> list[PendingRecord]:
        """Return the records to submit now, of those just read and those held before, in the order of their times.

        Records with the same key follow each other, so that the store's next request has all of them or none.
        ``high_offset`` returns the offset after a partition's last record in Kafka, None if it is unknown.
        """
        if not self._places:
            return new
        self._read(new, high_offset, now)
        limits = self._limits(high_offset)
        due: list[PendingRecord] = []
        # Only these groups are looked at: with many held records, a turn that reads few would cost much per record.
        changed: dict[Hashable, list[_Held]] = {
            group: [] for group in self._held if limits.get(group) != self._limits_then.get(group)
        }
        if self._reading - self._all_at >= _ALL_SECONDS:
            self._all_at = self._reading
            changed = {group: [] for group in self._held}
        for pending in new:
            place = self._places.get(_key(pending))
            if place is None or pending.record.timestamp is None:
                due.append(pending)
            else:
                changed.setdefault(place.group, []).append((self._reading, pending))
        for group, candidates in changed.items():
            due += self._split(group, [*self._held.get(group, ()), *candidates], limits.get(group, math.inf))
        self._limits_then = limits
        return _in_order(due + self._overflow())

    def _read(self, new: list[PendingRecord], high_offset: Callable[[Key], int | None], now: float) -> None:
        """Note how far the partitions are read, and the time that it took."""
        read: dict[Key, _Place] = {}
        for pending in new:
            place = self._places.get(_key(pending))
            if place is not None:
                read[_key(pending)] = place
                place.offset = pending.record.offset + 1
                if pending.record.timestamp is not None:
                    place.timestamp = pending.record.timestamp
        backlog = sum((high_offset(key) or 0) - place.offset for key, place in read.items())
        most = len(new) / _RECORDS_PER_SECOND if backlog >= _BACKLOG_RECORDS else _MOST_TURN_SECONDS
        self._reading += min(now - self._turn_at, most)
        self._turn_at = now
        for place in read.values():
            place.read_at = self._reading

    def _split(self, group: Hashable, candidates: list[_Held], limit: float) -> list[PendingRecord]:
        """Return the records of a group that are due, and hold the others."""
        if limit == math.inf:
            self._hold(group, [], limit)
            return [pending for _, pending in candidates]
        complete = _complete(pending for _, pending in candidates)
        due, held = [], []
        for since, pending in candidates:
            timestamp = _timestamp(pending)
            if min(complete.get(pending.record.key, timestamp), timestamp + MOST_APART_MILLISECONDS) <= limit:
                due.append(pending)
            elif self._reading - since > MOST_HELD_SECONDS:
                if timestamp > limit:
                    self._free_until[group] = self._reading + _FREE_SECONDS
                due.append(pending)
            else:
                held.append((since, pending))
        self._hold(group, held, limit)
        return due

    def _hold(self, group: Hashable, held: list[_Held], limit: float) -> None:
        """Hold these records of a group, and no others.

        Those up to the limit, such as requests without a response, don't count as ahead: pausing their partition would
        keep the limit where it is, and them waiting.
        """
        self._held.pop(group, None)
        self._bytes.pop(group, None)
        if held:
            self._held[group] = held
            self._bytes[group] = sum(pending.weight for _, pending in held)
        counts: Counter[Key] = Counter()
        sizes: Counter[Key] = Counter()
        for pending in (pending for _, pending in held if _timestamp(pending) > limit):
            counts[_key(pending)] += 1
            sizes[_key(pending)] += pending.weight
        for key, place in self._places.items():
            if place.group == group:
                place.ahead, place.ahead_bytes = counts[key], sizes[key]

    def _overflow(self) -> list[PendingRecord]:
        """Return the oldest held records, by their timestamps, where there are too many; they are held no more."""
        count, size = self.held, self.held_bytes
        if count <= self._most_held and size <= self._most_bytes:
            return []
        held = sorted(chain.from_iterable(self._held.values()), key=lambda each: _timestamp(each[1]))
        first = 0
        while first < count and (count - first > self._most_held or size > self._most_bytes):
            size -= held[first][1].weight
            first += 1
        gone = {id(pending) for _, pending in held[:first]}
        for group, before in list(self._held.items()):
            kept = [each for each in before if id(each[1]) not in gone]
            self._hold(group, kept, self._limits_then.get(group, math.inf))
        return [pending for _, pending in held[:first]]

    def ahead(self, paused: Collection[Key]) -> set[Key]:
        """Return the partitions to pause, or to leave paused: further ahead than their share of records, or still far.

        A pause discards what was fetched ahead, so a partition is resumed only when it is little ahead. The shares are
        half of what may be held: the other half is for what one turn reads.
        """
        shares = 2 * max(len(self._places), 1)
        most = max(self._most_held // shares, LEAST_SHARE)
        most_bytes = max(self._most_bytes // shares, LEAST_SHARE_BYTES)
        ahead = set()
        for key, place in self._places.items():
            part = 4 if key in paused else 1
            if place.ahead > most // part or place.ahead_bytes > most_bytes // part:
                ahead.add(key)
        self.resumed(key for key in paused if key not in ahead)
        return ahead

    def _limits(self, high_offset: Callable[[Key], int | None]) -> dict[Hashable, float]:
        """Return up to which timestamp the records of each group may be submitted; none for a group without limit."""
        limits: dict[Hashable, float] = {}
        for key, place in self._places.items():
            if (
                self._reading - place.read_at > SILENT_SECONDS
                or self._free_until.get(place.group, -math.inf) > self._reading
            ):
                continue
            if place.timestamp >= limits.get(place.group, math.inf):
                continue
            high = high_offset(key)
            if high is None or high - place.offset >= FEW:
                limits[place.group] = place.timestamp
        return limits


def _complete(records: Iterable[PendingRecord]) -> dict[bytes | None, float]:
    """Return the time from which each key has a request and its response: infinite for a key with one record."""
    times: dict[bytes, list[int]] = {}
    for pending in records:
        if pending.record.key is not None:
            times.setdefault(pending.record.key, []).append(_timestamp(pending))
    return {key: max(known) if len(known) > 1 else math.inf for key, known in times.items()}


def _in_order(due: list[PendingRecord]) -> list[PendingRecord]:
    """Return records in the order of their times, each with all others of its key after it."""
    due.sort(key=_timestamp)
    places: dict[bytes | int, int] = {}
    for pending in due:
        places.setdefault(_identity(pending), len(places))
    due.sort(key=lambda pending: places[_identity(pending)])
    return due


def _identity(pending: PendingRecord) -> bytes | int:
    return pending.record.key if pending.record.key is not None else id(pending)


def _key(pending: PendingRecord) -> Key:
    return pending.record.topic, pending.record.partition


def _timestamp(pending: PendingRecord) -> int:
    return pending.record.timestamp or 0
