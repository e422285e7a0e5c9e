"""JOIN_KEYS: feedback by a value of the request or response finds its prediction, in any order of arrival."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.common.join_keys import KEYS_INDEX, parse_join_keys
from request_logger.documents.document import degrade
from request_logger.documents.event import Event
from request_logger.documents.key_document import is_key_document, is_shared, key_id, target_of
from request_logger.documents.parts import parts_of
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.replies import metrics_of, prediction_of, reply, watched
from request_logger.ingest.sampling import sample
from request_logger.ingest.write_plan import merging
from request_logger.settings import Settings
from request_logger.store.changes import UnreadableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.helpers import ndarray
from tests.join_keys.events import (
    INDEX,
    KEYS,
    NAMES,
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

EXPECTED = predictions(store_all(request(), response(), feedback("r1"), plans=KeyPlans(())))
BY_KEY = [
    {"response.payload.meta.puid": "p1"},
    {"x-request-id": "h1"},
    {"customer": "c1"},
]


@pytest.mark.parametrize("key", BY_KEY)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_order_of_arrival(key: dict[str, Any], order: tuple[int, ...]) -> None:
    """Also for a key that only the response has: the document is the one that feedback by the id gives."""
    events = [request(header="h1"), response(), feedback(key)]
    store = store_all(*[events[position] for position in order])
    found = predictions(store)
    assert {document["@timestamp"][:10] for document in keys(store).values()} == {"2026-01-01"}
    assert found["r1"].pop("metrics") == {**EXPECTED["r1"]["metrics"]}
    assert found["r1"]["feedback"] == EXPECTED["r1"]["feedback"]
    assert list(found) == ["r1"]


def test_without_join_keys_nothing_changes() -> None:
    """No document of a key, no other change."""
    store = store_all(request(header="h1"), response(), feedback("r1"), plans=KeyPlans(()))
    assert list(predictions(store)) == ["r1"]
    assert keys(store) == {}


def steps_of(each: Event, store: Store, plans: KeyPlans = PLANS) -> list[list[Any]]:
    """The changes of each request of a plan, executed."""
    plan, results, steps = plans.record(each, parts_of(each), SETTLE), None, []
    while True:
        try:
            changes = plan.send(results)
        except StopIteration:
            return steps
        steps.append(changes)
        results = [apply(store, change) for change in changes]


def test_one_more_write_per_key() -> None:
    """In the same bulk as the prediction's document, and none for a duplicate."""
    store: Store = {}
    first, *others = steps_of(response(), store)
    assert [change.index for change in first] == [INDEX, KEYS_INDEX]
    assert len(others) == len(steps_of(response(), {}, KeyPlans(()))) - 1
    before = json.dumps(keys(store))
    steps_of(response(), store)
    assert json.dumps(keys(store)) == before
    assert len(before) < 500


@pytest.mark.parametrize("first", [0, 1, 2])
def test_rows_of_a_batch(first: int) -> None:
    """An element names one row; metadata and the body name the whole batch."""
    batch = [request(header="h1", customers=("c1", "c2", 3.0)), response(rows=3)]
    late = [feedback({"customer": "c2"}), feedback({"customer": 3}, "no")]
    events = [[*batch, *late], [*late, *batch], [late[0], batch[1], late[1], batch[0]]][first]
    found = predictions(store_all(*events))
    correct = {id: source.get("metrics", {}).get("correct") for id, source in found.items()}
    assert correct == {"r1-item-0": None, "r1-item-1": 1, "r1-item-2": 0}
    whole = predictions(store_all(*batch, feedback({"x-request-id": "h1"}, ["yes"])))
    assert [len(source["feedback"]) > 0 for source in whole.values()] == [True] * 3


