"""A long backlog of several topics, read in step by consumers of different speed: few predictions are written twice."""

from __future__ import annotations

from collections import Counter, deque

import pytest

from request_logger.kafka.config import group_of
from request_logger.kafka.pacing import Key, Pacing
from request_logger.kafka.partition import PendingRecord
from request_logger.kafka.record import Record
from request_logger.settings import Settings

PARTITIONS = 3
PREDICTIONS = 6_000
TOPICS = tuple(f"seldon.n.{kind}.m.{way}" for kind in ("pipeline", "model") for way in ("inputs", "outputs"))
# What Kafka hands out of a partition at a time, and the sizes of records: the topic with the smaller ones runs ahead.
FETCH_BYTES = 65_536
SIZES = {"inputs": 300, "outputs": 220}
# A response is written so many predictions after its request; so many are written per millisecond.
LATER, PER_MILLISECOND = 20, 20


class Backlog:
    """What Kafka has, and how far it is fetched: a partition that is paused loses what was fetched ahead of it."""

    def __init__(self) -> None:
        self.records: dict[Key, list[tuple[int, bytes]]] = {}
        for number in range(PREDICTIONS):
            kind, partition = TOPICS[number % 2 * 2].rpartition(".")[0], number // 2 % PARTITIONS
            for way, at in (("inputs", number), ("outputs", number + LATER)):
                place = self.records.setdefault((f"{kind}.{way}", partition), [])
                place.append((at // PER_MILLISECOND, b"%d" % number))
        self.from_offsets(dict.fromkeys(self.records, 0))

    def from_offsets(self, offsets: dict[Key, int]) -> None:
        """Read from these offsets on, as a member does that gets the partitions."""
        self.paused: set[Key] = set()
        self._fetched: deque[tuple[Key, int]] = deque()
        self._next = dict(offsets)
        self._ahead: Counter[Key] = Counter()

    def pause(self, keys: set[Key]) -> None:
        """Pause these partitions, and no others."""
        for key in keys - self.paused:
            self._fetched = deque(item for item in self._fetched if item[0] != key)
            self._next[key] -= self._ahead.pop(key, 0)
        self.paused = set(keys)

    def take(self, most: int, weight: int) -> list[PendingRecord]:
        """Return the next records."""
        for key, records in self.records.items():
            if key not in self.paused and self._ahead[key] < 200:
                first = self._next[key]
                count = min(FETCH_BYTES // SIZES[key[0].rpartition(".")[2]], len(records) - first)
                self._fetched += ((key, first + number) for number in range(count))
                self._next[key] += count
                self._ahead[key] += count
        found: list[PendingRecord] = []
        while self._fetched and len(found) < most:
            key, offset = self._fetched.popleft()
            self._ahead[key] -= 1
            time, id = self.records[key][offset]
            found.append(PendingRecord(Record(*key, offset, time, id, (), b""), weight=weight))
        return found


@pytest.mark.parametrize("weight", [1000, 4500])
@pytest.mark.parametrize(("per_second", "per_turn"), [(500, 50), (500, 1000), (5000, 50), (5000, 5000)])
def test_few_predictions_are_split(per_second: int, per_turn: int, weight: int) -> None:
    """Request and response are due in one turn, but where a partition ends, whatever the speed of the machine."""
    backlog, pacing = Backlog(), Pacing(group_of(Settings(seldon_kafka_prefix="seldon")), 5000, 16 * 2**20)
    pacing.assigned(backlog.records)
    turns: dict[bytes, list[int]] = {}
    now, turn = 0.0, 0
    new = backlog.take(per_turn, weight)
    while new or pacing.held:
        turn += 1
        now += max(len(new) / per_second, 0.01)
        for pending in pacing.due(new, lambda key: len(backlog.records[key]), now):
            assert pending.record.key is not None
            turns.setdefault(pending.record.key, []).append(turn)
        backlog.pause(pacing.ahead(backlog.paused))
        new = backlog.take(min(per_turn, pacing.room), weight)
    assert [len(each) for each in turns.values()] == [2] * PREDICTIONS
    split = sum(first != second for first, second in turns.values())
    assert split < 0.01 * PREDICTIONS


def test_few_predictions_are_split_where_one_topic_is_read_again() -> None:
    """After a kill, requests are redelivered without their responses: they don't delay other records."""
    backlog = Backlog()
    again = 400
    backlog.from_offsets({key: 0 if key[0].endswith("inputs") else again for key in backlog.records})
    pacing = Pacing(group_of(Settings(seldon_kafka_prefix="seldon")), 5000, 16 * 2**20)
    pacing.assigned(backlog.records)
    turns: dict[bytes, list[int]] = {}
    turn = 0
    new = backlog.take(200, 1000)
    while new or pacing.held:
        turn += 1
        for pending in pacing.due(new, lambda key: len(backlog.records[key]), turn * 0.04):
            assert pending.record.key is not None
            turns.setdefault(pending.record.key, []).append(turn)
        backlog.pause(pacing.ahead(backlog.paused))
        new = backlog.take(min(200, pacing.room), 1000)
    pairs = [each for each in turns.values() if len(each) == 2]
    assert len(pairs) == PREDICTIONS - again * len(backlog.records) // 2
    assert sum(first != second for first, second in pairs) < 0.01 * PREDICTIONS
