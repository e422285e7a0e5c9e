"""Binary answers have one positive class, or a warning."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.analytics.positive_class import positive_class_warnings


@pytest.mark.parametrize("task", [{"scorer": "binary", "positive_class": "1"}, {"scorer": "regression"}])
def test_one_class(task: dict[str, Any]) -> None:
    """Is as it should be."""
    assert positive_class_warnings([task], "demo/iris") == []


def test_several_classes() -> None:
    """The figures are of none of them; the command scores all documents by one."""
    task = {"scorer": "binary", "positive_classes": ["no", "yes it is"]}
    (warning,) = positive_class_warnings([task], "demo/iris")
    assert warning.startswith("binary took each of no, yes it is as the positive class of some documents:")
    assert warning.endswith("request-logger rescore --in demo/iris --scorer 'binary:positive_label=yes it is'.")
