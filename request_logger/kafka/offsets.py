"""Commits of what is stored, and how far that is behind what was written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from request_logger.kafka.partition import Partition
from request_logger.kafka.telemetry import KafkaTelemetry

log = logging.getLogger(__name__)

_ASK_SECONDS = 2.0


class Offsets:
    """The offsets of a consumer's partitions; the mapping is the consumer's own. For its thread alone."""

    def __init__(self, partitions: Mapping[tuple[str, int], Partition], telemetry: KafkaTelemetry) -> None:
        self._partitions = partitions
        self._telemetry = telemetry
        self._measured: set[tuple[str, int]] = set()

    def commit(self, consumer: Consumer, partitions: Sequence[Partition], *, last: bool = False) -> None:
        """Commit what is stored; ``last``: and wait for Kafka's answer."""
        wanted = []
        for partition in partitions:
            offset = partition.position if last and partition.position != partition.committed else partition.to_commit
            if offset is not None:
                partition.asked = offset
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

    def answered(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        """Note what came of a commit; one that failed is made anew at the next."""
        for place in places:
            partition = self._partitions.get((place.topic, place.partition))
            problem = error or place.error
            if problem is not None:
                self._telemetry.commit_failed.inc()
                log.warning("a commit of %s[%s] failed: %s", place.topic, place.partition, problem)
                if partition is not None:
                    partition.asked = None
            elif partition is not None and (partition.committed is None or place.offset > partition.committed):
                before = partition.committed if partition.committed is not None else partition.started or 0
                self._telemetry.committed.labels(place.topic, place.partition).inc(max(place.offset - before, 0))
                partition.committed = place.offset

    def measure(self, consumer: Consumer, *, ask: bool) -> None:
        """Set the gauges of what is left to do; ``ask`` Kafka where nothing is fetched, which tells it otherwise."""
        for (topic, number), partition in self._partitions.items():
            place = TopicPartition(topic, number)
            try:
                low, high = consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS, cached=not ask) or (0, 0)
                if partition.committed is None and partition.position is None:
                    (place,) = consumer.committed([place], timeout=_ASK_SECONDS)
                    partition.committed = place.offset if place.offset >= 0 else None
            except KafkaException:
                continue
            done = partition.committed if partition.committed is not None else max(low, 0)
            if high >= 0:
                self._telemetry.lag.labels(topic, number).set(max(high - done, 0))
                self._measured.add((topic, number))

    def forget(self, place: tuple[str, int]) -> None:
        """Show nothing more of a partition that belongs to somebody else now."""
        if place in self._measured:
            self._measured.remove(place)
            self._telemetry.lag.remove(*place)
