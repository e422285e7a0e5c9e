"""Documents whose large arrays stay text are treated as those with values, whatever happens to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.common import number_text
from request_logger.common.json import JsonText, all_parsed, dumps, loads
from request_logger.common.mapped_fields import SCORED_AT
from request_logger.common.number_text import loads_keeping
from request_logger.documents.batches import Keep, Keeping
from request_logger.documents.document import PARTS, degrade, part_in
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import merging, parts_in, record
from request_logger.jobs.export import _COLUMNS, _CONVERT, _ReadDocument
from request_logger.settings import Settings
from request_logger.store.client.scan import Hit
from request_logger.store.writing.dead_letter import dead_letter_id
from request_logger.store.writing.steps import is_same
from tests.model import SETTLE, Store

ERROR = b'{"error": "model is not ready"}'
REFUSALS = [
    [],
    ["failed to parse field [response.instance] of type [long]"],
    ["failed to parse field [request.payload] of type [long]"],
    ["no field is named"],
    ["no field is named"] * 4,
]


@pytest.fixture
def all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of any size stay text."""
    monkeypatch.setattr(number_text, "LEAST_BYTES", 1)
    monkeypatch.setattr(number_text, "LEAST_ROW_BYTES", 1)


def as_values(raw: bytes) -> Any:
    return loads(raw)


def as_text(raw: bytes) -> Any:
    return loads_keeping(raw, {"request", "response"})


def event(part: str, body: bytes, second: int, status: str = "") -> Event:
    headers = {
        "ce-id": f"r1-{part}",
        "ce-requestid": "r1",
        "ce-type": "io.seldon.serving." + (part if part == "feedback" else f"inference.{part}"),
        "ce-inferenceservicename": "iris",
        "ce-time": f"2026-01-02T03:04:{second:02}Z",
        **({"ce-statuscode": status} if status else {}),
    }
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


def events(rows: int, form: str) -> list[Event]:
    """Return the events of a prediction: request, response, a failed try before or after it, two feedbacks."""
    features, chances = [[1, 2.50, 3e1]] * rows, [[0.2, 0.8]] * rows
    bodies = {
        "ndarray": ({"data": {"ndarray": features}}, {"data": {"ndarray": chances}}),
        "tensorflow": ({"instances": features, "extra": {"x": [1.50, 2]}}, {"predictions": chances}),
        "v2": tuple(
            {side: [{"name": "x", "datatype": "FP64", "shape": [rows, len(values[0])], "data": list(chain(*values))}]}
            for side, values in (("inputs", features), ("outputs", chances))
        ),
    }[form]
    request, response = (json.dumps(body).replace("2.5,", "2.50,").encode() for body in bodies)
    truth = {"truth": {"data": {"ndarray": [1] * rows}}, "response": bodies[1], "reward": [1] * rows}
    return [
        event("request", request, 1),
        event("response", response, 5, "200"),
        event("response", ERROR, 3, "500"),
        event("response", ERROR, 7, "500"),
        event("feedback", json.dumps(truth).encode(), 20),
        event("feedback", b'{"reward": 1}', 19),
    ]


def stored(
    sent: list[Event],
    keep: Keep,
    refusals: list[str],
    read: Callable[[bytes], Any],
    engine: dict[tuple[str, str], bytes] | None = None,
) -> Store:
    """Store events one after the other; each document is read by ``read``, and written in the form of ``refusals``."""
    engine = {} if engine is None else engine
    for each in sent:
        plan = record(each, parts_of(each, keep=Keeping(keep)), settle)
        results: Any = None
        while True:
            try:
                changes = plan.send(results)
            except StopIteration:
                break
            results = []
            for change in changes:
                key = (change.index, change.id)
                known = read(engine[key]) if key in engine else None
                wanted = change.apply(known)
                results.append(wanted)
                if wanted is None:
                    engine.pop(key, None)
                elif wanted is not known:
                    assert not is_same(wanted, known)
                    # Without a further form, it would be a dead letter.
                    engine[key] = dumps((degrade(wanted, refusals) if refusals else None) or wanted)
    return {key: read(raw) for key, raw in engine.items()}


