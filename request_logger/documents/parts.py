"""Makes the parts of documents from events: one per row of an event's body. Pure code."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.common.guard import type_name
from request_logger.common.json import MAX_TEXT_CHARACTERS
from request_logger.documents.batches import BODY_ITEM, KEEP_ALL, Keep, Keeping, rows_of, with_searchable_text
from request_logger.documents.event import BadEventError, Event
from request_logger.documents.event_metadata import extended_rows
from request_logger.metadata import Schema, apply_schema
from request_logger.metadata.schema import Side
from request_logger.payloads import Decoded, UndecodableError, decode_body, parse_body
from request_logger.payloads.evaluations import with_evaluations
from request_logger.payloads.flat import Flat, read_flat
from request_logger.payloads.messages import drift_content, feedback_content, outlier_contents
from request_logger.payloads.predictions import predicted

Document = dict[str, Any]

log = logging.getLogger(__name__)

TRACE_ID = "trace-id"
# The time of arrival of a part without a usable ce-time. For the part that determines @timestamp, that is its time.
RECEIVED = "received-time"
# The size of a raw body whose base64 text has the maximum length.
_MAX_RAW_BYTES = MAX_TEXT_CHARACTERS // 4 * 3
# The copies of KServe's metadata in the rows of a batch (rows times bytes). Each row needs them to be split by, so only
# copies that endanger the memory are left out.
MAX_EXTENSION_BYTES = 32 * 2**20


@dataclass(slots=True)
class Part:
    """One row of one event, ready to join its document."""

    name: str
    content: Document
    node: str
    header: Mapping[str, Any]
    timestamp: str
    flat: Flat = Flat.BATCH


class TooManyRowsError(BadEventError):
    """The body has more rows than the memory budget allows."""


def parts_of(
    event: Event,
    schema: Schema | None = None,
    most_rows: int | None = None,
    keep: Keeping = KEEP_ALL,
    flat: Flat = Flat.BATCH,
) -> list[Part]:
    """Return one part per row of an event's body; a single part if it has no rows or can't be decoded.

    ``schema`` names the elements of the rows, or the features of a drift message. ``keep`` says what is stored of the
    body of a request or response, ``flat`` what a flat array of numbers is. Raises TooManyRowsError if there are more
    than ``most_rows``.
    """
    common: Document = {}
    if event.time is not None:
        common["ce-time"] = event.time
    if event.source is not None:
        common["ce-source"] = event.source
    if event.trace_id is not None:
        common[TRACE_ID] = event.trace_id
    contents = _contents(event, schema, most_rows, keep, flat)
    for content in contents:
        content.update(common)
    if event.part in ("request", "response"):
        contents = extended_rows(contents, event.extensions or {}, MAX_EXTENSION_BYTES)
    for content in contents:
        # Reserved: a sender must not influence the order of versions.
        content.pop(RECEIVED, None)
        if event.part == "feedback":
            # Reserved: it says that the truth is that of one row.
            content.pop(BODY_ITEM, None)
    return [Part(event.part, content, event.node, event.header, event.timestamp, flat) for content in contents]


def _contents(event: Event, schema: Schema | None, most_rows: int | None, keep: Keeping, flat: Flat) -> list[Document]:
    """Return the content of each row as a new dict, which shares its values with the decoded body."""
    body = event.body
    if body.raw is None:
        reason = body.reason or "the body is larger than MAX_PAYLOAD_BYTES"
        known = {"sha256": body.sha256} if body.sha256 else {}
        return [{"payload_dropped": {"bytes": body.size, **known, "reason": reason}}]
    try:
        if event.part in ("request", "response"):
            is_response = event.part == "response"
            # A schema needs the values of the columns.
            decoded = decode_body(
                body.raw,
                body.content_type,
                is_response=is_response,
                keeps_text=schema is None,
                keeps_vectors=keep.embeddings,
            )
            if flat is not Flat.BATCH:
                decoded = read_flat(decoded, flat)
            if most_rows is not None and len(decoded.items) > most_rows:
                raise TooManyRowsError("body: more rows than there is memory for")
            if schema is not None:
                decoded = _named(decoded, schema, event.part)
            if is_response:
                decoded = predicted(decoded)
            payload: Keep = "none" if event.kind == "reference" else keep.payload
            rows = rows_of(decoded, keep=payload, size=len(body.raw))
            return with_searchable_text(rows) if keep.searchable_text else rows
        return _message_contents(event, body.raw, schema)
    except TooManyRowsError:
        raise
    except UndecodableError as error:
        return [undecodable(body.raw, body.content_type, str(error))]
    except Exception as error:
        # A defect in decoding must not lose the event.
        log.exception("a body could not be taken apart")
        return [undecodable(body.raw, body.content_type, f"decoding failed: {type_name(error)}")]


def _named(decoded: Decoded, schema: Schema, side: Side) -> Decoded:
    try:
        return apply_schema(decoded, schema, side)
    except Exception:
        log.exception("a prediction schema could not be applied")
        return decoded


def _message_contents(event: Event, raw: bytes, schema: Schema | None) -> list[Document]:
    content_type = event.body.content_type
    if event.part == "outlier":
        return outlier_contents(raw, content_type)
    if event.part == "drift":
        return [drift_content(raw, content_type, (schema or Schema()).by_feature)]
    return [with_evaluations(feedback_content(raw, content_type), event.timestamp)]


def undecodable(raw: bytes, content_type: str | None, reason: str) -> Document:
    """Return the content of a part whose body can't be decoded: the reason, and the body as JSON or else as base64.

    A body over 15 MB is not kept.
    """
    if len(raw) > _MAX_RAW_BYTES:
        dropped = f"an undecodable body is kept up to {_MAX_RAW_BYTES} bytes"
        return {"undecodable": reason, "payload_dropped": {"bytes": len(raw), "reason": dropped}}
    try:
        return {"undecodable": reason, "payload": parse_body(raw, content_type)}
    except UndecodableError:
        pass
    payload: Document = {"base64": base64.b64encode(raw).decode()}
    if content_type:
        payload["content_type"] = content_type
    return {"undecodable": reason, "payload": payload}
