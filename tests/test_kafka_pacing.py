"""Topics that are read in step: what is held, for how long, and what is paused. No Kafka."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from request_logger.kafka.config import group_of
from request_logger.kafka.pacing import (
    FEW,
    LEAST_SHARE,
    LEAST_SHARE_BYTES,
    MOST_APART_MILLISECONDS,
    MOST_HELD_SECONDS,
    SILENT_SECONDS,
    Key,
    Pacing,
)
from request_logger.kafka.partition import PendingRecord
from request_logger.kafka.record import Record
from request_logger.settings import Settings

INPUTS, OUTPUTS = ("seldon.n.model.m.inputs", 0), ("seldon.n.model.m.outputs", 0)
MANY = 100_000


class Reading:
    """A consumer of two partitions with a backlog."""

    def __init__(self, most_held: int = 1000, most_bytes: int = MANY) -> None:
        group = group_of(Settings(seldon_kafka_prefix="seldon"))
        self.pacing = Pacing(group, most_held, most_bytes)
        self.pacing.assigned([INPUTS, OUTPUTS])
        self.high: dict[Key, int | None] = {INPUTS: MANY, OUTPUTS: MANY}
        self.now = 0.0
        self.offsets = {INPUTS: 0, OUTPUTS: 0}

    def read(
        self, key: Key, times: Iterable[int | None], *, weight: int = 1, after: float = 0.01, ids: bool = False
    ) -> list[int | None]:
        """Read records of these times, with ``ids`` with keys; return those of all records that are due."""
        new = []
        for time in times:
            id = b"%d" % (self.offsets[key]) if ids else None
            new.append(PendingRecord(Record(*key, self.offsets[key], time, id, (), b""), weight=weight))
            self.offsets[key] += 1
        self.now += after
        return [each.record.timestamp for each in self.pacing.due(new, self.high.get, self.now)]


def test_records_wait_for_those_of_the_other_topic() -> None:
    """What is due is in the order of time, however it was read."""
    reading = Reading()
    assert reading.read(INPUTS, range(0, 200, 2)) == []
    assert reading.read(OUTPUTS, range(1, 101, 2)) == list(range(100))
    assert reading.read(OUTPUTS, range(101, 401, 2)) == list(range(100, 199))
    assert reading.pacing.ahead(()) == set()


def test_a_request_waits_for_its_response() -> None:
    """Where they have keys: both are written at once, wherever the reading of the other topic ends."""
    reading = Reading()
    assert reading.read(INPUTS, range(0, 100, 10), ids=True) == []
    assert reading.read(OUTPUTS, range(25, 65, 10), ids=True) == [0, 25, 10, 35, 20, 45, 30, 55]
    assert reading.pacing.held == 6
    # The other partition has nothing more: there is no response to wait for.
    reading.high[OUTPUTS] = reading.offsets[OUTPUTS]
    reading.high[INPUTS] = reading.offsets[INPUTS]
    assert reading.read(OUTPUTS, ()) == [40, 50, 60, 70, 80, 90]


def test_a_request_does_not_wait_long_for_a_response() -> None:
    """That of a failed prediction never comes: others are read up to a second further, by their times."""
    reading = Reading()
    reading.read(INPUTS, [0, 1, 2000], ids=True)
    reading.offsets[OUTPUTS] = 1
    assert reading.read(OUTPUTS, [2], ids=True) == [1, 2]
    assert reading.read(OUTPUTS, [MOST_APART_MILLISECONDS - 1]) == [MOST_APART_MILLISECONDS - 1]
    assert reading.read(OUTPUTS, [MOST_APART_MILLISECONDS]) == [0, MOST_APART_MILLISECONDS]


def test_a_request_does_not_wait_long_for_a_response_that_is_read_slowly() -> None:
    """After it, the group is still read in step."""
    reading = Reading(most_held=MANY)
    assert reading.read(INPUTS, [0, 10, 20], ids=True) == []
    reading.offsets[OUTPUTS] = 1
    found = reading.read(OUTPUTS, [11], ids=True)
    assert found == [10, 11]
    turns = 0
    while not {0, 20} & set(found):
        found = reading.read(OUTPUTS, [21] * 1250, after=1)
        turns += 1
    # So many records count as a quarter of a second.
    assert turns == pytest.approx(MOST_HELD_SECONDS * 4, abs=1)
    assert found == [0, 20, *[21] * 1250]
    assert reading.read(INPUTS, [30]) == []


def test_nothing_waits_for_a_topic_without_a_backlog() -> None:
    reading = Reading()
    reading.high[OUTPUTS] = FEW - 2
    assert reading.read(INPUTS, range(10)) == list(range(10))
    reading.high[OUTPUTS] = FEW
    assert reading.read(INPUTS, range(10, 20)) == []
    reading.high[OUTPUTS] = None
    assert reading.read(INPUTS, ()) == []


def test_nothing_waits_for_a_topic_that_is_silent() -> None:
    """Until its next record. A long turn in which nothing was read isn't silence."""
    reading = Reading()
    assert reading.read(INPUTS, range(10), after=10 * SILENT_SECONDS) == []
    found = []
    for _ in range(int(SILENT_SECONDS * 4) + 1):
        found += reading.read(INPUTS, (), after=SILENT_SECONDS / 5)
    assert found == list(range(10))
    assert reading.read(INPUTS, range(10, 20)) == list(range(10, 20))
    assert reading.read(OUTPUTS, [5]) == [5]
    assert reading.read(INPUTS, range(20, 30)) == []