def settle(document: dict[str, Any]) -> dict[str, Any]:
    """Score a document as always, but at no time."""
    found = SETTLE(document)
    if SCORED_AT not in found.get("metrics", {}):
        return found
    return {**found, "metrics": {name: value for name, value in found["metrics"].items() if name != SCORED_AT}}


def whole(document: dict[str, Any]) -> Any:
    """Return a document without forms: what was set aside as text may have its numbers written in another way."""
    found = {name: part_in(document, name) if name in (*PARTS, "metrics") else document[name] for name in document}
    return loads(dumps(all_parsed(found)))


def columns(document: dict[str, Any]) -> list[Any]:
    """Return the values of an export's row."""
    hit = Hit("index", "id", document, None)
    return [_CONVERT[column.kind](column.value(_ReadDocument(hit))) for column in _COLUMNS]


@st.composite
def deliveries(draw: Any) -> list[Event]:
    """Return the events of one prediction in any order, some twice, some not at all."""
    sent = events(draw(st.integers(1, 3)), draw(st.sampled_from(["ndarray", "tensorflow", "v2"])))
    chosen = draw(st.lists(st.sampled_from(range(len(sent))), min_size=1, max_size=9))
    return [sent[number] for number in chosen]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=deliveries(), keep=st.sampled_from(["all", "first-row", "none"]), refusals=st.sampled_from(REFUSALS))
def test_text_is_stored_as_values(all_sizes: None, sent: list[Event], keep: Keep, refusals: list[str]) -> None:
    """Every plan, degraded form, merge, dead letter and row of an export is the same, in every order of events."""
    of_values = stored(sent, keep, refusals, as_values)
    of_text = stored(sent, keep, refusals, as_text)
    assert of_text.keys() == of_values.keys()
    merge = merging(settle)
    for key, document in of_text.items():
        values = of_values[key]
        assert whole(document) == whole(values)
        assert merge(document, values) is document
        assert merge(values, document) is values
        assert parts_in(document) == parts_in(values)
        assert columns(loads(dumps(document))) == columns(values)
        if not refusals:
            assert is_same(document, values)
            assert is_same(values, document)
            assert dead_letter_id(*key, document) == dead_letter_id(*key, values)


def test_rows_of_a_large_batch_have_their_text(all_sizes: None) -> None:
    """With KEEP_PAYLOAD=first-row the first row alone has the payload; the feedback's own response is split by row."""
    sent = events(3, "tensorflow")
    found = stored([sent[0], sent[1], sent[4]], "first-row", [], as_text)
    rows = [found[sent[0].index, f"r1-item-{row}"] for row in range(3)]
    assert [isinstance(row["request"]["instance"], JsonText) for row in rows] == [True] * 3
    assert ["payload" in row["response"] for row in rows] == [True, False, False]
    assert isinstance(rows[0]["request"]["payload"]["instances"], JsonText)
    assert [row["metrics"]["correct"] for row in rows] == [1, 1, 1]
    assert [(row["feedback"]["item"], row["feedback"]["items"]) for row in rows] == [(0, 3), (1, 3), (2, 3)]


def test_a_batch_that_was_stored_without_its_number_of_rows(all_sizes: None) -> None:
    """The rows of a payload that is text are counted for a feedback that doesn't name their number."""
    sent = events(3, "ndarray")
    index = sent[0].index
    engine = {
        (index, f"r1-item-{row}"): b'{"request":{"payload":{"data":{"ndarray":[[1],[2],[3]]}}}}' for row in range(3)
    }
    assert isinstance(as_text(engine[index, "r1-item-0"])["request"]["payload"]["data"]["ndarray"], JsonText)
    found = stored([event("feedback", b'{"reward": 1}', 19)], "all", [], as_text, engine)
    assert {id: document["feedback"]["items"] for (_, id), document in found.items()} == {
        f"r1-item-{row}": 3 for row in range(3)
    }
