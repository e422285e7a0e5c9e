"""Converts the KAFKA_... settings to librdkafka's configuration. Pure code, without a Kafka client."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable
from typing import Any

from request_logger.kafka import core2
from request_logger.settings import Settings, SettingsError

# librdkafka settings that KAFKA_CONFIG must not set, each with the reason or the setting to use instead.
_OURS = {
    "bootstrap.servers": "set KAFKA_BROKERS instead",
    "group.id": "set KAFKA_GROUP_ID instead",
    "enable.auto.commit": "offsets are committed after the search engine's acknowledgement",
    "enable.auto.offset.store": "offsets are committed after the search engine's acknowledgement",
    "enable.partition.eof": "it is not used",
}
# Settings of consumers only; a producer logs a warning for each.
_CONSUMERS = ("group.", "session.", "heartbeat.", "max.poll.", "auto.offset.", "fetch.", "partition.assignment.",
              "queued.", "isolation.", "check.crcs", "max.partition.fetch.", "enable.auto.", "allow.auto.")  # fmt: skip
# The characters of a topic's name.
_PREFIX = re.compile(r"[A-Za-z0-9._-]+")
_EXPECTED = {
    "kafka_brokers": "host:port, several with commas",
    "kafka_topic": "the topic that the executor writes to, or SELDON_KAFKA_PREFIX for those of Seldon Core 2",
    "kafka_group_id": "a name for the group of consumers",
}


def topics(settings: Settings) -> list[str]:
    """Return the topics to read; a name that starts with ^ is a regular expression."""
    named = [name.strip() for name in settings.kafka_topic.split(",") if name.strip()]
    return [*named, core2.subscription(settings.seldon_kafka_prefix)] if settings.seldon_kafka_prefix else named


def group_of(settings: Settings) -> Callable[[str, int], Hashable]:
    """Return a function of a partition's topic and number: what the partitions with a prediction's records share.

    Those are the topics of one model or pipeline of Seldon Core 2, by the number, and several named in KAFKA_TOPIC:
    by the number with `range`, else all of them. A topic that stands alone has None.
    """
    named = [name.strip() for name in settings.kafka_topic.split(",") if name.strip()]
    together = frozenset(named) if len(named) > 1 else frozenset()
    by_number = _assignment(settings) == "range"

    def group(topic: str, number: int) -> Hashable:
        resource = core2.resource_of(topic, settings.seldon_kafka_prefix)
        if resource is not None and resource.name:
            return (resource.namespace, resource.kind, resource.name, number)
        return ("", number if by_number else -1) if topic in together else None

    return group


def parse(text: str) -> dict[str, str]:
    """Parse KAFKA_CONFIG: lines of ``name=value``, or a JSON object. Raises SettingsError, which quotes no values."""
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
    """Return the consumer's configuration. Raises SettingsError with a line per missing or invalid setting."""
    problems = [
        f"{name.upper()}: missing; expected {_EXPECTED[name]}"
        for name in _EXPECTED
        if not getattr(settings, name).strip(" ,") and not (name == "kafka_topic" and settings.seldon_kafka_prefix)
    ]
    if settings.seldon_kafka_prefix and not _PREFIX.fullmatch(settings.seldon_kafka_prefix):
        problems.append("SELDON_KAFKA_PREFIX: expected letters, digits, dots, underscores and hyphens")
    given: dict[str, str] = {}
    try:
        given = parse(settings.kafka_config)
    except SettingsError as error:
        problems.append(str(error))
    problems += [f"KAFKA_CONFIG: {name} must not be set: {_OURS[name]}" for name in given if name in _OURS]
    if settings.kafka_dead_letter_topic and settings.kafka_dead_letter_topic in topics(settings):
        problems.append("KAFKA_DEAD_LETTER_TOPIC: expected a topic other than KAFKA_TOPIC")
    if problems:
        raise SettingsError("\n".join(problems))
    return {
        "client.id": "request-logger",
        # Records written before the group existed are read too.
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": _assignment(settings),
        # New topics and partitions are found within 30 seconds (librdkafka's default is 5 minutes).
        "topic.metadata.refresh.interval.ms": "30000",
        "allow.auto.create.topics": "false",
        # Fetch little per partition, so that partitions alternate and none runs ahead: the parts of a prediction, which
        # are in different partitions, are then read together.
        "max.partition.fetch.bytes": "65536",
        "queued.min.messages": "200",
        "fetch.queue.backoff.ms": "10",
        # Memory for prefetched records (kB): half of librdkafka's default of 64 MB.
        "queued.max.messages.kbytes": "32768",
        **given,
        "bootstrap.servers": settings.kafka_brokers,
        "group.id": settings.kafka_group_id,
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
    }


def _assignment(settings: Settings) -> str:
    """Return the assignment: Seldon Core 2 writes a prediction's records to equal partition numbers of many topics."""
    if settings.kafka_assignment != "auto":
        return settings.kafka_assignment
    return "range" if settings.seldon_kafka_prefix else "cooperative-sticky"


def producer_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the dead-letter producer: the consumer's connection, with acks=all."""
    shared = {name: value for name, value in consumer_config(settings).items() if not name.startswith(_CONSUMERS)}
    return {**shared, "enable.idempotence": "true", "message.timeout.ms": "30000"}
