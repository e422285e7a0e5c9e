"""Every recorded case of the original program: its documents' rows are ours, but for the differences listed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.payloads import Decoded, UndecodableError, decode_body

GOLDEN = {path.stem: path for path in sorted((Path(__file__).parents[1] / "data" / "golden").glob("*.json"))}

MERGED = "the original merges a second event with the same id into the first: stale content stays"
METADATA = "the names come from the deployment's metadata, which is not this package's matter"
ALL_TENSORS = "the original keeps the first tensor only"
SINGLE_VALUES = "the original gives every name the whole row"
MODEL = "the original drops the name and the version of the model that answered"

# (case, part, field) -> why ours differs. An entry without a difference fails the test.
DIFFERENCES = {
    ("reference_has_datatype", "request", "payload"): "reference data is stored without its payload",
    ("seldon_ndarray_1d_names_many", "request", "elements"): SINGLE_VALUES,
    ("seldon_tensor_1d_names_many", "response", "elements"): SINGLE_VALUES,
    ("seldon_ndarray_ragged", "request", "elements"): SINGLE_VALUES,
    ("env_index_name", "request", "elements"): MERGED,
    ("modelid_per_node", "request", "elements"): MERGED,
    ("ns_collision", "request", "elements"): MERGED,
    ("seldon_same_id_other_payload", "request", "instance"): MERGED,
    ("seldon_same_id_other_payload", "request", "payload"): MERGED,
    ("metadata_image", "request", "elements"): METADATA,
    ("metadata_image", "response", "elements"): METADATA,
    ("metadata_kf_instances", "request", "elements"): METADATA,
    ("metadata_kf_instances", "response", "elements"): METADATA,
    ("metadata_mixed_batch", "request", "elements"): METADATA,
    ("metadata_mixed_batch", "response", "elements"): METADATA,
    ("metadata_text", "request", "elements"): METADATA,
    ("metadata_text", "response", "elements"): METADATA,
    ("metadata_v2", "request", "elements"): METADATA,
    ("v2_multi_inputs_same_type", "request", "dataType"): ALL_TENSORS,
    ("v2_multi_inputs_same_type", "request", "elements"): ALL_TENSORS,
    ("v2_multi_inputs_same_type", "request", "instance"): ALL_TENSORS,
    ("v2_multi_inputs_same_type", "request", "names"): ALL_TENSORS,
    ("v2_fp32_single", "response", "model_name"): MODEL,
    ("v2_fp32_single", "response", "model_version"): MODEL,
    ("v2_kf_type", "response", "model_name"): MODEL,
    ("v2_kf_type", "response", "model_version"): MODEL,
    ("v2_outputs_beside_inputs", "response", "model_name"): MODEL,
    ("v2_outputs_beside_inputs", "response", "model_version"): MODEL,
}

# The bodies that have no rows, with the reason that is stored beside them.
UNDECODABLE = {
    "body_binary": "body is not JSON: str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)",
    "body_empty": "empty body",
    "body_invalid_json": "body is not JSON: unexpected end of data: line 1 column 11 (char 10)",
    "body_json_empty_object": "message of no known protocol: it has the fields []",
    "body_json_number": "body is JSON but no object: 5",
    "body_json_string_plain": "body is JSON but no object: 'hello'",
    "body_protobuf": "data.tensor: shape [1] does not fit 0 values",
    "body_text": "body is not JSON: unexpected character, expected a JSON value: line 1 column 1 (char 0)",
    "seldon_tensor_bad_shape": "data.tensor: shape [2, 3] does not fit 4 values",
    "tf_instances_empty": "instances: no rows",
    "v2_no_inputs": "inputs: no rows",
    "v2_unknown_datatype": "inputs[0] 'x': unknown datatype 'STRING', expected one of BF16, BOOL, BYTES, FP16, FP32, "
    "FP64, INT16, INT32, INT64, INT8, UINT16, UINT32, UINT64, UINT8",
}

# What the original lost and ours has: (data type, first instance, first elements).
FIXED = {
    "body_gzip": ("number", [1.0], {"a": 1.0}),
    "body_has_datatype": ("number", [1.0], None),
    "conflict_mixed_int_float_row": ("tabular", [3.0, 1.0, 12.5], {"a": 3.0, "b": 1.0, "c": 12.5}),
    "seldon_bindata": ("image", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw==", None),
    "seldon_ndarray_mixed_no_names": ("tabular", [1.0, "a", True, None], None),
    "seldon_ndarray_nan": ("number", [None], {"a": None}),
    "seldon_ndarray_null": ("tabular", [None, 2.0], {"p": None, "q": 2.0}),
    "seldon_ndarray_scalar": ("number", 5.0, {"a": 5.0}),
    "seldon_tftensor_snake": ("tabular", [1.5, 2.5], None),
    "seldon_two_oneofs": ("number", [1.0], {"a": 1.0}),
    "seldon_unknown_field": ("number", [1.0], {"a": 1.0}),
    "tf_inputs_columnar": ("tabular", [1, 2], {"x": [1, 2]}),
    "tf_outputs_columnar": ("tabular", [1, 2], {"y": [1, 2]}),
    "v2_bytes_ints": ("text", "hi!", None),
    "v2_bytes_response": ("text", "label", None),
    "v2_bytes_strings": ("text", "good", None),
    "v2_multi_inputs": ("tabular", [5, 1.5], {"age": 5, "pay": 1.5}),
}


def events_of(case: dict[str, Any]) -> Iterator[tuple[str, str, bytes, str | None, bool]]:
    """Give request id, part, body, content type and whether the type is a reference, of each prediction event."""
    for event in case["events"]:
        headers = event["headers"]
        kind = headers.get("Ce-Type", "").rstrip("!")
        part = kind.rpartition(".")[2]
        if part in ("request", "response"):
            raw = event["body"].encode() if "body" in event else base64.b64decode(event["body_b64"])
            request_id = headers.get("Ce-Requestid") or headers.get("Ce-Id", "")
            yield request_id, part, raw, headers.get("Content-Type"), ".reference." in kind


def parts_of(decoded: Decoded, request_id: str, *, with_payload: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give document id and part, as the original lays them out, of each row."""
    for row, item in enumerate(decoded.items):
        part: dict[str, Any] = {**decoded.fields, "dataType": decoded.data_type, "instance": item.instance}
        if decoded.names is not None:
            part["names"] = decoded.names
        if decoded.has_elements:
            part["elements"] = item.elements
        if decoded.has_payload and with_payload:
            part["payload"] = decoded.payload
        yield (request_id if len(decoded.items) == 1 else f"{request_id}-item-{row}"), part


