"""Which field a name given by a user stands for, by what the engine says of the indices' mappings."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fields import find_field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from tests.store.engine_double import answers_by_start

JOB = "request.elements.job"
KEYWORD = {"keyword": {"aggregatable": True}}
IN_ALL = KEYWORD
IN_SOME = {**KEYWORD, "unmapped": {"aggregatable": False, "indices": ["b", "c"]}}
IN_MOST = {**KEYWORD, "unmapped": {"aggregatable": False, "indices": ["c"]}}
TEXT = {"text": {"aggregatable": False}}
NO_DOCUMENTS = {"hits": {"hits": [], "total": {"value": 0}}, "_shards": {"total": 0, "successful": 0}}


def found(fields: dict[str, Any], name: str = "job") -> str:
    """The path of the field."""
    # No document is found, so none says which of several fields is in use.
    runner = QueryRunner(answers_by_start({"/": {"fields": fields, **NO_DOCUMENTS}}))
    return find_field(runner, Scope("a,b,c"), name).path


@pytest.mark.parametrize(
    ("subfield", "field", "suffix"),
    [
        (IN_ALL, IN_ALL, ".keyword"),
        (IN_ALL, TEXT, ".keyword"),
        (IN_SOME, IN_ALL, ""),
        (IN_SOME, IN_MOST, ""),
        (IN_MOST, IN_SOME, ".keyword"),
        (IN_SOME, TEXT, ".keyword"),
        (None, IN_ALL, ""),
    ],
)
def test_the_one_that_more_indices_have(subfield: Any, field: Any, suffix: str) -> None:
    """New indices have fewer subfields than old ones: no index is left out where the field itself will do."""
    fields = {f"{JOB}.keyword": subfield, JOB: field}
    assert found({name: caps for name, caps in fields.items() if caps}) == f"{JOB}{suffix}"


def test_an_earlier_place_counts_more() -> None:
    """An element of the request, although more indices have one of the response."""
    assert found({JOB: IN_SOME, "response.elements.job.keyword": IN_ALL}) == JOB


def test_a_field_that_no_index_can_group_by() -> None:
    with pytest.raises(BadQueryError, match="'job'"):
        found({JOB: TEXT})


def test_an_alias_that_no_document_has() -> None:
    """`model` is the node of a graph; answers of language models have an element of that name."""
    fields = {"Ce-Modelid": IN_ALL, "response.elements.model": IN_ALL}
    used = {"aggregations": {"0": {"doc_count": 0}, "1": {"doc_count": 2}}, "hits": {"total": {"value": 2}, "hits": []}}
    shards = {"total": 1, "successful": 1, "failed": 0}
    runner = QueryRunner(answers_by_start({"/": {"fields": fields, "_shards": shards, **used}}))
    assert find_field(runner, Scope("a"), "model").path == "response.elements.model"
    assert found(fields, "model") == "Ce-Modelid"
