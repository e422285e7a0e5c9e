"""The consumer's metrics, in addition to request_logger.telemetry's metrics per event."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_PARTITION = ("topic", "partition")


class KafkaTelemetry:
    """The Prometheus metrics of one consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "request_logger_kafka_lag",
            "Records of this consumer's partitions that are not committed yet",
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
            "request_logger_kafka_commit_failed", "Commits that Kafka rejected; they are retried", registry=registry
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
        self.in_flight = Gauge("request_logger_kafka_in_flight", "Records that are being stored", registry=registry)
        self.paused = Gauge(
            "request_logger_kafka_paused", "1 while reading is paused because of back pressure", registry=registry
        )
        self.retries = Counter("request_logger_kafka_retries", "Writes of records that were retried", registry=registry)
