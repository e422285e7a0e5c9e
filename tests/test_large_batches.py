"""Large batches: only the first row has the whole body, and every figure is what it is with a copy in each row."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from request_logger.common.json import dumps
from request_logger.documents import batches
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.scoring.score import pair
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.model import SETTLE, Store, finish, in_order, without_times
from tests.test_recorder import (
    BATCH,
    FEEDBACK,
    GRAPH,
    LATE_REQUEST,
    UNEQUAL,
    Message,
    interleaved,
    make,
    stored_in_order,
)

ROWS = 500
COLUMNS = [f"column_{number}" for number in range(15)]
NAMES = ["no", "yes"]
# About 50 kB each.
REQUEST = ndarray([[row + column / 7 for column in range(6)] for row in range(ROWS)], COLUMNS[:6])
RESPONSE = ndarray([[1 / (row + 3), 1 - 1 / (row + 3)] for row in range(ROWS)], NAMES)
TRUTH = {"data": {"names": ["label"], "ndarray": [[row % 2] for row in range(ROWS)]}, "meta": {"tags": {"by": "job"}}}
FEEDBACK_BODY = json.dumps(
    {
        "request": json.loads(REQUEST),
        "response": json.loads(RESPONSE),
        "truth": TRUTH,
        "reward": [row % 2 for row in range(ROWS)],
    }
).encode()
LARGE: list[Message] = [
    ("request", REQUEST, "2026-01-01T00:00:00.1Z"),
    ("response", RESPONSE, "2026-01-01T00:00:00.2Z"),
    ("feedback", FEEDBACK_BODY, "2026-01-02T00:00:00Z"),
]


@pytest.fixture
def every_batch_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_COPIES_BYTES", 0)


def row(store: Store, number: int) -> dict[str, Any]:
    return store["inference-log-seldon-test-iris-default", f"r1-item-{number}"]


def with_copies(monkeypatch: pytest.MonkeyPatch, messages: list[Message]) -> Store:
    """What is stored where each row has the whole body."""
    with monkeypatch.context() as patched:
        patched.setattr(batches, "MAX_COPIES_BYTES", 2**40)
        return without_times(stored_in_order(messages))


def figures(store: Store) -> dict[Any, Any]:
    return {key: source.get("metrics") for key, source in without_times(store).items()}


def test_only_the_first_row_has_the_body() -> None:
    """The others name that row, and have what is theirs; so do the rows of the feedback."""
    store = stored_in_order(LARGE)
    assert len(store) == ROWS
    first, other = row(store, 0), row(store, 7)
    assert first["request"]["payload"] == json.loads(REQUEST)
    assert first["response"]["payload"] == json.loads(RESPONSE)
    assert first["feedback"]["truth"] == TRUTH
    assert first["feedback"]["request"] == json.loads(REQUEST)
    for part in ("request", "response", "feedback"):
        assert "body_item" not in first[part]
        assert other[part]["body_item"] == 0
        assert "payload" not in other[part]
    assert other["request"]["instance"] == [7.0, *(7 + column / 7 for column in range(1, 6))]
    assert other["request"]["rows"] == ROWS
    assert other["feedback"]["truth"] == {
        "data": {"names": ["label"], "ndarray": [[1]]},
        "meta": {"tags": {"by": "job"}},
    }
    assert other["feedback"]["response"] == {"data": {"names": NAMES, "ndarray": [[0.1, 0.9]]}}
    assert (other["feedback"]["item"], other["feedback"]["items"], other["feedback"]["reward"]) == (7, ROWS, 1)


def test_a_large_batch_takes_a_twentieth_of_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of all documents, with the feedback that repeats request and response."""
    lean = sum(len(dumps(source)) for source in stored_in_order(LARGE).values())
    copied = sum(len(dumps(source)) for source in with_copies(monkeypatch, LARGE).values())
    assert copied > 20 * lean


def test_a_large_batch_has_the_figures_of_one_with_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored_in_order(LARGE)
    assert figures(store) == figures(with_copies(monkeypatch, LARGE))
    assert row(store, 1)["metrics"]["correct"] == 1
    assert row(store, 2)["metrics"]["correct"] == 0


def test_a_small_batch_is_as_in_the_original() -> None:
    """Each row has the whole body."""
    store = stored_in_order(BATCH[:3])
    for number in range(3):
        assert row(store, number)["request"]["payload"] == json.loads(BATCH[0][1])
        assert row(store, number)["feedback"]["truth"] == {"data": {"ndarray": [1, 1, 1]}}
        assert "body_item" not in row(store, number)["request"]


