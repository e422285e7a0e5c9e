"""The document that is stored per prediction: joins the parts of events to documents.

A document is a join of parts (request, response, feedback, outlier, drift). Joining is a pure function: the order and
the number of deliveries of the parts don't matter. Of two versions of a part the one with the later ce-time is kept (of
equal times the one that arrived last); a version without a usable ce-time is ordered by its time of arrival, which is
stored with it. Evaluations in feedback are joined one by one: see feedback_join. Parts that several nodes of a graph
logged under the same request id are kept under ``nodes``; the top level has the latest version of each part.

A stored document may come from another program: content of another shape is kept unchanged, and treated as missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from request_logger.common.json import loads
from request_logger.common.times import time_key
from request_logger.documents.degradation import DERIVED, MAX_REFUSALS, degraded_form
from request_logger.documents.event import owner_of
from request_logger.documents.feedback_join import (
    has_evaluations,
    is_of_evaluations,
    join_feedback,
    with_all_evaluations,
    without_evaluations,
)
from request_logger.documents.kept_fields import REMOVED, kept_of, says_the_same
from request_logger.documents.parts import RECEIVED, TRACE_ID, Part

Document = dict[str, Any]

log = logging.getLogger(__name__)

# In order of precedence: the time of the document's first part is its @timestamp.
PARTS = ("request", "response", "outlier", "drift", "feedback")
_HEADER = ("ServingEngine", "Ce-Inferenceservicename", "Ce-Endpoint", "Ce-Namespace", "RequestId")

_ELEMENTS = "elements"
# Fields that can differ between two deliveries of one event.
_OF_DELIVERY = (TRACE_ID, RECEIVED)


def join(stored: Document | None, part: Part) -> Document:
    """Return the document with a part joined to it: a new one, or ``stored`` itself if the part changes nothing.

    A document of another deployment is returned unchanged: see names.other_owner.
    """
    if stored is None:
        return {
            **part.header,
            **({"Ce-Modelid": part.node} if part.node else {}),
            "@timestamp": part.timestamp,
            part.name: part.content,
        }
    if _is_simple(stored, part):
        return _with_first(stored, part)
    if not same_owner(stored, part.header):
        return stored
    is_removed = REMOVED in stored
    if is_removed:
        part = replace(part, content=kept_of(part.name, part.content))
    nodes, first = nodes_in(stored), _text(stored, "Ce-Modelid")
    # Without a model id on one side, two nodes can't be distinguished.
    if not first and part.node and len(nodes) == 1 and not _has_nodes(stored):
        nodes = {part.node: next(iter(nodes.values()))}
    node = part.node or first
    content = _with_arrival(part.content, part.timestamp)
    if content is not part.content:
        part = replace(part, content=content)
    known = nodes.setdefault(node, {}).get(part.name)
    if known is not None and part.name == "feedback" and has_evaluations(part.content, expand(known)):
        joined = _joined_feedback(stored, known, part)
        if joined is None:
            return stored
        part = joined
    elif known is not None and not _replaces(part.content, known):
        return stored
    nodes[node][part.name] = part.content
    document = _assemble(stored, part, nodes, node)
    if is_removed and not says_the_same(part_in(stored, "feedback"), part_in(document, "feedback")):
        # They are of the feedback before, and nothing is left to compare this one with.
        document.pop("metrics", None)
    return document


def _is_simple(stored: Document, part: Part) -> bool:
    """Return whether a part is the first of its name in a document of the same node, and both have a time.

    Of these nearly all documents are joined; `_with_first` does the same as the rest of `join`, in a third of the time.
    """
    if part.name in stored or "nodes" in stored or REMOVED in stored or not part.header.items() <= stored.items():
        return False
    leading = stored.get(_leading_part(stored))
    return (
        leading is not None
        and stored.get("Ce-Modelid", "") == part.node
        and time_key(part.content.get("ce-time")) is not None
        and time_key(leading.get("ce-time")) is not None
    )


def _with_first(stored: Document, part: Part) -> Document:
    document = {**stored, part.name: part.content}
    if _leading_part(document) == part.name:
        document["@timestamp"] = part.timestamp
        document[part.name] = without_arrival(part.content, part.timestamp)
    return document


def _joined_feedback(stored: Document, known: Document, part: Part) -> Part | None:
    """Return the feedback's part with what is kept of the known one; None if nothing changes."""
    whole = expand(known)
    content, is_newer = join_feedback(whole, part.content, _replaces)
    if content is whole:
        return None
    time = stored.get("@timestamp")
    # The document's time remains that of the version whose truth is kept.
    timestamp = part.timestamp if is_newer or not isinstance(time, str) else time
    return replace(part, content=content, timestamp=timestamp)


