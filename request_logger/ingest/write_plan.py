"""An event -> a plan of changes: which documents it goes to, also when its rows, or its other half, come later.

An unsplit event has one document under its request id, a batch of n > 1 rows one under ``<id>-item-<i>`` each. Where
a part without rows of its own (a feedback, or a single response to a batch) comes before the batch does, it waits in
the engine under the plain id. Both sides first write their own document and then look for the other's, so that one of
them always sees the pair, and moves what waits to the rows. No process remembers anything.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from request_logger.common.names import document_id, item_id, other_owner, row_named
from request_logger.common.periods import day_of
from request_logger.common.times import as_timestamp, time_key
from request_logger.documents.document import (
    PARTS,
    RECEIVED,
    Document,
    Part,
    expand,
    join,
    nodes_in,
    part_in,
    same_content,
    same_owner,
    without_arrival,
)
from request_logger.documents.event import Event, owner_of
from request_logger.payloads import UndecodableError, decode_message
from request_logger.scoring.score import Settle
from request_logger.store.changes import Change, Plan, Reads, RejectedError, UnreadableError, as_it_is
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from request_logger.store.writing.dead_letter import dead_letter_change

# Rows whose documents are read together with the plain one, to save a round trip; more are read when needed.
MAX_ROWS_LOOKED_AT = 512

# The parts that most likely come before all others of their document.
_FIRST = ("request", "drift")

Apply = Callable[[Document | None], Document | None]
Step = tuple[int | None, Apply | Reads]
"""A row (None: the document of the plain id) and what to do with its document, or how recently to read it."""
Results = Generator[list[Change], list[Document | None], list[Document | None]]


def record(event: Event, parts: list[Part], settle: Settle) -> Plan:
    """Plan how to store an event's parts. ``settle`` brings a joined document's derived fields up to date.

    Where the engine refuses to read a document, nobody can say what else belongs to it: the parts become dead letters.
    """
    home = _Home.of(event)
    try:
        yield from _record(event, home, parts, settle)
    except UnreadableError as error:
        rows = [row if len(parts) > 1 else None for row in range(len(parts))]
        yield [
            dead_letter_change(DEAD_LETTER_INDEX, event.index, home.id(row), str(error), join(None, part))
            for row, part in zip(rows, parts, strict=True)
        ]


def restore(index: str, id: str, document: Document, settle: Settle) -> Plan:
    """Plan how to store a dead letter's document, as if its parts came now; returns the document that has them then.

    ``index`` and ``id`` are those of the document, which must have a part.
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
    home = _Home(index, request_id, parts[0].header, day, first=False, late=True)
    if restored is None or not same_owner(restored, home.header):
        return restored
    if home.id(0) == id:
        # What came before the rows of this batch may wait for them.
        yield from _hand_over(home, settle)
    elif home.id(None) == id and not ("request" in restored and "response" in restored):
        # Its rows may have come meanwhile.
        (first,) = yield from _run(home, [(0, Reads.CURRENT)])
        if _is_prediction(first):
            yield from _hand_over(home, settle)
    return restored


def _record(event: Event, home: _Home, parts: list[Part], settle: Settle) -> Plan:
    if event.kind != "inference":
        steps: list[Step] = [
            (row if len(parts) > 1 else None, _joining(part, settle)) for row, part in enumerate(parts)
        ]
        yield from _run(home, steps)
    elif event.part == "feedback":
        yield from _record_feedback(home, parts[0], settle)
    elif len(parts) > 1:
        yield from _run(home, [(row, _joining(part, settle)) for row, part in enumerate(parts)])
        yield from _hand_over(home, settle)
    else:
        (document,) = yield from _run(home, [(None, _joining(parts[0], settle))])
        if document is not None and event.part != "request" and "request" not in document:
            # It came first of all, or its request is a batch.
            (first,) = yield from _run(home, [(0, Reads.CURRENT)])
            if first is not None:
                yield from _hand_over(home, settle)


class _Home:
    """Where the documents of one prediction are: moved aside where an id belongs to another deployment's document.

    ``header`` names the deployment. ``first``: the part most likely comes before all others of its document.
    ``late``: the documents are likely to be there already, of other days than ``day``.
    """

    def __init__(
        self, index: str, request_id: str, header: Mapping[str, Any], day: date, *, first: bool, late: bool
    ) -> None:
        self.index = index
        self.request_id = request_id
        self.header = header
        self.late = late
        self._day = day
        self._first = first
        self._single = self._rows = request_id

    @classmethod
    def of(cls, event: Event) -> _Home:
        late = event.part == "feedback"
        first = event.part in _FIRST
        return cls(event.index, event.request_id, event.header, event.day, first=first, late=late)

    def of_batch(self, request_id: str) -> _Home:
        """Return that of another request id of the same deployment."""
        return _Home(self.index, request_id, self.header, self._day, first=self._first, late=self.late)

    def id(self, row: int | None) -> str:
        return document_id(self._single) if row is None else item_id(self._rows, row)

    def change(self, row: int | None, do: Apply | Reads) -> Change:
        apply, reads = (as_it_is, do) if isinstance(do, Reads) else (do, Reads.NOTHING)
        return Change(self.index, self.id(row), apply, self._first and not self.late, self._day, self.late, reads)

    def move(self, row: int | None) -> None:
        elsewhere = other_owner(self.request_id, repr(owner_of(self.header)))
        if elsewhere in ((self._single,) if row is None else (self._rows,)):
            raise RejectedError(f"two deployments meet under the ids of {self.index}")
        if row is None:
            self._single = elsewhere
        else:
            self._rows = elsewhere


