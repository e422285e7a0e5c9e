"""Join keys: documents that can't be read, deployments in one index, copies, what else waits under an id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.common.join_keys import KEYS_INDEX
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.write_plan import merging
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from request_logger.store.changes import UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.helpers import event, ndarray
from tests.join_keys.events import (
    INDEX,
    KEYS,
    PLANS,
    feedback,
    keys,
    made,
    predictions,
    request,
    response,
    store_all,
)
from tests.model import SETTLE, Store, apply, finish


def unreadable_at(plan: Any, store: Store, step: int) -> None:
    """Carry out a plan to whose step (from 0) the engine can't read a document; the letters are in the store."""
    changes, number = next(plan), 0
    try:
        while True:
            if number == step:
                changes = plan.throw(UnreadableError("no JSON"))
            else:
                changes = plan.send([apply(store, change) for change in changes])
            number += 1
    except StopIteration:
        return


def retry_letters(store: Store, plans: KeyPlans = PLANS) -> Store:
    """Store the dead letters as the command does."""
    for (index, id), letter in list(store.items()):
        if index == DEAD_LETTER_INDEX:
            finish(store, plans.restore(letter["index"], letter["id"], json.loads(letter["document"]), SETTLE))
            del store[index, id]
    return store


@pytest.mark.parametrize("step", range(6))
def test_nothing_is_lost_where_a_document_cannot_be_read(step: int) -> None:
    """Whichever it is: the dead letters give what would have been stored."""
    for events in (
        [feedback({"puid": "p1"}), response()],
        [response(), feedback({"puid": "p1"})],
        [feedback("p1"), response()],
        [response(), feedback("p1")],
    ):
        store = store_all(events[0])
        unreadable_at(PLANS.record(events[1], parts_of(events[1]), SETTLE), store, step)
        found = predictions(retry_letters(store))
        assert list(found) == ["r1"]
        assert found["r1"]["metrics"]["correct"] == 1
        first: Store = {}
        unreadable_at(PLANS.record(events[0], parts_of(events[0]), SETTLE), first, step)
        assert predictions(store_all(events[1], store=retry_letters(first)))["r1"]["metrics"]["correct"] == 1


def test_two_deployments_in_one_index() -> None:
    """With INDEX_NAME, the same value of two deployments: each has its own document and its own feedback."""
    one = Settings(index_name="shared", join_keys=KEYS)
    store: Store = {}
    for deployment, truth in (("iris", "yes"), ("wine", "no")):
        headers = {name.lower(): value for name, value in event("response", "r1", deployment).items()}
        raw = response().body.raw or b""
        store_all(from_headers(headers, Body(raw, "application/json", len(raw)), one), store=store)
        body = {"deployment": deployment, "namespace": "test", "predictor": "default", "truth": truth}
        late = feedback_event(json.dumps({**body, "key": {"puid": "p1"}}).encode(), one)
        store_all(late, store=store)
        unreadable_at(PLANS.record(late, parts_of(late), SETTLE), store, 1)
        retry_letters(store)
    correct = {source["Ce-Inferenceservicename"]: source["metrics"]["correct"] for (index, _), source in store.items()
               if index == "shared"}  # fmt: skip
    assert correct == {"iris": 1, "wine": 0}
    assert len(keys(store)) == 2
    # A claim that has to give way, while the prediction's own part is stored.
    headers = {name.lower(): value for name, value in event("request", "r2", "rice").items()}
    raw = ndarray([[1.5, "c9"]], ["a", "customer"])
    for deployment, step in (("iris", 9), ("rice", 1), ("rice", 9)):
        headers |= {"ce-inferenceservicename": deployment, "ce-requestid": f"{deployment}-{step}"}
        each = from_headers(headers, Body(raw, "application/json", len(raw)), one)
        unreadable_at(PLANS.record(each, parts_of(each), SETTLE), store, step)
        retry_letters(store)
    assert len(keys(store)) == 4


def test_what_else_waits_under_an_id_stays() -> None:
    """An outlier message of that id; and feedback that is corrected while it is handed over."""
    outlier = made("outlier", b'{"data": {"is_outlier": [1]}}', "p1")
    store = store_all(feedback("p1"), outlier, response())
    assert {id: sorted({"feedback", "outlier"} & source.keys()) for id, source in predictions(store).items()} == {
        "p1": ["outlier"], "r1": ["feedback"],
    }  # fmt: skip
    assert predictions(store_all(response(), store=store)).keys() == {"p1", "r1"}
    store = store_all(feedback("p1", "no", 2))
    plan = PLANS.record(each := response(), parts_of(each), SETTLE)
    changes = next(plan)
    with pytest.raises(StopIteration):
        while True:
            if changes[0].id == "r1" and (INDEX, "r1") in store and late_is_new(store):
                finish(store, _joined_at_its_id(feedback("p1", "yes", 3)))
            changes = plan.send([apply(store, change) for change in changes])
    found = predictions(store)
    assert list(found) == ["r1"]
    assert found["r1"]["metrics"]["correct"] == 1


def late_is_new(store: Store) -> bool:
    return store.get((INDEX, "p1"), {}).get("feedback", {}).get("ce-time") == "2026-01-02T00:00:00Z"


def _joined_at_its_id(late: Event) -> Any:
    """The plan of a logger that knew of no prediction when it began."""
    return KeyPlans(()).record(late, parts_of(late), SETTLE)


def test_feedback_by_an_id_that_a_later_prediction_has_stays_there() -> None:
    """It waited for the id and for a key of this value: the id itself has precedence, also when the key comes later."""
    stored = predictions(store_all(feedback("p1"), request("p1"), response("r1", "p1")))
    assert {id: sorted({"request", "response", "feedback"} & source.keys()) for id, source in stored.items()} == {
        "p1": ["feedback", "request"], "r1": ["response"],
    }  # fmt: skip


def test_a_claim_that_became_a_dead_letter_is_made_up_for() -> None:
    """What waits in the value's document, and under the value as an id, is handed over when the letter is retried."""
    (claim,) = keys(store_all(response())).items()
    for late in (feedback({"puid": "p1"}), feedback("p1")):
        store = store_all(response(), late, plans=KeyPlans(()))
        store.update(store_all(late))
        finish(store, PLANS.restore(KEYS_INDEX, *claim, SETTLE))
        assert list(predictions(store)) == ["r1"]
        assert predictions(store)["r1"]["metrics"]["correct"] == 1


def test_copies_without_a_prediction_are_joined() -> None:
    """Feedback that waits in both, and the note that it waits under an id."""
    merge = merging(SETTLE)
    (one,) = keys(store_all(feedback({"puid": "p1"}, "no", 2))).values()
    (other,) = keys(store_all(feedback({"puid": "p1"}, "yes", 3))).values()
    noted = {**one, "waiting_id": "p1"}
    assert merge(one, other) == merge(other, one)
    assert (merge(one, other) or {})["feedback"] == other["feedback"]
    assert (merge(noted, other) or {})["waiting_id"] == "p1"
    assert "claimed_by" not in (merge(one, other) or {})
