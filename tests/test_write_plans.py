"""The rarer ways of a write plan: other kinds of events, rows by name, restored dead letters, two deployments."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.common.names import document_id
from request_logger.documents.document import degrade
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import merging, parts_in, record, restore
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError, UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.helpers import event, index_of, ndarray
from tests.model import SETTLE, Store, finish

TIME = "2026-01-01T00:00:00.1Z"
BATCH = ndarray([[1, 2], [3, 4]], ["a", "b"])
SCORES = ndarray([[0.2, 0.8], [0.9, 0.1]], ["no", "yes"])
ONE = ndarray([[0.2, 0.8]], ["no", "yes"])
OUTLIER = b'{"data": {"is_outlier": [1]}}'
INDEX = index_of("iris")
SHARED = Settings(index_name="shared")
"""All deployments in one index."""


def made(
    part: str,
    body: bytes,
    request_id: str = "r1",
    deployment: str = "iris",
    settings: Settings | None = None,
    **more: str,
) -> Event:
    headers = {name.lower(): value for name, value in event(part, request_id, deployment, **more).items()}
    return from_headers(headers, Body(body, "application/json", len(body)), settings or Settings())


def store_events(store: Store, *events: Event) -> Store:
    for one in events:
        finish(store, record(one, parts_of(one), SETTLE))
    return store


def names(store: Store) -> list[str]:
    return sorted(id for _, id in store)


# Events that belong to no prediction


@pytest.mark.parametrize(("body", "ids"), [(BATCH, ["r1-item-0", "r1-item-1"]), (ONE, ["r1"])])
def test_reference_data_has_a_document_per_row(body: bytes, ids: list[str]) -> None:
    """Nothing is searched for, and nothing is moved."""
    reference = made("request", body, Ce_Type="io.seldon.serving.reference.request")
    assert reference.kind == "reference"
    store = store_events({}, reference)
    assert names(store) == ids
    assert all("request" in document for document in store.values())


# A feedback that names its row


def test_feedback_by_the_id_of_a_row() -> None:
    """It goes to that row of the batch alone."""
    store = store_events({}, made("request", BATCH), made("response", SCORES))
    store_events(store, made("feedback", b'{"reward": 1}', "r1-item-1"))
    assert names(store) == ["r1-item-0", "r1-item-1"]
    assert ["feedback" in store[INDEX, id] for id in names(store)] == [False, True]


def test_feedback_by_the_id_of_a_row_that_does_not_exist() -> None:
    """It is kept under the id that it has: it may be a prediction's own."""
    store = store_events({}, made("request", BATCH), made("feedback", b'{"reward": 1}', "r1-item-7"))
    assert names(store) == ["r1-item-0", "r1-item-1", document_id("r1-item-7")]
    assert "feedback" in store[INDEX, document_id("r1-item-7")]


def test_a_prediction_with_an_id_like_that_of_a_row_has_its_own_feedback() -> None:
    """Its own document takes precedence over the row of another prediction."""
    store = store_events({}, made("request", BATCH, "r1"), made("request", ndarray([[9]], ["a"]), "r1-item-1"))
    store_events(store, made("feedback", b'{"reward": 1}', "r1-item-1"))
    assert "feedback" in store[INDEX, document_id("r1-item-1")]
    assert "feedback" not in store[INDEX, "r1-item-1"]


# Two deployments in one index


def test_two_deployments_with_the_same_ids() -> None:
    """The second one's documents have other ids: neither overwrites the other, in one row or several."""
    store: Store = {}
    for deployment in ("iris", "wine"):
        events = [made("request", BATCH, "r1", deployment, SHARED), made("request", ONE, "r2", deployment, SHARED)]
        store_events(store, *events)
    owners = sorted(document["Ce-Inferenceservicename"] for document in store.values())
    assert owners == 3 * ["iris"] + 3 * ["wine"]
    before = names(store)
    # A duplicate finds its own document again.
    store_events(store, made("request", ONE, "r2", "wine", SHARED), made("request", BATCH, "r1", "wine", SHARED))
    assert names(store) == before


def test_the_second_id_belongs_to_somebody_else_too() -> None:
    """Not even a hash is free: the event is rejected, and nothing is overwritten."""
    wine = made("request", ONE, "r1", "wine", SHARED)
    store = store_events({}, made("request", ONE, "r1", "iris", SHARED), wine)
    (second,) = (id for _, id in store if id != "r1")
    store["shared", second]["Ce-Inferenceservicename"] = "other"
    kept = {key: dict(document) for key, document in store.items()}
    with pytest.raises(RejectedError, match="two deployments have the same ids in shared"):
        store_events(store, wine)
    assert store == kept


def test_copies_of_two_deployments_are_not_joined() -> None:
    """The store's locator is told so."""
    merge = merging(SETTLE)
    one, other = ({"Ce-Inferenceservicename": name, "request": {"instance": [1]}} for name in ("iris", "wine"))
    assert merge(one, other) is None
    assert merge(one, {**one}) is one
    joined = merge(one, {**one, "response": {"instance": [2]}})
    assert joined is not None
    assert joined.keys() >= {"request", "response"}


