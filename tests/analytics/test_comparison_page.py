"""The page of a comparison has the terminal's words, with or without warnings, and names are never markup."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from request_logger.analytics.contrasts import Contrast, Form
from request_logger.analytics.page import comparison_page
from request_logger.analytics.verdict import contrast_as_json, verdict
from request_logger.commands.compare import lines
from request_logger.scoring.registry import build

ACCURACY = next(metric for metric in build("multiclass", {}).metrics if metric.name == "accuracy")


def comparison(form: Form, **more: Any) -> dict[str, Any]:
    contrast = Contrast(0.05, 0.03, (1000, 800), (0.2, 0.3), "t")
    values = {side: {"value": 0.9, "n": 1000} for side in "ab"}
    return {
        "indices": "inference-log-*",
        "by": "Ce-Modelid.keyword",
        "scorer": "multiclass",
        "form": form.value,
        "a": {"name": "<b>old</b>", "documents": 1000, "predictions": 4000},
        "b": {"name": "new", "documents": 800, "predictions": 3000},
        "metrics": [
            {"name": "accuracy", **values, **contrast_as_json(contrast, form)},
            {"name": "f1_micro", **values, "same_question": "accuracy"},
            {"name": "auc", **values, "reason": "one of the two has no negatives"},
            {"name": "r2", **values},
        ],
        "verdict": verdict(("<b>old</b>", "new"), ACCURACY, contrast, form, delta=0.02),
        **more,
    }


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"warnings": ["the traffic is not split 50:50"], "left_out": [{"index": "i", "reason": "closed"}]},
        {"traffic": {"feedback": {"a": 0.5, "b": 0.3, "p_value": 1e-9}}, "together": True},
        {"paired": {"pairs": 9, "way": "row", "cut": True, "reason": "few"}, "together": True},
        {"folds": {"difference": 0.1, "low": 0.0, "high": 0.2, "p_value": 0.05, "test": "jackknife over folds"}},
    ],
)
def test_the_page_says_what_the_terminal_says(form: Form, more: dict[str, Any]) -> None:
    found = comparison(form, **more)
    page = comparison_page(found)
    assert "<b>old" not in page
    text = html.unescape(re.sub(r"<[^>]*>", "\n", page))
    head, *rest = lines(found)
    assert head in text
    # The terminal aligns numbers by blanks, and its warnings are louder.
    assert set("\n".join(rest).lower().split()) <= set(text.lower().split())
