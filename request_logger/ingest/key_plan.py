"""Plans with JOIN_KEYS: feedback finds its prediction by any key, in any order of arrival.

A value of a key has a small document (`documents.key_document`). A request or response claims its values for its
prediction, in the same bulk as the prediction's own document. Feedback for a value goes to the prediction that has
claimed it; until one has, it waits in the value's document. Every change of that document is conditional, so one of the
two sees the other. The one that finds a prediction and waiting feedback hands the feedback over, and removes it only
after the prediction's documents have it.

An id in a feedback that no prediction has may be a key's value, too. Then the feedback waits where feedback for that id
always does, and the documents of the value, one per key, say so. A prediction with that id has precedence while the
feedback waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from request_logger.common.join_keys import KEYS_INDEX, JoinKey, key_text
from request_logger.common.names import row_named
from request_logger.common.periods import day_of
from request_logger.common.times import time_key
from request_logger.documents.document import Document
from request_logger.documents.event import Event, join_key_of
from request_logger.documents.key_document import (
    Target,
    claimed,
    has_feedback,
    is_key_document,
    key_header,
    key_id,
    merged,
    target_of,
    waiting_id,
    with_feedback,
    with_waiting_id,
    without_feedback,
)
from request_logger.documents.parts import Part
from request_logger.ingest.addresses import Address, Apply, run, run_each
from request_logger.ingest.write_plan import (
    dead_letters,
    header_of,
    is_prediction,
    joining,
    leaving,
    parts_in,
    record,
    record_feedback,
    restore,
)
from request_logger.scoring.score import Settle
from request_logger.store.changes import Change, Plan, Reads, UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from request_logger.store.writing.dead_letter import dead_letter_change

Results = list[Document | None]

# Of one value in one event: the first, and one more that marks the value as shared.
_MOST_CLAIMS = 2


@dataclass(frozen=True, slots=True)
class _Value:
    """A key's value, and the address of its document; ``index`` and ``day`` are those of the predictions."""

    key: JoinKey
    text: str
    address: Address
    index: str
    day: date

    @classmethod
    def of(cls, own: Address, key: JoinKey, text: str) -> _Value:
        """Return that of an event with an address of its own."""
        header, id = key_header(own.header), key_id(own.index, key.path, text)
        address = Address(KEYS_INDEX, id, header, own.day, first=False, late=own.late)
        return cls(key, text, address, own.index, own.day)

    def step(self, do: Apply | Reads) -> tuple[Address, None, Apply | Reads]:
        """Return a step on its document."""
        return self.address, None, do

    def claiming(self, part: Part, target: Target) -> Apply:
        """Return the change that claims it for a prediction."""
        return lambda stored: claimed(stored, self.key.path, self.index, part, target)

    def waiting(self, part: Part) -> Apply:
        """Return the change that lets a feedback wait for a prediction."""
        return lambda stored: with_feedback(stored, self.key.path, self.index, part)

    def noting(self, part: Part) -> Apply:
        """Return the change that notes that a feedback waits under the value as an id."""
        return lambda stored: with_waiting_id(stored, self.key.path, self.index, part, self.text)

    def letter(self, error: UnreadableError, do: Apply) -> Change:
        """Return the change that stores what could not be stored as a dead letter."""
        return dead_letter_change(DEAD_LETTER_INDEX, KEYS_INDEX, self.address.id(None), str(error), do(None) or {})


Claim = tuple[_Value, Part, Target]


