"""Names of the fields with a fixed type in every index: see store.indices.templates.

All other fields (elements, custom metrics, additional fields of a message) get their types from their first values, as
long as the index has room for them and its mapping accepts new names.
"""

from __future__ import annotations

ORIGIN = {
    "namespace": "Ce-Namespace",
    "deployment": "Ce-Inferenceservicename",
    "predictor": "Ce-Endpoint",
    "model": "Ce-Modelid",
}
"""The name of an origin in options, metrics and dashboards -> the top-level field of a document."""
ORIGIN_KEYWORDS = {name: f"{field}.keyword" for name, field in ORIGIN.items()}
"""The same with the field to filter and aggregate by: in an index of the original logger the field itself is text."""

# The fields that the built-in scorers write; a test compares them with what the scorers declare and write.
KEYWORD_METRICS = (
    "scorer", "basis", "truth_label", "predicted_label",
    "true_positive", "false_positive", "false_negative", "true_negative",
)  # fmt: skip
NUMBER_METRICS = (
    "probability", "truth_probability", "positive_probability", "truth_positive", "log_loss", "brier",
    "reciprocal_rank", "ndcg", "average_precision", "precision_at_k", "recall_at_k", "jaccard", "hamming_loss",
    "off_by", "ranked_probability_score", "prediction_squared",
    "truth", "prediction", "truth_squared", "truth_centered",
    "absolute_error", "squared_error", "absolute_percentage_error", "quantile_loss",
    "absolute_truth", "symmetric_percentage_error",
    "exact_match", "normalized_match", "token_f1", "edit_distance", "edit_similarity", "word_errors",
    "truth_characters", "truth_words",
)  # fmt: skip
DELAY = "delay_seconds"
"""The field of `metrics` with the time between a prediction and its feedback."""
PREDICTION = "prediction"
"""The document's object with what its response says by itself: see scorers.base.ReadsResponses."""
NUMBER_PREDICTIONS = ("probability", "positive_probability", "margin", "value")
BINS = ("score_bin", "calibration_bin")
SCORED_AT = "scored_at"
"""The field of `metrics` with the time of scoring."""
METRICS = frozenset({
    *KEYWORD_METRICS, *NUMBER_METRICS, "error", "unscorable", "warning", "series", "scored_at", "correct", "truth_rank",
    *BINS, "reward", "reward_agrees", "response_disagrees", "unindexed", "unindexed_reason",
    "evaluated", "evaluation_labels", "evaluations", DELAY,
})  # fmt: skip

SEARCHABLE_TEXT = "searchable_text"
"""The field of a part with the text of its row, indexed word by word: only with TEXT_SEARCH."""
_ANY_PART = {
    "ce-time", "ce-source", "received-time", "trace-id", "unindexed", "unindexed_reason", "undecodable",
    "payload_dropped", "payload",
}  # fmt: skip
_PREDICTION = _ANY_PART | {
    "id", "model_name", "model_version", "signature_name", "instance", "dataType", "names", "rows",
    "elements_unindexed", "parameters", "outputs", "metadata_unindexed", "ce-component", "ce-recordedtime",
    "ce-statuscode", "body_item", SEARCHABLE_TEXT,
}  # fmt: skip
_FEEDBACK = _ANY_PART | {"reward", "truth", "request", "response", "metrics", "instance", "item", "items", "body_item"}
_FEEDBACK |= {"evaluations", "evaluations_left_out", "evaluations_only"}
PARTS = {
    "request": frozenset(_PREDICTION),
    "response": frozenset(_PREDICTION),
    "feedback": frozenset(_FEEDBACK),
    "outlier": frozenset(_ANY_PART),
    "drift": frozenset(_ANY_PART),
    "metrics": METRICS,
    PREDICTION: frozenset({"label", *NUMBER_PREDICTIONS, *BINS, "unindexed", "unindexed_reason"}),
}
"""Part -> its fields with a fixed type, without subfields."""
FAILED_STATUS = 400
"""The lowest HTTP status of a failed request, which isn't a prediction."""
LATENCY = "latency_seconds"
"""The document's field with the time between a language model's request and response."""
STATUS, COMPONENT = "ce-statuscode", "ce-component"
"""The fields of a part with its HTTP status, and with the component of the service that sent it."""
