"""Where our documents differ from the recorded ones: case, field and reason, each once.

`docs/compatibility.md` says the same for users; tests compare both, and fail where an entry goes stale.
"""

from __future__ import annotations


def rows(count: int, *parts: str) -> list[str]:
    """Name the field `rows` of the first rows of a batch."""
    return [f"r1-item-{row}: {part}.rows" for row in range(count) for part in parts]


# Reason -> case -> fields. "new document": the original stored none; "no document": ours is elsewhere.
TABLE: dict[str, dict[str, list[str]]] = {
    "`@timestamp` is the request's time; in the original it is the time of the part that arrived last": {
        "body_json_string": ["@timestamp"],
        "env_seldon_environment": ["@timestamp"],
        "feedback_batch": ["r1-item-0: @timestamp", "r1-item-1: @timestamp"],
        "feedback_before_response": ["@timestamp"],
        "feedback_reward_float": ["@timestamp"],
        "feedback_truth_ndarray": ["@timestamp"],
        "metadata_image": ["@timestamp"],
        "metadata_kf_instances": ["r1-item-0: @timestamp", "r1-item-1: @timestamp"],
        "metadata_mixed_batch": ["r1-item-0: @timestamp", "r1-item-1: @timestamp"],
        "metadata_text": ["@timestamp"],
        "outlier_batch_scores": ["r1-item-0: @timestamp"],
        "outlier_single": ["@timestamp"],
        "seldon_ndarray_4d_image": ["@timestamp"],
        "seldon_ndarray_named_batch": ["r1-item-0: @timestamp", "r1-item-1: @timestamp", "r1-item-2: @timestamp"],
        "seldon_ndarray_named_single": ["@timestamp"],
        "seldon_ndarray_text_one": ["@timestamp"],
        "seldon_meta_empty": ["@timestamp"],
        "seldon_strdata": ["@timestamp"],
        "tf_instances_batch_kf": ["r1-item-0: @timestamp", "r1-item-1: @timestamp"],
        "tf_instances_cifar_size": ["@timestamp"],
        "v2_fp32_single": ["@timestamp"],
        "v2_kf_type": ["@timestamp"],
    },
    "feedback is scored: the document has `metrics`": {
        "env_seldon_environment": ["metrics"],
        "feedback_batch": ["r1-item-0: metrics", "r1-item-1: metrics"],
        "feedback_before_response": ["metrics"],
        "feedback_reward_float": ["metrics"],
        "feedback_truth_metrics": ["metrics"],
        "feedback_truth_ndarray": ["metrics"],
    },
    "a body that the original can't decode is decoded, or stored unchanged with the reason": {
        "body_binary": ["new document"],
        "body_empty": ["new document"],
        "body_gzip": ["new document"],
        "body_has_datatype": ["new document"],
        "body_invalid_json": ["new document"],
        "body_json_empty_object": ["new document"],
        "body_json_number": ["new document"],
        "body_json_string_plain": ["new document"],
        "body_protobuf": ["new document"],
        "body_text": ["new document"],
        "metadata_columns_fewer": ["new document"],
        "outlier_scalar": ["new document"],
        "seldon_bindata": ["new document"],
        "seldon_ndarray_nan": ["new document"],
        "seldon_ndarray_scalar": ["new document"],
        "seldon_status_failure": ["new document"],
        "seldon_tensor_bad_shape": ["new document"],
        "seldon_tftensor_snake": ["new document"],
        "seldon_two_oneofs": ["new document"],
        "seldon_unknown_field": ["new document"],
        "tf_inputs_columnar": ["new document"],
        "tf_instances_empty": ["new document"],
        "tf_outputs_columnar": ["new document"],
        "v2_bytes_ints": ["new document"],
        "v2_bytes_response": ["new document"],
        "v2_bytes_strings": ["r1-item-0: new document", "r1-item-1: new document"],
        "v2_no_inputs": ["new document"],
        "v2_unknown_datatype": ["new document"],
    },
    "an event that the original's dynamic mapping rejects is stored": {
        "body_deep": ["new document"],
        "body_wide": ["new document"],
        "conflict_batch_object_rows": ["r1-item-0: new document", "r1-item-1: new document", "r1-item-2: new document"],
        "conflict_embedded_feedback": ["r2: new document"],
        "conflict_field_growth": ["r4: new document", "r5: new document"],
        "conflict_image_int_pixels": ["new document"],
        "conflict_instance_shape": ["r2: new document"],
        "conflict_jsondata_scalar_then_object": ["r2: new document"],
        "conflict_meta_tags": ["r2: new document"],
        "conflict_mixed_int_float_row": ["new document"],
        "conflict_mixed_int_float_truth": ["new document"],
        "conflict_mixed_int_float_until_pure": ["r1: new document", "r2: new document"],
        "conflict_ndarray_date_then_text": ["r2: new document"],
        "conflict_strdata_date_then_text": ["r2: new document"],
        "seldon_names_dot_conflict": ["new document"],
        "seldon_ndarray_mixed_no_names": ["new document"],
        "seldon_ndarray_mixed_text_first": ["r1-item-0: new document", "r1-item-1: new document"],
        "seldon_ndarray_null": ["new document"],
        "v2_multi_inputs": ["new document"],
    },
    "an index name, id or time that a search engine rejects is converted to one that it accepts": {
        "drift_no_source": ["new document"],
        "header_time_invalid": ["new document"],
        "header_time_space": ["new document"],
        "id_long": ["new document"],
        "ns_colon": ["new document"],
        "ns_space": ["new document"],
        "ns_star": ["r2: new document"],
        "svc_uppercase": ["new document"],
    },
    "a body over MAX_PAYLOAD_BYTES is stored as its size and SHA-256": {
        "body_oversize": ["new document"],
        "env_max_payload": ["r2: new document"],
        "id_html_reflected": ["new document"],
    },
    "structured and batched mode are accepted": {
        "batched_mode": ["new document"],
        "structured_mode": ["new document"],
    },
    "a reward true or false is stored as a number, so that no later reward is rejected": {
        "feedback_reward_bool": ["feedback.reward"],
        "feedback_reward_bool_then_float": ["r1: feedback.reward", "r2: new document"],
        "feedback_reward_float_then_bool": ["r2: new document"],
        "feedback_reward_float_then_string": ["r2: new document"],
    },
    "feedback of a batch is stored with its rows (`item` of `items`), not as a separate document": {
        "feedback_batch": ["r1: no document", "r1-item-0: feedback", "r1-item-1: feedback"],
        "feedback_with_elements": [
            "r1-item-0: feedback.item",
            "r1-item-0: feedback.items",
            "r1-item-1: feedback.item",
            "r1-item-1: feedback.items",
        ],
        "feedback_with_instance_and_datatype": [
            "r1-item-0: feedback.item",
            "r1-item-0: feedback.items",
            "r1-item-1: feedback.item",
            "r1-item-1: feedback.items",
        ],
    },
    "a single response to a batch is stored with the first row, not as a separate document": {
        "seldon_batch_sizes_differ": ["r1: no document", "r1-item-0: response"],
    },
    "a part that is delivered again with different content replaces the earlier one entirely": {
        "seldon_same_id_other_payload": [
            "request.instance.a",
            "request.instance.deep.x",
            "request.payload.jsonData.a",
            "request.payload.jsonData.deep.x",
        ],
    },
    "two deployments that share an index keep separate documents": {
        "env_index_name": [
            "r1: Ce-Inferenceservicename",
            "r1: Ce-Namespace",
            "r1: request.elements.c",
            "r1: request.elements.d",
            "r1: request.instance",
            "r1: request.names",
            "r1: request.payload.data.names",
            "r1: request.payload.data.ndarray",
            "r1~8e00f15ade36e58f: new document",
        ],
        "ns_collision": [
            "r1: Ce-Inferenceservicename",
            "r1: Ce-Namespace",
            "r1: request.elements.c",
            "r1: request.elements.d",
            "r1: request.instance",
            "r1: request.names",
            "r1: request.payload.data.names",
            "r1: request.payload.data.ndarray",
            "r1~ef2c08d42fd6284d: new document",
        ],
    },
    "parts of graph nodes are stored under `nodes`; the latest is at the top level": {
        "modelid_per_node": ["nodes", "request.elements.a", "request.elements.b"],
    },
    "a request id that looks like that of a batch's row gets a separate document": {
        "id_item_suffix": [
            "r1-item-0: RequestId",
            "r1-item-0: request.elements.a",
            "r1-item-0: request.instance",
            "r1-item-0: request.payload.data.ndarray",
            "r1-item-0~: new document",
        ],
    },
    "drift values per feature are stored without metadata too; an unnamed feature is `feature_<i>`": {
        "drift_feature": ["drift.data.feature_distance", "drift.data.feature_p_val"],
    },
    "outlier scores of a batch are split across all of its rows": {
        "outlier_batch_scores": ["r1-item-1: outlier"],
    },
    "if a row is a single value, several names are ignored; in ragged rows each name applies to its column": {
        "seldon_ndarray_1d_names_many": [f"r1-item-{row}: request.elements" for row in range(3)],
        "seldon_ndarray_ragged": [
            "r1-item-0: request.elements.p",
            "r1-item-0: request.elements.q",
            "r1-item-1: request.elements.p",
            "r1-item-1: request.elements.q",
        ],
        "seldon_tensor_1d_names_many": [f"r1-item-{row}: response.elements" for row in range(2)],
    },
    "header bytes are decoded as UTF-8": {
        "header_utf8": ["caf\u00c3\u00a9: no document", "caf\u00e9: new document"],
    },
    "the trace id of a prediction is stored as `trace-id`": {
        "header_traceparent": ["request.trace-id"],
    },
    "all V2 tensors are in the instance and the elements, not only the first": {
        "v2_multi_inputs_same_type": ["request.dataType", "request.elements", "request.instance", "request.names"],
    },
    "each row of a batch has the batch's number of rows as `rows`": {
        "feedback_batch": rows(2, "request", "response"),
        "id_item_suffix": rows(2, "request"),
        "metadata_kf_instances": rows(2, "request", "response"),
        "metadata_mixed_batch": rows(2, "request", "response"),
        "outlier_batch_scores": rows(2, "request"),
        "reference_has_datatype": rows(2, "request"),
        "reference_request": rows(2, "request"),
        "seldon_batch_sizes_differ": rows(2, "request"),
        "seldon_batch_then_single_same_id": rows(2, "request"),
        "seldon_ndarray_1d_many": rows(3, "request"),
        "seldon_ndarray_1d_names_many": rows(3, "request"),
        "seldon_ndarray_2d_strings": rows(2, "request"),
        "seldon_ndarray_3d": rows(2, "request"),
        "seldon_ndarray_named_batch": rows(3, "request", "response"),
        "seldon_ndarray_ragged": rows(2, "request"),
        "seldon_tensor_1d_names_many": rows(2, "response"),
        "tf_instances_1d": rows(3, "request"),
        "tf_instances_batch_kf": rows(2, "request", "response"),
        "tf_instances_objects": rows(2, "request"),
        "tf_instances_ragged": rows(2, "request"),
    },
    "a V2 response keeps the name and the version of its model": {
        "v2_fp32_single": ["response.model_name", "response.model_version"],
        "v2_kf_type": ["response.model_name", "response.model_version"],
        "v2_outputs_beside_inputs": ["response.model_name", "response.model_version"],
    },
}

# Case -> field -> reason, as the test asks for it.
DIFFERENCES: dict[str, list[tuple[str, str]]] = {}
for reason, cases in TABLE.items():
    for case, fields in cases.items():
        DIFFERENCES.setdefault(case, []).extend((field, reason) for field in fields)

# Top-level fields that any document may have and the original's has not, with the reason.
NEW_FIELDS = {
    "fold": "a prediction has a `fold`, one of 20 groups by its request id",
    "prediction": "label, probability or value of a response are also in `prediction`, with or without feedback",
}

# All answers are 200 but for these.
STATUS = {"header_no_ids": [400], "header_no_type": [400], "method_put": [405]}
