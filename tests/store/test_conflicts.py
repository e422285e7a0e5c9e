"""The report on an index's mapping, and the fields that an index without them is given."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.store.indices import templates
from request_logger.store.indices.mapping_check import count_fields, field_types, findings, origin

TEXT = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def at(path: str, field: Any) -> dict[str, Any]:
    """A mapping with one field."""
    for name in reversed(path.split(".")):
        field = {"properties": {name: field}}
    return field  # type: ignore[no-any-return]


def said(mapping: dict[str, Any], **settings: Any) -> dict[str, bool]:
    """Field -> whether something needs doing."""
    flat = {name.replace("__", "."): value for name, value in settings.items()}
    return {finding.field: finding.needs_action for finding in findings(mapping, flat)}


def test_our_own_mapping_has_nothing_to_say() -> None:
    assert findings(templates.mapping(), {"index.mapping.total_fields.limit": templates.FIELD_LIMIT}) == []
    assert origin(templates.mapping()) == "ours"


def test_origins() -> None:
    """An index is the original's until it has our fields, and stays recognisable then."""
    old = at("feedback.reward", {"type": "boolean"})
    assert origin(old) == "original"
    assert origin({"properties": {**old["properties"], "metrics": templates.metrics_mapping()}}) == (
        "original, with our fields added"
    )


@pytest.mark.parametrize(
    ("path", "field", "needs_action"),
    [
        ("feedback.reward", {"type": "boolean"}, True),
        ("feedback.reward", {"type": "long"}, True),
        ("feedback.reward", TEXT, True),
        ("feedback.reward", {"type": "date"}, True),
        ("feedback.reward", {"type": "float"}, None),
        ("feedback.reward", {"type": "double"}, None),
        ("request.elements.age", {"type": "date"}, True),
        ("request.elements.age", {"type": "long"}, True),
        ("request.elements.age", {"type": "boolean"}, True),
        ("response.elements.t0", {"type": "float"}, False),
        ("response.elements.t0", TEXT, False),
        ("request.elements.age", {"type": "double"}, None),
        ("request.elements.age", {"type": "keyword"}, None),
        ("request.elements", {"type": "long"}, True),
        ("request.instance", {"type": "long"}, False),
        ("request.payload", {"properties": {"data": {"properties": {"ndarray": {"type": "long"}}}}}, False),
        ("request.payload", {"type": "object", "enabled": False}, None),
        ("feedback.truth", at("data.ndarray", TEXT), False),
        ("metrics.true_positive", TEXT, True),
        ("metrics.true_positive", {"type": "date"}, True),
        ("metrics.log_loss", {"type": "long"}, True),
        ("metrics.log_loss", {"type": "double"}, None),
        ("metrics.correct", {"type": "long"}, None),
        ("metrics.correct", {"type": "boolean"}, True),
        ("metrics.of_mine", {"type": "boolean"}, True),
        ("metrics.of_mine", {"type": "keyword"}, None),
        ("metrics", {"type": "text"}, True),
    ],
)
def test_types(path: str, field: dict[str, Any], needs_action: bool | None) -> None:
    """A type that loses or distorts something that is searched or summed up needs doing; None: it isn't named."""
    assert said(at(path, field)).get(path) is needs_action


def test_an_element_that_has_fields_refuses_values() -> None:
    assert said(at("request.elements.a", at("b", {"type": "double"})))["request.elements.a"] is True


def test_elements_of_one_type_are_one_line() -> None:
    """Of many elements the first few are named."""
    many = {f"x{number}": {"type": "long"} for number in range(9)}
    (name,) = [field for field in said(at("request.elements", {"properties": many})) if "elements" in field]
    assert name == "request.elements.{x0, x1, x2, x3, x4, 4 more}"


def test_what_comes_with_the_next_event_needs_no_doing() -> None:
    found = said(at("request.dataType", TEXT))
    assert found == {"metrics": False, "date_detection": False}


def test_fields_near_the_limit() -> None:
    """Fields are counted as the engine does: objects, and the fields beside a field."""
    mapping = at("request.elements", {"properties": {f"x{number}": TEXT for number in range(399)}})
    assert count_fields(mapping) == 800
    (finding,) = [finding for finding in findings(mapping, {}) if finding.field == "total fields"]
    assert (finding.found, finding.action) == ("800 of 1000", "index.mapping.total_fields.limit=2000")
    assert "total fields" not in said(mapping, index__mapping__total_fields__limit="2000")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index.blocks.write", "true"),
        ("index.blocks.read_only", True),
        ("index.blocks.read_only_allow_delete", "true"),
        ("index.refresh_interval", "-1"),
    ],
)
def test_settings(name: str, value: Any) -> None:
    """What makes writing or finding impossible is undone by setting it to null."""
    (finding,) = findings(templates.mapping(), {"index.mapping.total_fields.limit": "2000", name: value})
    assert (finding.field, finding.action) == (name, f"{name}=null")


def test_a_strict_mapping() -> None:
    assert said({**templates.mapping(), "dynamic": "strict"})["dynamic"] is True


def test_what_needs_doing_comes_first() -> None:
    mapping = at("request.instance", {"type": "long"})
    mapping["properties"]["feedback"] = {"properties": {"reward": {"type": "long"}}}
    assert [finding.needs_action for finding in findings(mapping, {})] == [True, False, False, False]


def test_an_old_index_is_given_what_it_lacks() -> None:
    """A field that is there is left alone; what is still to come has our types."""
    old = at("request.payload.data.ndarray", {"type": "long"})
    old["properties"]["feedback"] = {"properties": {"reward": {"type": "boolean"}}}
    added = templates.additions(old)
    types = field_types(added)
    assert added["date_detection"] is False
    assert not any(path.startswith("request.payload.") or path == "feedback.reward" for path in types)
    assert types["metrics.true_positive"] == "keyword"
    assert types["response.payload"] == "disabled"
    assert types["request.unindexed"] == "keyword"
    assert "payload" not in added["properties"]["request"]["properties"]


def test_our_own_index_lacks_nothing() -> None:
    assert templates.additions(templates.mapping()) == {}


def test_dynamic_templates_of_others_stay() -> None:
    added = templates.additions({"dynamic_templates": [{"mine": {}}], "date_detection": False})
    assert set(added) == {"properties"}


@pytest.mark.parametrize("field", [{"type": "text"}, {"type": "object", "enabled": False}, {"type": "flattened"}])
def test_nothing_is_put_below_what_can_hold_no_fields(field: dict[str, Any]) -> None:
    assert "response" not in templates.additions({"properties": {"response": field}})["properties"]
