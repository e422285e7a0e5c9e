"""Dead letters of the consumer: records that can't become events go to a topic, or into the dead-letter index.

They are sent again until one of the two has them: only then may their offsets be committed. What REDACT leaves of them
is in `request_logger.kafka.letter_content`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

from request_logger.common.json import dumps
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.kafka.binding import Record
from request_logger.kafka.config import producer_config
from request_logger.kafka.letter_content import INDEX, content, kept
from request_logger.settings import Settings
from request_logger.store.changes import RefusedRequestError, StoreUnavailableError, TooLargeError
from request_logger.store.indices.templates import dead_letter_mapping
from request_logger.store.writing.bulk import Outcome, Request, read_answer
from request_logger.store.writing.future import Future
from request_logger.store.writing.ports import Limits
from request_logger.store.writing.states import Kind

log = logging.getLogger(__name__)

PREFIX = "dead-letter-"
"""Of the headers that a record in the topic has beside its own: reason, topic, partition, offset."""
_LONGEST_REASON = 1000
_CLOSE_SECONDS = 5.0


class DeadLetters:
    """Writes dead letters. For one thread; ``count`` is told where each went: topic, index, or nowhere."""

    def __init__(self, settings: Settings, logger: IngestPipeline, count: Callable[[str], None]) -> None:
        self._topic = settings.kafka_dead_letter_topic
        self._redactor = logger.redactor
        self._engine = logger.engine
        self._count = count
        self._index = Limits().dead_letter_index
        self._index_ready = False
        self._for_index: list[tuple[Record, str, Future[None]]] = []
        self._producer = Producer(producer_config(settings), logger=log) if self._topic else None

    def bury(self, record: Record, reason: str) -> Future[None]:
        """Start to write a letter; the future ends once it is kept, and fails with StoreUnavailableError."""
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
            # Such as one that is too large for the topic: it must not stand in the way of all others.
            log.warning("KAFKA_DEAD_LETTER_TOPIC %s takes no letter: %s", self._topic, error)
            self._for_index.append((record, reason, future))

        about = {
            "reason": reason[:_LONGEST_REASON],
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
        part = kept(record, self._redactor)
        headers: list[tuple[str, str | bytes | None]] = [*part.headers]
        headers += [(f"{PREFIX}{name}", str(value).encode()) for name, value in about.items()]
        try:
            producer.produce(self._topic, part.value or b"", part.key, headers=headers, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            future.set_exception(StoreUnavailableError(f"a dead letter waits for Kafka: {error}"))

    def flush(self) -> None:
        """Carry on with what was started; to be called now and then."""
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
            # It may be there; what comes of it, the verdict on the letters says.
            self._engine.request("PUT", f"/{self._index}", {"mappings": dead_letter_mapping()})
            self._index_ready = True
        requests = [
            # By its place: a record that is read again is the same letter.
            Request.store(self._index, f"{INDEX}{record.position}", dumps(self._letter(record, reason)))
            for record, reason, _ in waiting
        ]
        try:
            outcomes = read_answer(self._engine.bulk(b"".join(request.body for request in requests)), requests)
        except (TooLargeError, RefusedRequestError) as error:
            if len(waiting) > 1:
                half = len(waiting) // 2
                self._store(waiting[:half])
                self._store(waiting[half:])
                return
            if isinstance(error, RefusedRequestError):
                # A letter has nothing that could be refused: the engine, or what is in front of it, is at fault.
                raise
            outcomes = [Outcome(Kind.TOO_LARGE, reason=str(error))]
        for (record, _, future), outcome in zip(waiting, outcomes, strict=True):
            if outcome.kind is Kind.DONE:
                self._count("index")
                future.set_result(None)
            elif outcome.kind in (Kind.REFUSED, Kind.TOO_LARGE):
                # No place is left. It still is in its topic, for as long as that keeps it.
                log.error("the dead-letter index refuses %s: %s", record.position, outcome.reason[:300])
                self._count("nowhere")
                future.set_result(None)
            else:
                future.set_exception(StoreUnavailableError(f"the dead-letter index answered {outcome.reason[:300]}"))

    def _letter(self, record: Record, reason: str) -> dict[str, Any]:
        return {
            "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "index": f"{INDEX}{record.topic}",
            "id": record.position,
            "reason": reason[:_LONGEST_REASON],
            "document": dumps(content(record, self._redactor)).decode(),
        }

    def close(self) -> None:
        """Send what waits."""
        if self._producer is not None:
            self._producer.flush(_CLOSE_SECONDS)
        self.flush()