def test_a_shared_value_stays_with_the_first() -> None:
    """The second is reported, and marks the value once; the feedback's sender is told."""
    told: list[str] = []
    plans = KeyPlans(parse_join_keys(KEYS), told.append)
    store = store_all(request("r1"), request("r2"), request("r3"), plans=plans)
    assert told == [INDEX, INDEX]
    ((id, document),) = keys(store).items()
    assert id == key_id(INDEX, "request.elements.customer", "c1")
    assert is_shared(document)
    found = finish(store, watched(PLANS.record(late := feedback({"customer": "c1"}), parts_of(late), SETTLE)))
    assert prediction_of(late, found) == {"prediction": "found", "shared_key": True}
    assert [id for id, source in predictions(store).items() if "feedback" in source] == ["r1"]
    twice = store_all(request(customers=("c1", "c1", "c1")))
    (document,) = keys(twice).values()
    assert is_shared(document)
    assert target_of(document).row == 0  # type: ignore[union-attr]


def test_what_the_sender_of_feedback_is_told() -> None:
    """Whether its prediction is stored, and the prediction's id in REPLY_EVENTS."""
    store: Store = {}

    def told(each: Event) -> Any:
        documents = finish(store, watched(PLANS.record(each, parts_of(each), SETTLE)))
        return (
            prediction_of(each, documents)["prediction"],
            metrics_of(each, documents).get("correct"),
            dict(reply(each, documents, Settings()).headers)["ce-requestid"],
        )

    assert told(feedback({"puid": "p1"})) == ("not_found", None, "p1")
    assert told(feedback("r1")) == ("not_found", None, "r1")
    store_all(response(), store=store)
    assert told(feedback({"puid": "p1"}, "no", 3)) == ("found", 0, "r1")
    assert told(feedback("r1", "yes", 4)) == ("found", 1, "r1")


# An id that is a key's value


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_id_that_no_prediction_has(order: tuple[int, ...]) -> None:
    """It may be a key's value, as that of a client that never sees KServe's id; nothing is left under it."""
    events = [request(), response(), feedback("p1")]
    found = predictions(store_all(*[events[position] for position in order]))
    assert list(found) == ["r1"]
    assert found["r1"]["metrics"]["correct"] == 1
    assert found["r1"]["RequestId"] == "r1"


def test_what_a_killed_delivery_left_is_handed_over() -> None:
    """Feedback was stored under its id, and not yet noted at the keys; then the prediction came, and a duplicate."""
    late, store = feedback("p1"), {}
    plan = PLANS.record(late, parts_of(late), SETTLE)
    results = None
    while not any(id == "p1" for _, id in store):
        results = [apply(store, change) for change in plan.send(results)]  # type: ignore[arg-type]
    assert list(predictions(store_all(response(), store=store))) == ["p1", "r1"]
    found = predictions(store_all(late, store=store))
    assert list(found) == ["r1"]
    assert found["r1"]["metrics"]["correct"] == 1


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_an_id_has_precedence(order: tuple[int, ...]) -> None:
    """Of a prediction that has the id itself, in one row or several."""
    for rows in (1, 2):
        own = made("response", ndarray([[0.9, 0.1]] * rows, NAMES), "p1")
        both = [response("r1", "p1"), own]
        found = predictions(store_all(*[both[position] for position in order], feedback("p1")))
        assert "feedback" not in found["r1"]
        assert sum("feedback" in source for source in found.values()) == rows
    alone = predictions(store_all(own := response("p1", "p1"), feedback("p1"), own))
    assert list(alone) == ["p1"]
    waited = predictions(store_all(feedback("p1"), response("p1", "p1")))
    assert waited["p1"]["metrics"]["correct"] == 1


# Any schedule