def test_a_partition_that_was_paused_is_not_silent() -> None:
    """After a pause its next records are waited for, although none came for long: none was asked for."""
    reading = Reading()
    assert reading.read(INPUTS, range(0, 2 * LEAST_SHARE * 10, 2)) == []
    assert reading.pacing.ahead(()) == {INPUTS}
    for _ in range(int(SILENT_SECONDS * 4) + 1):
        reading.read(OUTPUTS, [1] * 1250, after=0.25)
    assert reading.read(OUTPUTS, [1990]) != []
    assert reading.pacing.ahead({INPUTS}) == set()
    assert reading.read(OUTPUTS, [2001]) == [1992, 1994, 1996, 1998]
    # A pause of all partitions, because too much is in the store, is no silence either.
    reading.high[OUTPUTS] = 0
    for _ in range(int(SILENT_SECONDS * 4) - 1):
        assert reading.read(OUTPUTS, (), after=0.25) == []
    reading.pacing.resumed([INPUTS, OUTPUTS])
    assert reading.read(OUTPUTS, (), after=SILENT_SECONDS) == reading.read(OUTPUTS, (), after=SILENT_SECONDS) == []


def test_request_and_response_are_due_together() -> None:
    """Also where the limit is between them: the request waits, and others don't."""
    reading = Reading()
    assert reading.read(INPUTS, [0, 10, 20], ids=True) == []
    assert reading.read(OUTPUTS, [19, 30], ids=True) == [0, 19]
    assert reading.read(INPUTS, [40], ids=True) == [10, 30]
    assert reading.read(OUTPUTS, [35, 60], ids=True) == [20, 35]


def test_nothing_waits_for_long() -> None:
    """A producer's clock is wrong, and its topic has a backlog without end: the group is read as it comes."""
    reading = Reading()
    found = reading.read(INPUTS, range(1000, 1010))
    for _ in range(int(MOST_HELD_SECONDS) * 4 + 1):
        assert not found
        reading.high[OUTPUTS] = reading.offsets[OUTPUTS] + 1 + FEW
        found = [time for time in reading.read(OUTPUTS, [1], after=0.25) if time and time >= 1000]
    assert found == list(range(1000, 1010))
    assert reading.read(INPUTS, [2000]) == [2000]


def test_a_slow_consumer_waits_longer() -> None:
    """A busy machine, where each of many partitions has a turn from time to time: a backlog is read in step anyway."""
    reading = Reading()
    others = [("seldon.n.model.m.inputs", number) for number in range(1, 40)]
    reading.pacing.assigned(others)
    reading.high |= dict.fromkeys(others, MANY)
    reading.offsets |= dict.fromkeys(others, 0)
    assert reading.read(INPUTS, range(0, 200, 2), ids=True, after=1) == []
    for other in others:
        assert reading.read(other, range(1000, 1100), after=1) == list(range(1000, 1100))
    assert reading.read(OUTPUTS, range(1, 201, 2), ids=True, after=1) == list(range(198))


def test_without_a_time_and_without_a_group_nothing_waits() -> None:
    reading = Reading()
    assert reading.read(INPUTS, [None, 7]) == [None]
    reading.offsets["seldon.n.errors.errors", 0] = 0
    assert reading.read(("seldon.n.errors.errors", 0), [8]) == [8]


