"""How many rows a prediction has, by what is stored of it or by its feedback."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.documents.row_counts import batch_rows, embedded_rows, rows_of_feedback
from request_logger.payloads.flat import Flat

TWO_ROWS = {"data": {"ndarray": [[1], [2]]}}
THREE_NUMBERS = {"data": {"ndarray": [0, 0, 1]}}


@pytest.mark.parametrize(
    ("feedback", "rows", "embedded"),
    [
        ({}, 1, 0),
        ({"reward": 1}, 1, 0),
        ({"reward": []}, 1, 0),
        ({"reward": [1, 0, 1]}, 3, 0),
        ({"truth": TWO_ROWS}, 2, 0),
        ({"truth": TWO_ROWS, "reward": [1, 0, 1]}, 3, 0),
        ({"truth": None, "reward": [1, 0]}, 2, 0),
        ({"truth": {"data": "unknown"}}, 1, 0),
        ({"response": TWO_ROWS}, 2, 2),
        ({"response": TWO_ROWS, "truth": {"data": {"ndarray": [1]}}}, 2, 2),
        ({"response": {"data": "unknown"}}, 1, 0),
        ({"instance": [1, 2, 3, 4], "dataType": "tabular"}, 4, 4),
        ({"instance": 7, "dataType": "number"}, 1, 0),
        ({"instance": [1, 2], "dataType": "json"}, 1, 0),
        ({"instance": [1, 2]}, 1, 0),
    ],
)
def test_rows_of_a_feedback(feedback: dict[str, Any], rows: int, embedded: int) -> None:
    """The most that any of its fields says; the fields of a JSON object that isn't decoded say nothing."""
    assert (rows_of_feedback(feedback), embedded_rows(feedback)) == (rows, embedded)


def test_a_flat_array() -> None:
    """It is a batch, or one row where the event or the scorer says so."""
    feedback = {"truth": THREE_NUMBERS, "response": THREE_NUMBERS}
    assert (rows_of_feedback(feedback), embedded_rows(feedback)) == (3, 3)
    assert (rows_of_feedback(feedback, Flat.ROW), embedded_rows(feedback, Flat.ROW)) == (1, 1)


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        ({}, 1),
        ({"request": {"rows": 3}}, 3),
        ({"request": {"rows": 3}, "response": {"rows": 5}}, 5),
        ({"response": {"payload": TWO_ROWS}}, 2),
        ({"request": {"payload": TWO_ROWS, "rows": 1}}, 1),
        ({"request": "text", "response": {"payload": None}}, 1),
    ],
)
def test_rows_of_a_batch(first: dict[str, Any], rows: int) -> None:
    """By the first row's field, in documents of the original by the payload."""
    assert batch_rows(first) == rows