# What can't be read


@pytest.mark.parametrize(("body", "ids"), [(BATCH, ["r1-item-0", "r1-item-1"]), (ONE, ["r1"])])
def test_a_document_that_cannot_be_read(body: bytes, ids: list[str]) -> None:
    """Its other parts are unknown, so each row of the event becomes a dead letter."""
    request = made("request", body)
    plan = record(request, parts_of(request), SETTLE)
    next(plan)
    letters = plan.throw(UnreadableError("it can't be read"))
    store = {(change.index, change.id): change.apply(None) for change in letters}
    assert {index for index, _ in store} == {DEAD_LETTER_INDEX}
    assert sorted(letter["id"] for letter in store.values() if letter) == ids
    with pytest.raises(StopIteration):
        plan.send([None] * len(letters))


# Dead letters that are restored


def restored(store: Store, id: str, document: dict[str, Any], index: str = INDEX) -> Any:
    return finish(store, restore(index, id, document, SETTLE))


def stored_alone(*events: Event) -> Store:
    return store_events({}, *events)


def test_a_restored_document_joins_what_is_there() -> None:
    """As if its parts arrived now: it is scored, and a second time changes nothing."""
    whole = stored_alone(made("response", ONE), made("feedback", b'{"truth": {"data": {"ndarray": [1]}}}'))[INDEX, "r1"]
    store = store_events({}, made("request", ndarray([[1, 2]], ["a", "b"])))
    first = restored(store, "r1", whole)
    assert first["metrics"]["correct"] == 1
    assert restored(store, "r1", whole) == first
    assert names(store) == ["r1"]


def test_a_restored_first_row_gets_the_feedback_that_waits() -> None:
    """Feedback arrived while the row was a dead letter."""
    rows = stored_alone(made("request", BATCH), made("response", SCORES))
    store = store_events({}, made("feedback", b'{"reward": [1, 0]}'))
    for row in (1, 0):
        restored(store, f"r1-item-{row}", rows[INDEX, f"r1-item-{row}"])
    assert names(store) == ["r1-item-0", "r1-item-1"]
    assert [store[INDEX, id]["feedback"]["reward"] for id in names(store)] == [1, 0]


def test_a_restored_feedback_goes_to_the_rows_that_arrived_meanwhile() -> None:
    """The other way round."""
    waiting = stored_alone(made("feedback", b'{"reward": [1, 0]}'))[INDEX, "r1"]
    store = store_events({}, made("request", BATCH), made("response", SCORES))
    restored(store, "r1", waiting)
    assert [store[INDEX, id]["feedback"]["reward"] for id in names(store)] == [1, 0]


def test_a_restored_feedback_without_rows_waits() -> None:
    """Its prediction has not arrived yet."""
    waiting = stored_alone(made("feedback", b'{"reward": [1, 0]}'))[INDEX, "r1"]
    store: Store = {}
    restored(store, "r1", waiting)
    assert names(store) == ["r1"]


def test_a_restored_document_under_the_id_of_another_deployment() -> None:
    """The other one's document stays as it is."""
    mine = stored_alone(made("request", ONE, "r1", "iris", SHARED))["shared", "r1"]
    store = store_events({}, made("response", ONE, "r1", "wine", SHARED))
    assert restored(store, "r1", mine, "shared")["Ce-Inferenceservicename"] == "wine"
    assert "request" not in store["shared", "r1"]


# Parts that stay, and documents of others


def test_a_prediction_with_the_id_of_a_batch_keeps_its_own_parts() -> None:
    """What both have differs, so it stays; what only one of them can have belongs to the batch's first row."""
    store = store_events({}, made("response", ndarray([[0.5, 0.5]], ["no", "yes"])), made("outlier", OUTLIER))
    store_events(store, made("response", SCORES), made("request", BATCH))
    assert names(store) == ["r1", "r1-item-0", "r1-item-1"]
    assert store[INDEX, "r1"]["response"]["instance"] == [0.5, 0.5]
    assert "outlier" not in store[INDEX, "r1"]
    assert "outlier" in store[INDEX, "r1-item-0"]


def test_a_document_without_any_time() -> None:
    """An older program stored none: its parts have the time of now, and can be joined."""
    (part,) = parts_in({"request": {"instance": [1]}, "RequestId": "r1"})
    assert part.timestamp
    assert part.header == {"RequestId": "r1"}


def test_a_degraded_batch_is_restored() -> None:
    """The rows of a refused form are counted from what it kept."""
    rows = stored_alone(made("request", BATCH))
    refused = degrade(rows[INDEX, "r1-item-0"], ["mapper_parsing_exception: x"])
    assert refused is not None
    store = store_events({}, made("feedback", b'{"reward": [1, 0]}'))
    restored(store, "r1-item-1", rows[INDEX, "r1-item-1"])
    restored(store, "r1-item-0", refused)
    assert [store[INDEX, f"r1-item-{row}"]["feedback"]["reward"] for row in range(2)] == [1, 0]