@pytest.mark.parametrize(
    ("most_held", "weight", "kept"), [(4, 1, 4), (1000, MANY // 3, 3), (0, 1, 0), (9, MANY + 1, 0)]
)
def test_what_is_held_is_bounded(most_held: int, weight: int, kept: int) -> None:
    """In number and bytes; the newest are held."""
    reading = Reading(most_held)
    assert reading.read(INPUTS, range(10), weight=weight) == list(range(10 - kept))
    assert reading.pacing.held == kept
    reading.pacing.dropped([OUTPUTS])
    assert reading.read(INPUTS, (), after=0.01) == list(range(10 - kept, 10))
    assert reading.pacing.held == 0


def test_a_partition_far_ahead_is_paused_until_it_is_not() -> None:
    reading = Reading(most_held=8 * LEAST_SHARE)
    reading.read(INPUTS, range(2 * LEAST_SHARE))
    assert reading.pacing.ahead(()) == set()
    reading.read(INPUTS, [2 * LEAST_SHARE])
    assert reading.pacing.ahead(()) == {INPUTS}
    reading.read(OUTPUTS, [2 * LEAST_SHARE - LEAST_SHARE])
    assert reading.pacing.ahead({INPUTS}) == {INPUTS}
    reading.read(OUTPUTS, [2 * LEAST_SHARE - LEAST_SHARE // 4])
    assert reading.pacing.ahead({INPUTS}) == set()


def test_a_partition_of_large_records_is_paused_by_their_bytes() -> None:
    reading = Reading(most_bytes=8 * LEAST_SHARE_BYTES)
    reading.read(INPUTS, [0, 1], weight=LEAST_SHARE_BYTES)
    assert (reading.pacing.ahead(()), reading.pacing.held_bytes) == (set(), 2 * LEAST_SHARE_BYTES)
    reading.read(INPUTS, [2], weight=LEAST_SHARE_BYTES)
    assert reading.pacing.ahead(()) == {INPUTS}
    reading.read(OUTPUTS, [2])
    assert (reading.pacing.ahead({INPUTS}), reading.pacing.held_bytes) == (set(), 0)


def test_a_turn_reads_what_may_be_held() -> None:
    """Not more, so that none that is held must be submitted early; some, whatever is held."""
    reading = Reading(most_held=2000)
    assert reading.pacing.room == 2000
    reading.read(INPUTS, range(1200))
    assert reading.pacing.room == 800
    reading.read(INPUTS, range(1200, 1900))
    assert reading.pacing.room == 500
    assert Reading(most_held=5).pacing.room == 5


def test_what_was_held_of_a_partition_that_has_gone_is_dropped() -> None:
    """Its new owner reads it again, together with the records that belong to it; others stay held."""
    reading = Reading()
    other = ("seldon.n.model.m.inputs", 1)
    reading.pacing.assigned([other, ("seldon.n.model.m.outputs", 1)])
    reading.high |= {other: MANY, ("seldon.n.model.m.outputs", 1): MANY}
    reading.offsets[other] = 0
    assert reading.read(INPUTS, [1, 2]) == reading.read(other, [3, 4]) == []
    reading.pacing.dropped([INPUTS, OUTPUTS])
    assert reading.pacing.held == 2
    assert reading.pacing.ahead({INPUTS}) == set()
    assert reading.read(other, [5], after=SILENT_SECONDS) == []
    reading.pacing.dropped([other])
    assert reading.read(other, ()) == []


def test_every_record_is_due_once() -> None:
    """In random turns, with silences and without: nothing is left, nothing comes twice, and no hold is too long."""
    rng = random.Random(5)
    for _ in range(50):
        reading = Reading(most_held=rng.choice([5, 50, 500]), most_bytes=rng.choice([20, 1000]))
        sent: list[int | None] = []
        due: list[int | None] = []
        for turn in range(60):
            key = rng.choice([INPUTS, INPUTS, OUTPUTS])
            times = [rng.choice([turn, 90 * turn, rng.randrange(100), None]) for _ in range(rng.randrange(20))]
            reading.high = {INPUTS: rng.choice([None, MANY, 0]), OUTPUTS: rng.choice([None, MANY, 0])}
            sent += times
            due += reading.read(key, times, after=rng.choice([0.001, 0.2, 2.0]), ids=rng.random() < 0.7)
        for _ in range(int(SILENT_SECONDS * 4) + 1):
            due += reading.read(INPUTS, (), after=SILENT_SECONDS / 4)
        assert sorted(due, key=str) == sorted(sent, key=str)


def test_which_partitions_belong_together() -> None:
    """Those of one resource of Core 2 by their number, and the topics that KAFKA_TOPIC names."""
    core2 = group_of(Settings(seldon_kafka_prefix="seldon", kafka_topic="other"))
    assert core2(*INPUTS) == core2(*OUTPUTS) != core2(OUTPUTS[0], 1)
    assert core2("seldon.n.pipeline.m.inputs", 0) not in (core2(*INPUTS), None)
    assert core2("seldon.n.errors.errors", 0) is core2("other", 0) is None
    named = group_of(Settings(kafka_topic="requests, responses"))
    assert named("requests", 0) == named("responses", 5) is not None
    assert named("another", 0) is None
    ranged = group_of(Settings(kafka_topic="requests,responses", kafka_assignment="range"))
    assert ranged("requests", 1) == ranged("responses", 1) != ranged("requests", 0)
    assert group_of(Settings(kafka_topic="requests"))("requests", 0) is None
