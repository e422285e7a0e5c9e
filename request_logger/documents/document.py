"""The document that Kibana users know: parts of it from events, and how parts join.

A document is a join of parts (request, response, feedback, outlier, drift). Joining is a pure function: it does not
matter in which order the parts come, or how often. Of two versions of one part the one with the later ce-time stays
(of equal times the one that came last); a version without a usable ce-time is ordered by its arrival, which is stored
with it. Parts that other nodes of a graph logged under the same request id are kept under ``nodes``; the top level
shows the latest of each part.

A stored document may be anybody's: what is not of our shape in it is left where it is, and counts as missing.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from request_logger.common.guard import type_name
from request_logger.common.json import MAX_TEXT_CHARACTERS, dumps, loads
from request_logger.common.times import time_key
from request_logger.documents.degradation import MOST_REFUSALS, refused_form, split
from request_logger.documents.event import OWNER_FIELDS, BadEventError, Event
from request_logger.documents.field_names import to_set_aside
from request_logger.metadata import Schema, apply_schema
from request_logger.metadata.schema import Side
from request_logger.payloads import Decoded, UndecodableError, decode_body, parse_body
from request_logger.payloads.messages import drift_content, feedback_content, outlier_contents
from request_logger.payloads.predictions import predicted

Document = dict[str, Any]

log = logging.getLogger(__name__)

# The part whose time is the document's @timestamp: the first of these that is there.
PARTS = ("request", "response", "outlier", "drift", "feedback")
_HEADER = ("ServingEngine", "Ce-Inferenceservicename", "Ce-Endpoint", "Ce-Namespace", "RequestId")

TRACE_ID = "trace-id"
_ELEMENTS = "elements"
# When a part without a usable ce-time arrived. The part that gives the document its time needs none: @timestamp is it.
RECEIVED = "received-time"
# What differs between two deliveries of one event.
_OF_DELIVERY = (TRACE_ID, RECEIVED)

# What of a raw body becomes base64 text; the engines take no longer text. See serialize.MAX_TEXT_CHARACTERS.
_MAX_RAW_BYTES = MAX_TEXT_CHARACTERS // 4 * 3
# The whole body is kept in every row of a batch, as users know it, until that would multiply it beyond this size.
MAX_PAYLOAD_COPIES_BYTES = 32 * 2**20


@dataclass(slots=True)
class Part:
    """One row of one event, ready to join its document."""

    name: str
    content: Document
    node: str
    header: Mapping[str, Any]
    timestamp: str


class TooManyRowsError(BadEventError):
    """The body has more rows than there is memory for."""


def parts_of(event: Event, schema: Schema | None = None, most_rows: int | None = None) -> list[Part]:
    """Make one part for each row of the event's body: one where it has no rows or can't be decoded.

    ``schema`` names the elements of its rows, or the features of a drift message. Raises TooManyRowsError where there
    are more than ``most_rows``.
    """
    common: Document = {}
    if event.time is not None:
        common["ce-time"] = event.time
    if event.source is not None:
        common["ce-source"] = event.source
    if event.trace_id is not None:
        common[TRACE_ID] = event.trace_id
    contents = [{**content, **common} for content in _contents(event, schema, most_rows)]
    for content in contents:
        # Not the sender's to say: it orders the versions of a part.
        content.pop(RECEIVED, None)
    return [Part(event.part, content, event.node, event.header, event.timestamp) for content in contents]


def _contents(event: Event, schema: Schema | None, most_rows: int | None) -> list[Document]:
    body = event.body
    if body.raw is None:
        reason = body.reason or "the body is larger than MAX_PAYLOAD_BYTES"
        known = {"sha256": body.sha256} if body.sha256 else {}
        return [{"payload_dropped": {"bytes": body.size, **known, "reason": reason}}]
    try:
        if event.part in ("request", "response"):
            is_response = event.part == "response"
            decoded = decode_body(body.raw, body.content_type, is_response=is_response)
            if most_rows is not None and len(decoded.items) > most_rows:
                raise TooManyRowsError("body: more rows than there is memory for")
            decoded = _named(decoded, schema, event.part)
            if is_response:
                decoded = predicted(decoded)
            return _counted(rows_of(decoded, with_payload=event.kind != "reference", size=len(body.raw)))
        return _message_contents(event.part, body.raw, body.content_type, schema)
    except UndecodableError as error:
        return [undecodable(body.raw, body.content_type, str(error))]
    except Exception as error:
        # A defect here must not lose the event.
        log.exception("a body could not be taken apart")
        return [undecodable(body.raw, body.content_type, f"decoding failed: {type_name(error)}")]


def _named(decoded: Decoded, schema: Schema | None, side: Side) -> Decoded:
    try:
        return apply_schema(decoded, schema, side)
    except Exception:
        log.exception("a prediction schema could not be applied")
        return decoded


def _message_contents(part: str, raw: bytes, content_type: str | None, schema: Schema | None) -> list[Document]:
    if part == "outlier":
        return outlier_contents(raw, content_type)
    if part == "drift":
        return [drift_content(raw, content_type, (schema or Schema()).by_feature)]
    return [feedback_content(raw, content_type)]


def rows_of(decoded: Decoded, *, with_payload: bool, size: int) -> list[Document]:
    """Give the content of a part for each row; ``size`` (bytes) is that of the body they came from."""
    contents: list[Document] = []
    copies = len(decoded.items) if len(decoded.items) * size <= MAX_PAYLOAD_COPIES_BYTES else 1
    for row, item in enumerate(decoded.items):
        content = dict(decoded.fields)
        if decoded.has_elements:
            elements = item.elements
            aside = to_set_aside(elements) if elements else None
            if elements and aside:
                elements, others = split(elements, aside)
                content["elements_unindexed"] = dumps(others).decode()
            content[_ELEMENTS] = elements
        content["instance"] = item.instance
        content["dataType"] = decoded.data_type
        if decoded.names is not None:
            content["names"] = decoded.names
        if not with_payload:
            content.pop("payload", None)
        elif decoded.has_payload:
            if row < copies:
                content["payload"] = decoded.payload
            else:
                reason = "the body of a large batch is kept in its first row"
                content["payload_dropped"] = {"bytes": size, "item": 0, "reason": reason}
        contents.append(content)
    return contents


def _counted(contents: list[Document]) -> list[Document]:
    """Give the rows of a batch their number, and return them: feedback needs it, and the payload may not be kept."""
    if len(contents) > 1:
        for content in contents:
            content["rows"] = len(contents)
    return contents


def undecodable(raw: bytes, content_type: str | None, reason: str) -> Document:
    """Return the content of a part whose body can't be decoded, with the reason: as JSON, or else as base64.

    A huge one is kept only by its size.
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


