"""The settings KAFKA_... -> librdkafka's configuration, under its own names. No Kafka is needed for it."""

from __future__ import annotations

import json
from typing import Any

from request_logger.settings import Settings, SettingsError

# How librdkafka calls it -> why it is ours to set.
_OURS = {
    "bootstrap.servers": "set KAFKA_BROKERS instead",
    "group.id": "set KAFKA_GROUP_ID instead",
    "enable.auto.commit": "offsets are committed when the engine has acknowledged",
    "enable.auto.offset.store": "offsets are committed when the engine has acknowledged",
    "enable.partition.eof": "nobody looks at it",
}
# Only a consumer's; a producer warns of them.
_CONSUMERS = ("group.", "session.", "heartbeat.", "max.poll.", "auto.offset.", "fetch.", "partition.assignment.",
              "queued.", "isolation.", "check.crcs", "max.partition.fetch.", "enable.auto.", "allow.auto.")  # fmt: skip
_REQUIRED = ("kafka_brokers", "kafka_topic", "kafka_group_id")
_EXPECTED = {
    "kafka_brokers": "host:port, several with commas",
    "kafka_topic": "the topic that the executor writes to",
    "kafka_group_id": "a name for the group of consumers",
}


def topics(settings: Settings) -> list[str]:
    """Give the topics to read; a name that starts with ^ is a regular expression."""
    return [name.strip() for name in settings.kafka_topic.split(",") if name.strip()]


def parse(text: str) -> dict[str, str]:
    """Read KAFKA_CONFIG: lines of ``name=value``, or a JSON object. Raises SettingsError, quoting no value."""
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"KAFKA_CONFIG: expected a JSON object or lines of name=value ({error})") from None
        return {name: _text(item) for name, item in value.items()}
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise SettingsError(f"KAFKA_CONFIG: expected name=value in line {number}, found no =")
        found[name.strip()] = value.strip()
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Give the consumer's configuration. Raises SettingsError, a line for each setting that is missing or wrong."""
    problems = [
        f"{name.upper()}: missing; expected {_EXPECTED[name]}"
        for name in _REQUIRED
        if not getattr(settings, name).strip(" ,")
    ]
    given: dict[str, str] = {}
    try:
        given = parse(settings.kafka_config)
    except SettingsError as error:
        problems.append(str(error))
    problems += [f"KAFKA_CONFIG: {name} is not to be set: {_OURS[name]}" for name in given if name in _OURS]
    if settings.kafka_dead_letter_topic and settings.kafka_dead_letter_topic in topics(settings):
        problems.append("KAFKA_DEAD_LETTER_TOPIC: expected another topic than KAFKA_TOPIC")
    if problems:
        raise SettingsError("\n".join(problems))
    return {
        "client.id": "request-logger",
        # What was written before the group was there counts, too.
        "auto.offset.reset": "earliest",
        # A consumer that comes or goes stops only the partitions that move.
        "partition.assignment.strategy": "cooperative-sticky",
        # A new topic, or a new partition of it, is found after so many ms.
        "topic.metadata.refresh.interval.ms": "30000",
        "allow.auto.create.topics": "false",
        # What is fetched of one partition, at a time and ahead: little, so that the partitions take turns and none runs
        # ahead. The parts of a prediction, which lie in several, are read together then.
        "max.partition.fetch.bytes": "65536",
        "queued.min.messages": "200",
        "fetch.queue.backoff.ms": "10",
        # Records fetched ahead, in memory (kB); librdkafka's own default for all partitions is 64 MB.
        "queued.max.messages.kbytes": "32768",
        **given,
        "bootstrap.servers": settings.kafka_brokers,
        "group.id": settings.kafka_group_id,
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
    }


def producer_config(settings: Settings) -> dict[str, Any]:
    """Give the configuration of the producer of dead letters: the consumer's connection, and acks=all."""
    shared = {name: value for name, value in consumer_config(settings).items() if not name.startswith(_CONSUMERS)}
    return {**shared, "enable.idempotence": "true", "message.timeout.ms": "30000"}
