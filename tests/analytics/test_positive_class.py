"""Binary answers have one positive class, or a warning."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.analytics.positive_class import positive_class, positive_class_warnings
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.analytics.tasks import Task
from tests.store.engine_double import answers_by_start

CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")
SHARDS = {"_shards": {"total": 1, "successful": 1, "failed": 0}}


@pytest.mark.parametrize("task", [{"scorer": "binary", "positive_class": "1"}, {"scorer": "regression"}])
def test_one_class(task: dict[str, Any]) -> None:
    """Is as it should be."""
    assert positive_class_warnings([task], "demo/iris") == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"true_positive": ["yes"], "false_negative": ["yes"]}, {"positive_class": "yes"}),
        ({"true_positive": ["yes"], "true_negative": ["no"]}, {"positive_classes": ["no", "yes"]}),
        ({}, {}),
    ],
)
def test_the_names_in_the_documents(names: dict[str, list[str]], found: dict[str, Any]) -> None:
    """The four cells of the matrix have the name of the positive class."""
    cells = {cell: {"buckets": [{"key": name, "doc_count": 1} for name in each]} for cell, each in names.items()}
    answer = {"aggregations": {**{cell: {"buckets": []} for cell in CELLS}, **cells}, "hits": {"hits": []}, **SHARDS}
    runner = QueryRunner(answers_by_start({"/": answer}))
    assert positive_class(runner, Scope("a"), Task("binary", 2, ())) == found
    assert positive_class(runner, Scope("a"), Task("multiclass", 2, ())) == {}


def test_several_classes() -> None:
    """The figures are of none of them; the command scores all documents by one."""
    task = {"scorer": "binary", "positive_classes": ["no", "yes it is"]}
    (warning,) = positive_class_warnings([task], "demo/iris")
    assert warning.startswith("binary took each of no, yes it is as the positive class of some documents:")
    assert warning.endswith("request-logger rescore --in demo/iris --scorer 'binary:positive_label=yes it is'.")
