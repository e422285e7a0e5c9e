"""One element that an index can't have is set aside alone: all others of its row can be searched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.documents.document import MAX_REFUSALS, degrade, expand, join
from request_logger.documents.event import Body, from_headers
from request_logger.documents.field_names import MAX_STEPS, has_illegal_names, is_legal, to_set_aside
from request_logger.documents.parts import parts_of
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

ILLEGAL = ["", " ", "\t", "a.", ".b", "x..y", ".", "..", "../../etc/profile", "a. .b", ".".join("a" * (MAX_STEPS + 1))]
LEGAL = ["ok", " a", "a b", "a.b", "*", "[x]", "\x00", "a/b", 'a"b', "type", "_id", "é", ".".join("b" * MAX_STEPS)]


def part_of(names: list[Any], row: list[Any], part: str = "request") -> dict[str, Any]:
    headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
    body = ndarray([row], names)
    [made] = parts_of(from_headers(headers, Body(body, "application/json", len(body)), Settings()))
    return made.content


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_names(name: str) -> None:
    """Each is set aside, with its value, and nothing else is."""
    assert not is_legal(name)
    content = part_of([name, "age"], [1, 2])
    assert content["elements"] == {"age": 2.0}
    assert json.loads(content["elements_unindexed"]) == {name: 1.0}
    assert content["names"] == [name, "age"]


@pytest.mark.parametrize("name", LEGAL)
def test_legal_names(name: str) -> None:
    """Engines take each of these."""
    assert is_legal(name)
    assert part_of([name, "age"], [1, 2])["elements"] == {name: 1.0, "age": 2.0}


def test_values_with_illegal_names() -> None:
    """An element whose value is an object with such a name is set aside whole."""
    assert to_set_aside({"a": {"": 1}, "b": [{"x": {"y.": 1}}], "c": {"d": 1}, "e": [1, [2]]}) == ["a", "b"]
    assert to_set_aside({"a": {"x": {"": 1}, "y": 1}, "b": [1, {"": 1}], "c": [{"": 1}, {"x": 1}]}) == ["a", "b", "c"]
    assert has_illegal_names([[{"": 1}]])
    assert has_illegal_names({"a": 1, "b.": 2})
    assert not has_illegal_names({"a": 1, "b.c": [{"d": 2}, 3]})


def test_a_name_within_another() -> None:
    """Only the longer one is set aside."""
    assert to_set_aside({"a.b": 1, "a": 2, "a.b.c": 3, "ab.c": 4}) == ["a.b", "a.b.c"]
    assert to_set_aside({"a": 1, "a.b.c": 2}) == ["a.b.c"]
    assert to_set_aside({"a.b": 1, "a.b.c": 2, "a.bc": 3}) == ["a.b.c"]


def document(**elements: Any) -> dict[str, Any]:
    content = {"elements": elements, "instance": list(elements.values()), "dataType": "tabular", "names": ["a"]}
    return {"request": content, "RequestId": "r"}


REASONS = {
    "type": "mapper_parsing_exception: failed to parse field [request.elements.age] of type [double] in document",
    "object": "object mapping for [request.elements.age] tried to parse field [age] as object, but found a value",
    "within": "failed to parse field [request.elements.age.years] of type [double] in document with id 'r'",
}


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_only_the_element_that_is_named(reason: str) -> None:
    """The rest of the part stays as it is, and nothing is lost."""
    whole = document(age={"years": "x"}, income=5.0)
    refused = degrade(whole, [reason])
    assert refused is not None
    assert refused["request"]["elements"] == {"income": 5.0}
    assert refused["request"]["instance"] == whole["request"]["instance"]
    assert json.loads(refused["request"]["unindexed"]) == {"elements": {"age": {"years": "x"}}}
    assert refused["request"]["unindexed_reason"] == reason
    assert expand(refused["request"]) == whole["request"]


def test_dotted_and_bracketed_names() -> None:
    """A field that an element is within is named for it; a bracket in a name does not end it."""
    whole = document(**{"a.b": 1, "x[1]": {}, "c": 3})
    refused = degrade(whole, ["Existing mapping for [request.elements.a] must be of type object but found [double]"])
    assert refused is not None
    assert refused["request"]["elements"] == {"x[1]": {}, "c": 3}
    refused = degrade(whole, ["failed to parse field [request.elements.x[1]] of type [double]"])
    assert refused is not None
    assert refused["request"]["elements"] == {"a.b": 1, "c": 3}


def test_many_refusals_set_aside_more_and_more() -> None:
    """First single elements, then all elements, at last everything; there is an end, and nothing is lost on the way."""
    whole = document(a={}, b={}, c={}, d={}, e=1)
    reasons = [f"failed to parse field [request.elements.{name}] of type [double]" for name in "abcd"]
    forms = [degrade(whole, reasons[:count]) for count in (1, 2, 3, 4)]
    assert [form and sorted(form["request"].get("elements", {})) for form in forms] == [
        ["b", "c", "d", "e"],
        ["c", "d", "e"],
        ["d", "e"],
        [],
    ]
    last = degrade(whole, [*reasons, reasons[0]])
    assert last is not None
    assert set(last["request"]) == {"unindexed", "unindexed_reason"}
    assert degrade(whole, reasons[:1] * (MAX_REFUSALS + 1)) is None
    assert all(form and expand(form["request"]) == whole["request"] for form in [*forms, last])


def test_a_reason_that_names_nothing() -> None:
    """It may be a name within another field: then that field is set aside, and everything only where that fails."""
    whole = document(age=1)
    whole["request"]["meta"] = {"tags": {"": "x"}}
    refused = degrade(whole, ["failed to parse: field name cannot be an empty string"])
    assert refused is not None
    assert refused["request"]["elements"] == {"age": 1}
    assert json.loads(refused["request"]["unindexed"]) == {"meta": {"tags": {"": "x"}}}
    again = degrade(whole, ["failed to parse: field name cannot be an empty string"] * 2)
    assert again is not None
    assert "elements" not in again["request"]


def test_an_event_that_comes_twice_changes_nothing() -> None:
    """Neither where its names are set aside, nor where the engine refused an element."""
    headers = {name.lower(): value for name, value in event("request", "r1", "iris").items()}
    body = ndarray([[1, {"x": 1}, 3]], ["", "age", "income"])
    [part] = parts_of(from_headers(headers, Body(body, "application/json", len(body)), Settings()))
    stored = join(None, part)
    assert join(stored, part) is stored
    refused = degrade(stored, [REASONS["type"]])
    assert refused is not None
    assert join(refused, part) is refused


@pytest.mark.engine
def test_columns_without_a_name_on_an_engine(server: Server, index: Index, deployment: str) -> None:
    """Every name of both lists in one row: the engine takes the document at once, and the good ones can be searched."""
    names = ["age", "income", *ILLEGAL, *LEGAL]
    sender = Sender(server.url)
    assert sender.send(event("request", "r1", deployment), ndarray([list(range(len(names)))], names))[0] == 200
    name = index_of(deployment)
    request = index.documents(name)[name, "r1"]["request"]
    assert "unindexed" not in request
    assert set(json.loads(request["elements_unindexed"])) == set(ILLEGAL)
    assert index.count(name, {"term": {"request.elements.income": 1}}) == 1
    for place, legal in enumerate(LEGAL, start=2 + len(ILLEGAL)):
        assert index.count(name, {"term": {f"request.elements.{legal}": place}}) == 1, legal


@pytest.mark.engine
def test_one_element_of_a_wrong_type_on_an_engine(server: Server, index: Index, deployment: str) -> None:
    """A type that the mapping does not take costs that element its place, and no other."""
    sender = Sender(server.url)
    names = ["age", "income", "place.street", "tags"]
    first, second = [41, 1, "x", {"a": 1}], [{"years": 41}, 2, "y", 7]
    assert sender.send(event("request", "r1", deployment), ndarray([first], names))[0] == 200
    assert sender.send(event("request", "r2", deployment), ndarray([second], names))[0] == 200
    assert sender.send(event("request", "r3", deployment), ndarray([[1, 3, 5]], ["age", "income", "place"]))[0] == 200
    name = index_of(deployment)
    found = index.documents(name)
    kept = dict(found[name, "r2"]["request"]["elements"])
    kept.pop("age", None)  # OpenSearch 3 ignores an object in the place of a number, and sets nothing aside
    assert kept == {"income": 2.0, "place.street": "y"}
    assert expand(found[name, "r2"]["request"])["elements"]["age"] == {"years": 41.0}
    assert found[name, "r3"]["request"]["elements"] == {"age": 1.0, "income": 3.0}
    assert index.aggregate(name, {"sum": {"sum": {"field": "request.elements.income"}}})["sum"]["value"] == 6


@pytest.mark.engine
def test_names_within_other_fields_on_an_engine(server: Server, index: Index, deployment: str) -> None:
    """A tag without a name costs `meta` its place, and the elements stay where they are."""
    body = {"data": {"names": ["age"], "ndarray": [[41]]}, "meta": {"tags": {"": "x"}}}
    sender = Sender(server.url)
    assert sender.send(event("request", "r1", deployment), json.dumps(body).encode())[0] == 200
    other = {"names": ["age"], "instances": [[43]], "": 5, "x.": 6}
    assert sender.send(event("request", "r3", deployment), json.dumps(other).encode())[0] == 200
    feedback = {"reward": 1, "": {"b": 1}, "truth": {"data": {"ndarray": [[1]]}}}
    assert sender.send(event("feedback", "r3", deployment), json.dumps(feedback).encode())[0] == 200
    rows = {"instances": [{"": 1, "age": 2}]}
    assert sender.send(event("request", "r2", deployment), json.dumps(rows).encode())[0] == 200
    name = index_of(deployment)
    found = index.documents(name)
    assert found[name, "r1"]["request"]["elements"] == {"age": 41.0}
    assert expand(found[name, "r1"]["request"])["meta"] == body["meta"]
    assert found[name, "r3"]["request"]["instance"] == [43]
    assert json.loads(found[name, "r3"]["request"]["unindexed"]) == {"": 5, "x.": 6}
    assert found[name, "r3"]["feedback"]["reward"] == 1
    assert json.loads(found[name, "r3"]["feedback"]["unindexed"]) == {"": {"b": 1}}
    assert found[name, "r2"]["request"]["instance"] == {"": 1, "age": 2}
    assert "unindexed" not in found[name, "r2"]["request"]
    assert index.count(name, {"term": {"request.elements.age": 41}}) == 1