def _run(home: _Home, steps: Sequence[Step]) -> Results:
    """Carry out steps together; where another deployment's document is in the way, carry them out beside it."""
    while True:
        results = yield [home.change(row, do) for row, do in steps]
        foreign = {
            row is None: row
            for (row, _), result in zip(steps, results, strict=True)
            if result is not None and not same_owner(result, home.header)
        }
        if not foreign:
            return results
        for row in foreign.values():
            home.move(row)


def _joining(part: Part, settle: Settle) -> Apply:
    def apply(stored: Document | None) -> Document:
        joined = join(stored, part)
        return joined if joined is stored else settle(joined)

    return apply


def _record_feedback(home: _Home, part: Part, settle: Settle) -> Plan:
    named = row_named(home.request_id)
    if named is not None and (yield from _is_of_row(home, *named, _joining(part, settle))):
        return
    rows = _rows_of_feedback(part.content)
    if rows == 1:
        (single,) = yield from _run(home, [(None, _joining(part, settle))])
        if single is not None and "request" in single and "response" in single:
            # Whatever the rows are: this is a whole prediction. That the engine has no rows is costly to be told.
            return
        (first,) = yield from _run(home, [(0, Reads.CURRENT)])
    else:
        looked_at = range(min(rows, MAX_ROWS_LOOKED_AT))
        results = yield from _run(home, [(None, _joining(part, settle)), *((row, Reads.KNOWN) for row in looked_at)])
        single, first = results[0], results[1]
        if not _is_prediction(first) and not _is_prediction(single):
            # Again, now that it waits there for the rows to see: they may have come since.
            (first,) = yield from _run(home, [(0, Reads.CURRENT)])
    if _is_prediction(first):
        yield from _hand_over(home, settle, mine=part)
    elif single is not None and _embedded_rows(part.content) > 1 and not _is_prediction(single):
        # Nothing is stored of the prediction: the feedback's own response says how many rows there are.
        yield from _move(home, single, [part], _embedded_rows(part.content), settle, at_once=True)


def _is_of_row(home: _Home, batch: str, row: int, apply: Apply) -> Generator[list[Change], list[Document | None], bool]:
    """Apply a feedback to the row of a batch that its request id names, and say whether there is one.

    A prediction whose own id looks like that goes before; a row that comes later than its feedback is not found.
    """
    (own,) = yield from _run(home, [(None, Reads.KNOWN)])
    of_batch = home.of_batch(batch)
    (there,) = yield from _run(of_batch, [(row, Reads.KNOWN)])
    if _is_prediction(own) or not _is_prediction(there):
        return False
    yield from _run(of_batch, [(row, apply)])
    return True


def _is_prediction(document: Document | None) -> bool:
    return document is not None and ("request" in document or "response" in document)


def _hand_over(home: _Home, settle: Settle, mine: Part | None = None) -> Plan:
    """Move what waits under the plain id to the rows of the batch.

    Only once its request or response is there: no other part says how many rows there are. ``mine`` is
    the caller's own feedback, which nobody was told is stored yet: where nothing else waits, moving it and removing
    the plain document may go out together.
    """
    home.late = True
    read = Reads.CURRENT if mine is None else Reads.KNOWN
    while True:
        single, first = yield from _run(home, [(None, read), (0, Reads.KNOWN)])
        if mine is not None and single is None and first is not None and _is_prediction(first):
            # Another delivery of this feedback has taken it away. It may fail before all rows have it.
            rows = _batch_rows(first)
            yield from _run(home, [(row, _joining(_of_row(mine, row, rows), settle)) for row in range(rows)])
            return
        if single is None or first is None or ("request" in single and "response" in single):
            return
        if not _is_prediction(first):
            return
        waiting = parts_in(single)
        # A part that the first row has in another form is a prediction of its own under the same id, and keeps its
        # feedback; one that it has in the same form was moved before.
        own = {
            part.name
            for part in waiting
            if part.name in first and not same_content(expand(first[part.name]), part.content)
        }
        stays = own & {"request", "response"}
        moving = [part for part in waiting if (not stays if part.name == "feedback" else part.name not in own)]
        if not moving:
            return
        at_once = mine is not None and [part.content for part in waiting] == [mine.content]
        left = yield from _move(home, single, moving, _batch_rows(first), settle, at_once=at_once)
        if left is None:
            return


