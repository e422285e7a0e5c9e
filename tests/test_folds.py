"""The fold of a document: a function of its request id or of a chosen field, whatever the order of the parts."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.folds import FOLDS, fold_of, with_fold
from request_logger.jobs.rescore import not_needed
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from tests.model import in_order

KEY = "request.elements.customer"
REFUSALS = [
    "[1:2] mapping set to strict, dynamic introduction of [fold] within [_doc] is not allowed",
    "failed to parse field [fold] of type [date] in document with id 'r'",
]


def sent(part: str, content: Any, request_id: str = "r1") -> Event:
    body = json.dumps(content).encode()
    kind = {"feedback": "feedback", "drift": "inference.drift"}.get(part, f"inference.{part}")
    headers = {"ce-type": f"io.seldon.serving.{kind}", "ce-requestid": request_id, "ce-inferenceservicename": "d"}
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


def table(*rows: list[Any]) -> Any:
    return {"data": {"names": ["customer", "age"], "ndarray": list(rows)}}


def test_the_same_fold_in_every_release() -> None:
    """Stored folds are compared with new ones, so the function must not change."""
    assert [fold_of(text) for text in ("", "r1", "r2", "café", "\ud800")] == [4, 10, 15, 13, 2]


def test_folds_are_of_about_equal_size() -> None:
    """Also for ids that count up."""
    sizes = Counter(fold_of(f"request-{number}") for number in range(20_000))
    assert set(sizes) == set(range(FOLDS))
    assert 900 < min(sizes.values()) < max(sizes.values()) < 1100


def test_the_rows_of_a_batch_stay_together() -> None:
    store = in_order(
        [sent("request", table([1, 2], [3, 4], [5, 6])), sent("response", {"data": {"ndarray": [1, 2, 3]}})]
    )
    assert [document["fold"] for document in store.values()] == [fold_of("r1")] * 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_by_a_field_in_any_order(order: tuple[int, ...]) -> None:
    """Each row by its own value, as soon as the part that has it is there."""
    events = [
        sent("request", table(["ann", 2], ["bob", 4])),
        sent("response", {"data": {"ndarray": [0, 1]}}),
        sent("feedback", {"truth": {"data": {"ndarray": [0, 1]}}}),
    ]
    store = in_order([events[k] for k in order], settler(Chooser(), KEY))
    folds = {id: document["fold"] for (_, id), document in store.items()}
    assert folds == {"r1-item-0": fold_of("ann"), "r1-item-1": fold_of("bob")}


@pytest.mark.parametrize(
    ("elements", "key", "shared"),
    [
        ({"customer": "ann"}, KEY, "ann"),
        ({"customer": 7}, KEY, "7"),
        ({"customer": 1.5}, KEY, "1.5"),
        ({"customer": False}, KEY, "False"),
        ({"customer": None}, KEY, "r1"),
        ({"customer": ["ann"]}, KEY, "r1"),
        ({"customer": {"id": 4}}, KEY, "r1"),
        ({"customer": {"id": 4}}, f"{KEY}.id", "4"),
        ({"customer.id": 4}, f"{KEY}.id", "4"),
        ({"customer": 4}, f"{KEY}.id", "r1"),
        ({}, KEY, "r1"),
        ({"customer": "ann"}, "request", "r1"),
        ({"customer": "ann"}, "Ce-Namespace", "ns"),
        ({"customer": "ann"}, "absent.customer", "r1"),
    ],
)
def test_the_value_at_a_path(elements: dict[str, Any], key: str, shared: str) -> None:
    document = {"RequestId": "r1", "Ce-Namespace": "ns", "request": {"elements": elements}}
    assert with_fold(document, key)["fold"] == fold_of(shared)


def test_a_value_that_is_not_indexed() -> None:
    """It is found in the text that replaces it."""
    document = {"RequestId": "r1", "request": {"unindexed": json.dumps({"elements": {"customer": "ann"}})}}
    assert with_fold(document, KEY)["fold"] == fold_of("ann")


@pytest.mark.parametrize(
    "document", [{"RequestId": "r", "drift": {}}, {"request": {}}, {"RequestId": 7, "request": {}}]
)
def test_no_fold(document: dict[str, Any]) -> None:
    """Of a drift message, and of a document of another program without a request id that is text."""
    assert with_fold(document) is document


def test_the_right_fold_stays() -> None:
    """The document is the same one, so that nothing is written; a wrong one is replaced."""
    document = with_fold({"RequestId": "r1", "request": {}})
    assert with_fold(document) is document
    assert with_fold({**document, "fold": "x"}) == document


@pytest.mark.parametrize("reason", REFUSALS)
def test_an_index_that_refuses_the_field(reason: str) -> None:
    """It gets the document without it, and everything else of it."""
    document = with_fold({"RequestId": "r1", "request": {"elements": {"a": 1}}, "metrics": {"correct": 1}})
    assert degrade(document, [reason]) == {name: value for name, value in document.items() if name != "fold"}
    assert degrade(document, [reason, reason]) != degrade(document, [reason])


@pytest.mark.parametrize(
    ("key", "absent", "fetched"),
    [
        ("", "request", ""),
        (KEY, "request.payload", "request"),
        ("request.instance.customer", "request.payload", "request.instance"),
        ("response.elements.a", "request", "response.elements"),
    ],
)
def test_rescore_fetches_what_the_fold_needs(key: str, absent: str, fetched: str) -> None:
    """And nothing else that is large."""
    excluded = not_needed(key)
    assert absent in excluded
    assert fetched not in excluded
    assert "nodes" in excluded
