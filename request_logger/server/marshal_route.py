"""``POST /v1/marshal``: stores the events that KServe's agent archives, and answers with the archive.

The agent posts a batch as a JSON array and writes the answer to its object store. It doesn't retry: what is answered
with another status than 2xx is in no archive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Flask, Response, request

from request_logger.archives import formats
from request_logger.archives.records import Record, record_of
from request_logger.common.times import now
from request_logger.documents.event import BadEventError, Event
from request_logger.forward import Forwarder
from request_logger.ingest.access import MARSHAL_PATH
from request_logger.ingest.memory_budget import Budget, parsed_bytes
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import Documents
from request_logger.server.batch_elements import elements
from request_logger.server.batch_route import OK, BatchRoute
from request_logger.server.forwarding import record_message
from request_logger.server.request_body import small_body
from request_logger.server.responses import RETRY_AFTER_SECONDS, Answer, as_response, error_answer
from request_logger.settings import ARCHIVE_FORMATS, Settings
from request_logger.telemetry import Telemetry

EXTENSION = "X-Log-Marshal-Extension"
"""The header that tells KServe's agent the extension of the object's name."""
LEFT_OUT = "X-Log-Marshal-Left-Out"
"""The header with the number of entries that are neither stored nor archived."""
_FORMAT = "format"
_EVENT = "event"
_UNAVAILABLE = 503
# The entries until the answer is made, and the answer: each about as large as the body.
_COPIES = 2


def add_routes(
    app: Flask,
    settings: Settings,
    pipeline: IngestPipeline,
    budget: Budget,
    telemetry: Telemetry,
    forwarder: Forwarder | None,
) -> None:
    """Add the route."""
    batches = BatchRoute(settings, pipeline, budget, telemetry)

    @app.post(MARSHAL_PATH)
    def marshal() -> Response:
        started = time.monotonic()
        form = _form(request.args, settings)
        body = request.environ["wsgi.input"]
        records: list[Record | None] = []

        def entries(raw: bytes | bytearray) -> Iterator[object]:
            for value in elements(raw, budget):
                records.append(None)
                yield value

        def event_of(value: object) -> Event:
            record = records[-1] = record_of(value)
            return record.event(settings, now())

        def forward(position: int, event: Event) -> None:
            record = records[position]
            if forwarder is not None and record is not None:
                forwarder.offer(record_message(record, event))

        with budget.share() as share:
            raw = small_body(body, settings.max_structured_bytes, "MAX_STRUCTURED_BYTES", share)
            share.take(parsed_bytes(raw) + _COPIES * len(raw))
            answers = batches.take_all(entries(raw), started, event_of, _answer_of, forward)
            return as_response(_joint(records, answers, form, pipeline))


def _form(parameters: Mapping[str, str], settings: Settings) -> str:
    """Return the format of the answer. Raises BadEventError."""
    for name in parameters:
        if name != _FORMAT:
            raise BadEventError(f"parameters of the URL: expected only {_FORMAT}")
    form = parameters.get(_FORMAT, settings.marshal_format)
    if form not in ARCHIVE_FORMATS:
        raise BadEventError(f"{_FORMAT}: expected {' or '.join(ARCHIVE_FORMATS)}")
    problem = formats.problem(form)
    if problem:
        raise BadEventError(f"{_FORMAT}: {problem}")
    return form


def _answer_of(event: Event, documents: Documents | None) -> Answer:
    return Answer(OK, fields={_EVENT: event})


def _joint(records: Sequence[Record | None], answers: Sequence[Answer], form: str, pipeline: IngestPipeline) -> Answer:
    """Return the archive of what is stored; an error if something has to be sent again, or all entries are bad."""
    for answer in answers:
        if answer.status == _UNAVAILABLE:
            return error_answer(_UNAVAILABLE, answer.error, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    failed = [answer for answer in answers if answer.status != OK]
    if failed and len(failed) == len(answers):
        return error_answer(failed[0].status, failed[0].error)
    # An event of a kind that isn't stored, or not in the sample, is acknowledged, and is not in the archive.
    rows = (
        record.row(event, pipeline.redaction_of(event))
        for record, answer in zip(records, answers, strict=True)
        if record is not None and (event := answer.fields.get(_EVENT)) is not None
    )
    content = formats.write(rows, form)
    chosen = formats.FORMS[form]
    headers: dict[str, Any] = {
        "Content-Type": chosen.media_type,
        "X-Content-Type-Options": "nosniff",
        EXTENSION: chosen.extension,
    }
    if failed:
        headers[LEFT_OUT] = str(len(failed))
    return Answer(OK, content, headers)
