"""The plans, on documents in memory: any order, repetition and interleaving of events gives one set of documents."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.settings import Settings
from tests.helpers import event, ndarray
from tests.model import SETTLE, Store, apply, in_order, without_times

Message = tuple[str, ...] | tuple[Any, ...]  # part, body, ce-time, and the node of a graph where there are several


def make(message: Message, request_id: str = "r1") -> Event:
    part, body, time, *node = message
    headers = event(part, request_id, "iris", Ce_Time=time, **({"Ce_Modelid": node[0]} if node else {}))
    headers = {name.lower(): value for name, value in headers.items()}
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


def interleaved(messages: list[Message], choose: random.Random) -> Store:
    """Carry out all plans at once, one change at a time, in an order that ``choose`` decides."""
    store: Store = {}
    running: list[Any] = []
    for message in messages:
        made = make(message)
        plan = record(made, parts_of(made), SETTLE)
        running.append([plan, None, [], []])  # plan, results to send, changes left, their places
    while running:
        slot = choose.choice(running)
        plan, results, left, _ = slot
        if not left:
            try:
                changes = plan.send(results)
            except StopIteration:
                running.remove(slot)
                continue
            slot[1] = [None] * len(changes)
            slot[2] = left = list(enumerate(changes))
        place, change = left.pop(choose.randrange(len(left)))
        slot[1][place] = apply(store, change)
    return without_times(store)


def reward(value: Any, truth: Any = None) -> bytes:
    return json.dumps(
        {"reward": value, **({"truth": {"data": {"ndarray": truth}}} if truth is not None else {})}
    ).encode()


def completions(*texts: str) -> bytes:
    """Return the response to some prompts; its choices are not in the order of their indexes."""
    choices = [
        {"index": k, "text": text, "finish_reason": "length" if k == 1 else "stop"} for k, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}
    body = {"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": choices[::-1], "usage": usage}
    return json.dumps(body).encode()


SINGLE: list[Message] = [
    ("request", ndarray([[1, 2]], ["a", "b"]), "2026-01-01T00:00:00.1Z"),
    ("response", ndarray([[0.2, 0.8]], ["no", "yes"]), "2026-01-01T00:00:00.2Z"),
    ("feedback", reward(0, [0]), "2026-01-02T00:00:00Z"),
    ("feedback", reward(1, [1]), "2026-01-03T00:00:00Z"),
    ("outlier", b'{"data": {"is_outlier": [1]}}', "2026-01-01T00:00:01Z"),
]
BATCH: list[Message] = [
    ("request", ndarray([[1, 2], [3, 4], [5, 6]], ["a", "b"]), "2026-01-01T00:00:00.1Z"),
    ("response", ndarray([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]], ["no", "yes"]), "2026-01-01T00:00:00.2Z"),
    ("feedback", reward([1, 0, 0.5], [1, 1, 1]), "2026-01-02T00:00:00Z"),
    ("feedback", reward(1), "2026-01-03T00:00:00Z"),
    ("outlier", b'{"data": {"is_outlier": [1, 0, 1], "instance_score": [0.1, 0.2, 0.3]}}', "2026-01-01T00:00:01Z"),
]
UNEQUAL: list[Message] = [
    ("request", ndarray([[1, 2], [3, 4]], ["a", "b"]), "2026-01-01T00:00:00.1Z"),
    ("response", ndarray([[0.2, 0.8]], ["no", "yes"]), "2026-01-01T00:00:00.2Z"),
    ("feedback", reward([1, 0, 0.5], [1, 1, 1]), "2026-01-02T00:00:00Z"),
]
GRAPH: list[Message] = [
    ("request", ndarray([[1, 2]], ["a", "b"]), "2026-01-01T00:00:00.1Z", "first"),
    ("response", ndarray([[0.5]], ["z"]), "2026-01-01T00:00:00.2Z", "first"),
    ("request", ndarray([[0.5]], ["z"]), "2026-01-01T00:00:00.3Z", "second"),
    ("response", ndarray([[0.2, 0.8]], ["no", "yes"]), "2026-01-01T00:00:00.4Z", "second"),
    ("feedback", reward(1, [1]), "2026-01-02T00:00:00.1Z", "first"),
    ("feedback", reward(1, [1]), "2026-01-02T00:00:00.2Z", "second"),
]
PROMPTS: list[Message] = [
    ("request", json.dumps({"model": "m", "prompt": ["a", "b"], "n": 2}).encode(), "2026-01-01T00:00:00.1Z"),
    ("response", completions("w", "x", "y", "z"), "2026-01-01T00:00:00.2Z"),
    ("feedback", json.dumps({"truth": ["w", "y"]}).encode(), "2026-01-02T00:00:00Z"),
]
LATE_REQUEST: list[Message] = [
    ("response", ndarray([[0.2, 0.8], [0.9, 0.1]], ["no", "yes"]), "2026-01-01T00:00:00.2Z"),
    ("feedback", reward(1, [1, 0]), "2026-01-02T00:00:00Z"),
    ("feedback", b"not json", "2026-01-01T12:00:00Z"),
]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(SINGLE, id="single"),
        pytest.param(BATCH, id="batch"),
        pytest.param(UNEQUAL, id="sizes differ"),
        pytest.param(LATE_REQUEST, id="no request"),
        pytest.param(GRAPH, id="graph"),
        pytest.param(PROMPTS, id="prompts"),
    ],
)
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_any_interleaving_gives_the_same_documents(messages: list[Message], data: st.DataObject, seed: int) -> None:
    """Each event once to three times, all at the same time, one change after the other in any order."""
    expected = stored_in_order(messages)
    repeated = [message for message in messages for _ in range(data.draw(st.integers(1, 3)))]
    assert interleaved(repeated, random.Random(seed)) == expected


def stored_in_order(messages: list[Message]) -> Store:
    return in_order(make(message) for message in messages)


def test_the_batch_is_what_it_should_be() -> None:
    """The expectation of the property above is itself right: three rows, each with all parts and its own score."""
    store = stored_in_order(BATCH[:3])
    rows = [store["inference-log-seldon-test-iris-default", f"r1-item-{row}"] for row in range(3)]
    assert len(store) == 3
    assert [row["metrics"]["correct"] for row in rows] == [1, 0, 1]
    assert [row["feedback"]["reward"] for row in rows] == [1, 0, 0.5]


def test_each_prompt_has_its_choices() -> None:
    """By their indexes; the first row has the counts of tokens and the body."""
    store = stored_in_order(PROMPTS)
    rows = [store["inference-log-seldon-test-iris-default", f"r1-item-{row}"] for row in range(2)]
    assert len(store) == 2
    assert [row["request"]["instance"] for row in rows] == ["a", "b"]
    assert [row["request"]["elements"] for row in rows] == [{"model": "m", "n": 2}] * 2
    assert [row["response"]["instance"] for row in rows] == [["w", "x"], ["y", "z"]]
    tokens = {"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}
    assert rows[0]["response"]["elements"] == {
        "model": "m",
        "choices": 2,
        "finish_reason": ["stop", "length"],
        **tokens,
    }
    assert rows[1]["response"]["elements"] == {"model": "m", "choices": 2, "finish_reason": "stop"}
    assert "payload" in rows[0]["response"] and rows[1]["response"]["body_item"] == 0
    single = stored_in_order([PROMPTS[0], ("response", completions("w", "z"), PROMPTS[1][2]), PROMPTS[2]])
    found = [single["inference-log-seldon-test-iris-default", f"r1-item-{row}"] for row in range(2)]
    assert [row["response"]["instance"] for row in found] == ["w", "z"]
    assert [row["metrics"]["correct"] for row in found] == [1, 0]


def test_choices_that_are_of_no_prompt() -> None:
    """Three choices of two prompts, as of a cut stream, stay together; nothing is lost."""
    store = stored_in_order([PROMPTS[0], ("response", completions("w", "x", "y"), PROMPTS[1][2])])
    first = store["inference-log-seldon-test-iris-default", "r1-item-0"]
    assert first["response"]["instance"] == ["w", "x", "y"]
    assert "response" not in store["inference-log-seldon-test-iris-default", "r1-item-1"]


def test_truth_with_fewer_rows_says_why() -> None:
    """Rows without a truth say so; the others are scored."""
    store = stored_in_order([*BATCH[:2], ("feedback", b'{"truth": {"data": {"ndarray": [1, 1]}}}', "")])
    rows = [store["inference-log-seldon-test-iris-default", f"r1-item-{row}"] for row in range(3)]
    assert [row["metrics"].get("correct") for row in rows] == [1, 0, None]
    assert rows[2]["metrics"]["error"] == "the truth has fewer rows than the response"


def test_feedback_with_its_own_response_is_scored_alone() -> None:
    """Where nothing is stored of the prediction, the feedback's own response counts, each row of it."""
    body = {"truth": {"data": {"ndarray": [1, 0, 1]}}, "response": {"data": {"ndarray": [1, 1, 0]}}}
    store = stored_in_order([("feedback", json.dumps(body).encode(), "2026-01-02T00:00:00Z")])
    scored = {id: source["metrics"]["correct"] for (_, id), source in store.items()}
    assert scored == {"r1-item-0": 1, "r1-item-1": 0, "r1-item-2": 0}


