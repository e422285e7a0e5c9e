"""A Kafka message as data, without a Kafka client."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(slots=True)
class Record:
    """One Kafka message. ``timestamp`` is in milliseconds since 1970, None where it has none.

    ``is_tombstone`` says that it has no value, which is then empty here.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    headers: Headers
    value: bytes
    is_tombstone: bool = False

    @property
    def position(self) -> str:
        """Topic, partition and offset as text, for logs and dead letters."""
        return f"{self.topic}[{self.partition}]@{self.offset}"
