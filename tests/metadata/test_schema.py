"""Schemas name what the original's documents name, and never more than fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.batches import rows_of
from request_logger.metadata import Schema, apply_schema, parse_schema
from request_logger.payloads import decode_body

DATA = Path(__file__).parents[1] / "data"
CASES = ["image", "kf_instances", "mixed_batch", "text", "v2"]


def schema_of(name: str) -> Schema:
    models = json.loads((DATA / "metadata/models.json").read_text())["models"]
    schema, problems = parse_schema(next(model for model in models if model["name"] == name)["predictionSchema"])
    assert not problems
    return schema


def deployed(name: str) -> Schema:
    runtime = json.loads((DATA / "metadata/runtime.json").read_text())["runtimeMetadata"]
    (found,) = (entry for entry in runtime if entry["deploymentName"] == name)
    return schema_of(found["modelUri"].removeprefix("gs://models/"))


def elements(schema: Schema, body: Any, side: str = "request") -> list[Any]:
    decoded = apply_schema(decode_body(json.dumps(body).encode(), "application/json"), schema, side)  # type: ignore[arg-type]
    return [item.elements for item in decoded.items]


@pytest.mark.parametrize("case", CASES)
def test_elements_are_those_of_the_original(case: str) -> None:
    golden = json.loads((DATA / f"golden/metadata_{case}.json").read_text())
    for event in golden["events"]:
        headers = event["headers"]
        side = headers["Ce-Type"].rpartition(".")[2]
        raw = event["body"].encode()
        schema = deployed(headers["Ce-Inferenceservicename"])
        rows = rows_of(apply_schema(decode_body(raw), schema, side), keep="all", size=len(raw))
        expected = [document["source"][side] for document in golden["documents"]]
        assert expected
        for row, stored in zip(rows, expected, strict=True):
            # The original has no count of rows.
            row.pop("rows", None)
            assert row | {name: stored[name] for name in ("ce-time", "ce-source")} == stored


def test_drift_by_feature_is_that_of_the_original() -> None:
    golden = json.loads((DATA / "golden/metadata_drift_feature.json").read_text())
    data = json.loads(golden["events"][0]["body"])["data"]
    stored = golden["documents"][0]["source"]["drift"]["data"]
    schema = deployed("g-md-loan-drift")
    assert schema.by_feature(data["distance"]) == stored["feature_distance"]
    assert schema.by_feature(data["p_val"]) == stored["feature_p_val"]


def test_drift_groups_columns_and_names_what_is_beyond_by_position() -> None:
    assert schema_of("mixed").by_feature([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == {
        "Colour": {"red": 0.1, "green": 0.2},
        "Size": 0.3,
        "Note": 0.4,
        "Weight": 0.5,
        "feature_5": 0.6,
    }
    assert schema_of("loan").by_feature([0.1]) == {"Years": 0.1}


def test_fewer_columns_name_what_can_be_named() -> None:
    assert elements(deployed("g-md-loan-few"), {"data": {"ndarray": [[3, 1]]}}) == [{"Years": 3.0, "Job": "clerk"}]
    assert elements(schema_of("mixed"), {"data": {"ndarray": [[1.0]]}}) == [{"Colour": {"red": 1.0}}]


def test_more_columns_than_features_stay_unnamed() -> None:
    assert elements(schema_of("loan"), {"instances": [[3, 1, 2, 9]]}) == [{"Years": 3, "Job": "clerk", "Debt": 2}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "clerk"),
        (1.0, "clerk"),
        ("1", "clerk"),
        (True, "clerk"),
        ("clerk", "clerk"),
        (None, None),
        (7.0, "7"),
        (1.5, "1.5"),
        (False, "none"),
        ([1, [2, 0]], ["clerk", ["smith", "none"]]),
        (10**400, str(10**400)),
    ],
)
def test_a_category_is_found_however_its_value_is_written(value: Any, expected: Any) -> None:
    found = schema_of("loan").elements_of("request", [3.0, value, 1.0])
    assert found is not None
    assert found["Job"] == expected


def test_categories_that_are_numbers_with_a_point_or_booleans_are_found() -> None:
    schema, problems = parse_schema(
        {"requests": [{"name": "a", "type": "CATEGORICAL", "category_map": {"1.0": "one", True: "yes", 2: 3}}]}
    )
    assert not problems
    assert [schema.elements_of("request", [value]) for value in (1, True, 2.0)] == [
        {"a": "one"},
        {"a": "yes"},
        {"a": "3"},
    ]


def test_a_single_value_is_named_only_where_there_is_one_column() -> None:
    one, _ = parse_schema({"responses": [{"name": "Price", "type": "REAL"}]})
    assert elements(one, {"predictions": [1.5, 2.5]}, "response") == [{"Price": 1.5}, {"Price": 2.5}]
    assert elements(schema_of("loan"), {"predictions": [1.5, 2.5]}, "response") == [None, None]


def test_names_of_the_body_say_which_column_is_which() -> None:
    schema = schema_of("loan")
    expected = [{"Years": 3.0, "Job": "clerk", "Debt": 12.5}]
    reordered = {"data": {"names": ["Debt", "Years", "Job"], "ndarray": [[12.5, 3, 1]]}}
    assert elements(schema, reordered) == expected
    with_more = {"data": {"names": ["id", "Job", "Debt", "Years"], "ndarray": [[99, 1, 12.5, 3]]}}
    assert elements(schema, with_more) == expected
    fewer = {"data": {"names": ["Years", "Debt"], "ndarray": [[3, 12.5]]}}
    assert elements(schema, fewer) == [{"Years": 3.0, "Debt": 12.5}]


def test_other_names_of_the_body_give_way_to_the_schema() -> None:
    body = {"data": {"names": ["a", "b", "c"], "ndarray": [[3, 1, 12.5]]}}
    assert elements(schema_of("loan"), body) == [{"Years": 3.0, "Job": "clerk", "Debt": 12.5}]


def test_rows_that_are_objects_are_named_by_their_keys() -> None:
    body = {"instances": [{"Job": 2, "Years": 1}, {"else": 5}]}
    assert elements(schema_of("loan"), body) == [{"Years": 1, "Job": "smith"}, None]


def test_several_tensors_are_matched_by_name_and_by_position() -> None:
    def tensors(first: str, second: str) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": first, "datatype": "FP32", "shape": [2, 2], "data": [0, 1, 1, 0]},
                {"name": second, "datatype": "INT64", "shape": [2, 1], "data": [1, 0]},
            ]
        }

    schema, _ = parse_schema(
        {
            "requests": [
                {"name": "Colour", "type": "ONE_HOT", "schema": [{"name": "red"}, {"name": "green"}]},
                {"name": "Size", "type": "CATEGORICAL", "category_map": {"0": "small", "1": "large"}},
            ]
        }
    )
    expected = [
        {"Colour": {"red": 0.0, "green": 1.0}, "Size": "large"},
        {"Colour": {"red": 1.0, "green": 0.0}, "Size": "small"},
    ]
    assert elements(schema, tensors("Colour", "Size")) == expected
    assert elements(schema, tensors("x", "y")) == expected
    swapped = tensors("Colour", "Size")
    swapped["inputs"].reverse()
    assert elements(schema, swapped) == expected


def test_two_groups_may_have_categories_of_one_name() -> None:
    yes_no = [{"name": "no"}, {"name": "yes"}]
    schema, problems = parse_schema(
        {"responses": [{"name": n, "type": "PROBA", "schema": yes_no} for n in ("Repays", "Moves")]}
    )
    assert not problems
    assert elements(schema, {"predictions": [[0.1, 0.9, 0.8, 0.2]]}, "response") == [
        {"Repays": {"no": 0.1, "yes": 0.9}, "Moves": {"no": 0.8, "yes": 0.2}}
    ]


@pytest.mark.parametrize("body", [{"strData": "text"}, {"jsonData": {"Years": 1}}, {"binData": "AAEC"}])
def test_bodies_without_columns_are_left_alone(body: Any) -> None:
    decoded = decode_body(json.dumps(body).encode())
    assert apply_schema(decoded, schema_of("loan"), "request") is decoded


def test_without_a_schema_or_features_a_body_is_left_alone() -> None:
    decoded = decode_body(b'{"data": {"ndarray": [[3, 1]], "names": ["a", "b"]}}')
    assert apply_schema(decoded, None, "request") is decoded
    assert apply_schema(decoded, Schema(), "request") is decoded


def test_columns_of_different_lengths_are_named_by_name_only() -> None:
    body = {"outputs": {"Price": [[1], [2]], "boxes": [[1], [2], [3]]}}
    schema = schema_of("mixed")
    assert elements(schema, body, "response")[0]["Price"] == [[1], [2]]
    other = {"outputs": {"x": [[1], [2]], "boxes": [[1], [2], [3]]}}
    decoded = decode_body(json.dumps(other).encode())
    assert apply_schema(decoded, schema, "response") is decoded


def test_a_schema_with_mistakes_is_used_as_far_as_it_goes() -> None:
    schema, problems = parse_schema(
        {
            "requests": [
                {"name": "a", "type": "FOO"},
                {"type": "REAL"},
                "text",
                {"name": "b", "type": "ONE_HOT", "schema": [{"name": "x"}, {}]},
                {"name": "c", "type": "PROBA"},
                {"name": "d", "type": "CATEGORICAL", "categoryMap": [1]},
                {"name": "d"},
            ],
            "responses": "none",
        }
    )
    assert problems == [
        "requests: feature 1: type: expected one of PROBA, ONE_HOT, CATEGORICAL, REAL, INT, TEXT, TENSOR, found 'FOO'",
        "requests: feature 2: name: expected text, found nothing",
        "requests: feature 3: expected an object, found text",
        "requests: feature 4: schema: category 2: name: expected text, found nothing",
        "requests: feature 5: schema: expected a list of categories, each with a name, found nothing",
        "requests: feature 6: category_map: expected an object of values to categories, found a list",
        "requests: 'd' is the name of two features",
        "responses: expected a list of features, found text",
    ]
    assert schema.elements_of("request", [1, 2, 3, 4, 5, 6, 7, 8]) == {"a": 1, "b": {"x": 4}, "c": 6, "d": 8}


@pytest.mark.parametrize("value", [None, [], "text", 3, {}, {"requests": []}, {"requests": None}])
def test_what_is_no_schema_is_told(value: Any) -> None:
    schema, problems = parse_schema(value)
    assert len(problems) == 1
    assert schema.requests == schema.responses == ()