def test_stored_response_counts_and_disagreement_is_recorded() -> None:
    """The stored response is scored, not the one in the feedback; that they differ is in the metrics."""
    body = {"truth": {"data": {"ndarray": [1]}}, "response": {"data": {"ndarray": [[0.9, 0.1]]}}}
    store = stored_in_order([*SINGLE[:2], ("feedback", json.dumps(body).encode(), "2026-01-02T00:00:00Z")])
    (source,) = store.values()
    assert source["metrics"]["correct"] == 1
    assert source["metrics"]["response_disagrees"] is True


def test_nodes_of_a_graph_keep_their_parts() -> None:
    """Two nodes log under one request id: the latest is at the top level, each node's parts are beside."""
    (source,) = stored_in_order(GRAPH).values()
    assert source["request"]["instance"] == [0.5]
    assert source["Ce-Modelid"] == "second"
    assert source["nodes"]["first"]["request"]["instance"] == [1.0, 2.0]
    assert source["nodes"]["second"]["request"]["instance"] == [0.5]
    assert source["metrics"]["correct"] == 1


def test_feedback_of_a_whole_prediction_is_one_write() -> None:
    """That there are no rows need not be asked where the document has both request and response."""
    store = stored_in_order(SINGLE[:2])
    made = make(SINGLE[2])
    plan = record(made, parts_of(made), SETTLE)
    (change,) = plan.send(None)  # type: ignore[arg-type]
    document = apply(store, change)
    assert document is not None
    assert document["metrics"]["correct"] == 0
    with pytest.raises(StopIteration):
        plan.send([document])


