"""All fields that we know of are in the mapping from the start, within a budget of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from request_logger.common import mapped_fields
from request_logger.scoring.registry import registered
from request_logger.settings import Settings
from request_logger.store.indices import templates
from request_logger.store.indices.mapping_check import NUMBERS, field_types
from scorers.base import RESPONSE_FIELDS, AtMost, Count, Need, Row, Sum, SumBy, Terms, TermsBy

TYPES = field_types(templates.mapping())
PAIRS: list[tuple[Any, Any]] = [
    (1, 0.7),
    (0, [0.2, 0.8]),
    ("b", "b"),
    ("b", "a"),
    (2, [0.1, 0.2, 0.7]),
    ([1, 0, 1], [0.9, 0.2, 0.4]),
    ([1, 0, 1], [1, 0, 0]),
    (["a"], ["a", "b"]),
    ([0.0, 2.0, 1.0], [0.3, 0.9, 0.1]),
    (3, 1),
    (2.5, 2.0),
    ("one two", "one three"),
]


def needed(need: Need) -> Iterator[tuple[str, bool]]:
    """Each field that a metric needs, and whether it is to be a number."""
    if isinstance(need, (Sum, AtMost)):
        yield need.field, True
    elif isinstance(need, Count):
        if need.field:
            yield need.field, TYPES[f"metrics.{need.field}"] in NUMBERS
    elif isinstance(need, Terms):
        yield need.field, False
    elif isinstance(need, TermsBy):
        yield from ((need.field, False), (need.by, False))
    elif isinstance(need, SumBy):
        yield from ((field, True) for field in (*need.fields, need.by))


@pytest.mark.parametrize("name", sorted(registered()))
def test_fields_of_each_scorer(name: str) -> None:
    """What its metrics need and what it writes, with types that can be summed up or counted by their values."""
    scorer = registered()[name].load()
    for metric in scorer.metrics:
        for need in metric.needs.values():
            for field, is_number in needed(need):
                assert (TYPES[f"metrics.{field}"] in NUMBERS) == is_number, field
    written = 0
    for truth, prediction in PAIRS:
        for names in ((), ("a", "b"), ("a", "b", "c")):
            try:
                fields = scorer().score(Row(truth, names), Row(prediction, names))
            except ValueError:
                continue
            written += len(fields)
            for field, value in fields.items():
                kind = TYPES[f"metrics.{field}"]
                assert (kind in NUMBERS) == isinstance(value, (int, float)), field
    assert written


def test_every_metric_of_the_mapping_is_known() -> None:
    assert set(templates.metrics_mapping()["properties"]) == mapped_fields.METRICS


@pytest.mark.parametrize("part", [part for part in mapped_fields.PARTS if part != "metrics"])
def test_every_field_of_a_part_is_known(part: str) -> None:
    """But for those in which documents bring names of their own."""
    fields = set(templates.mapping(text_search=True)["properties"][part]["properties"])
    assert fields - {"elements", "metadata", "annotations", "meta"} == mapped_fields.PARTS[part]


def test_fields_of_a_response_have_the_types_of_the_same_metrics() -> None:
    """What every scorer may read is mapped, and the bins and probabilities are those of `metrics`."""
    assert {*RESPONSE_FIELDS, "unindexed", "unindexed_reason"} == mapped_fields.PARTS["prediction"]
    same = {"label": "predicted_label", "value": "prediction", "margin": "probability"}
    for field in RESPONSE_FIELDS:
        assert TYPES[f"prediction.{field}"] == TYPES[f"metrics.{same.get(field, field)}"]


def test_what_refused_forms_need_is_in_every_part() -> None:
    for part in mapped_fields.PARTS:
        assert TYPES[f"{part}.unindexed"] == TYPES[f"{part}.unindexed_reason"] == "keyword"


def test_ours_are_within_their_budget() -> None:
    """The rest of the limit is left for names that documents bring."""
    assert templates.count_fields(templates.mapping(text_search=True)) <= templates.OWN_FIELDS
    assert templates.FIELD_LIMIT - templates.OWN_FIELDS == templates.DYNAMIC_FIELDS == 2000


def test_text_search() -> None:
    """The field is in new indices, and is added to those that exist, only if the setting asks for it."""
    asked, others = (
        templates.wanted(Settings(text_search=search))[templates.TEMPLATE_NAME]["template"]["mappings"]
        for search in (True, False)
    )
    added = templates.additions(others, text_search=True)
    assert added == {
        "properties": {part: {"properties": {"searchable_text": {"type": "text"}}} for part in ("request", "response")}
    }
    assert templates.additions(asked, text_search=True) == templates.additions(others) == {}