@pytest.mark.usefixtures("every_batch_is_large")
@pytest.mark.parametrize("messages", [BATCH, UNEQUAL, LATE_REQUEST, GRAPH], ids=["batch", "unequal", "late", "graph"])
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interleaving_gives_the_same_documents(messages: list[Message], data: st.DataObject, seed: int) -> None:
    """Each event once to three times, all at the same time, in any order: also where rows refer to another row."""
    repeated = [message for message in messages for _ in range(data.draw(st.integers(1, 3)))]
    assert interleaved(repeated, random.Random(seed)) == without_times(stored_in_order(messages))


TRUTHS = st.lists(st.integers(0, 1) | st.sampled_from(["no", "yes", True, 0.5, None]), min_size=1, max_size=4)


def wide(values: list[Any]) -> Any:
    return {"data": {"tensor": {"shape": [len(values), 1], "values": [len(str(value)) for value in values]}}}


ANY_TRUTH = st.one_of(
    TRUTHS,
    TRUTHS.map(lambda rows: {"data": {"ndarray": rows}}),
    TRUTHS.map(lambda rows: {"data": {"names": ["a"], "ndarray": [[each] for each in rows]}}),
    TRUTHS.map(lambda rows: {"predictions": rows}),
    TRUTHS.map(lambda rows: {"data": {"ndarray": rows}, "meta": {"metrics": [{"key": "k", "value": 1}]}}),
    TRUTHS.map(wide),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "truth": ANY_TRUTH,
            "response": ANY_TRUTH,
            "reward": TRUTHS,
            "metrics": st.just([{"key": "k", "value": 2}]),
        },
    )
    | FEEDBACK,
    st.booleans(),
)
@example({"truth": [1, 0, 1]}, True)
@example({"truth": [1, 0]}, True)
@example({"truth": [1, 0, 1, 1]}, True)
@example({"truth": [[1, 0], [0, 1], [0, 1]]}, True)
@example({"truth": {"data": {"ndarray": ["yes", "no", "no"]}}, "response": [0.1]}, False)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_feedback_has_the_figures_of_one_with_copies(
    monkeypatch: pytest.MonkeyPatch, feedback: dict[str, Any], has_response: bool
) -> None:
    """Truths that are too short or too long, of any shape, rewards, custom metrics; with and without a response."""
    messages: list[Message] = [*(BATCH[:2] if has_response else BATCH[:1])]
    messages.append(("feedback", json.dumps(feedback).encode(), "2026-01-02T00:00:00Z"))
    copied = with_copies(monkeypatch, messages)
    with monkeypatch.context() as patched:
        patched.setattr(batches, "MAX_COPIES_BYTES", 0)
        lean = without_times(stored_in_order(messages))
    assert figures(lean) == figures(copied)
    assert {key: pair(source) for key, source in lean.items()} == {key: pair(source) for key, source in copied.items()}


@pytest.mark.usefixtures("every_batch_is_large")
@pytest.mark.parametrize("truth", [[1, 0], [1, 0, 1, 1], "no message", {"data": {"ndarray": [1, 0]}}], ids=str)
def test_a_truth_that_does_not_fit_the_rows_stays_whole(truth: Any) -> None:
    """In each row, since no row of it is known to be that row's."""
    messages = [*BATCH[:2], ("feedback", json.dumps({"truth": truth}).encode(), "2026-01-02T00:00:00Z")]
    store = stored_in_order(messages)
    assert [row(store, number)["feedback"]["truth"] for number in range(3)] == [truth] * 3


@pytest.mark.usefixtures("every_batch_is_large")
def test_a_feedback_with_its_own_response_is_scored() -> None:
    """Where nothing else of the prediction is stored."""
    body = {"truth": {"data": {"ndarray": [1, 0, 1]}}, "response": {"data": {"ndarray": [1, 1, 0]}}}
    store = in_order([make(("feedback", json.dumps(body).encode(), "2026-01-02T00:00:00Z"))])
    assert [row(store, number)["metrics"]["correct"] for number in range(3)] == [1, 0, 0]
    assert row(store, 2)["feedback"]["response"] == {"data": {"ndarray": [0]}}


