"""A stored document may be anybody's: an older version's, another program's. No JSON object in an index stops us."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from request_logger.common.json import dumps, loads
from request_logger.documents.document import PARTS, degrade, expand, join, part_in
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import Part, parts_of
from request_logger.ingest.replies import metrics_of
from request_logger.ingest.write_plan import merging, parts_in, record
from request_logger.jobs.export import _COLUMNS, _CONVERT, _ReadDocument
from request_logger.jobs.rescore import Scorers, Side
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import pair, score, settler
from request_logger.settings import Settings
from request_logger.store.client.scan import Hit
from tests.model import Store, apply

NAMES = [
    *PARTS, "metrics", "nodes", "@timestamp", "Ce-Modelid", "Ce-Namespace", "Ce-Inferenceservicename", "Ce-Endpoint",
    "ServingEngine", "RequestId", "instance", "names", "elements", "payload", "truth", "reward", "item", "items",
    "ce-time", "received-time", "unindexed", "unindexed_reason", "undecodable", "payload_dropped", "response", "data",
    "ndarray", "meta", "key", "value", "type", "tags", "dataType", "scorer", "correct", "unscorable", "series",
    "evaluations", "evaluations_only", "evaluations_left_out", "name", "id", "time", "unusable", "reason",
]  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False)
    | st.text(max_size=4) | st.sampled_from(["2026-01-01T00:00:00Z", "classifier", "{}", '{"truth": 1}', "[1]", "json"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
parts = st.dictionaries(st.sampled_from(NAMES), values, max_size=5)
documents = st.dictionaries(st.sampled_from(NAMES), values | parts, max_size=8)
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CHOOSER = Chooser()
SETTLE = settler(CHOOSER)
BODIES = {
    "request": b'{"data": {"ndarray": [[1, 2]], "names": ["a", "b"]}}',
    "response": b'{"data": {"ndarray": [[0.2, 0.8]], "names": ["no", "yes"]}}',
    "feedback": b'{"truth": 1, "reward": [1, 0], "response": {"data": {"ndarray": [1, 0]}},'
    b' "evaluations": [{"name": "a", "value": 1}]}',
    "outlier": b'{"data": {"is_outlier": [1, 0]}}',
}
TYPES = {"request": "inference.request", "response": "inference.response", "outlier": "inference.outlier"}


def part_of(name: str, node: str, time: str) -> Part:
    return parts_of(event_of(name, node, time))[0]


def event_of(name: str, node: str = "", time: str = "") -> Event:
    headers = {"ce-type": f"io.seldon.serving.{TYPES.get(name, name)}", "ce-requestid": "r1"}
    headers |= {"ce-modelid": node} if node else {}
    headers |= {"ce-time": time} if time else {}
    return from_headers(headers, Body(BODIES[name], "application/json", 0), Settings())


own_parts = st.builds(
    part_of,
    st.sampled_from(sorted(BODIES)),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "tomorrow"]),
)


@patient
@given(documents, own_parts)
def test_join_takes_any_document(stored: dict[str, Any], part: Part) -> None:
    """The part is in it, joining twice changes nothing, and what is settled is JSON."""
    joined = join(stored, part)
    if joined is not stored:
        assert any(each.name == part.name and each.content.items() >= {}.items() for each in parts_in(joined))
        assert join(joined, part) is joined
    settled = SETTLE(joined)
    loads(dumps(settled))
    assert SETTLE(settled) is settled or settled.get("metrics") == SETTLE(settled).get("metrics")


@patient
@given(documents, documents)
@example({"request": {}}, {"nodes": {"": {}}, "response": {}})
def test_two_of_any_documents_merge(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Or are of two deployments."""
    merge = merging(SETTLE)
    for merged in (merge(one, other), merge(other, one)):
        assert merged is None or loads(dumps(merged)) is not None


