"""The recorded cases of Seldon's MetricsServer: each pair gives the counts of the textbook.

The counts that the original exposed are in the cases too. They differ where it was wrong: it took only a batch's
first row, read 0.99 as class 0, took a class index for a one-hot list, and counted a true negative of the right class.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from request_logger.scoring.registry import build
from scorers.base import Row, UnscorableError

CASES = Path(__file__).parent.parent / "data" / "golden_metrics"

TP, TN, FP, FN = "true_positive", "true_negative", "false_positive", "false_negative"
YES = {TP: ["CLASS_1"]}
NO = {TN: ["CLASS_1"]}
MISSED = {FN: ["CLASS_1"]}
ALARM = {FP: ["CLASS_1"]}


def right(label: str) -> dict[str, list[str]]:
    """The cells of a right answer of several classes."""
    return {TP: [label]}


def wrong(truth: str, prediction: str) -> dict[str, list[str]]:
    """The cells of a wrong answer of several classes."""
    return {FN: [truth], FP: [prediction]}


# One entry a row of a case; a text is part of the reason why a row can't be scored.
EXPECTED: dict[str, list[dict[str, list[str]] | str]] = {
    "binary_2d_one": [YES],
    "binary_2d_two_columns": [YES],
    "binary_batch": [YES, ALARM, MISSED],
    "binary_bool": [MISSED],
    "binary_class_two": [{TP: ["CLASS_2"]}],
    "binary_class_two_against_one": [{FN: ["CLASS_2"]}],
    "binary_content_type_text": [YES],
    "binary_duplicate": [YES],
    "binary_event_type_default": [YES],
    "binary_float_classes": [MISSED],
    "binary_metrics_bad_name": [YES],
    "binary_metrics_in_truth_bad_value": [YES],
    "binary_no_ce_headers": [YES],
    "binary_no_ce_id": [YES],
    "binary_no_reply_url": [YES],
    "binary_probability": [YES],
    "binary_reply_500": [YES],
    "binary_request_embedded": [YES],
    "binary_request_embedded_bad": [YES],
    "binary_reward_ignored": [YES],
    "binary_scalar_ndarray": [YES],
    "binary_specversion_03": [YES],
    "binary_string_digits": [YES],
    "binary_tensor": [YES],
    "binary_tn": [NO],
    "binary_tp": [YES],
    "binary_truth_half": ["neither of two classes"],
    "binary_wrong_protocol": [YES],
    "numeric_2d_against_1d": [right("CLASS_7")],
    "numeric_2d_one": [right("CLASS_7")],
    "numeric_batch": [right("CLASS_1"), wrong("CLASS_2", "CLASS_9"), wrong("CLASS_3", "CLASS_9")],
    "numeric_bool": [right("CLASS_1")],
    "numeric_float_text": [wrong("CLASS_0.1", "CLASS_0.30000000000000004")],
    "numeric_int_float": [right("CLASS_1")],
    "numeric_mixed_array": [right("CLASS_1")],
    "numeric_nan": ["nan is not a class"],
    "numeric_null": ["the truth is null"],
    "numeric_string_quotes": [wrong('a"b\\c\nd', "x")],
    "numeric_strings": [wrong("cat", "dog")],
    "numeric_strings_equal": [right("cat")],
    "numeric_wrong": [wrong("CLASS_4", "CLASS_8")],
    "onehot_batch": [right("CLASS_0"), wrong("CLASS_1", "CLASS_0")],
    "onehot_bool": [right("CLASS_1")],
    "onehot_class_index_truth": [right("CLASS_2")],
    "onehot_correct": [right("CLASS_2")],
    "onehot_lengths_differ": [wrong("CLASS_2", "CLASS_3")],
    "onehot_many": [
        right("CLASS_0"),
        wrong("CLASS_1", "CLASS_0"),
        right("CLASS_2"),
        wrong("CLASS_0", "CLASS_1"),
        right("CLASS_0"),
    ],
    "onehot_nan_last": ["column 1 of the prediction is nan"],
    "onehot_null": ["column 0 of the truth is None"],
    "onehot_ragged": [right("CLASS_1")],
    "onehot_tie": [wrong("CLASS_1", "CLASS_0")],
    "onehot_wrong": [wrong("CLASS_2", "CLASS_3")],
}


def rows(message: Any) -> list[Any]:
    """Take a message's array apart into rows; [] where it has none."""
    data = message.get("data", {}) if isinstance(message, dict) else {}
    if "tensor" in data:
        return data["tensor"]["values"] if data["tensor"]["shape"][0] == len(data["tensor"]["values"]) else []
    array = data.get("ndarray", [])
    return array if isinstance(array, list) else [array]


def pairs(case: dict[str, Any]) -> list[tuple[Any, Any]]:
    """All (truth, response) rows of the distinct events of a case that have both."""
    found: list[tuple[Any, Any]] = []
    for body in dict.fromkeys(event.get("body", "") for event in case["events"]):
        content = json.loads(body) if body else None
        if isinstance(content, dict) and "response" in content:
            found += zip(rows(content.get("truth")), rows(content["response"]), strict=False)
    return found


def load(path: Path) -> dict[str, Any]:
    """Read a case."""
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return case


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_counts_are_those_of_the_textbook(path: Path) -> None:
    """Every case that has a truth and a response is expected, and gives what is expected."""
    case = load(path)
    scorer = build(case["scorer"], {})
    expected = EXPECTED.get(path.stem, [])
    found = pairs(case)
    assert len(found) == len(expected)
    for (truth, response), cells in zip(found, expected, strict=True):
        if isinstance(cells, str):
            with pytest.raises(UnscorableError, match=cells):
                scorer.score(Row(truth), Row(response))
        else:
            fields = scorer.score(Row(truth), Row(response))
            assert {cell: fields[cell] for cell in (TP, TN, FP, FN) if cell in fields} == cells
