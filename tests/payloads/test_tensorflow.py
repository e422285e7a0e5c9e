"""TensorFlow Serving's and KServe V1's bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.payloads import Decoded, UndecodableError, decode_body


def decode(body: dict[str, Any]) -> Decoded:
    return decode_body(json.dumps(body).encode())


@pytest.mark.parametrize("key", ["instances", "predictions", "inputs", "outputs"])
@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([1, 2.5], "number"),
        (["a", "b"], "text"),
        ([[1], [2]], "number"),
        ([[1, 0.5], [2, 1]], "tabular"),
        ([[1, 2], [3]], "text"),
        ([[[1, 2]]], "tabular"),
        ([[[[1, 2]]]], "image"),
        ([{"x": [1], "y": "a"}], "text"),
        ([{"b64": "aGk="}], "text"),
        ([[{"b64": "aGk="}, 1]], "tabular"),
        ([None, 1], "number"),
    ],
)
def test_rows_stay_as_they_came(key: str, rows: list[Any], kind: str) -> None:
    """Integers stay integers; a list of rows has no names."""
    decoded = decode({key: rows})
    assert json.dumps([item.instance for item in decoded.items]) == json.dumps(rows)
    assert (decoded.data_type, decoded.names, decoded.has_elements) == (kind, None, True)
    assert all(item.elements is None for item in decoded.items)


def test_single_value_is_one_row() -> None:
    """Models written by hand answer so."""
    assert [item.instance for item in decode({"predictions": 5}).items] == [5]


def test_not_a_number_is_null() -> None:
    """As a literal and in the form that the payload is stored in."""
    assert decode_body(b'{"predictions":[[1,NaN]]}').items[0].instance == [1, None]
    assert decode({"predictions": [[1, "NaN"]]}).items[0].instance == [1, None]


def test_other_fields_go_to_the_top() -> None:
    """All but the names of the document's own fields, and the names of columns beside Seldon's data."""
    decoded = decode({"signature_name": "s", "id": 5, "names": ["a"], "ce-time": "no", "instances": [1]})
    assert decoded.fields == {"signature_name": "s", "id": 5, "names": ["a"]}
    assert decode({"instances": [1], "data": {"names": ["a"]}}).fields == {"names": ["a"]}


@pytest.mark.parametrize(
    ("columns", "kind", "names", "rows", "elements"),
    [
        ({"x": [[1, 2], [3, 4]]}, "tabular", ["x"], [[1, 2], [3, 4]], [{"x": [1, 2]}, {"x": [3, 4]}]),
        ({"x": [[1], [2]]}, "number", ["x"], [[1], [2]], [{"x": 1}, {"x": 2}]),
        ({"x": ["a"]}, "text", ["x"], ["a"], [{"x": "a"}]),
        (
            {"x": [[1], [2]], "y": ["a", "b"]},
            "tabular",
            ["x", "y"],
            [[1, "a"], [2, "b"]],
            [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}],
        ),
        ({"x": [[1, 2]], "y": [5]}, "tabular", ["x", "y"], [[[1, 2], 5]], [{"x": [1, 2], "y": 5}]),
        ({"x": [[[[1]]]], "y": [5]}, "image", ["x", "y"], [[[[[1]]], 5]], [{"x": [[[1]]], "y": 5}]),
        ({"x": [1, 2], "n": [3]}, "json", ["x", "n"], [[[1, 2], [3]]], [{"x": [1, 2], "n": [3]}]),
        ({"x": 1, "y": 2}, "json", ["x", "y"], [[1, 2]], [{"x": 1, "y": 2}]),
        ({"x": ["NaN", 1]}, "number", ["x"], [None, 1], [{"x": None}, {"x": 1}]),
    ],
)
def test_columns(columns: dict[str, Any], kind: str, names: list[str], rows: list[Any], elements: list[Any]) -> None:
    """An object of columns is turned to rows; columns of different lengths make one."""
    for key in ("inputs", "outputs"):
        decoded = decode({key: columns, "signature_name": "s"})
        assert (decoded.data_type, decoded.names, decoded.fields) == (kind, names, {"signature_name": "s"})
        assert [item.instance for item in decoded.items] == rows
        assert [item.elements for item in decoded.items] == elements


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"instances": []}, "instances: no rows"),
        ({"instances": None}, "instances: expected a list of rows"),
        ({"inputs": {}}, "inputs: no columns"),
        ({"inputs": {"x": []}}, "inputs: no rows"),
        ({"inputs": {"x": [1], "y": []}}, "inputs: no rows"),
    ],
)
def test_refuses(body: dict[str, Any], reason: str) -> None:
    """A body without rows."""
    with pytest.raises(UndecodableError) as caught:
        decode(body)
    assert str(caught.value) == reason
