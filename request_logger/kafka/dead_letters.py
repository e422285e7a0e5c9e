"""Writes the consumer's dead letters: records that can't become events, to a topic or the dead-letter index.

They are retried until the topic or the index has acknowledged them; only then may their offsets be committed. What
REDACT leaves of them is defined in `request_logger.kafka.letter_content`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

from request_logger.common.json import dumps
from request_logger.ingest.redaction import Redactor
from request_logger.kafka.config import producer_config
from request_logger.kafka.letter_content import INDEX, content, redacted
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from request_logger.store.changes import RefusedRequestError, StoreUnavailableError, TooLargeError
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import dead_letter_mapping
from request_logger.store.writing.bulk import BulkItem, Outcome, read_answer
from request_logger.store.writing.future import Future
from request_logger.store.writing.ports import Limits
from request_logger.store.writing.states import Kind

log = logging.getLogger(__name__)

PREFIX = "dead-letter-"
"""Prefix of the headers added to a record in the topic: reason, topic, partition, offset."""
# Characters of a stored reason: the search engine's own may quote a whole document.
_LONGEST_REASON = 1000
# How long `close` waits for Kafka to acknowledge dead letters; unacknowledged ones are read again, as their offsets are
# not committed.
_CLOSE_SECONDS = 5.0


class DeadLetters:
    """Writes dead letters. Owned by the consumer's thread; ``count`` gets each target: topic, index or nowhere."""

    def __init__(
        self, settings: Settings, redactor: Redactor, engine: SearchEngine, count: Callable[[str], None]
    ) -> None:
        self._topic = settings.kafka_dead_letter_topic
        self._redactor = redactor
        self._engine = engine
        self._count = count
        self._index = Limits().dead_letter_index
        self._index_ready = False
        self._for_index: list[tuple[Record, str, Future[None]]] = []
        self._producer = Producer(producer_config(settings), logger=log) if self._topic else None

    def write(self, record: Record, reason: str) -> Future[None]:
        """Start writing a dead letter; the future ends when it is acknowledged, or fails with StoreUnavailableError."""
        future: Future[None] = Future()
        if self._producer is None:
            self._for_index.append((record, reason, future))
        else:
            self._produce(self._producer, record, reason, future)
        return future

    def _produce(self, producer: Producer, record: Record, reason: str, future: Future[None]) -> None:
        def delivered(error: Any, message: Message) -> None:
            if error is None:
                self._count("topic")
                future.set_result(None)
                return
            # Such as a record too large for the topic: it goes to the index, so that it doesn't block the others.
            log.warning("KAFKA_DEAD_LETTER_TOPIC %s rejects a dead letter: %s", self._topic, error)
            self._for_index.append((record, reason, future))

        about = {
            "reason": reason[:_LONGEST_REASON],
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
        stored = redacted(record, self._redactor)
        headers: list[tuple[str, str | bytes | None]] = [*stored.headers]
        headers += [(f"{PREFIX}{name}", str(value).encode()) for name, value in about.items()]
        try:
            producer.produce(self._topic, stored.value or b"", stored.key, headers=headers, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            future.set_exception(StoreUnavailableError(f"a dead letter waits for Kafka: {error}"))

    def flush(self) -> None:
        """Poll the producer and write what waits for the index. Called on every turn of the consumer."""
        if self._producer is not None:
            self._producer.poll(0)
        waiting, self._for_index = self._for_index, []
        if not waiting:
            return
        try:
            self._store(waiting)
        except StoreUnavailableError as error:
            for *_, future in waiting:
                if not future.done():
                    future.set_exception(error)

    def _store(self, waiting: list[tuple[Record, str, Future[None]]]) -> None:
        if not self._index_ready:
            # The status is ignored, since the index may exist; any problem shows when the dead letters are written.
            self._engine.request("PUT", f"/{self._index}", {"mappings": dead_letter_mapping()})
            self._index_ready = True
        requests = [
            # The id is the record's position, so a record that is read again replaces its dead letter.
            BulkItem.store(self._index, f"{INDEX}{record.position}", dumps(self._dead_letter(record, reason)))
            for record, reason, _ in waiting
        ]
        try:
            body = b"".join(piece for request in requests for piece in request.pieces)
            outcomes = read_answer(self._engine.bulk(body), requests)
        except (TooLargeError, RefusedRequestError) as error:
            if len(waiting) > 1:
                half = len(waiting) // 2
                self._store(waiting[:half])
                self._store(waiting[half:])
                return
            if isinstance(error, RefusedRequestError):
                # A dead letter has no content that could be refused, so the cause is the search engine or a proxy.
                raise
            outcomes = [Outcome(Kind.TOO_LARGE, reason=str(error))]
        for (record, _, future), outcome in zip(waiting, outcomes, strict=True):
            if outcome.kind is Kind.DONE:
                self._count("index")
                future.set_result(None)
            elif outcome.kind in (Kind.REFUSED, Kind.TOO_LARGE):
                # Nowhere is left to write it; the record remains in its topic for the topic's retention.
                log.error("the dead-letter index refuses %s: %s", record.position, outcome.reason[:300])
                self._count("nowhere")
                future.set_result(None)
            else:
                future.set_exception(StoreUnavailableError(f"the dead-letter index answered {outcome.reason[:300]}"))

    def _dead_letter(self, record: Record, reason: str) -> dict[str, Any]:
        return {
            "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "index": f"{INDEX}{record.topic}",
            "id": record.position,
            "reason": reason[:_LONGEST_REASON],
            "document": dumps(content(record, self._redactor)).decode(),
        }

    def close(self) -> None:
        """Flush everything that is pending, for at most _CLOSE_SECONDS in the producer."""
        if self._producer is not None:
            self._producer.flush(_CLOSE_SECONDS)
        self.flush()