def rounds_of(store: Store, message: Message) -> list[list[Any]]:
    """Carry out a plan; return its changes, round by round."""
    made = make(message)
    plan = record(made, parts_of(made), SETTLE)
    rounds, results = [], None
    while True:
        try:
            changes = plan.send(results)  # type: ignore[arg-type]
        except StopIteration:
            return rounds
        rounds.append(changes)
        results = [apply(store, change) for change in changes]


def test_searches_are_saved() -> None:
    """Rows are looked for only by what arrived before its request: each search costs the engine as much as a write."""
    store: Store = {}
    assert [len(changes) for changes in rounds_of(store, SINGLE[0])] == [1]
    for message in SINGLE[1:]:
        assert [len(changes) for changes in rounds_of(store, message)] == [1]
    # The response is stored, and its row 0 is read.
    assert [len(changes) for changes in rounds_of({}, SINGLE[1])] == [1, 1]
    assert [len(changes) for changes in rounds_of({}, SINGLE[4])] == [1, 1]


NUMBERS = st.integers(-2, 3) | st.floats() | st.booleans() | st.none() | st.sampled_from(["a", "1", ""])
NESTED = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=8)
PAYLOADS = st.one_of(
    NESTED,
    NESTED.map(lambda rows: {"data": {"ndarray": rows}}),
    st.builds(lambda shape, values: {"data": {"tensor": {"shape": shape, "values": values}}}, NESTED, NESTED),
    NESTED.map(lambda rows: {"instances": rows}),
    NESTED.map(lambda text: {"strData": text}),
)
FEEDBACK = st.fixed_dictionaries(
    {},
    optional={
        "reward": NESTED,
        "truth": PAYLOADS,
        "request": PAYLOADS,
        "response": PAYLOADS,
        "instance": NESTED,
        "dataType": NESTED,
        "metrics": NESTED,
    },
)
MESSAGES = st.tuples(st.sampled_from(["request", "response"]), PAYLOADS) | st.tuples(st.just("feedback"), FEEDBACK)


@settings(max_examples=200, deadline=None)
@example([("feedback", {"reward": []})])
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_any_content_has_a_place(messages: list[tuple[str, Any]]) -> None:
    """Whatever shapes the parts have, and however few rows, each plan ends and stores something."""
    made = [make((part, json.dumps(body).encode(), "2026-01-01T00:00:00Z")) for part, body in messages]
    store = in_order(made)
    for part in {part for part, _ in messages}:
        assert any(part in document for document in store.values())