STEPS = [
    request(header="h1"), response(), request("r2", "h2", ("c2",)), response("r2", "p2"),
    feedback({"puid": "p1"}, "no", 2), feedback({"puid": "p1"}, "yes", 3), feedback({"customer": "c1"}, "no", 1),
    feedback("p2", "no", 2), feedback({"x-request-id": "h2"}, "yes", 3), feedback("r2", "no", 1),
]  # fmt: skip
FINAL = {id: {name: value for name, value in source.items() if name != "metrics"} for id, source in predictions(
    store_all(STEPS[0], STEPS[1], STEPS[2], STEPS[3], STEPS[5], STEPS[8])).items()}  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_interleaving_gives_one_result(data: st.DataObject) -> None:
    """Every event once or twice, in any order, several at a time and step by step: the last correction counts once."""
    again = data.draw(st.lists(st.sampled_from(range(len(STEPS))), max_size=6))
    order = data.draw(st.permutations([*range(len(STEPS)), *again]))
    store: Store = {}
    running: list[tuple[Any, Any]] = []
    waiting = [STEPS[position] for position in order]
    while waiting or running:
        if waiting and (not running or (len(running) < 4 and data.draw(st.booleans()))):
            each = waiting.pop(0)
            running.append((PLANS.record(each, parts_of(each), SETTLE), None))
        plan, results = running.pop(data.draw(st.integers(0, len(running) - 1)) if len(running) > 1 else 0)
        try:
            changes = plan.send(results)
        except StopIteration:
            continue
        running.append((plan, [apply(store, change) for change in changes]))
    found = predictions(store)
    assert {id: {name: source[name] for name in FINAL[id]} for id, source in found.items()} == FINAL
    assert {id: source["metrics"]["correct"] for id, source in found.items()} == {"r1": 1, "r2": 1}
    assert not any("feedback" in document for document in keys(store).values())


# Copies in two months, dead letters, sampling


def test_copies_are_joined() -> None:
    """The earlier prediction stays, in either order; feedback that waits in one copy is kept."""
    merge = merging(SETTLE)
    (one,) = keys(store_all(response("r1"))).values()
    late = made("response", {"data": {"ndarray": [1]}, "meta": {"puid": "p1"}}, "r2", "2026-02-01T00:00:00Z")
    (other,) = keys(store_all(late)).values()
    (waits,) = keys(store_all(feedback({"puid": "p1"}))).values()
    for first, second in ((one, other), (other, one)):
        joined = merge(first, second)
        assert target_of(joined).id == "r1"  # type: ignore[union-attr]
        assert is_shared(joined)
    assert merge(one, one) is one
    assert merge(one, waits) == merge(waits, one)
    assert {"feedback", "claimed_by"} <= (merge(one, waits) or {}).keys()


def test_an_unreadable_document_makes_letters() -> None:
    """That restore stores as if the event arrived now: feedback by a key, and a prediction's claim."""
    for events in ([feedback({"puid": "p1"}), response()], [response(), feedback({"puid": "p1"})]):
        store: Store = {}
        plan = PLANS.record(events[0], parts_of(events[0]), SETTLE)
        plan.send(None)  # type: ignore[arg-type]
        changes = plan.throw(UnreadableError("no JSON"))
        letters: list[Any] = []
        while changes:
            assert {change.index for change in changes} == {DEAD_LETTER_INDEX}
            letters += [change.apply(None) for change in changes]
            try:
                changes = plan.send([None] * len(changes))
            except StopIteration:
                break
        store_all(events[1], store=store)
        for letter in letters:
            document = json.loads(letter["document"])
            finish(store, PLANS.restore(letter["index"], letter["id"], document, SETTLE))
        assert predictions(store)["r1"]["metrics"]["correct"] == 1
        assert list(predictions(store)) == ["r1"]


def test_a_restored_prediction_has_its_keys() -> None:
    """A whole one, and a row of a batch."""
    stored = predictions(store_all(response(), plans=KeyPlans(())))["r1"]
    store = store_all(feedback({"puid": "p1"}))
    finish(store, PLANS.restore(INDEX, "r1", stored, SETTLE))
    assert predictions(store)["r1"]["metrics"]["correct"] == 1
    rows = predictions(store_all(request(customers=("c1", "c2")), plans=KeyPlans(())))
    store = store_all(feedback({"customer": "c2"}))
    for id, row in rows.items():
        finish(store, PLANS.restore(INDEX, id, row, SETTLE))
    assert ["feedback" in source for source in predictions(store).values()] == [False, True]


def test_documents_of_keys_can_be_degraded() -> None:
    """They are documents like others for the store."""
    (document,) = keys(store_all(feedback({"puid": "p1"}))).values()
    assert is_key_document(document)
    form = degrade(document, ["mapper_parsing_exception: x"])
    assert form is not None
    assert is_key_document(form)


def test_feedback_by_a_key_is_in_every_sample() -> None:
    """Whether its prediction is, isn't known yet."""
    sample(feedback({"puid": "p1"}), 1e-9)