def join(stored: Document | None, part: Part) -> Document:
    """Join a part to the document: a new document, or ``stored`` itself where the part changes nothing.

    A document of another deployment is left alone (returned as it is): see names.other_owner.
    """
    if stored is None:
        return {
            **part.header,
            **({"Ce-Modelid": part.node} if part.node else {}),
            "@timestamp": part.timestamp,
            part.name: part.content,
        }
    if not same_owner(stored, part.header):
        return stored
    nodes, first = nodes_in(stored), _text(stored, "Ce-Modelid")
    # Without a model id on one side there is nothing that tells two nodes apart.
    if not first and part.node and len(nodes) == 1 and not _has_nodes(stored):
        nodes = {part.node: next(iter(nodes.values()))}
    node = part.node or first
    content = _with_arrival(part.content, part.timestamp)
    if content is not part.content:
        part = replace(part, content=content)
    known = nodes.setdefault(node, {}).get(part.name)
    if known is not None and not _replaces(part.content, known):
        return stored
    nodes[node][part.name] = part.content
    return _assemble(stored, part, nodes, node)


def nodes_in(document: Document) -> dict[str, dict[str, Document]]:
    """Return the parts of each node (copies of the dicts that hold them), by model id: one node for most documents.

    Each part that has no usable ce-time has its time of arrival, as far as the document tells it.
    """
    if "nodes" in document and _has_nodes(document):
        return {name: _parts_of(parts) for name, parts in document["nodes"].items() if isinstance(parts, dict)}
    parts = _parts_of(document)
    for leading, content in parts.items():
        parts[leading] = _with_arrival(content, document.get("@timestamp"))
        break
    return {_text(document, "Ce-Modelid"): parts}


def _parts_of(holder: Document) -> dict[str, Document]:
    """Give the parts that an object holds, in the order of PARTS."""
    return {name: part for name in PARTS if isinstance(part := holder.get(name), dict)}


def _has_nodes(document: Document) -> bool:
    kept = document.get("nodes")
    return isinstance(kept, dict) and any(isinstance(parts, dict) for parts in kept.values())


def _text(document: Document, field: str) -> str:
    found = document.get(field)
    return found if isinstance(found, str) else ""


def _with_arrival(content: Document, time: Any) -> Document:
    if time_key(content.get("ce-time")) is not None or _order(content) is not None or time_key(time) is None:
        return content
    return {**content, RECEIVED: time}


def without_arrival(content: Document, timestamp: str | None = None) -> Document:
    """Return a part without its time of arrival; with ``timestamp`` only where it is that."""
    if RECEIVED not in content or (timestamp is not None and content[RECEIVED] != timestamp):
        return content
    return {name: value for name, value in content.items() if name != RECEIVED}


