"""A member of the consumer group in virtual time: the real partitions, offsets, binding and dead letters."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry

from request_logger.documents.event import BadEventError
from request_logger.ingest.redaction import Redactor
from request_logger.kafka.binding import event_of
from request_logger.kafka.dead_letters import DeadLetters
from request_logger.kafka.offsets import Offsets
from request_logger.kafka.partition import NOT_SENT, Partition, PendingRecord
from request_logger.kafka.record import Record
from request_logger.kafka.telemetry import KafkaTelemetry
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from tests.simulation.broker import TOPIC, Broker
from tests.simulation.clock import Clock
from tests.simulation.process import TIMEOUT_SECONDS, Process

# A turn of the real one takes as long while records are under way, and as long while there are none.
_TURN_SECONDS = 0.05
_IDLE_TURN_SECONDS = 0.5
_COMMIT_EVERY_SECONDS = 1.0
_RETRY_SECONDS = (0.2, 5.0)
_MOST_IN_FLIGHT = 20
# Nothing is measured here, and making the counters of a registry takes longer than a schedule's step.
_TELEMETRY = KafkaTelemetry(CollectorRegistry())


class Consumer:
    """Reads the partitions that it owns, and commits what is stored. It dies with its process.

    ``commit_fails`` decides what becomes of a commit: None where it arrives and is answered, else whether it arrives.
    ``given_up`` is told of each prediction whose event this member does not retry any more: another one has it now.
    """

    def __init__(
        self,
        broker: Broker,
        process: Process,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
        commit_fails: Callable[[], bool | None],
        given_up: Callable[[str], None],
    ) -> None:
        self.process = process
        self._broker = broker
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._commit_fails = commit_fails
        self._given_up = given_up
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._next: dict[int, int] = {}
        self._leaving: dict[int, tuple[float, Any]] = {}
        """Partitions that are given up: by when, and to whom they go."""
        self._offsets = Offsets(self._partitions, _TELEMETRY)
        engine: Any = process.engine
        self._dead_letters = DeadLetters(settings, Redactor(""), engine, lambda where: None)
        self._retry_at: float | None = None
        self._retry_pause = _RETRY_SECONDS[0]
        self._next_commit = self._arrives_at = 0.0
        self._on_their_way: list[Callable[[], None]] = []
        """Commits that have not arrived at the broker yet."""
        self._sleeps = False
        broker.readers.append(self.wake)
        clock.after(rng.uniform(0, _TURN_SECONDS), self._turn)

    def wake(self) -> None:
        """See what is new as soon as a turn finds it; the turns between, which find nothing, are not played."""
        if self._sleeps:
            self._sleeps = False
            self._clock.after(self._rng.uniform(0, 1) * _IDLE_TURN_SECONDS, self._turn)

    def assign(self, number: int) -> None:
        """Begin to read a partition, where the group has committed."""
        self._broker.owners[number] = self
        self._broker.generations[number] += 1
        self._partitions[TOPIC, number] = Partition(TOPIC, number)
        self._next[number] = self._broker.committed[number]
        self.wake()

    def revoke(self, number: int, successor: Consumer) -> None:
        """Give a partition to another member, once what is under way is done, or after the store's time limit."""
        self._leaving[number] = (self._clock.now + TIMEOUT_SECONDS, successor)
        self.wake()

    def lose(self, number: int) -> None:
        """Forget a partition that belongs to somebody else already."""
        partition = self._partitions.pop((TOPIC, number), None)
        for work in partition._records if partition is not None else ():
            if work.event is not None:
                self._given_up(work.event.request_id)
        self._leaving.pop(number, None)
        self._next.pop(number, None)

    def _turn(self) -> None:
        if not self.process.alive:
            return
        self.process.enter()
        try:
            self._read()
            self._dead_letters.flush()
            for partition in self._partitions.values():
                self._advance(partition)
            self._retry()
            if self._clock.now >= self._next_commit:
                self._next_commit = self._clock.now + _COMMIT_EVERY_SECONDS
                self._offsets.commit(self, list(self._partitions.values()))  # type: ignore[arg-type]
            self._leave()
        except Exception as error:
            self.process.mistakes.found.append(f"the consumer raised {error!r:.200}")
        is_idle = self._retry_at is None and not self._leaving and not any(map(len, self._partitions.values()))
        if is_idle and self._has_all:
            self._sleeps = True
            return
        seconds = _IDLE_TURN_SECONDS if is_idle else _TURN_SECONDS
        self._clock.after(self._rng.uniform(0.5, 1) * seconds, self._turn)

    @property
    def _has_all(self) -> bool:
        """Whether every record of its partitions is read, and the offset of each finished one is known as committed."""
        return all(
            partition.position in (None, partition.committed)
            and self._next[number] == len(self._broker.records[number])
            for (_, number), partition in self._partitions.items()
        )

    def _read(self) -> None:
        in_flight = sum(map(len, self._partitions.values()))
        if self._retry_at is not None or in_flight >= _MOST_IN_FLIGHT:
            return
        fresh = []
        for (_, number), partition in self._partitions.items():
            if number not in self._leaving:
                records = self._broker.read(number, self._next[number], self._rng.choice((1, 3, _MOST_IN_FLIGHT)))
                self._next[number] += len(records)
                for record in records:
                    work = self._work(record)
                    partition.add(work)
                    fresh.append(work)
        for work in fresh:
            work.start()

    def _work(self, record: Record) -> PendingRecord:
        try:
            event = event_of(record, self._settings, lambda event: event)
        except BadEventError as error:
            return self._dead_letter(record, str(error))
        return PendingRecord(record, lambda: self.process.submit(event), event, len(record.value), NOT_SENT)

    def _dead_letter(self, record: Record, reason: str) -> PendingRecord:
        self._broker.rejected.add(record.position)
        return PendingRecord(record, lambda: self._dead_letters.write(record, reason), future=NOT_SENT)

    def _advance(self, partition: Partition) -> None:
        while partition:
            while partition.finished() is not None:
                pass
            head = partition.head
            if head is None or not head.failed:
                return
            error = head.future.exception()
            if isinstance(error, StoreUnavailableError):
                self._failed()
                return
            dead_letter = self._dead_letter(head.record, str(error))
            head.event, head.send = None, dead_letter.send
            head.start()

    def _failed(self) -> None:
        if self._retry_at is None:
            self._retry_at = self._clock.now + self._rng.uniform(0.5, 1) * self._retry_pause
            self._retry_pause = min(2 * self._retry_pause, _RETRY_SECONDS[1])

    def _retry(self) -> None:
        if self._retry_at is None or self._clock.now < self._retry_at:
            return
        self._retry_at = None
        again = [work for partition in self._partitions.values() for work in partition.failed()]
        for work in again:
            work.start()
        if not again:
            self._retry_pause = _RETRY_SECONDS[0]

    def _leave(self) -> None:
        for number, (deadline, successor) in list(self._leaving.items()):
            partition = self._partitions[TOPIC, number]
            if len(partition) == 0 or self._retry_at is not None or self._clock.now >= deadline:
                self._offsets.commit(self, [partition], last=True)  # type: ignore[arg-type]
                self.lose(number)
                self._broker.owners[number] = None
                # The group gives it back to this member where the other one has died meanwhile.
                (successor if successor.process.alive else self).assign(number)

    # What the offsets need of Kafka's client

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        """Commit offsets at the broker, soon where ``asynchronous``; raise KafkaException where that fails."""
        arrives = self._commit_fails()
        generations = list(self._broker.generations)
        if not asynchronous:
            # One connection: what was sent before arrives before.
            for earlier in list(self._on_their_way):
                earlier()
            error = self._committed(offsets, generations) if arrives is not False else KafkaError(KafkaError._TRANSPORT)
            if error is not None or arrives is not None:
                raise KafkaException(error or KafkaError(KafkaError._TIMED_OUT))
            return list(offsets)

        def arrive() -> None:
            if arrive not in self._on_their_way:
                return
            self._on_their_way.remove(arrive)
            error = self._committed(offsets, generations) if arrives is not False else KafkaError(KafkaError._TRANSPORT)
            if arrives is not None:
                error = error or KafkaError(KafkaError._TIMED_OUT)
            if self.process.alive:
                self._clock.after(0.002, lambda: self._offsets.answered(error, offsets))

        # They arrive in the order in which they were sent.
        self._on_their_way.append(arrive)
        self._arrives_at = max(self._arrives_at, self._clock.now + self._rng.choice((0.001, 0.001, 0.5)))
        self._clock.after(self._arrives_at - self._clock.now, arrive)
        return []

    def _committed(self, offsets: Sequence[TopicPartition], generations: list[int]) -> KafkaError | None:
        for place in offsets:
            is_current = generations[place.partition] == self._broker.generations[place.partition]
            if not is_current or not self._broker.commit(self, place.partition, place.offset):
                return KafkaError(KafkaError.ILLEGAL_GENERATION)
        return None
