"""Prometheus metrics of the Kafka consumer, in addition to those of request_logger.telemetry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from request_logger import telemetry_definitions as definitions


class KafkaTelemetry:
    """Metrics of one consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = definitions.KAFKA_LAG.create(registry)
        self.consumed = definitions.KAFKA_CONSUMED.create(registry)
        self.committed = definitions.KAFKA_COMMITTED.create(registry)
        self.commit_failed = definitions.KAFKA_COMMIT_FAILED.create(registry)
        self.poison = definitions.KAFKA_POISON.create(registry)
        self.rebalances = definitions.KAFKA_REBALANCES.create(registry)
        self.in_flight = definitions.KAFKA_IN_FLIGHT.create(registry)
        self.paused = definitions.KAFKA_PAUSED.create(registry)
        self.retries = definitions.KAFKA_RETRIES.create(registry)