def _assemble(stored: Document, part: Part, nodes: dict[str, Document], node: str) -> Document:
    document = dict(stored)
    if not stored.get("Ce-Inferenceservicename") and part.header.get("Ce-Inferenceservicename"):
        document["Ce-Inferenceservicename"] = part.header["Ce-Inferenceservicename"]
    for field in _HEADER:
        if field not in document and field in part.header:
            document[field] = part.header[field]
    best = node
    if len(nodes) > 1:
        best = max(
            (name for name in nodes if part.name in nodes[name]),
            key=lambda name: (_rank(nodes[name][part.name]), name == node),
        )
    document[part.name] = nodes[best][part.name]
    leads = part.name == _leading_part(document)
    if leads and best == node:
        document["@timestamp"] = part.timestamp
    if len(nodes) > 1 or "nodes" in stored:
        if not _has_nodes(stored):
            # The parts of the only node so far, with the arrival of the one that gave the document its time.
            for other in nodes.keys() - {node}:
                document |= {name: content for name, content in nodes[other].items() if name != part.name}
        document["nodes"] = nodes
        document["Ce-Modelid"] = _leading_node(document, nodes)
        return document
    if node:
        document["Ce-Modelid"] = node
    if leads:
        document[part.name] = without_arrival(part.content, part.timestamp)
        led = _leading_part(stored)
        if led != part.name and led in nodes[node]:
            # @timestamp was its time of arrival, and is no longer.
            document[led] = nodes[node][led]
    return document


def _leading_part(document: Document) -> str:
    """Return the name of the part whose time is the document's; empty where it has none."""
    for name in PARTS:
        if isinstance(document.get(name), dict):
            return name
    return ""


def _leading_node(document: Document, nodes: dict[str, Document]) -> str:
    """The node whose response (else request, ...) is the one at the top level."""
    for name in ("response", "request", "outlier", "feedback", "drift"):
        for node, parts in nodes.items():
            if name in parts and parts[name] == document.get(name):
                return node
    return next(iter(nodes))


def same_owner(stored: Document, header: Mapping[str, Any]) -> bool:
    """Say whether a document and an event are of one deployment; what one of them doesn't say is no difference."""
    for field in OWNER_FIELDS:
        mine, theirs = stored.get(field), header.get(field)
        if mine != theirs and mine is not None and theirs is not None:
            return False
    return True


def _replaces(incoming: Document, known: Document) -> bool:
    whole = expand(known)
    mine, theirs = _order(incoming), _order(whole)
    if same_content(incoming, known) or same_content(incoming, whole):
        # Of two deliveries of one event without a time the first is its arrival, in whichever order they are joined.
        return mine is not None and theirs is not None and mine < theirs
    # A version of which no time is known was stored by a program that kept none.
    return mine is None or theirs is None or mine >= theirs


def same_content(one: Document, other: Document) -> bool:
    """Say whether two versions of a part are one; a second delivery may have another trace and time of arrival."""
    for field in _OF_DELIVERY:
        if one.get(field) != other.get(field):
            nothing = dict.fromkeys(_OF_DELIVERY)
            return {**one, **nothing} == {**other, **nothing}
    return one == other


def _order(content: Document) -> int | None:
    """Give what orders a version of a part: its ce-time, else its arrival (ns since 1970); None where unknown."""
    whole = expand(content)
    key = time_key(whole.get("ce-time"))
    return time_key(whole.get(RECEIVED)) if key is None else key


def _rank(content: Document) -> float:
    key = _order(content)
    return float("inf") if key is None else key


def part_in(document: Document, name: str) -> Document:
    """Return a part of a document as its event gave it; empty where there is none, or something of another shape."""
    part = document.get(name)
    return expand(part) if isinstance(part, dict) else {}


def degrade(document: Document, reasons: Sequence[str]) -> Document | None:
    """Return a document that the engine refused in a form with less to refuse; None where there is no further form.

    ``reasons`` are what the engine has said so far: see refused_forms.
    """
    if len(reasons) > MOST_REFUSALS:
        return None
    parts = {name: part_in(document, name) for name in (*PARTS, "metrics")}
    return refused_form(document, parts, reasons)


def expand(part: Document) -> Document:
    """Return a part as it was before `refuse`; what is no part at all becomes an empty one."""
    if not isinstance(part, dict):
        return {}
    text = part.get("unindexed")
    if not isinstance(text, str):
        return part
    try:
        content = loads(text)
    except json.JSONDecodeError:
        return part
    kept = {field: value for field, value in part.items() if field not in ("unindexed", "unindexed_reason")}
    if not isinstance(content, dict):
        return part
    if isinstance(kept.get(_ELEMENTS), dict) and isinstance(content.get(_ELEMENTS), dict):
        content[_ELEMENTS] = {**kept[_ELEMENTS], **content[_ELEMENTS]}
    return {**kept, **content}