@patient
@given(documents)
def test_any_document_is_read(document: dict[str, Any]) -> None:
    """By scoring, the recorder's helpers, replies, rescoring and the export."""
    for part in parts_in(document):
        assert isinstance(part.content, dict)
        assert isinstance(part.timestamp, str)
    for name in (*PARTS, "metrics"):
        assert isinstance(part_in(document, name), dict)
        assert isinstance(expand(document.get(name)), dict)  # type: ignore[arg-type]
    score(document, CHOOSER)
    pair(document)
    for reasons in (["failed to parse field [feedback.truth] of type [long]"], ["no field"], ["x"] * 5):
        refused = degrade(document, reasons)
        # A document without parts has nothing that could be set aside; one with little has few forms.
        assert refused is not None or len(reasons) > 1 or not any(part_in(document, n) for n in (*PARTS, "metrics"))
        score(refused or {}, CHOOSER)
    metrics_of(event_of("feedback"), {"r1": document, "r2": document})
    scorers, side = Scorers(CHOOSER), Side()
    SETTLE(document)
    scorers.learn(document.get("metrics"))
    side.add(document.get("metrics"), scorers.by_name)
    hit = Hit("index", "id", document, None)
    for column in _COLUMNS:
        _CONVERT[column.kind](column.value(_ReadDocument(hit)))


# Two nodes' parts of a prediction whose id is also that of a batch: its outlier stays, its feedback goes to the rows.
OF_TWO_NODES = {
    "outlier": {"score": 1},
    "feedback": {"reward": 1},
    "nodes": {"detector": {"outlier": {"score": 1}}, "classifier": {"feedback": {"reward": 1}}},
}


@patient
@example({"Ce-Namespace": []}, {"Ce-Namespace": {}, "request": {}}, {}, "feedback")
@example({"request": None, "nodes": {}}, {"request": {}}, {}, "feedback")
@example(OF_TWO_NODES, {"request": {"rows": 2}, "outlier": {"score": 2}}, {"request": {"rows": 2}}, "feedback")
@given(documents, documents, documents, st.sampled_from(sorted(BODIES)))
@example({"request": None, "Ce-Namespace": []}, {"request": {}, "response": {}, "Ce-Namespace": {}}, {}, "feedback")
def test_an_event_meets_any_documents(
    plain: dict[str, Any], first: dict[str, Any], second: dict[str, Any], name: str
) -> None:
    """Under the plain id and those of rows: the plan ends, and the event's part is in one of them."""
    event = event_of(name, "a")
    store = run(event, {"r1": plain, "r1-item-0": first, "r1-item-1": second})
    assert any(name in source for source in store.values())


def run(event: Event, documents: dict[str, dict[str, Any]]) -> Store:
    """Run an event's plan over documents by id, and return all documents."""
    store: Store = {(event.index, id): source for id, source in documents.items()}
    plan = record(event, parts_of(event), SETTLE)
    results: Any = None
    for _ in range(50):
        try:
            changes = plan.send(results)
        except StopIteration:
            break
        results = [apply(store, change) for change in changes]
    else:
        raise AssertionError("the plan does not end")
    return store


@pytest.mark.parametrize("of_row", [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")])
def test_rows_of_several_deployments(of_row: tuple[str, str]) -> None:
    """A feedback without a namespace meets documents of two: no row's feedback is lost, none is in both."""
    batch = {"request": {"rows": 2}, "response": {"rows": 2}}
    rows = {f"r1-item-{row}": {**batch, "Ce-Namespace": namespace} for row, namespace in enumerate(of_row)}
    store = run(event_of("feedback"), {"r1": {"drift": {}, "Ce-Namespace": "a"}, **rows})
    found = [document["feedback"] for document in store.values() if "feedback" in document]
    assert any("item" not in feedback for feedback in found) or {feedback["item"] for feedback in found} == {0, 1}
    owners = {document.get("Ce-Namespace") for document in store.values() if "feedback" in document}
    assert owners == {"a"}


GARBAGE: list[Any] = [[], [1], "text", 5, None, True, {}, {"a": 1}, {"a": []}, {"a": {"request": 5}}, [[]]]


@pytest.mark.parametrize("name", ["nodes", "metrics", *PARTS, "Ce-Modelid", "@timestamp", "RequestId", "Ce-Namespace"])
@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_one_field_is_garbage(name: str, garbage: Any) -> None:
    """A request and a feedback are stored with it, and scored where there is a response."""
    stored: dict[str, Any] = {"response": {"instance": 1.0}, "@timestamp": "2026-01-01T00:00:00Z", name: garbage}
    for part in ("request", "feedback"):
        stored = SETTLE(join(stored, part_of(part, "", "")))
        assert stored[part]["instance" if part == "request" else "truth"]
    assert {part.name for part in parts_in(stored)} >= {"request", "feedback"}
    assert merging(SETTLE)(stored, stored) is stored