class KeyPlans:
    """Makes the plans of events, with the keys of JOIN_KEYS; without any they are those of `write_plan`.

    ``on_shared`` is called with an index when a prediction has a key's value that another one has, too.
    """

    def __init__(self, keys: Sequence[JoinKey], on_shared: Callable[[str], None] = lambda index: None) -> None:
        self._keys = tuple(keys)
        self._on_shared = on_shared

    def record(self, event: Event, parts: list[Part], settle: Settle) -> Plan:
        """Return the plan that stores an event's parts, as `write_plan.record` does.

        If a document can't be read, the event becomes a dead letter, and is stored again from there.
        """
        path = join_key_of(event) if event.part == "feedback" else None
        if path is not None:
            return _by_key(_Value.of(Address.of(event), JoinKey(path), event.request_id), parts[0], settle)
        if not self._keys or event.kind != "inference":
            return record(event, parts, settle)
        own = Address.of(event)
        if event.part == "feedback":
            values = self._values(own)
            plan = _by_id(values, event, parts, settle) if values else None
        else:
            claims = self._claims(own, enumerate(parts) if len(parts) > 1 else [(None, parts[0])])
            plan = self._recorded(event, parts, claims, settle) if claims else None
        return record(event, parts, settle) if plan is None else _guarded(plan, own, parts)

    def restore(self, index: str, id: str, document: Document, settle: Settle) -> Plan:
        """Return the plan that stores a dead letter's document, as `write_plan.restore` does."""
        if is_key_document(document):
            return (yield from _restore_key(id, document, settle))
        restored = yield from restore(index, id, document, settle)
        request_id = str(document.get("RequestId", id))
        day = day_of(time_key(document.get("@timestamp")))
        address = Address(index, request_id, header_of(document), day, first=False, late=True)
        _, row = row_named(id) or ("", 0)
        is_row = id == address.id(row)
        parts = parts_in(document)
        claims = self._claims(address, [(row if is_row else None, part) for part in parts])
        stored = yield from run_each([value.step(value.claiming(part, target)) for value, part, target in claims])
        yield from self._claimed(claims, stored, settle)
        if not is_prediction(restored) and any(part.name == "feedback" for part in parts):
            yield from _wait_under_id(self._values(address), parts[0], settle)
        return restored

    def _values(self, own: Address) -> list[_Value]:
        """Return the id of a prediction as a value of each key."""
        text = key_text(own.request_id)
        return [_Value.of(own, key, text) for key in self._keys] if text is not None else []

    def _claims(self, address: Address, rows: Iterable[tuple[int | None, Part]]) -> list[Claim]:
        """Return the values of the keys in the rows of a request or response, with the predictions that have them.

        Of the rows that have the same value, the first two: they are enough to mark it as shared.
        """
        found: dict[tuple[str, str], list[Claim]] = {}
        for row, part in rows:
            for key in self._keys:
                text = key.value_in(part.content) if key.part == part.name else None
                if text is None:
                    continue
                claims = found.setdefault((key.path, text), [])
                target = Target(address.request_id, row if key.is_of_row else None)
                if len(claims) < _MOST_CLAIMS and all(target != other for _, _, other in claims):
                    value = claims[0][0] if claims else _Value.of(address, key, text)
                    claims.append((value, part, target))
        return [claim for claims in found.values() for claim in claims]

    def _recorded(self, event: Event, parts: list[Part], claims: list[Claim], settle: Settle) -> Plan:
        own = run_each([value.step(value.claiming(part, target)) for value, part, target in claims])
        stored = yield from _together(record(event, parts, settle), own)
        yield from self._claimed(claims, stored, settle)

    def _claimed(self, claims: list[Claim], stored: Results, settle: Settle) -> Plan:
        """Hand over the feedback that waited for claims."""
        for (value, _, target), document in zip(claims, stored, strict=True):
            first = target_of(document)
            if document is None or first != target:
                self._on_shared(value.index)
                continue
            yield from _hand_over(value, document, target, settle)
            if waiting_id(document) is not None:
                yield from _hand_over_from_id(value, target, settle)


def _guarded(plan: Plan, own: Address, parts: list[Part]) -> Plan:
    """Run a plan; store the parts of its event as dead letters if a document can't be read."""
    try:
        yield from plan
    except UnreadableError as error:
        yield dead_letters(own, parts, error)


def _by_key(value: _Value, part: Part, settle: Settle) -> Plan:
    """Store a feedback for the prediction that has a key's value; until there is one, in the value's document."""
    part = replace(part, header=key_header(part.header))
    try:
        (stored,) = yield from run_each([value.step(value.waiting(part))])
        target = target_of(stored)
        if stored is not None and target is not None:
            yield from _feedback_at(target, part, value, settle)
            yield from _hand_over(value, stored, target, settle)
    except UnreadableError as error:
        yield [value.letter(error, value.waiting(part))]


def _by_id(values: list[_Value], event: Event, parts: list[Part], settle: Settle) -> Plan:
    """Store a feedback for an id: for the prediction that has the id as a key's value, if none has the id itself."""
    part, own = parts[0], Address.of(event)
    single, *known = yield from run_each([(own, None, Reads.KNOWN), *(value.step(Reads.KNOWN) for value in values)])
    target = _other_target(known, event.request_id)
    if target is not None and not is_prediction(single):
        (first,) = yield from run(own, [(0, Reads.KNOWN)])
        if not is_prediction(first):
            yield from _feedback_at(target, part, values[0], settle)
            if single is not None:
                # What an earlier delivery left, which ended in between.
                yield from _hand_over_from_id(values[0], target, settle)
            return
    if not (yield from _is_found(record(event, parts, settle))):
        yield from _wait_under_id(values, part, settle)


def _wait_under_id(values: list[_Value], part: Part, settle: Settle) -> Plan:
    """Note at the values of all keys that feedback waits under an id; hand it over if a prediction is known by now."""
    marked = yield from run_each([value.step(value.noting(part)) for value in values])
    target = _other_target(marked, values[0].text) if values else None
    if target is not None:
        yield from _hand_over_from_id(values[0], target, settle)


