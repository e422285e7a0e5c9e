"""Dead letters that are restored: whenever that is, the documents are those that the events would have made."""

from __future__ import annotations

import json
import random
from datetime import date
from typing import Any

import pytest

from request_logger.common.names import document_id, item_id
from request_logger.documents.document import join
from request_logger.documents.event import Event
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record, restore
from request_logger.store.changes import UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.model import SETTLE, Store, finish, in_order, without_times
from tests.test_recorder import BATCH, GRAPH, LATE_REQUEST, SINGLE, UNEQUAL, Message, make

INDEX = "inference-log-seldon-test-iris-default"
CASES = {"single": SINGLE, "batch": BATCH, "sizes differ": UNEQUAL, "graph": GRAPH, "no request": LATE_REQUEST}


def letters_of(event: Event) -> list[tuple[str, dict[str, Any]]]:
    """The ids and documents of an event's dead letters."""
    parts = parts_of(event)
    ids = [document_id(event.request_id)]
    if len(parts) > 1:
        ids = [item_id(event.request_id, row) for row in range(len(parts))]
    return [(id, join(None, part)) for id, part in zip(ids, parts, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(8))
def test_restored_in_any_order(name: str, seed: int) -> None:
    """Some events become letters; these and the other events arrive in any order, and some letters twice."""
    choose = random.Random(seed)
    messages: list[Message] = CASES[name]
    events = [make(message) for message in messages]
    steps: list[Any] = []
    for event in events:
        if choose.random() < 0.5:
            steps.append(event)
        else:
            letters = letters_of(event)
            steps += [*letters, *choose.sample(letters, choose.randint(0, 1))]
    choose.shuffle(steps)
    store: Store = {}
    for step in steps:
        if isinstance(step, Event):
            finish(store, record(step, parts_of(step), SETTLE))
        else:
            finish(store, restore(INDEX, *step, SETTLE))
    assert without_times(store) == in_order(events)


def test_result_is_the_document() -> None:
    """Settled, and unchanged where the letter adds nothing."""
    store: Store = {}
    for message in SINGLE[:2]:
        event = make(message)
        finish(store, record(event, parts_of(event), SETTLE))
    ((id, letter),) = letters_of(make(SINGLE[2]))
    found = finish(store, restore(INDEX, id, letter, SETTLE))
    assert found == store[INDEX, id]
    assert found["metrics"]["correct"] == 0
    assert finish(store, restore(INDEX, id, letter, SETTLE)) == found


def test_where_a_letter_is_looked_for() -> None:
    """In the indices of all days: its document was probably created on another one."""
    ((id, letter),) = letters_of(make(SINGLE[0]))
    (change,) = next(restore(INDEX, id, letter, SETTLE))
    assert (change.index, change.id, change.late, change.first) == (INDEX, id, True, False)
    assert change.day == date(2026, 1, 1)


def test_another_deployments_document_is_left_alone() -> None:
    """It is the result, so that the caller sees whose it is."""
    ((id, letter),) = letters_of(make(SINGLE[2]))
    theirs = {"Ce-Namespace": "other", "ServingEngine": "seldon", "request": {"instance": 1}}
    store: Store = {(INDEX, id): dict(theirs)}
    assert finish(store, restore(INDEX, id, letter, SETTLE)) == theirs
    assert store == {(INDEX, id): theirs}


@pytest.mark.parametrize(("message", "ids"), [(SINGLE[0], ["r1"]), (BATCH[1], ["r1-item-0", "r1-item-1", "r1-item-2"])])
def test_an_unreadable_document_makes_letters(message: Message, ids: list[str]) -> None:
    """One per row, each with the id that it would have, the reason, and all that is needed to restore it."""
    event = make(message)
    plan = record(event, parts_of(event), SETTLE)
    plan.send(None)  # type: ignore[arg-type]
    changes = plan.throw(UnreadableError("the answer is no JSON"))
    letters = [change.apply(None) for change in changes]
    assert {change.index for change in changes} == {DEAD_LETTER_INDEX}
    assert len({change.id for change in changes}) == len(ids)
    assert [id for id, _ in letters_of(event)] == ids
    for letter, (id, document) in zip(letters, letters_of(event), strict=True):
        assert letter is not None
        assert (letter["index"], letter["id"], letter["reason"]) == (INDEX, id, "the answer is no JSON")
        assert json.loads(letter["document"]) == document
