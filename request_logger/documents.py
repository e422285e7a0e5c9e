"""The document that Kibana users know: parts of it from events, and how parts join.

A document is a join of parts (request, response, feedback, outlier, drift). Joining is a pure function: it does not
matter in which order the parts come, or how often. Of two versions of one part the one with the later ce-time stays
(of equal times the one that came last). Parts that other nodes of a graph logged under the same request id are kept
beside under ``nodes``; the top level shows the latest of each part.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.events import OWNER_FIELDS, Event
from request_logger.field_names import has_illegal_names, is_legal, to_set_aside
from request_logger.messages import drift_content, feedback_content, outlier_contents
from request_logger.metadata import Schema, apply_schema
from request_logger.payloads import Decoded, UndecodableError, decode_body, parse_body
from request_logger.payloads.predictions import predicted
from request_logger.serialize import dumps, loads
from request_logger.times import time_key

Document = dict[str, Any]

# The part whose time is the document's @timestamp: the first of these that is there.
PARTS = ("request", "response", "outlier", "drift", "feedback")
_RANK = {name: rank for rank, name in enumerate(PARTS)}
_HEADER = ("ServingEngine", "Ce-Inferenceservicename", "Ce-Endpoint", "Ce-Namespace", "RequestId")

_NAMED_FIELD = re.compile(rf"\[((?:{'|'.join(PARTS)}|metrics)(?:\.[^\]]*)?)\]")

TRACE_ID = "trace-id"
_LAST_REFUSED = ("ce-time", "ce-source", "dataType")
MOST_REFUSALS = 5
# Each refusal names one element: after so many of them all elements of the part are set aside together.
_MOST_SINGLE_REFUSALS = 3
_ELEMENTS = "elements"
# Fields that the index template does not index: no name within them is refused.
_NOT_INDEXED = frozenset({"payload", "instance", "truth", "request", "response", "metrics", "parameters", "outputs"})

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


def parts_of(event: Event, schema: Schema | None = None) -> list[Part]:
    """Make one part for each row of the event's body: one where it has no rows or can't be decoded.

    ``schema`` names the elements of its rows, or the features of a drift message.
    """
    common: Document = {}
    if event.time is not None:
        common["ce-time"] = event.time
    if event.source is not None:
        common["ce-source"] = event.source
    if event.trace_id is not None:
        common[TRACE_ID] = event.trace_id
    contents = [{**content, **common} for content in _contents(event, schema)]
    return [Part(event.part, content, event.node, event.header, event.timestamp) for content in contents]


def _contents(event: Event, schema: Schema | None) -> list[Document]:
    body = event.body
    if body.raw is None:
        reason = body.reason or "the body is larger than MAX_PAYLOAD_BYTES"
        known = {"sha256": body.sha256} if body.sha256 else {}
        return [{"payload_dropped": {"bytes": body.size, **known, "reason": reason}}]
    try:
        if event.part in ("request", "response"):
            is_response = event.part == "response"
            decoded = decode_body(body.raw, body.content_type, is_response=is_response)
            decoded = apply_schema(decoded, schema, event.part)
            if is_response:
                decoded = predicted(decoded)
            return _counted(rows_of(decoded, with_payload=event.kind != "reference", size=len(body.raw)))
        return _message_contents(event.part, body.raw, body.content_type, schema)
    except UndecodableError as error:
        return [undecodable(body.raw, body.content_type, str(error))]


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
                elements, others = _split(elements, aside)
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


def _split(elements: Document, aside: Iterable[str]) -> tuple[Document, Document]:
    others = {name: elements[name] for name in aside}
    return {name: value for name, value in elements.items() if name not in others}, others


def undecodable(raw: bytes, content_type: str | None, reason: str) -> Document:
    """Return the content of a part whose body is stored as it came, with the reason: as JSON, or else as base64."""
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
    nodes, node = _nodes(stored, part.node)
    known = nodes.setdefault(node, {}).get(part.name)
    if known is not None and not _replaces(part.content, known):
        return stored
    nodes[node][part.name] = part.content
    return _assemble(stored, part, nodes, node)


def _nodes(stored: Document, node: str) -> tuple[dict[str, Document], str]:
    """Give each node's parts (a copy), and the node that a part of ``node`` belongs to."""
    first = stored.get("Ce-Modelid", "")
    kept = stored.get("nodes")
    if kept:
        return {name: dict(parts) for name, parts in kept.items()}, node or first
    present = {name: stored[name] for name in PARTS if name in stored}
    # Without a model id on one side there is nothing that tells two nodes apart.
    return {(first or node): present}, node or first


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
            key=lambda name: (_order(nodes[name][part.name]), name == node),
        )
    document[part.name] = nodes[best][part.name]
    if len(nodes) > 1:
        document["nodes"] = nodes
        document["Ce-Modelid"] = _leading_node(document, nodes)
    elif node:
        document["Ce-Modelid"] = node
    first = min((_RANK[name] for name in PARTS if name in document), default=_RANK[part.name])
    if best == node and _RANK[part.name] == first:
        document["@timestamp"] = part.timestamp
    return document