def _restore_key(id: str, document: Document, settle: Settle) -> Plan:
    """Return the plan that stores a dead letter's document of a key's value; its result is the stored document."""
    header, index = key_header(header_of(document)), str(document["index"])
    day = day_of(time_key(document.get("@timestamp")))
    address = Address(KEYS_INDEX, id, header, day, first=False, late=True)
    value = _Value(JoinKey(str(document["join_key"])), "", address, index, day)

    def join_all(stored: Document | None) -> Document:
        return document if stored is None else merged(stored, document, parts_in(document))

    (stored,) = yield from run_each([value.step(join_all)])
    target = target_of(stored)
    if stored is not None and target is not None:
        yield from _hand_over(value, stored, target, settle)
        waiting = waiting_id(stored)
        if waiting is not None:
            yield from _hand_over_from_id(replace(value, text=waiting), target, settle)
    return stored


def _other_target(documents: Results, id: str) -> Target | None:
    """Return the first prediction in the documents of some keys that has another id."""
    targets = [target for document in documents if (target := target_of(document)) is not None]
    return next((target for target in targets if target.id != id), None)


def _together(
    plan: Plan, other: Generator[list[Change], Results, Results]
) -> Generator[list[Change], Results, Results]:
    """Run two plans at the same time, so that their changes are sent together; return the result of the other one.

    If a document can't be read, it is unknown whose it is. Then ``plan`` ends as if it were its own, and the error is
    raised again.
    """
    found: Results = []
    mine: list[Change] | None = next(plan, None)
    theirs: list[Change] | None = next(other, None)
    while mine is not None or theirs is not None:
        changes, more = mine or [], theirs or []
        try:
            results = yield [*changes, *more]
        except UnreadableError as error:
            other.close()
            if mine is not None:
                yield from _rest(plan, plan.throw(error))
            raise
        if mine is not None:
            try:
                mine = plan.send(results[: len(changes)])
            except StopIteration:
                mine = None
        if theirs is not None:
            try:
                theirs = other.send(results[len(changes) :])
            except StopIteration as end:
                theirs, found = None, end.value
    return found


def _rest(plan: Plan, changes: list[Change]) -> Plan:
    """Run the rest of a plan that has yielded some changes."""
    while True:
        results = yield changes
        try:
            changes = plan.send(results)
        except StopIteration:
            return


def _is_found(plan: Plan) -> Generator[list[Change], Results, bool]:
    """Run the plan of a feedback; return whether nothing waits: a document is a prediction's, or can't be read."""
    found = False
    results: Results | None = None
    while True:
        try:
            # A generator that hasn't started accepts only None.
            changes = plan.send(results)  # type: ignore[arg-type]
        except StopIteration:
            return found
        try:
            results = yield changes
        except UnreadableError as error:
            yield from _rest(plan, plan.throw(error))
            return True
        found = found or any(is_prediction(document) for document in results)


def _feedback_at(target: Target, part: Part, value: _Value, settle: Settle) -> Plan:
    """Store a feedback for a prediction."""
    header = {**part.header, "RequestId": target.id}
    address = Address(value.index, target.id, header, value.day, first=False, late=True)
    part = replace(part, header=header)
    if target.row is None:
        yield from record_feedback(address, part, settle)
    else:
        yield from run(address, [(target.row, joining(part, settle))])


def _hand_over(value: _Value, stored: Document, target: Target, settle: Settle) -> Plan:
    """Hand over the feedback that waits in the document of a key's value."""
    left: Document | None = stored
    while left is not None and has_feedback(left):
        for part in parts_in(left):
            yield from _feedback_at(target, part, value, settle)
        (left,) = yield from run_each([value.step(_leaving(left))])


def _leaving(seen: Document) -> Apply:
    """Return the change that removes feedback that was handed over, unless the document has changed since."""
    return lambda stored: without_feedback(stored, seen)


def _hand_over_from_id(value: _Value, target: Target, settle: Settle) -> Plan:
    """Hand over the feedback that waits under a key's value as an id, unless a prediction has this id."""
    if value.text == target.id:
        return
    header = {**value.address.header, "RequestId": value.text}
    address = Address(value.index, value.text, header, value.day, first=False, late=True)
    while True:
        single, first = yield from run(address, [(None, Reads.CURRENT), (0, Reads.KNOWN)])
        if single is None or is_prediction(single) or is_prediction(first):
            return
        waiting = [part for part in parts_in(single) if part.name == "feedback"]
        if not waiting:
            return
        for part in waiting:
            yield from _feedback_at(target, part, value, settle)
        (left,) = yield from run(address, [(None, leaving(single, waiting, settle))])
        if left is None:
            return
