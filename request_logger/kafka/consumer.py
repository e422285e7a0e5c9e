"""Reads topics, and commits an offset only after the search engine has acknowledged everything up to it.

One thread polls, reads and submits; the store's writer runs in other threads and combines what is pending into one
_bulk. The consumer persists nothing: one that dies is replaced by another that starts at the committed offsets, and
since writes are idempotent, repeating them changes nothing.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry

from request_logger.documents.event import BadEventError, IgnoredEventError
from request_logger.forward import Forwarder
from request_logger.ingest.access import ForbiddenEventError
from request_logger.ingest.erased import outcome_of
from request_logger.ingest.pipeline import EVENT_WEIGHT_BYTES, IngestPipeline
from request_logger.ingest.redaction import Redactor
from request_logger.kafka.binding import forwarded, prepared
from request_logger.kafka.config import consumer_config, group_of, topics
from request_logger.kafka.dead_letters import DeadLetters
from request_logger.kafka.messages import keys_of, names, record_of
from request_logger.kafka.offsets import Offsets
from request_logger.kafka.pacing import Pacing
from request_logger.kafka.partition import NOT_SENT, Partition, PendingRecord
from request_logger.kafka.record import Record
from request_logger.kafka.telemetry import KafkaTelemetry
from request_logger.otlp import TracerLike
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.writer import Writer
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

# Records per call of `consume`: enough that the call costs little per record.
READ_AT_ONCE = 500
# How long a turn of the loop waits when there is nothing to do, and for further records while the store is busy.
_POLL_SECONDS = 0.2
_MORE_SECONDS = 0.01
# After a crash at most the records of this time are read again.
_COMMIT_EVERY_SECONDS = 1.0
# A pause discards prefetched records, which costs more than a shorter wait.
_PAUSE_AFTER_SECONDS = 0.5
# Pauses before retries double from the first to the longest.
_FIRST_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 5.0
# While paused nothing is fetched, so the lag costs a request per partition.
_LAG_EVERY_SECONDS = 1.0
_LAG_WHILE_PAUSED_SECONDS = 5.0
# Longer than a turn can take, with a rebalance that waits for STORE_TIMEOUT_SECONDS.
_STUCK_SECONDS = 120.0


class KafkaConsumer:
    """One member of the consumer group. Only `stop`, `alive` and `ready` may be called from other threads.

    Raises SettingsError, and KafkaException where librdkafka rejects a setting.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: IngestPipeline,
        registry: CollectorRegistry,
        *,
        engine: SearchEngine,
        writer: Writer,
        redactor: Redactor,
        telemetry: Telemetry,
        forwarder: Forwarder | None,
        tracer: TracerLike | None,
    ) -> None:
        self._settings = settings
        self._tracer = tracer
        self._forwarder = forwarder
        self._pipeline = pipeline
        self._engine = engine
        self._writer = writer
        self._events_telemetry = telemetry
        self._telemetry = KafkaTelemetry(registry)
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._offsets = Offsets(self._partitions, self._telemetry)
        self._dead_letters = DeadLetters(
            settings, redactor, engine, lambda where: self._telemetry.poison.labels(where).inc()
        )
        config = {**consumer_config(settings), "on_commit": self._offsets.answered, "error_cb": self._on_error}
        self._consumer = Consumer(config, logger=log)
        self._new: list[PendingRecord] = []
        # Less than a batch would not hold the difference between two topics in one batch.
        most_held, most_bytes = settings.kafka_max_in_flight // 2, settings.max_pending_bytes // 4
        self._pacing = Pacing(group_of(settings), most_held, most_bytes)
        # Paused because too much is pending, and because other partitions of their groups are behind.
        self._paused: set[tuple[str, int]] = set()
        self._ahead: set[tuple[str, int]] = set()
        self._full_since: float | None = None
        self._retry_at: float | None = None
        self._retry_pause = _FIRST_RETRY_SECONDS
        self._next_commit = self._next_lag = 0.0
        self._stopping = self._joined = False
        self._fatal: str | None = None
        self._last_turn = time.monotonic()

    def stop(self) -> None:
        """Make `run` return soon. Safe in a signal handler."""
        self._stopping = True

    def alive(self) -> str | None:
        """Return why the process must be restarted, None where it is healthy."""
        idle = time.monotonic() - self._last_turn
        return f"the consumer has stood still for {idle:.0f} s" if idle > _STUCK_SECONDS else self._fatal

    def ready(self) -> str | None:
        """Return why records can't be stored now, None where they can."""
        if self._fatal:
            return self._fatal
        if not self._joined:
            return f"not in the group {self._settings.kafka_group_id} yet"
        if not self._engine.ping():
            return f"the engine at {', '.join(self._engine.urls)} does not answer"
        return None

    def run(self) -> int:
        """Consume until stopped (returns 0) or until a fatal Kafka error (returns 1)."""
        self._consumer.subscribe(
            topics(self._settings), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        try:
            while not self._stopping and self._fatal is None:
                self._turn()
        finally:
            # It calls `_revoked`, which waits for pending records and commits, and then leaves the group.
            self._consumer.close()
            self._dead_letters.close()
        if self._fatal is not None:
            log.error("Kafka: %s", self._fatal)
        return int(self._fatal is not None)

    def _turn(self) -> None:
        self._last_turn = time.monotonic()
        if self._is_full():
            self._hold()
        else:
            self._resume()
            self._read()
        self._dead_letters.flush()
        self._settle()
        self._retry()
        now = time.monotonic()
        if now >= self._next_commit:
            self._next_commit = now + _COMMIT_EVERY_SECONDS
            self._offsets.commit(self._consumer, list(self._partitions.values()))
        if now >= self._next_lag:
            self._next_lag = now + (_LAG_WHILE_PAUSED_SECONDS if self._paused else _LAG_EVERY_SECONDS)
            self._offsets.measure(self._consumer, ask=bool(self._paused))

    # Reading

    def _read(self) -> None:
        """Read what is available, up to a batch, and submit it together.

        Events of one document are close together but not adjacent: the parts of a prediction are in different
        partitions. The more is submitted at once, the more of them become one write.
        """
        # Only the first call waits, and for a single record: a call for many would wait until it has them all.
        first = self._consumer.poll(0 if self._in_flight() else _POLL_SECONDS)
        if first is None and self._in_flight():
            self._wait_for_any(_POLL_SECONDS / 20)
        self._take([first] if first is not None else [])
        deadline = time.monotonic() + _COMMIT_EVERY_SECONDS
        while len(self._new) < self._pacing.room and not self._is_full():
            # While the store is busy with earlier records, waiting for more costs nothing.
            patient = self._is_busy() and time.monotonic() < deadline
            messages = self._consumer.consume(READ_AT_ONCE, timeout=_MORE_SECONDS if patient else 0)
            self._take(messages)
            if not messages or (len(messages) < READ_AT_ONCE and not patient):
                break
        new, self._new = self._new, []
        high = partial(self._offsets.high, self._consumer)
        for pending in self._pacing.due(new, high, time.monotonic()):
            pending.start()
        ahead = self._pacing.ahead(self._ahead)
        self._consumer.pause([TopicPartition(*key) for key in ahead - self._ahead])
        self._consumer.resume([TopicPartition(*key) for key in self._ahead - ahead])
        self._ahead = ahead

    def _is_busy(self) -> bool:
        heads = (partition.head for partition in self._partitions.values())
        return any(head is not None and head.future is not NOT_SENT and not head.future.done() for head in heads)

    def _take(self, messages: Sequence[Message]) -> None:
        """Add the records that were read to their partitions, and to those that are to be submitted."""
        counts: dict[tuple[str, int], int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error)
                continue
            record = record_of(message)
            key = (record.topic, record.partition)
            partition = self._partitions.get(key)
            # A record of a partition that was revoked meanwhile is read by the new owner.
            if partition is not None:
                counts[key] = counts.get(key, 0) + 1
                pending = self._pending_record(record)
                partition.add(pending)
                self._new.append(pending)
        for (topic, number), count in counts.items():
            self._telemetry.consumed.labels(topic, number).inc(count)

    def _pending_record(self, record: Record) -> PendingRecord:
        telemetry = self._events_telemetry
        try:
            event, send = prepared(self._pipeline, record, self._settings, self._tracer)
        except IgnoredEventError as error:
            telemetry.events.labels("", outcome_of(error)).inc()
            return PendingRecord(record)
        except ForbiddenEventError as error:
            telemetry.turned_away("forbidden", str(error))
            return PendingRecord(record)
        except BadEventError as error:
            telemetry.turned_away("bad", str(error))
            return self._dead_letter(record, str(error))
        except Exception as error:
            log.exception("the record at %s could not be handled", record.position)
            return self._dead_letter(record, f"internal error: {type(error).__name__}")
        return PendingRecord(record, send, event, len(record.value) + EVENT_WEIGHT_BYTES, NOT_SENT)

    def _dead_letter(self, record: Record, reason: str) -> PendingRecord:
        return PendingRecord(record, lambda: self._dead_letters.write(record, reason), future=NOT_SENT)

    # Results

    def _settle(self) -> None:
        """Remove stored records in offset order, and schedule a retry of failed ones."""
        for partition in self._partitions.values():
            self._advance(partition)
        self._telemetry.in_flight.set(self._in_flight())

    def _advance(self, partition: Partition) -> None:
        while partition:
            finished = list(iter(partition.finished, None))
            stored = [(pending.event, pending.future) for pending in finished if pending.event is not None]
            self._pipeline.wait_all(stored)
            if self._forwarder is not None:
                for pending in finished:
                    if pending.event is not None:
                        self._forwarder.offer(forwarded(pending.record, self._settings))
            head = partition.head
            if head is None or not head.failed:
                return
            error = head.future.exception()
            if isinstance(error, StoreUnavailableError):
                self._failed(str(error))
                return
            # The search engine rejects the document even after fallback.
            self._events_telemetry.events.labels("", "refused").inc()
            dead_letter = self._dead_letter(head.record, str(error))
            head.event, head.send = None, dead_letter.send
            head.start()

    def _failed(self, reason: str) -> None:
        if self._retry_at is None:
            self._events_telemetry.turned_away("unavailable", reason)
            self._retry_at = time.monotonic() + random.uniform(0.5, 1) * self._retry_pause  # noqa: S311
            self._retry_pause = min(2 * self._retry_pause, _LONGEST_RETRY_SECONDS)

    def _retry(self) -> None:
        """Retry failed records, without a limit, once the search engine seems to answer."""
        if self._retry_at is None or time.monotonic() < self._retry_at:
            return
        self._retry_at = None
        if self._writer.down_for > 0:
            self._failed("the engine does not answer")
            return
        again = [pending for partition in self._partitions.values() for pending in partition.failed()]
        for pending in again:
            pending.start()
        self._telemetry.retries.inc(len(again))
        if not again:
            self._retry_pause = _FIRST_RETRY_SECONDS

    # Back pressure

    def _in_flight(self) -> int:
        return sum(map(len, self._partitions.values()))

    def _is_full(self) -> bool:
        if self._retry_at is not None:
            return True
        limit = self._settings.kafka_max_in_flight
        room = self._settings.max_pending_bytes // 2
        if self._paused:
            # Hysteresis: resume only at half of the limits, so that the next record doesn't pause again.
            limit, room = limit // 2, room // 2
        size = sum(partition.bytes for partition in self._partitions.values())
        return self._in_flight() - self._pacing.held >= limit or size - self._pacing.held_bytes >= room

    def _hold(self) -> None:
        """Read no records, but stay in the group."""
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < _PAUSE_AFTER_SECONDS:
            self._wait_for_any(_POLL_SECONDS / 4)
            return
        running = self._partitions.keys() - self._paused
        if running:
            self._consumer.pause([TopicPartition(*key) for key in running])
            self._paused |= running
            self._telemetry.paused.set(1)
        # Polling keeps the membership; a record that was prefetched before the pause may still arrive: the next read
        # submits it.
        message = self._consumer.poll(0)
        self._take([message] if message is not None else [])
        self._wait_for_any(_POLL_SECONDS / 4)

    def _resume(self) -> None:
        self._full_since = None
        if self._paused:
            self._consumer.resume([TopicPartition(*key) for key in self._paused - self._ahead])
            self._pacing.resumed(self._paused)
            self._paused.clear()
            self._telemetry.paused.set(0)

    def _wait_for_any(self, seconds: float) -> None:
        """Wait until one partition's oldest record is done, at most ``seconds``; by then the others mostly are, too."""
        heads = [partition.head for partition in self._partitions.values()]
        waiting = [head.future for head in heads if head is not None and not head.failed]
        if waiting:
            with suppress(TimeoutError):
                waiting[0].exception(seconds)
        else:
            time.sleep(seconds)

    # The group

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._joined = True
        keys = keys_of(partitions)
        self._partitions |= {key: Partition(*key) for key in keys}
        self._pacing.assigned(keys)
        self._telemetry.rebalances.labels("assigned").inc(len(partitions))
        log.info("assigned: %s", names(partitions))

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Wait for the submitted records of these partitions and commit them, before another member gets them.

        Those that are held are not submitted: the other member reads them again, in step with their group.
        """
        keys = keys_of(partitions)
        leaving = [known for key in keys if (known := self._partitions.get(key))]
        deadline = time.monotonic() + self._settings.store_timeout_seconds
        for partition in leaving:
            partition.forget_unsent()
        # Rebalances may happen in the middle of a read.
        self._new = [each for each in self._new if (each.record.topic, each.record.partition) not in keys]
        while any(leaving) and time.monotonic() < deadline:
            self._dead_letters.flush()
            for partition in leaving:
                self._advance(partition)
            # The next owner reads again what the search engine can't take now.
            if self._retry_at is not None or self._writer.down_for > 0:
                break
            self._wait_for_any(_POLL_SECONDS / 20)
        self._offsets.commit(self._consumer, leaving, last=True)
        self._drop(partitions, "revoked")

    def _lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Drop partitions that another member already owns; nothing may be committed any more."""
        self._drop(partitions, "lost")

    def _drop(self, partitions: Sequence[TopicPartition], what: str) -> None:
        keys = set(keys_of(partitions))
        with suppress(KafkaException):
            # A partition that comes back to this member later would still be paused, and never be read.
            self._consumer.resume([TopicPartition(*key) for key in keys & (self._paused | self._ahead)])
        self._paused, self._ahead = self._paused - keys, self._ahead - keys
        for key in keys:
            self._partitions.pop(key, None)
            self._offsets.forget(key)
        self._pacing.dropped(keys)
        self._telemetry.paused.set(int(bool(self._paused)))
        self._telemetry.rebalances.labels(what).inc(len(partitions))
        log.info("%s: %s", what, names(partitions))

    def _on_error(self, error: KafkaError) -> None:
        """Record an error of librdkafka, which recovers by itself from everything that isn't fatal."""
        if error.fatal():
            self._fatal = error.str()
        else:
            self._events_telemetry.warn(f"kafka_{error.name().lower()}", "", error.str())
