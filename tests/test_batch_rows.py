"""Feedback for a batch is split by the stored number of rows, whatever of the payload is still there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.model import SETTLE, Store, apply

NAMES = ["a", "b"]
BODIES = {
    "request": ndarray([[41], [42], [43]], ["age"]),
    "response": ndarray([[0.3, 0.7], [0.6, 0.4], [0.9, 0.1]], NAMES),
    "feedback": json.dumps({"reward": [1, 0, 0], "truth": {"data": {"ndarray": ["b", "b", "b"]}}}).encode(),
}


def store(documents: Store, part: str, body: bytes, keep: Callable[[Any], Any]) -> None:
    """Store one event in a store that reads its documents through ``keep``."""
    headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
    made = from_headers(headers, Body(body, "application/json", len(body)), Settings())
    plan = record(made, parts_of(made), SETTLE)
    results: Any = None
    while True:
        try:
            changes = plan.send(results)
        except StopIteration:
            return
        results = [apply(documents, change) for change in changes]
        for key, source in documents.items():
            documents[key] = keep(source)


def without_payload(source: dict[str, Any]) -> dict[str, Any]:
    """A document as the engine returns it where a template excludes `*.payload` from `_source`."""
    return {
        name: {key: value for key, value in part.items() if key != "payload"} if isinstance(part, dict) else part
        for name, part in source.items()
    }


def corrects(documents: Store) -> list[int]:
    return [source["metrics"]["correct"] for _, source in sorted(documents.items())]


@pytest.mark.parametrize("parts", [("request", "response"), ("request",), ("response",)], ids="-".join)
def test_all_rows_are_scored_without_a_payload(parts: tuple[str, ...]) -> None:
    """Feedback reaches each of the rows, also where only one part says how many there are."""
    documents: Store = {}
    for part in (*parts, "feedback"):
        store(documents, part, BODIES[part], without_payload)
    assert len(documents) == 3
    assert [source["feedback"]["item"] for _, source in sorted(documents.items())] == [0, 1, 2]
    if "response" in parts:
        assert corrects(documents) == [1, 0, 0]


@pytest.mark.parametrize("rewards", [[1, 0], [1, 0, 0.5], [1], []])
def test_each_row_has_its_reward(rewards: list[float]) -> None:
    """A row without one has none, and not that of another row."""
    documents: Store = {}
    body = json.dumps({"reward": rewards, "truth": {"data": {"ndarray": ["b", "b", "b"]}}}).encode()
    for part, sent in (("response", BODIES["response"]), ("feedback", body)):
        store(documents, part, sent, without_payload)
    rows = [source["feedback"] for _, source in sorted(documents.items())]
    assert [row.get("reward") for row in rows] == [*rewards, None, None, None][:3]
    assert [(row["item"], row["items"]) for row in rows] == [(0, 3), (1, 3), (2, 3)]
    assert corrects(documents) == [1, 0, 0]


def test_each_row_has_its_instance() -> None:
    """Feedback with the rows of the prediction gives each row its own; JSON is one value for all of them."""
    values = [[0.3, 0.7], [0.6, 0.4], [0.9, 0.1]]
    for kind in ("tabular", "json", None):
        body = {"reward": 1, "instance": values, "elements": [{"a": 1}, {"a": 2}], "dataType": kind}
        raw = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        documents: Store = {}
        for part, sent in (("response", BODIES["response"]), ("feedback", raw)):
            store(documents, part, sent, without_payload)
        rows = [source["feedback"] for _, source in sorted(documents.items())]
        split = kind == "tabular"
        assert [row["instance"] for row in rows] == (values if split else [values] * 3)
        # There are elements of two rows only.
        both = body["elements"]
        assert [row["elements"] for row in rows] == ([{"a": 1}, {"a": 2}, both] if split else [both] * 3)


def test_two_rows_with_a_truth_of_two_labels_are_two_documents() -> None:
    """A truth of two labels is one per row, not the labels of one document."""
    documents: Store = {}
    store(documents, "response", ndarray([[0.3, 0.7], [0.6, 0.4]], NAMES), without_payload)
    store(documents, "feedback", b'{"truth": {"data": {"ndarray": ["b", "b"]}}}', without_payload)
    assert corrects(documents) == [1, 0]


def test_documents_without_the_number_are_asked_for_their_payload() -> None:
    """Those that an earlier version stored."""

    def without_rows(source: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {key: value for key, value in part.items() if key != "rows"} if isinstance(part, dict) else part
            for name, part in source.items()
        }

    documents: Store = {}
    for part, body in BODIES.items():
        store(documents, part, body, without_rows)
    assert corrects(documents) == [1, 0, 0]


def test_a_body_of_one_row_says_nothing_of_rows() -> None:
    """Neither its own number nor a field of the body with that name."""
    documents: Store = {}
    store(documents, "request", b'{"instances": [[1, 2]], "rows": 7}', lambda source: source)
    store(documents, "response", b'{"dataType": "number", "instance": [1], "rows": 7}', lambda source: source)
    [document] = documents.values()
    assert "rows" not in document["request"]
    assert "rows" not in document["response"]


@pytest.mark.engine
def test_payload_that_a_template_excludes(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """On an engine: another process gets the feedback, and finds no payload."""
    name = index_of(deployment)
    mappings = {"_source": {"excludes": ["*.payload"]}}
    body = {"index_patterns": [f"{name}*"], "priority": 5000, "template": {"mappings": mappings}}
    assert index.request("PUT", f"/_index_template/{deployment}", body) == {"acknowledged": True}
    try:
        for parts in (("request", "response"), ("feedback",)):
            server = make_server()
            sender = Sender(server.url)
            for part in parts:
                assert sender.send(event(part, "r1", deployment), BODIES[part])[0] == 200
            sender.close()
            server.stop()
        found = index.documents(name)
        assert [found[name, f"r1-item-{row}"]["metrics"]["correct"] for row in range(3)] == [1, 0, 0]
        assert not any("payload" in source["request"] for source in found.values())
    finally:
        index.request("DELETE", f"/_index_template/{deployment}")
