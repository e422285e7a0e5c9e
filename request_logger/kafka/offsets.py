"""Commits the offsets of stored records, and measures the lag."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from request_logger.kafka.partition import Partition
from request_logger.kafka.telemetry import KafkaTelemetry

log = logging.getLogger(__name__)

# How long a request to Kafka may block the consumer's thread.
_ASK_SECONDS = 2.0


class Offsets:
    """The offsets of a consumer's partitions (its own mapping). Owned by the consumer's thread."""

    def __init__(self, partitions: Mapping[tuple[str, int], Partition], telemetry: KafkaTelemetry) -> None:
        self._partitions = partitions
        self._telemetry = telemetry
        self._measured: set[tuple[str, int]] = set()

    def commit(self, consumer: Consumer, partitions: Sequence[Partition], *, last: bool = False) -> None:
        """Commit the offsets of stored records; with ``last`` synchronously."""
        wanted = []
        for partition in partitions:
            offset = partition.position if last and partition.position != partition.committed else partition.to_commit
            if offset is not None:
                partition.requested = offset
                wanted.append(TopicPartition(partition.topic, partition.number, offset))
        if not wanted:
            return
        try:
            if last:
                self.answered(None, consumer.commit(offsets=wanted, asynchronous=False) or [])
            else:
                consumer.commit(offsets=wanted, asynchronous=True)
        except KafkaException as error:
            self.answered(error.args[0], wanted)

    def answered(self, error: KafkaError | None, committed: Sequence[TopicPartition]) -> None:
        """Record the result of a commit; a failed one is retried with the next."""
        for item in committed:
            partition = self._partitions.get((item.topic, item.partition))
            problem = error or item.error
            if problem is not None:
                self._telemetry.commit_failed.inc()
                log.warning("a commit of %s[%s] failed: %s", item.topic, item.partition, problem)
                if partition is not None:
                    partition.requested = None
            elif partition is not None and (partition.committed is None or item.offset > partition.committed):
                before = partition.committed if partition.committed is not None else partition.started or 0
                self._telemetry.committed.labels(item.topic, item.partition).inc(max(item.offset - before, 0))
                partition.committed = item.offset

    def measure(self, consumer: Consumer, *, ask: bool) -> None:
        """Set the lag gauges; ``ask`` requests the watermarks from Kafka, as only a fetch refreshes the cached ones."""
        for (topic, number), partition in self._partitions.items():
            topic_partition = TopicPartition(topic, number)
            try:
                low, high = consumer.get_watermark_offsets(topic_partition, timeout=_ASK_SECONDS, cached=not ask) or (
                    0,
                    0,
                )
                if partition.committed is None and partition.position is None:
                    (topic_partition,) = consumer.committed([topic_partition], timeout=_ASK_SECONDS)
                    partition.committed = topic_partition.offset if topic_partition.offset >= 0 else None
            except KafkaException:
                continue
            done = partition.committed if partition.committed is not None else max(low, 0)
            if high >= 0:
                self._telemetry.lag.labels(topic, number).set(max(high - done, 0))
                self._measured.add((topic, number))

    def high(self, consumer: Consumer, key: tuple[str, int]) -> int | None:
        """Return the offset after a partition's last record, as of the last fetch; None if it is unknown."""
        try:
            _, high = consumer.get_watermark_offsets(TopicPartition(*key), cached=True) or (0, -1)
        except KafkaException:
            return None
        return high if high >= 0 else None

    def forget(self, key: tuple[str, int]) -> None:
        """Remove the gauge of a partition that another member owns now."""
        if key in self._measured:
            self._measured.remove(key)
            self._telemetry.lag.remove(*key)
