"""`request-logger consume`."""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace
from types import FrameType

from prometheus_client import CollectorRegistry

from request_logger import logs
from request_logger.composition import build
from request_logger.errors import CommandError
from request_logger.kafka.config import consumer_config
from request_logger.kafka.probes import Probes
from request_logger.server.gc_tuning import calm_collector
from request_logger.settings import Settings

# Nobody waits for an answer, and what fails is only sent again: of STORE_TIMEOUT_SECONDS that many pass before.
PATIENCE = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: the environment configures it, as it does the server."""


def run(arguments: argparse.Namespace) -> int:
    """Consume until SIGTERM or Ctrl-C. Status 1: Kafka says that this member is of no more use.

    Raises SettingsError, ScorerError, MetadataError, and CommandError where Kafka's client is missing or refuses a
    setting.
    """
    # Kafka keeps the events that the engine can't take: a spool would only be a second place to lose them in.
    settings = replace(Settings.from_env(), spool_dir="")
    logs.configure(settings.log_level, settings.log_format)
    consumer_config(settings)
    try:
        from confluent_kafka import KafkaException  # noqa: PLC0415  # of an optional extra

        from request_logger.kafka.consumer import KafkaConsumer  # noqa: PLC0415
    except ImportError:
        raise CommandError(
            'consume needs the Kafka client: pip install "seldon-request-logger-scoring[kafka]"'
        ) from None
    calm_collector()
    registry = CollectorRegistry()
    patient = replace(settings, store_timeout_seconds=PATIENCE * settings.store_timeout_seconds)
    parts = build(patient, registry)
    try:
        try:
            consumer = KafkaConsumer(settings, parts, registry)
        except KafkaException as error:
            raise CommandError(f"KAFKA_CONFIG: {error.args[0].str()}") from None

        def stop(number: int, frame: FrameType | None) -> None:
            consumer.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            probes = Probes(
                settings.port,
                registry,
                parts.access,
                alive=consumer.alive,
                ready=consumer.ready,
                host=settings.host,
            )
        except OSError as error:
            raise CommandError(f"PORT: expected a free port, found {settings.port}: {error.strerror}") from None
        try:
            return consumer.run()
        finally:
            probes.close()
    finally:
        # Without an engine there is nothing to finish: what it did not take is not committed.
        if not parts.writer.down_for:
            parts.close()
