"""Where our counters differ from those that Seldon's MetricsServer showed for the recorded cases, and why.

Reason -> case -> the series that differ: the counter, without ``seldon_metric_`` and ``_total``, and its class. The
reasons are those of docs/metrics-server.md; a difference that is not here, or is no longer one, fails the tests.
"""

from __future__ import annotations

TP, TN, FP, FN = "true_positive", "true_negative", "false_positive", "false_negative"

TABLE: dict[str, dict[str, list[str]]] = {
    "an event that is delivered twice counts once": {"binary_duplicate": [TP]},
    "a second feedback with the same request id is a correction: the last one counts": {
        "onehot_many": [
            f"{TP} CLASS_0",
            f"{TN} CLASS_0",
            f"{FN} CLASS_1",
            f"{FP} CLASS_0",
            f"{TP} CLASS_2",
            f"{TN} CLASS_2",
            f"{FN} CLASS_0",
            f"{FP} CLASS_1",
        ],
    },
    "every row of a batch counts, not only the first": {
        "binary_batch": [FP, FN],
        "es_batch": [TP, TN],
        "numeric_batch": [f"{FN} CLASS_2", f"{FN} CLASS_3", f"{FP} CLASS_9"],
        "onehot_batch": [f"{FN} CLASS_1", f"{FP} CLASS_0"],
    },
    "a probability is compared with the threshold, not truncated to an integer": {
        "binary_probability": [TP, FN],
        "binary_2d_two_columns": [TP],
    },
    "0 is a prediction, not a missing one": {"es_found_scalar_zero": [TN]},
    "a class has one name: 1, 1.0, true and [1] are all CLASS_1": {
        "numeric_2d_against_1d": [f"{TP} CLASS_[7]", f"{TP} CLASS_7"],
        "numeric_2d_one": [f"{TP} CLASS_[7]", f"{TN} CLASS_[7]", f"{TP} CLASS_7", f"{TN} CLASS_7"],
        "numeric_bool": [f"{TP} CLASS_True", f"{TP} CLASS_1"],
        "numeric_int_float": [f"{TN} CLASS_1.0", f"{TN} CLASS_1"],
        "numeric_mixed_array": [f"{FN} CLASS_1", f"{FP} CLASS_1", f"{TP} CLASS_1", f"{TN} CLASS_1"],
    },
    "a class index paired with a row of probabilities is the class, not a one-hot list": {
        "onehot_class_index_truth": [f"{FN} CLASS_0", f"{FP} CLASS_2", f"{TP} CLASS_2", f"{TN} CLASS_2"],
    },
    "null, NaN, 0.5 and a truth of no or several classes are not classes, and a name can't be compared with an index: "
    "such a pair is not counted, and its document has the reason": {
        "binary_truth_half": [FP],
        "numeric_nan": [f"{FN} CLASS_nan", f"{FP} CLASS_nan"],
        "numeric_null": [f"{FN} CLASS_None", f"{FP} CLASS_1"],
        "onehot_nan_last": [f"{FN} CLASS_1", f"{FP} CLASS_0"],
    },
    "a body that the original rejected with 400 or 500 is accepted": {
        "binary_no_ce_id": [TP],
        "binary_request_embedded_bad": [TP],
        "binary_scalar_ndarray": [TP],
        "binary_strdata": [TP],
        "binary_tftensor": [TP],
        "binary_wrong_protocol": [TP],
        "onehot_ragged": [f"{TP} CLASS_1", f"{TN} CLASS_1"],
    },
    "a response of a KServe deployment is found": {"es_kf_index": [TP]},
    "a custom metric without a number is left out, without affecting any counter": {
        "binary_metrics_in_truth_bad_value": [TP],
    },
}

# Case -> the series that differ.
DIFFERENCES: dict[str, set[str]] = {}
for cases in TABLE.values():
    for case, series in cases.items():
        DIFFERENCES.setdefault(case, set()).update(series)

# The label method, and the reply's type and source, are never empty: such a reply would be no CloudEvent.
NEVER_EMPTY = {"binary_event_type_default"}
