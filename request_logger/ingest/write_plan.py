"""Plans which documents an event changes, also when the rows or the other parts of a prediction arrive later.

An unsplit event has one document under its request id (the plain document), a batch of n > 1 rows one per row under
``<id>-item-<i>``. A part without rows of its own (a feedback, or a single response to a batch) that arrives before the
batch waits in the plain document. Both sides first write their own document and then read the other's, so that at least
one of them sees the pair and moves the waiting part to the rows. The state is only in the search engine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Set
from dataclasses import replace

from request_logger.common.names import row_named
from request_logger.common.periods import day_of
from request_logger.common.times import as_timestamp, time_key
from request_logger.documents.batches import feedback_rows
from request_logger.documents.choices import response_rows
from request_logger.documents.document import (
    PARTS,
    Document,
    expand,
    join,
    nodes_in,
    same_content,
    same_owner,
    without_arrival,
)
from request_logger.documents.event import Event
from request_logger.documents.event_metadata import is_failure
from request_logger.documents.kept_fields import REMOVED
from request_logger.documents.key_document import is_key_document, merged
from request_logger.documents.parts import RECEIVED, Part
from request_logger.documents.row_counts import batch_rows, embedded_rows, rows_of_feedback
from request_logger.ingest.addresses import Address, Apply, Step, run
from request_logger.scoring.score import Settle
from request_logger.store.changes import Change, Plan, Reads, TwoSteps, UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from request_logger.store.writing.dead_letter import dead_letter_change

# Rows whose documents are read together with the plain one, which saves a round trip; more are read if needed.
MAX_ROWS_LOOKED_AT = 512


def record(event: Event, parts: list[Part], settle: Settle) -> Plan:
    """Return the plan that stores an event's parts. ``settle`` updates a joined document's derived fields.

    If the search engine can't read a document, its other parts are unknown, so the event's parts become dead letters.
    """
    address = Address.of(event)
    try:
        if event.kind != "inference":
            steps: list[Step] = [
                (row if len(parts) > 1 else None, joining(part, settle)) for row, part in enumerate(parts)
            ]
            yield from run(address, steps)
        elif event.part == "feedback":
            yield from record_feedback(address, parts[0], settle)
        elif len(parts) > 1:
            yield from run(address, [(row, joining(part, settle)) for row, part in enumerate(parts)])
            yield from _move_to_rows(address, settle)
        else:
            (document,) = yield from run(address, [(None, joining(parts[0], settle))])
            if document is not None and event.part != "request" and "request" not in document:
                # It arrived first, or its request is a batch.
                (first,) = yield from run(address, [(0, Reads.CURRENT)])
                if first is not None:
                    yield from _move_to_rows(address, settle)
    except UnreadableError as error:
        yield dead_letters(address, parts, error)


def dead_letters(address: Address, parts: list[Part], error: UnreadableError) -> list[Change]:
    """Return the changes that store the parts of an event as dead letters, one per document."""
    rows = [row if len(parts) > 1 else None for row in range(len(parts))]
    return [
        dead_letter_change(DEAD_LETTER_INDEX, address.index, address.id(row), str(error), join(None, part))
        for row, part in zip(rows, parts, strict=True)
    ]


def restore(index: str, id: str, document: Document, settle: Settle) -> Plan:
    """Return the plan that stores a dead letter's document as if its parts arrived now; its result is their document.

    ``index`` and ``id`` are those of the document, which must have at least one part.
    """
    parts = parts_in(document)
    day = day_of(time_key(document.get("@timestamp")))

    def join_all(stored: Document | None) -> Document | None:
        joined = stored
        for part in parts:
            joined = join(joined, part)
        return joined if joined is None or joined is stored else settle(joined)

    (restored,) = yield [Change(index, id, join_all, day=day, late=True)]
    request_id = str(document.get("RequestId", id))
    address = Address(index, request_id, parts[0].header, day, first=False, late=True)
    if restored is None or not same_owner(restored, address.header):
        return restored
    if address.id(0) == id:
        # Parts that arrived before this batch may wait for its rows.
        yield from _move_to_rows(address, settle)
    elif address.id(None) == id and not ("request" in restored and "response" in restored):
        # Its rows may have arrived meanwhile.
        (first,) = yield from run(address, [(0, Reads.CURRENT)])
        if is_prediction(first):
            yield from _move_to_rows(address, settle)
    return restored


def joining(part: Part, settle: Settle) -> TwoSteps:
    """Return the change that joins a part to a document."""
    return TwoSteps(lambda stored: join(stored, part), settle)


def record_feedback(address: Address, part: Part, settle: Settle) -> Plan:
    """Return the plan that stores the feedback for a prediction, wherever its rows are by now."""
    is_alone = True

    def join_part(stored: Document | None) -> Document:
        # A document that exists may have been acknowledged: of another feedback, or of a duplicate of this one.
        nonlocal is_alone
        is_alone = is_alone and stored is None
        return join(stored, part)

    join_own = TwoSteps(join_part, settle)
    named = row_named(address.request_id)
    if named is not None and (yield from _is_of_row(address, *named, joining(part, settle))):
        return
    rows = rows_of_feedback(part.content, part.flat)
    if rows == 1:
        (single,) = yield from run(address, [(None, join_own)])
        if single is not None and "request" in single and "response" in single:
            # A complete prediction, whatever rows the feedback has. Asking for rows that don't exist is expensive.
            return
        (first,) = yield from run(address, [(0, Reads.CURRENT)])
    else:
        looked_at = range(min(rows, MAX_ROWS_LOOKED_AT))
        results = yield from run(address, [(None, join_own), *((row, Reads.KNOWN) for row in looked_at)])
        single, first = results[0], results[1]
        if not is_prediction(first) and not is_prediction(single):
            # Read again now that the feedback waits in the plain document: the rows may have arrived in between.
            (first,) = yield from run(address, [(0, Reads.CURRENT)])
    if is_prediction(first):
        yield from _move_to_rows(address, settle, own_feedback=part, is_alone=is_alone)
    elif (
        rows > 1
        and single is not None
        and not is_prediction(single)
        and (first is None or same_owner(single, first))
        and (embedded := embedded_rows(part.content, part.flat)) > 1
    ):
        # No part of the prediction is stored; the feedback's own response has the number of rows.
        # It may be a newer feedback than this one, or one per node.
        waiting = parts_in(single)
        at_once = is_alone and [each.content for each in waiting] == [part.content]
        yield from _move_parts(address, single, waiting, embedded, settle, at_once=at_once)


def _is_of_row(
    address: Address, batch: str, row: int, apply: Apply
) -> Generator[list[Change], list[Document | None], bool]:
    """Apply a feedback to the row that its request id names, and return whether that row exists.

    A prediction whose own id has this form takes precedence; a row that arrives after its feedback is not found.
    """
    (own,) = yield from run(address, [(None, Reads.KNOWN)])
    of_batch = address.of_batch(batch)
    (there,) = yield from run(of_batch, [(row, Reads.KNOWN)])
    if is_prediction(own) or not is_prediction(there):
        return False
    yield from run(of_batch, [(row, apply)])
    return True


def is_prediction(document: Document | None) -> bool:
    """Return whether a document has a request or a response."""
    return document is not None and ("request" in document or "response" in document)


def _move_to_rows(
    address: Address, settle: Settle, own_feedback: Part | None = None, *, is_alone: bool = False
) -> Plan:
    """Move waiting parts from the plain document to the rows of the batch.

    This requires the batch's request or response, since no other part has the number of rows. ``own_feedback`` is the
    caller's own, which is not acknowledged yet: if it is all that the plain document has had (``is_alone``), moving it
    and deleting the plain document go into one bulk, of which the search engine may refuse the rows alone.
    """
    address.late = True
    read = Reads.CURRENT if own_feedback is None else Reads.KNOWN
    while True:
        single, first = yield from run(address, [(None, read), (0, Reads.KNOWN)])
        if own_feedback is not None and single is None and first is not None and is_prediction(first):
            # A duplicate delivery of this feedback has moved it, and may fail before all rows have it.
            parts = _feedback_parts(own_feedback, batch_rows(first))
            yield from run(address, [(row, joining(part, settle)) for row, part in enumerate(parts)])
            return
        if single is None or first is None or ("request" in single and "response" in single):
            return
        if not is_prediction(first) or not same_owner(first, single):
            # Both can be of the event's deployment without being of the same one, where it doesn't name all of it.
            return
        waiting = parts_in(single)
        # A part that differs from the first row's is a separate prediction under the same id, and keeps its feedback;
        # an equal one was moved before.
        rows = batch_rows(first)
        own = {
            part.name
            for part in waiting
            if part.name in first
            and not (is_failure(part.content) or same_content(expand(first[part.name]), _by_row(part, rows)[0]))
        }
        stays = own & {"request", "response"}
        moving = [part for part in waiting if (not stays if part.name == "feedback" else part.name not in own)]
        if not moving:
            return
        # The other rows must be those of this deployment, too.
        address.header = {**waiting[0].header, **address.header}
        at_once = is_alone and own_feedback is not None and [part.content for part in waiting] == [own_feedback.content]
        left = yield from _move_parts(address, single, moving, rows, settle, at_once=at_once)
        if left is None:
            return


def _move_parts(
    address: Address, single: Document, moving: list[Part], rows: int, settle: Settle, *, at_once: bool
) -> Generator[list[Change], list[Document | None], Document | None]:
    """Move parts of the plain document to the rows; return what remains of it, None if nothing."""
    by_row: dict[int, list[Part]] = {}
    for part in moving:
        if part.name == "feedback":
            for row, own in enumerate(_feedback_parts(part, rows)):
                by_row.setdefault(row, []).append(own)
            continue
        if not is_failure(part.content):
            for row, content in enumerate(_by_row(part, rows)):
                by_row.setdefault(row, []).append(replace(part, content=content))
            continue
        # It is that of every row. The response that it replaces may have been the only part with the number of rows.
        failed = replace(part, content={**part.content, "rows": rows}) if rows > 1 else part
        for row in range(rows):
            by_row.setdefault(row, []).append(failed)
    steps: list[Step] = [(row, joining(part, settle)) for row, parts in by_row.items() for part in parts]
    leave: Step = (None, leaving(single, moving, settle))
    if not at_once:
        yield from run(address, steps)
        steps = []
    results = yield from run(address, [*steps, leave])
    return results[-1]


def _by_row(part: Part, rows: int) -> list[Document]:
    """Return the contents of a part in the rows of a batch: all of it in the first, or the responses to its prompts."""
    return (response_rows(part.content, rows) if part.name == "response" else None) or [part.content]


def leaving(single: Document, moved: list[Part], settle: Settle) -> Apply:
    """Return the change that removes the moved parts from the plain document, unless it has changed since."""
    names = {part.name for part in moved}

    def apply(stored: Document | None) -> Document | None:
        if stored is None or stored != single:
            return stored
        if not any(name in stored for name in PARTS if name not in names):
            return None
        return settle(_without_parts(stored, names))

    return apply


def _without_parts(document: Document, names: Set[str]) -> Document:
    """Return a document without some parts, of any of its nodes."""
    kept = {name: value for name, value in document.items() if name not in names}
    if isinstance(kept.get("nodes"), dict):
        # Otherwise the next look at the document would find them, and move them again, without an end.
        nodes = {
            node: {name: part for name, part in parts.items() if name not in names}
            if isinstance(parts, dict)
            else parts
            for node, parts in kept["nodes"].items()
        }
        kept["nodes"] = {node: parts for node, parts in nodes.items() if parts}
    return kept


def parts_in(document: Document) -> list[Part]:
    """Return the parts from which a document was joined."""
    header = header_of(document)
    return [
        Part(name, without_arrival(expand(content)), node, header, _timestamp_of(expand(content), document))
        for node, parts in nodes_in(document).items()
        for name, content in parts.items()
    ]


def header_of(document: Document) -> Document:
    """Return the top-level fields of the event's header that a document has."""
    return {
        name: value
        for name, value in document.items()
        if (name.startswith("Ce-") and name != "Ce-Modelid") or name in ("ServingEngine", "RequestId")
    }


def merging(settle: Settle) -> Callable[[Document, Document], Document | None]:
    """Return a commutative, idempotent merge of two copies of a document, None for two deployments' documents.

    The store's locator uses it for a document that exists in two indices.
    """

    def merge(one: Document, other: Document) -> Document | None:
        if not same_owner(one, other):
            return None
        if REMOVED in other and REMOVED not in one:
            # What was derived from the payload is only in the copy without it.
            one, other = other, one
        if is_key_document(one) or is_key_document(other):
            return merged(one, other, parts_in(other))
        joined = one
        for part in parts_in(other):
            joined = join(joined, part)
        return one if joined is one else settle(joined)

    return merge


def _timestamp_of(content: Document, document: Document) -> str:
    for time in (content.get("ce-time"), content.get(RECEIVED), document.get("@timestamp")):
        if time_key(time) is not None:
            return as_timestamp(time)
    return as_timestamp(None)


def _feedback_parts(feedback: Part, rows: int) -> list[Part]:
    """Return the part of each row of a batch from the batch's feedback."""
    return [replace(feedback, content=content) for content in feedback_rows(feedback.content, rows)]
