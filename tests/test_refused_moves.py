"""Feedback on its way from the plain document to a batch's rows, of which the search engine refuses something."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.store.changes import Change, Reads
from tests.model import SETTLE, Store, apply, finish
from tests.test_write_plans import BATCH, INDEX, SCORES, SHARED, made, names, store_events

EMBEDDED = b'{"reward": %d, "response": ' + SCORES + b"}"
"""A feedback that has the response itself, and with it the number of rows."""


def feedback(reward: int, time: str, body: bytes = b'{"reward": %d}', node: str = "classifier") -> Event:
    return made("feedback", body % reward, Ce_Time=f"2026-01-03T00:00:0{time}Z", Ce_Modelid=node)


def until_refused(store: Store, event: Event) -> None:
    """Carry out a plan until the engine refuses a row in every form: the round's other changes are stored."""
    plan = record(event, parts_of(event), SETTLE)
    results: Any = None
    while True:
        changes = plan.send(results)
        refused = [change for change in changes if _writes_a_row(change)]
        results = [apply(store, change) for change in changes if change not in refused]
        if refused:
            plan.close()
            return


def _writes_a_row(change: Change) -> bool:
    return "-item-" in change.id and change.reads is Reads.NOTHING


def unmoved(waiting: Event) -> Store:
    """Return a batch's rows and a feedback that waits: what gave the rows was rejected before it moved it."""
    return {**store_events({}, made("request", BATCH)), **store_events({}, waiting)}


def rewards(store: Store) -> dict[str, Any]:
    return {id: source["feedback"]["reward"] for (_, id), source in store.items() if "feedback" in source}


@pytest.mark.parametrize(
    ("acknowledged", "refused", "waits"),
    [
        (feedback(0, "1"), feedback(1, "2"), 1),
        (feedback(0, "2"), feedback(1, "1"), 0),
        (feedback(1, "1"), feedback(1, "1"), 1),
    ],
    ids=["newer", "older", "duplicate"],
)
def test_an_acknowledged_feedback_waits_until_the_rows_have_its_successor(
    acknowledged: Event, refused: Event, waits: int
) -> None:
    """The plain document has the one that wins, until every row has it."""
    store = unmoved(acknowledged)
    until_refused(store, refused)
    assert rewards(store) == {"r1": waits}
    # Its next delivery moves it.
    store_events(store, refused)
    assert rewards(store) == {"r1-item-0": waits, "r1-item-1": waits}


@pytest.mark.parametrize("reward", [0, 1])
def test_an_acknowledged_feedback_waits_until_rows_of_a_feedback_have_it(reward: int) -> None:
    """The same where the number of rows is known from the feedback alone."""
    store = store_events({}, feedback(0, "1"))
    until_refused(store, feedback(reward, "2", EMBEDDED))
    assert rewards(store) == {"r1": reward}


@pytest.mark.parametrize(
    ("stored", "body"),
    [((), EMBEDDED), ((made("request", BATCH),), EMBEDDED), ((made("request", BATCH),), b'{"reward": [%d, 1]}')],
    ids=["no rows", "rows and response", "rows"],
)
def test_a_feedback_alone_is_moved_in_one_bulk(stored: tuple[Event, ...], body: bytes) -> None:
    """Nothing acknowledged was in the plain document: moving the feedback and deleting it takes one round trip."""
    store = store_events({}, *stored)
    event = feedback(1, "1", body)
    plan = record(event, parts_of(event), SETTLE)
    rounds, results = [], None
    while True:
        try:
            changes = plan.send(results)  # type: ignore[arg-type]
        except StopIteration:
            break
        results = [apply(store, change) for change in changes]
        rounds.append([change.id for change in changes if change.reads is Reads.NOTHING])
    assert [ids for ids in rounds if ids] == [["r1"], ["r1-item-0", "r1-item-1", "r1"]]
    assert rewards(store) == {"r1-item-0": 1, "r1-item-1": 1}


def test_a_newer_feedback_is_moved_by_an_older_one_with_the_response() -> None:
    """The older one says how many rows there are; the rows get the newer one, which is not lost."""
    store = store_events({}, feedback(1, "2"), feedback(0, "1", EMBEDDED))
    assert rewards(store) == {"r1-item-0": 1, "r1-item-1": 1}


def test_feedback_of_two_nodes_is_moved_by_one_with_the_response() -> None:
    """Each node's feedback goes to the rows."""
    one, other = (
        feedback(number, "1", EMBEDDED if number else b'{"reward": %d}', node=f"n{number}") for number in (0, 1)
    )
    store = store_events({}, one, other)
    assert names(store) == ["r1-item-0", "r1-item-1"]
    for id in names(store):
        nodes = store[INDEX, id]["nodes"]
        assert {name: parts["feedback"]["reward"] for name, parts in nodes.items()} == {"n0": 0, "n1": 1}


@pytest.mark.parametrize("body", [b'{"reward": %d}', EMBEDDED], ids=["plain", "with the response"])
@pytest.mark.parametrize("rows", ["request", "feedback"])
def test_a_feedback_without_a_namespace_stays_with_its_own_deployment(rows: str, body: bytes) -> None:
    """It fits both namespaces' documents: the waiting feedback of one isn't moved to the rows of the other."""
    mine, theirs = (
        made("feedback", b'{"reward": 0}', settings=SHARED, Ce_Namespace="one"),
        made(rows, BATCH if rows == "request" else EMBEDDED % 5, settings=SHARED, Ce_Namespace="two"),
    )
    store = {**store_events({}, mine), **store_events({}, theirs)}
    before = {key: dict(source) for key, source in store.items() if key[1] != "r1"}
    event = made("feedback", body % 1, settings=SHARED, Ce_Namespace="", Ce_Time="2026-01-04T00:00:00Z")
    finish(store, record(event, parts_of(event), SETTLE))
    assert store["shared", "r1"]["Ce-Namespace"] == "one"
    assert store["shared", "r1"]["feedback"]["reward"] == 1
    assert {key: source for key, source in store.items() if key[1] != "r1"} == before