def nodes_in(document: Document) -> dict[str, dict[str, Document]]:
    """Return the parts of each node by model id (in new dicts); most documents have a single node.

    Each part without a usable ce-time has its time of arrival, if the document contains it.
    """
    if "nodes" in document and _has_nodes(document):
        return {name: _parts_of(parts) for name, parts in document["nodes"].items() if isinstance(parts, dict)}
    parts = _parts_of(document)
    for leading, content in parts.items():
        parts[leading] = _with_arrival(content, document.get("@timestamp"))
        break
    return {_text(document, "Ce-Modelid"): parts}


def _parts_of(holder: Document) -> dict[str, Document]:
    """Return the parts in an object, in the order of PARTS."""
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
    """Return a part without its time of arrival; with ``timestamp``, only if the two are equal."""
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
    best, document[part.name] = _latest(part.name, nodes, node) if len(nodes) > 1 else (node, part.content)
    leads = part.name == _leading_part(document)
    if leads and best == node:
        document["@timestamp"] = part.timestamp
    if len(nodes) > 1 or "nodes" in stored:
        if not _has_nodes(stored):
            # The parts of the only node so far, now with the time of arrival of the part that determined @timestamp.
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
            # @timestamp was its time of arrival; now the part needs its own.
            document[led] = nodes[node][led]
    return document


def _latest(name: str, nodes: dict[str, Document], node: str) -> tuple[str, Document]:
    """Return the node with the latest version of a part (of equal ones ``node``), and the version for the top level."""
    versions = {each: parts[name] for each, parts in nodes.items() if name in parts}
    wholes = {each: expand(version) for each, version in versions.items()} if name == "feedback" else {}
    others = {each: not is_of_evaluations(whole) for each, whole in wholes.items()}
    best = max(versions, key=lambda each: (others.get(each, True), _rank(versions[each]), each == node))
    if has_evaluations(*wholes.values()):
        return best, with_all_evaluations(wholes[best], wholes.values())
    return best, versions[best]


def _leading_part(document: Document) -> str:
    """Return the name of the part that determines the document's @timestamp; empty if it has no part."""
    for name in PARTS:
        if name in document and isinstance(document[name], dict):
            return name
    return ""


def _leading_node(document: Document, nodes: dict[str, Document]) -> str:
    """Return the node whose response (else request, ...) is at the top level."""
    for name in ("response", "request", "outlier", "feedback", "drift"):
        for node, parts in nodes.items():
            if name in parts and parts[name] == document.get(name):
                return node
            # At the top level a feedback has the evaluations of all nodes.
            if name == "feedback" and name in parts and _is_same_verdict(parts[name], document.get(name)):
                return node
    return next(iter(nodes))


def _is_same_verdict(one: Document, other: Any) -> bool:
    return bool(without_evaluations(expand(one)) == without_evaluations(expand(other)))


def same_owner(stored: Document, header: Mapping[str, Any]) -> bool:
    """Return whether a document and an event are of the same deployment; fields missing on one side are ignored."""
    if header.items() <= stored.items():
        return True
    mine, theirs = owner_of(stored), owner_of(header)
    return all(one == other or one is None or other is None for one, other in zip(mine, theirs, strict=True))


def _replaces(incoming: Document, known: Document) -> bool:
    whole = expand(known)
    mine, theirs = _order(incoming), _order(whole)
    if same_content(incoming, known) or same_content(incoming, whole):
        # Of two deliveries of one event without a time, the earlier arrival is kept, whichever is joined first.
        return mine is not None and theirs is not None and mine < theirs
    # A version without any time was stored by a program that didn't keep one.
    return mine is None or theirs is None or mine >= theirs


def same_content(one: Document, other: Document) -> bool:
    """Return whether two versions of a part are equal, apart from the trace and the time of arrival of a delivery."""
    for field in _OF_DELIVERY:
        if one.get(field) != other.get(field):
            nothing = dict.fromkeys(_OF_DELIVERY)
            return {**one, **nothing} == {**other, **nothing}
    return one == other


def _order(content: Document) -> int | None:
    """Return the sort key of a version: its ce-time, else its time of arrival (ns since 1970); None if it has none."""
    whole = expand(content)
    key = time_key(whole.get("ce-time"))
    return time_key(whole.get(RECEIVED)) if key is None else key


def _rank(content: Document) -> float:
    key = _order(content)
    return float("inf") if key is None else key


def part_in(document: Document, name: str) -> Document:
    """Return a part of a document as its event had it; empty if there is none, or it has another shape."""
    part = document.get(name)
    if type(part) is dict and "unindexed" not in part:
        return part
    return expand(part) if isinstance(part, dict) else {}


def degrade(document: Document, reasons: Sequence[str]) -> Document | None:
    """Return a form of a refused document with less to refuse; None if there is no further form.

    ``reasons`` are the search engine's reasons so far: see degradation.
    """
    if len(reasons) > MAX_REFUSALS:
        return None
    parts = {name: part_in(document, name) for name in (*PARTS, *DERIVED)}
    return degraded_form(document, parts, reasons)


def expand(part: Document) -> Document:
    """Return a part as it was before `degrade`; a value that isn't a part becomes an empty one."""
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
