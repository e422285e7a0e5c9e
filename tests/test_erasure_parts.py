"""Parts of erasure that need no search engine: subjects, dead letters and baselines."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from request_logger.analytics.drift.baselines import Baseline, Cells, Counts, Kind
from request_logger.common.json import dumps
from request_logger.erasure.baselines import shown
from request_logger.erasure.letters import is_letter_of
from request_logger.erasure.subjects import Subject, named_by, subject_of
from request_logger.store.client.scan import Hit

LONG = "6f1c2a52-8d0b-4b4e-9d59-3c1b7e0a9c11"


@pytest.mark.parametrize(
    ("id", "source", "subject"),
    [
        ("a", {"RequestId": "a"}, Subject("a")),
        ("a-item-3", {"RequestId": "a"}, Subject("a", 3)),
        ("a-item-3", {}, Subject("a", 3)),
        ("a-item-3~", {"RequestId": "a-item-3"}, Subject("a-item-3")),
        ("a-item-3", {"RequestId": "a-item-3"}, Subject("a-item-3")),
        ("a~0123456789abcdef", {"RequestId": "a"}, Subject("a")),
        ("a", {"RequestId": 5}, Subject("a")),
    ],
)
def test_what_a_document_is_about(id: str, source: dict[str, Any], subject: Subject) -> None:
    """By its request id, and the row in its own id."""
    assert subject_of(Hit("i", id, source, None)) == subject


def test_what_an_id_names() -> None:
    """Its prediction, and the row that has this id."""
    assert named_by("a") == [Subject("a")]
    assert named_by("a-item-2") == [Subject("a-item-2"), Subject("a", 2)]


def letter(**fields: Any) -> dict[str, Any]:
    """A dead letter of a document."""
    return {"index": "i", "id": "x", "document": "{}", **fields}


def record(headers: list[list[str]], value: bytes) -> dict[str, Any]:
    """A dead letter of a Kafka record."""
    content = {"headers": headers, "value_base64": base64.b64encode(value).decode(), "key_base64": None}
    return letter(index="kafka:topic", id="topic-0-1", document=dumps(content).decode())


@pytest.mark.parametrize(
    ("of_it", "subject", "found"),
    [
        (letter(id="a"), Subject("a"), True),
        (letter(id="a-item-1"), Subject("a", 1), True),
        (letter(id="a-item-1", document='{"RequestId": "a"}'), Subject("a"), True),
        # It may have the body of the whole batch.
        (letter(id="a-item-2", document='{"RequestId": "a"}'), Subject("a", 1), True),
        (letter(document='{"RequestId": "a"}'), Subject("a"), True),
        (letter(document='{"claimed_by": {"id": "a"}}'), Subject("a"), True),
        (letter(id="the-key"), Subject("b"), True),
        (letter(id="b", document='{"RequestId": "b"}'), Subject("a"), False),
        (letter(document="no JSON"), Subject("a"), False),
        (letter(document=7), Subject("a"), False),
        (record([["ce_requestid", LONG]], b""), Subject(LONG), True),
        (record([["ce_requestid", "a"]], b"a"), Subject("a"), True),
        (record([], b'{"requestid": "%b"' % LONG.encode()), Subject(LONG), True),
        # By chance.
        (record([], b"abc"), Subject("a"), False),
        (record([["x", "other"]], b""), Subject(LONG), False),
        (letter(index="kafka:t", document="[1]"), Subject(LONG), False),
    ],
)
def test_dead_letters(of_it: dict[str, Any], subject: Subject, *, found: bool) -> None:
    """Of documents, join keys and records."""
    assert is_letter_of(of_it, [subject], frozenset({"the-key"})) is found


def baseline(**cells: Any) -> Baseline:
    """A baseline with 20 documents."""
    counts = cells.pop("counts")
    return Baseline(Cells(**cells), Counts(20, 20, 0, counts, examples=("seen once",)), "2026-01-01T00:00:00Z")


def test_baselines_that_show_a_value() -> None:
    """The ends of numbers and rare categories; not what many documents have."""
    baselines = {
        "age": ("request.elements.age", baseline(field="age", kind=Kind.NUMBER, low=18.0, high=99.0, counts=(20,))),
        "city": (
            "request.elements.city.keyword",
            baseline(
                field="city",
                kind=Kind.CATEGORY,
                values=("Bonn", "Ulm"),
                known=("Bonn", "Ulm", "Hof"),
                counts=(15, 4, 1),
            ),
        ),
        "other": ("Ce-Endpoint", baseline(field="x", kind=Kind.CATEGORY, values=("default",), counts=(1, 19))),
    }

    def found(**elements: Any) -> list[str]:
        return shown(baselines, {"request": {"elements": elements}, "Ce-Endpoint": "default"})

    assert found(age=99) == found(age=18.0) == found(age="99") == ["age"]
    assert found(city="Ulm") == found(city="Hof") == found(city="seen once") == ["city"]
    assert found(city="Bonn", age=40) == found(city="Trier", age="x") == found() == []
    assert shown(baselines, {"request": "text"}) == []
