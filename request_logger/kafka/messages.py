"""Converts what the Kafka client returns to data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Message, TopicPartition

from request_logger.kafka.record import Record


def record_of(message: Message) -> Record:
    """Return a message as a record."""
    kind, timestamp = message.timestamp()
    value: Any = message.value()
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp=timestamp if kind else None,
        key=message.key(),
        headers=tuple(message.headers() or ()),  # type: ignore[arg-type]
        value=value or b"",
        is_tombstone=value is None,
    )


def keys_of(partitions: Sequence[TopicPartition]) -> list[tuple[str, int]]:
    """Return topic and number of partitions."""
    return [(partition.topic, partition.partition) for partition in partitions]


def names(partitions: Sequence[TopicPartition]) -> str:
    """Return the names of partitions as text, for logs."""
    return ", ".join(f"{partition.topic}[{partition.partition}]" for partition in partitions) or "none"
