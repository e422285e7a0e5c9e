"""Answers feedback with an ``io.seldon.serving.feedback.metrics`` event that carries its metrics.

With REPLY_EVENTS it is the HTTP response, with REPLY_URL it is also sent there, through a bounded queue and a thread:
a slow or dead receiver loses replies, never the feedback, which is stored already.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import urllib3
from cloudevents.core.bindings.http import HTTPMessage, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from request_logger.common.json import dumps
from request_logger.documents.document import part_in, same_owner
from request_logger.documents.event import Event, join_key_of
from request_logger.documents.key_document import is_key_document, is_shared
from request_logger.ingest.write_plan import is_prediction
from request_logger.scoring.score import row_position
from request_logger.settings import Settings
from request_logger.store.changes import Document, Plan, UnreadableError

log = logging.getLogger(__name__)

# Queued replies, which bounds the memory while the receiver is down.
MAX_WAITING = 1000
_TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)

Documents = Mapping[str, Document | None]
"""The documents that a plan has written, by id; None for one that it deleted."""


def watched(plan: Plan) -> Plan:
    """Return a plan that does the same and returns the `Documents` that it has written."""
    documents: dict[str, Document | None] = {}
    results: list[Document | None] | None = None
    error: UnreadableError | None = None
    while True:
        try:
            # A generator that hasn't started accepts only None.
            changes = plan.throw(error) if error is not None else plan.send(results)  # type: ignore[arg-type]
        except StopIteration:
            return documents
        try:
            error, results = None, (yield changes)
        except UnreadableError as caught:
            error = caught
        else:
            documents.update(zip((change.id for change in changes), results, strict=True))


def metrics_of(event: Event, documents: Documents) -> Any:
    """Return the metrics of a feedback's document (``{}`` before it is scored), or their list by row for a batch."""
    found = [
        (row_position(part_in(document, "feedback")), part_in(document, "metrics"))
        for document in _predictions(event, documents)
    ]
    found.sort(key=lambda pair: pair[0])
    rows = [metrics for _, metrics in found]
    if any(rows_of_batch > 1 for (_, rows_of_batch), _ in found):
        return rows
    return rows[0] if rows else {}


def prediction_of(event: Event, documents: Documents) -> dict[str, Any]:
    """Return what is known of a feedback's prediction: whether it is stored, and whether others have its join key."""
    is_found = any(map(is_prediction, _predictions(event, documents)))
    shared = {"shared_key": True} if join_key_of(event) and any(map(is_shared, documents.values())) else {}
    return {"prediction": "found" if is_found else "not_found", **shared}


def _predictions(event: Event, documents: Documents) -> list[Document]:
    """Return the documents with the feedback, except for those in which it waits for the value of a join key."""
    return [
        document
        for document in documents.values()
        if document is not None
        and "feedback" in document
        and not is_key_document(document)
        and same_owner(document, event.header)
    ]


def _request_id(event: Event, documents: Documents) -> str:
    """Return the id of a feedback's prediction; the value of the join key as long as the prediction isn't known."""
    ids = [document.get("RequestId") for document in _predictions(event, documents)] if join_key_of(event) else []
    return next((id for id in ids if isinstance(id, str)), event.request_id)


def reply(event: Event, documents: Documents, settings: Settings) -> HTTPMessage:
    """Return the event that answers a feedback, in binary mode."""
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": settings.reply_source,
        "type": settings.reply_type,
        "datacontenttype": "application/json",
        "requestid": _request_id(event, documents),
        "modelid": event.header.get("Ce-Modelid"),
        "inferenceservicename": event.header.get("Ce-Inferenceservicename"),
        "namespace": event.header.get("Ce-Namespace"),
        "endpoint": event.header.get("Ce-Endpoint"),
    }
    known = {name: value for name, value in attributes.items() if value}
    return to_binary(CloudEvent(known, dumps(metrics_of(event, documents))), JSONFormat())


class Replies:
    """Sends replies to REPLY_URL from a thread. ``count`` gets each outcome: sent, failed or dropped. Thread-safe."""

    def __init__(self, settings: Settings, count: Callable[[str], None]) -> None:
        self._settings = settings
        self._count = count
        self._waiting: queue.Queue[HTTPMessage | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._failing = False

    def answer(self, event: Event, documents: Documents | None) -> HTTPMessage | None:
        """Return the HTTP response to a stored event, None for an empty one. Only feedback has ``documents``."""
        if documents is None or not self._settings.reply_events:
            return None
        return reply(event, documents, self._settings)

    def send(self, event: Event, documents: Documents | None) -> None:
        """Queue the reply for REPLY_URL, if it is set, without waiting; a full queue drops it."""
        if documents is None or not self._settings.reply_url:
            return
        self._start()
        try:
            self._waiting.put_nowait(reply(event, documents, self._settings))
        except queue.Full:
            self._count("dropped")

    def close(self, timeout: float) -> None:
        """Send queued replies and stop the thread, each for at most ``timeout`` seconds."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)
        while (message := self._waiting.get()) is not None:
            problem = _post(pool, self._settings.reply_url, message)
            self._count("failed" if problem else "sent")
            if problem and not self._failing:
                # Without the URL, which may contain a token.
                log.warning("REPLY_URL rejects events: %s", problem)
            elif self._failing and not problem:
                log.warning("REPLY_URL accepts events again")
            self._failing = bool(problem)


def _post(pool: urllib3.PoolManager, url: str, message: HTTPMessage) -> str | None:
    """Send a message; return the problem, or None on success."""
    try:
        answer = pool.request("POST", url, body=message.body, headers=message.headers)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return str(error)[:200]
    return None if 200 <= answer.status < 300 else f"it answered {answer.status}"
