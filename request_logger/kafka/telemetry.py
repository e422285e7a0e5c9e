"""What is counted of the consumer, beside what request_logger.telemetry counts of every event."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_PARTITION = ("topic", "partition")


class KafkaTelemetry:
    """Counters of one consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "request_logger_kafka_lag",
            "Records of a partition of ours that are not committed yet",
            _PARTITION,
            registry=registry,
        )
        self.consumed = Counter(
            "request_logger_kafka_consumed", "Records that were read", _PARTITION, registry=registry
        )
        self.committed = Counter(
            "request_logger_kafka_committed", "Offsets that Kafka has acknowledged", _PARTITION, registry=registry
        )
        self.commit_failed = Counter(
            "request_logger_kafka_commit_failed", "Commits that Kafka refused; they are tried again", registry=registry
        )
        self.poison = Counter(
            "request_logger_kafka_poison",
            "Records that can't become events, by where they went: topic, index, nowhere",
            ["where"],
            registry=registry,
        )
        self.rebalances = Counter(
            "request_logger_kafka_rebalances",
            "Partitions that were assigned, revoked or lost",
            ["what"],
            registry=registry,
        )
        self.in_flight = Gauge("request_logger_kafka_in_flight", "Records that wait for the engine", registry=registry)
        self.paused = Gauge(
            "request_logger_kafka_paused", "1 while nothing is read, because too much waits", registry=registry
        )
        self.retries = Counter(
            "request_logger_kafka_retries", "Records that were sent to the engine again", registry=registry
        )