def _leading_node(document: Document, nodes: dict[str, Document]) -> str:
    """The node whose response (else request, ...) is the one at the top level."""
    for name in ("response", "request", "outlier", "feedback", "drift"):
        for node, parts in nodes.items():
            if name in document and parts.get(name) == document[name]:
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
    if same_content(incoming, known) or same_content(incoming, whole):
        return False
    mine, theirs = time_key(incoming.get("ce-time")), time_key(whole.get("ce-time"))
    # A version without a time can only be ordered by its arrival.
    return mine is None or theirs is None or mine >= theirs


def same_content(one: Document, other: Document) -> bool:
    """Say whether two versions of a part are one; an event that is delivered again may come with another trace."""
    if one.get(TRACE_ID) != other.get(TRACE_ID):
        return {**one, TRACE_ID: None} == {**other, TRACE_ID: None}
    return one == other


def _order(content: Document) -> float:
    key = time_key(expand(content).get("ce-time"))
    return float("inf") if key is None else key


def refuse(document: Document, reasons: Sequence[str]) -> Document | None:
    """Return a document that the engine refused in a form with less to refuse.

    ``reasons`` are what the engine has said so far. The single elements that they name (``request.elements.age``), else
    the fields (``request.elements``), become JSON text that is not indexed; where that isn't enough, or no field is
    named, all fields of all parts do. None: there is no further form.
    """
    if len(reasons) > MOST_REFUSALS:
        return None
    parts = {name: expand(document.get(name) or {}) for name in (*PARTS, "metrics")}
    single = {name: _refused_elements(name, part, reasons) for name, part in parts.items()}
    named = _refused_fields(parts, reasons)
    last = len(reasons) == MOST_REFUSALS
    everything = last or named is None
    named = named or set()
    refused = dict(document)
    for name, part in parts.items():
        fields = [
            field
            for field in part
            # A time that is none is refused, too, where the original's mapping takes the field for a date.
            if (name, field) in named or last or (field not in _LAST_REFUSED and (everything or (name,) in named))
        ]
        content = {field: value for field, value in part.items() if field not in fields}
        unindexed = {field: part[field] for field in fields}
        if single[name] and _ELEMENTS in content:
            content[_ELEMENTS], unindexed[_ELEMENTS] = _split(part[_ELEMENTS], single[name])
        if unindexed:
            refused[name] = {
                **content,
                "unindexed": dumps(unindexed).decode(),
                "unindexed_reason": reasons[-1][:1000],
            }
    return refused


def _refused_elements(name: str, part: Document, reasons: Sequence[str]) -> list[str]:
    """Return the elements of a part that the reasons name; none where they name too many, to set all aside at once."""
    elements = part.get(_ELEMENTS)
    if not isinstance(elements, dict) or not elements:
        return []
    found: set[str] = set()
    about = [reason for reason in reasons if f"[{name}.{_ELEMENTS}." in reason]
    if len(about) > _MOST_SINGLE_REFUSALS:
        return []
    for reason in about:
        of_reason = {element for element in elements if _names_element(reason, f"{name}.{_ELEMENTS}.{element}")}
        if not of_reason:
            return []
        found |= of_reason
    return [element for element in elements if element in found]


def _names_element(reason: str, path: str) -> bool:
    """Say whether a reason names the field of an element, one within it, or one that it is within."""
    if f"[{path}]" in reason or f"[{path}." in reason:
        return True
    return any(path.startswith(f"{match}.") and match.count(".") > 1 for match in _NAMED_FIELD.findall(reason))


def _refused_fields(parts: Mapping[str, Document], reasons: Sequence[str]) -> set[tuple[str, ...]] | None:
    """Return the fields (part and name, or the part alone) that the reasons name, but for single elements.

    A reason that names nothing may be about a name that an index can't have: then these are all fields with such names.
    None: what the engine refuses can't be told.
    """
    named: set[tuple[str, ...]] = set()
    illegal: set[tuple[str, ...]] = set()
    for reason in reasons:
        matches = _NAMED_FIELD.findall(reason)
        for match in matches:
            steps = tuple(match.split(".")[:2])
            is_single = match.startswith(f"{steps[0]}.{_ELEMENTS}.")
            if not is_single or not _refused_elements(steps[0], parts[steps[0]], reasons):
                named.add(steps)
        if not matches:
            if illegal:
                # Setting them aside was not enough.
                return None
            illegal = {
                (name, field)
                for name, part in parts.items()
                for field, value in part.items()
                if not is_legal(field) or (field not in _NOT_INDEXED and has_illegal_names(value))
            }
            if not illegal:
                return None
    return named | illegal


def expand(part: Document) -> Document:
    """Return a part as it was before `refuse`."""
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