def load(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(GOLDEN[name].read_text())
    return case


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_are_those_of_the_recorded_documents(name: str) -> None:
    """Field by field, types of numbers included, for each document of each case."""
    case = load(name)
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    for request_id, part, raw, content_type, is_reference in events_of(case):
        try:
            decoded = decode_body(raw, content_type)
        except UndecodableError:
            continue
        for document_id, content in parts_of(decoded, request_id, with_payload=not is_reference):
            ours[document_id, part] = content

    differing = set()
    for document in case["documents"]:
        for part in {"request", "response"} & document["source"].keys():
            recorded = {
                key: value for key, value in document["source"][part].items() if key not in ("ce-time", "ce-source")
            }
            content = ours[document["id"], part]
            for key in recorded.keys() | content.keys():
                # As text, so that 1 and 1.0, and true and 1, are not the same.
                pair = [json.dumps(side.get(key, "(absent)"), sort_keys=True) for side in (recorded, content)]
                if pair[0] != pair[1]:
                    differing.add((name, part, key))
    assert differing == {entry for entry in DIFFERENCES if entry[0] == name}


@pytest.mark.parametrize("name", GOLDEN)
def test_only_the_listed_bodies_are_undecodable(name: str) -> None:
    """Each event of a prediction has rows, or the reason listed."""
    reasons = []
    for _, _, raw, content_type, _ in events_of(load(name)):
        try:
            assert decode_body(raw, content_type).items
        except UndecodableError as error:
            reasons.append(str(error))
    assert reasons == ([UNDECODABLE[name]] if name in UNDECODABLE else [])


@pytest.mark.parametrize("name", FIXED)
def test_what_the_original_lost_is_decoded(name: str) -> None:
    """The defects of the original that are about bodies."""
    decoded = next(decode_body(raw, content_type) for _, _, raw, content_type, _ in events_of(load(name)))
    first = decoded.items[0]
    assert json.dumps([decoded.data_type, first.instance, first.elements]) == json.dumps(FIXED[name])


def test_tables_name_existing_cases() -> None:
    """No entry outlives its case."""
    assert {entry[0] for entry in DIFFERENCES} | UNDECODABLE.keys() | FIXED.keys() <= GOLDEN.keys()
