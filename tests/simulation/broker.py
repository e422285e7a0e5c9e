"""A Kafka broker in virtual time: one topic, its partitions, and what one group of consumers has committed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from request_logger.kafka.record import Record

TOPIC = "events"


class Broker:
    """Keeps records, owners and committed offsets.

    ``committed_record`` is told of each record when its offset is committed for the first time.
    """

    def __init__(self, rng: random.Random, partitions: int, committed_record: Callable[[Record], None]) -> None:
        self._rng = rng
        self._committed_record = committed_record
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.committed = [0] * partitions
        self.owners: list[Any] = [None] * partitions
        """The consumer that each partition is assigned to, None while the group rebalances."""
        self.generations = [0] * partitions
        """How often each partition was assigned: Kafka refuses a commit that was sent before the last time."""

        self.rejected: set[str] = set()
        """The positions of the records that became dead letters, because they are no events or nothing stores them."""
        self.readers: list[Callable[[], None]] = []
        """Called when there is another record."""

    def produce(self, record: Record) -> None:
        """Append a record to a partition; it gets its offset there."""
        record.partition = self._rng.randrange(len(self.records))
        record.offset = len(self.records[record.partition])
        self.records[record.partition].append(record)
        for reader in self.readers:
            reader()

    def read(self, partition: int, offset: int, most: int) -> list[Record]:
        """Return records from an offset on."""
        return self.records[partition][offset : offset + most]

    def commit(self, consumer: Any, partition: int, offset: int) -> bool:
        """Commit an offset; refuse it to a consumer that doesn't own the partition any more."""
        if self.owners[partition] is not consumer:
            return False
        # A consumer may go back: what the group reads next is what was committed last.
        for record in self.records[partition][self.committed[partition] : offset]:
            self._committed_record(record)
        self.committed[partition] = offset
        return True

    @property
    def is_drained(self) -> bool:
        """Whether every record is committed."""
        return all(offset == len(records) for offset, records in zip(self.committed, self.records, strict=True))