@pytest.mark.parametrize("part", ["request", "response", "feedback"])
def test_a_sender_can_not_set_the_reference(part: str) -> None:
    """The field of this name in a body doesn't say where the body is."""
    body: dict[str, Any] = {"instances": [[1]], "body_item": 3}
    if part == "feedback":
        body = {"truth": [1, 0], "item": 1, "items": 2, "body_item": 0}
    store = stored_in_order([(part, json.dumps(body).encode(), "2026-01-01T00:00:00Z")])
    assert all("body_item" not in source[part] for source in store.values())


def stored(keep: str, messages: list[Message]) -> Store:
    """What is stored with KEEP_PAYLOAD."""
    documents: Store = {}
    for message in messages:
        made = make(message)
        finish(documents, record(made, parts_of(made, keep=batches.Keeping(keep)), SETTLE))  # type: ignore[arg-type]
    return documents


@pytest.mark.parametrize("keep", ["all", "first-row", "none"])
def test_keep_payload(keep: str) -> None:
    """Whatever is kept, all rows are scored, and have their values."""
    store = stored(keep, BATCH[:3])
    has_payload = {"all": [True, True, True], "first-row": [True, False, False], "none": [False, False, False]}[keep]
    for part in ("request", "response"):
        assert ["payload" in row(store, number)[part] for number in range(3)] == has_payload
        referring = [row(store, number)[part].get("body_item") for number in range(3)]
        assert referring == [None, *([0, 0] if keep == "first-row" else [None, None])]
    assert [row(store, number)["metrics"]["correct"] for number in range(3)] == [1, 0, 1]
    assert [row(store, number)["request"]["instance"] for number in range(3)] == [[1, 2], [3, 4], [5, 6]]
    assert row(store, 2)["request"]["elements"] == {"a": 5, "b": 6}


@pytest.mark.parametrize("keep", ["all", "first-row", "none"])
def test_a_body_that_can_not_be_decoded_is_kept(keep: str) -> None:
    """Nothing else has its content."""
    [source] = stored(keep, [("request", b"no message", "2026-01-01T00:00:00Z")]).values()
    assert source["request"]["payload"] == {"base64": "bm8gbWVzc2FnZQ==", "content_type": "application/json"}


@pytest.mark.parametrize("keep", ["all", "first-row", "none"])
def test_a_single_row(keep: str) -> None:
    """It is the first row of its event."""
    [source] = stored(keep, [("request", ndarray([[1, 2]], ["a", "b"]), "2026-01-01T00:00:00Z")]).values()
    assert ("payload" in source["request"]) == (keep != "none")
    assert "body_item" not in source["request"]


@pytest.mark.engine
def test_keep_none_on_an_engine(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """The setting reaches the documents, and feedback from another process finds the rows."""
    for parts in (("request", "response"), ("feedback",)):
        server = make_server(KEEP_PAYLOAD="none")
        sender = Sender(server.url)
        for part, body, _ in BATCH[:3]:
            if part in parts:
                assert sender.send(event(part, "r1", deployment), body)[0] == 200
        sender.close()
        server.stop()
    found = index.documents(index_of(deployment))
    rows = [found[index_of(deployment), f"r1-item-{number}"] for number in range(3)]
    assert [source["metrics"]["correct"] for source in rows] == [1, 0, 1]
    assert not any("payload" in source[part] for source in rows for part in ("request", "response"))


@pytest.mark.engine
def test_a_large_batch_on_an_engine(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """As in memory; and the rows that refer to another can be found."""
    # A busy engine takes longer than usual for 500 documents.
    server = make_server(STORE_TIMEOUT_SECONDS="50")
    sender = Sender(server.url)
    for part, body, _ in LARGE:
        assert sender.send(event(part, "r1", deployment), body)[0] == 200
    sender.close()
    server.stop()
    name = index_of(deployment)
    assert len(index.documents(name)) == ROWS
    asked = {
        "accuracy": {"avg": {"field": "metrics.correct"}},
        "rows": {"value_count": {"field": "metrics.correct"}},
        "elsewhere": {"filter": {"term": {"feedback.body_item": 0}}},
    }
    answer = index.aggregate(name, asked)
    assert answer["rows"]["value"] == ROWS
    assert answer["accuracy"]["value"] == pytest.approx(0.5, abs=0.01)
    assert answer["elsewhere"]["doc_count"] == ROWS - 1
