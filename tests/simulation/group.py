"""The way in from Kafka: a producer, a broker and a group of consumers, one for each replica."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from request_logger.common.times import instant
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from tests.simulation.broker import TOPIC, Broker
from tests.simulation.clock import Clock
from tests.simulation.consumer import Consumer
from tests.simulation.process import Process
from tests.simulation.traffic import Message


class Group:
    """A schedule's topic and the members that read it.

    ``committed`` is told of each record whose offset is committed, with its event (None where it is none), and whether
    it became a dead letter. ``given_up`` is told of each prediction whose event a member had under way when it lost
    the partition. ``faults_are_on`` says whether commits may fail.
    """

    def __init__(
        self,
        rng: random.Random,
        clock: Clock,
        settings: Settings,
        faults_are_on: Callable[[], bool],
        committed: Callable[[Record, Message | None, bool], None],
        given_up: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._rng = rng
        self._clock = clock
        self._settings = settings
        self._faults_are_on = faults_are_on
        self._given_up = given_up
        self._tell = tell
        self._commits_fail = rng.choice((0.0, 0.1, 0.5))
        self._events: dict[int, Message] = {}
        """The event of each record, by its timestamp."""

        def noted(record: Record) -> None:
            tell(f"{record.position} is committed")
            event = self._events.get(record.timestamp or 0)
            committed(record, event, record.position in self._broker.rejected)

        self._broker = Broker(rng, rng.choice((1, 2, 3)), noted)
        self._members: list[Consumer] = []

    @property
    def is_drained(self) -> bool:
        """Whether every record is committed."""
        return self._broker.is_drained

    def join(self, process: Process) -> None:
        """Let a replica be a member."""
        rng = random.Random(self._rng.random())

        def commit_fails() -> bool | None:
            return rng.random() < 0.5 if self._faults_are_on() and rng.random() < self._commits_fail else None

        self._members.append(
            Consumer(self._broker, process, self._settings, self._clock, rng, commit_fails, self._given_up)
        )

    def produce(self, message: Message, milliseconds: int) -> Message:
        """Write an event's record at a time (since 1970); return the event: one without a time has the record's."""
        known = message if message.time is not None else replace(message, time=instant(milliseconds))
        self._events[milliseconds] = known
        for _ in range(self._rng.choice((1, 1, 1, 2))):
            # A producer that gets no answer sends it twice.
            self._broker.produce(message.record(milliseconds))
        self._tell(f"producer: {known.request_id} {known.part} {known.time} of {known.deployment}")
        return known

    def produce_garbage(self) -> None:
        """Write a record that is no event."""
        headers = self._rng.choice(((), (("content-type", b"application/cloudevents+json"),)))
        self._broker.produce(Record(TOPIC, 0, 0, None, None, headers, b"[1, 2"))

    def rebalance(self) -> None:
        """Assign what nobody owns; move a partition to another member: in peace, or because its owner seems dead."""
        members = [member for member in self._members if member.process.alive]
        for number, owner in enumerate(self._broker.owners):
            successor = self._rng.choice(members)
            if owner is None or not owner.process.alive:
                successor.assign(number)
            elif owner is not successor and self._rng.random() < 0.5:
                self._tell(f"partition {number} goes from {owner.process.name} to {successor.process.name}")
                if self._rng.random() < 0.5:
                    owner.revoke(number, successor)
                else:
                    successor.assign(number)
                    # It learns of it later.
                    self._clock.after(self._rng.random(), lambda number=number, owner=owner: self._lose(owner, number))

    def _lose(self, owner: Consumer, number: int) -> None:
        if self._broker.owners[number] is not owner:
            owner.lose(number)
