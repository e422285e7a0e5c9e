"""`request-logger consume`: store events from Kafka."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from dataclasses import replace
from types import FrameType

from prometheus_client import CollectorRegistry

from request_logger import logs
from request_logger.commands.startup_checks import startup_problems
from request_logger.composition import build
from request_logger.errors import CommandError
from request_logger.kafka.config import consumer_config
from request_logger.kafka.probes import Probes
from request_logger.otlp import Exported
from request_logger.server.memory_tuning import tune_memory
from request_logger.settings import Settings, SettingsError
from request_logger.settings_names import misspelled

log = logging.getLogger(__name__)

# No sender waits for a response here, and a record that fails is only read again: wait this many times
# STORE_TIMEOUT_SECONDS before.
PATIENCE = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none, since the environment configures it, as it does the server."""


def run(arguments: argparse.Namespace) -> int:
    """Consume until SIGTERM or Ctrl-C. Status 1: Kafka reported a fatal error of this consumer.

    Raises SettingsError with one line for each invalid setting, and CommandError if Kafka's client is missing or
    rejects a setting.
    """
    settings, problems = Settings.read()
    # Kafka retains the events that the search engine can't accept yet. A spool would only be a second place where they
    # could be lost. It doesn't know of a second receiver: what waits for that is in SPOOL_DIR.
    forward_folder = settings.spool_dir
    settings = replace(settings, spool_dir="", queue="fallback")
    logs.configure(settings.log_level, settings.log_format)
    problems += startup_problems(settings, lambda: consumer_config(settings))
    if problems:
        raise SettingsError("\n".join(problems))
    for line in misspelled(os.environ):
        log.warning(line)
    try:
        from confluent_kafka import KafkaException  # noqa: PLC0415  # from an optional extra

        from request_logger.kafka.consumer import KafkaConsumer  # noqa: PLC0415
    except ImportError:
        raise CommandError(
            'consume needs the Kafka client: pip install "seldon-request-logger-scoring[kafka]"'
        ) from None
    tune_memory()
    registry = CollectorRegistry()
    patient = replace(settings, store_timeout_seconds=PATIENCE * settings.store_timeout_seconds)
    parts = build(patient, registry, forward_folder=forward_folder, exported=Exported(registry.collect))
    # Records that were erased may be read again.
    parts.erased.wait(settings.store_timeout_seconds)
    try:
        try:
            consumer = KafkaConsumer(
                settings,
                parts.pipeline,
                registry,
                engine=parts.engine,
                writer=parts.writer,
                redactor=parts.redactor,
                telemetry=parts.telemetry,
                forwarder=parts.forwarder,
                tracer=parts.tracer,
            )
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
        # While the search engine is down there is nothing to finish: offsets of unstored records are not committed.
        if not parts.writer.down_for:
            parts.close()
        else:
            parts.close_forwarder()