def _move(
    home: _Home, single: Document, moving: list[Part], rows: int, settle: Settle, *, at_once: bool
) -> Generator[list[Change], list[Document | None], Document | None]:
    """Move parts of the plain document to the rows; give what is left of it."""
    steps: list[Step] = []
    by_row: dict[int, list[Part]] = {}
    for part in moving:
        if part.name == "feedback":
            for row in range(rows):
                by_row.setdefault(row, []).append(_of_row(part, row, rows))
        else:
            by_row.setdefault(0, []).append(part)
    for row, parts in by_row.items():
        steps.extend((row, _joining(part, settle)) for part in parts)
    leave: Step = (None, _leaving(single, moving, settle))
    if not at_once:
        yield from _run(home, steps)
        steps = []
    results = yield from _run(home, [*steps, leave])
    return results[-1]


def _leaving(single: Document, moved: list[Part], settle: Settle) -> Apply:
    """Take the moved parts out of the plain document, unless it has changed since."""
    names = {part.name for part in moved}

    def apply(stored: Document | None) -> Document | None:
        if stored is None or stored != single:
            return stored
        if not any(name in stored for name in PARTS if name not in names):
            return None
        return settle({name: value for name, value in stored.items() if name not in names})

    return apply


def parts_in(document: Document) -> list[Part]:
    """Take a document apart into the parts it was joined from."""
    header = {
        name: value
        for name, value in document.items()
        if name.startswith("Ce-") or name in ("ServingEngine", "RequestId")
    }
    header.pop("Ce-Modelid", None)
    return [
        Part(name, without_arrival(expand(content)), node, header, _timestamp_of(expand(content), document))
        for node, parts in nodes_in(document).items()
        for name, content in parts.items()
    ]


def merging(settle: Settle) -> Callable[[Document, Document], Document | None]:
    """Give what joins two documents that are one: both ways give the same, and doing it twice changes nothing.

    None where they are of two deployments. See store/places.py.
    """

    def merge(one: Document, other: Document) -> Document | None:
        if not same_owner(one, other):
            return None
        merged = one
        for part in parts_in(other):
            merged = join(merged, part)
        return one if merged is one else settle(merged)

    return merge


def _timestamp_of(content: Document, document: Document) -> str:
    for time in (content.get("ce-time"), content.get(RECEIVED), document.get("@timestamp")):
        if time_key(time) is not None:
            return as_timestamp(time)
    return as_timestamp(None)


def _batch_rows(first: Document) -> int:
    """Return how many rows the batch has, as its first row says; documents without `rows` are asked for the payload."""
    rows = 1
    for name in ("request", "response"):
        part = part_in(first, name)
        stored, payload = part.get("rows"), part.get("payload")
        if isinstance(stored, int):
            rows = max(rows, stored)
        elif payload is not None:
            rows = max(rows, _rows_in(payload))
    return rows


def _rows_in(message: Any) -> int:
    try:
        return len(decode_message(message).items)
    except UndecodableError:
        return 0


def _rows_of_feedback(content: Document) -> int:
    """How many rows a feedback seems to be for; 1 where nothing tells."""
    reward = content.get("reward")
    rows = max(len(reward), 1) if isinstance(reward, list) else 1
    if content.get("truth") is not None:
        rows = max(rows, _rows_in(content["truth"]))
    return max(rows, _embedded_rows(content))


def _embedded_rows(content: Document) -> int:
    """How many rows the feedback itself says the prediction has: of its own response, or split by ``instance``."""
    response = content.get("response")
    if response is not None:
        return _rows_in(response)
    instance = content.get("instance") if content.get("dataType", "json") != "json" else None
    return len(instance) if isinstance(instance, list) else 0


def _of_row(feedback: Part, row: int, rows: int) -> Part:
    return replace(feedback, content=_row_of_feedback(feedback.content, row, rows))


def _row_of_feedback(content: Document, row: int, rows: int) -> Document:
    """Give one row's feedback: the whole body, its own reward, and which row of how many it is."""
    mine = {**content, "item": row, "items": rows}
    reward = content.get("reward")
    if isinstance(reward, list):
        if row < len(reward):
            mine["reward"] = reward[row]
        else:
            del mine["reward"]
    if content.get("dataType", "json") != "json":
        for name in ("instance", "elements"):
            values = content.get(name)
            if isinstance(values, list) and row < len(values):
                mine[name] = values[row]
    return mine
