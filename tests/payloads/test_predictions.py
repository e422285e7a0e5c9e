"""A response's row is what a data scientist calls the prediction, in the forms that servers document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import parts_of
from request_logger.metadata import parse_schema
from request_logger.payloads import UndecodableError, decode_body, decode_message
from request_logger.payloads.generate import GenerateDecoder
from request_logger.payloads.mlflow import MLflowDecoder
from request_logger.payloads.predictions import prediction_of, wrapped
from request_logger.payloads.tensorflow import TensorFlowDecoder
from request_logger.settings import Settings
from scorers.base import Row, UnscorableError
from scorers.multiclass import Multiclass
from tests.helpers import event
from tests.model import in_order


def tensor(data: list[Any], shape: list[int], datatype: str = "BYTES", name: str = "output") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def response(body: Any, schema: Any = None) -> list[dict[str, Any]]:
    """The parts of a response with this body."""
    headers = {name.lower(): value for name, value in event("response", "r1", "iris").items()}
    raw = json.dumps(body).encode()
    made = from_headers(headers, Body(raw, "application/json", len(raw)), Settings())
    return [part.content for part in parts_of(made, parse_schema(schema)[0] if schema else None)]


def instances(body: Any) -> list[Any]:
    return [content["instance"] for content in response(body)]


def scored(body: Any, *truths: Any) -> list[dict[str, Any]]:
    """The metrics of a response whose rows have these truths."""
    made = []
    for part, content in (("response", body), ("feedback", {"truth": {"predictions": list(truths)}})):
        headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
        raw = json.dumps(content).encode()
        made.append(from_headers(headers, Body(raw, "application/json", len(raw)), Settings()))
    return [source["metrics"] for _, source in sorted(in_order(made).items())]


TRITON = ["0.93:2:cat", "0.05:0:dog", "0.61:0:dog", "0.30:2:cat"]
PREDICT = tensor([2, 0], [2, 1], "INT64", "predict")
PROBA = tensor([0.1, 0.2, 0.7, 0.8, 0.1, 0.1], [2, 3], "FP64", "predict_proba")
LABELS = ["cat", "dog"]
WHOLE = {"name": "y", "datatype": "INT64", "shape": ["2"], "contents": {"int64Contents": ["1", "9007199254740993"]}}
RAW = {"name": "y", "datatype": "FP32", "shape": ["1", "2"]}
FORECAST = {"cat": 0.7, "dog": 0.3}
FORMS: dict[str, tuple[Any, list[Any]]] = {
    "Triton, top 2 of a batch": (
        {"outputs": [tensor(TRITON, [2, 2])]},
        [{"cat": 0.93, "dog": 0.05}, {"dog": 0.61, "cat": 0.3}],
    ),
    "Triton, top 1": ({"outputs": [tensor(["0.930000:2:cat"], [1, 1])]}, ["cat"]),
    "Triton, top 1 of a batch": ({"outputs": [tensor(["0.9:2:cat", "0.8:0:dog"], [2, 1])]}, ["cat", "dog"]),
    "Triton, no batches": ({"outputs": [tensor(["0.9:2:cat", "0.05:0:dog"], [2])]}, [{"cat": 0.9, "dog": 0.05}]),
    "Triton, a flat batch": ({"outputs": [tensor(["0.5:2:cat", "0.9:2:cat"], [2])]}, ["cat", "cat"]),
    "Triton, all classes": ({"outputs": [tensor(["0.9:1:b", "0.1:0:a"], [1, 2])]}, [[0.1, 0.9]]),
    "Triton, no labels": ({"outputs": [tensor(["0.9:7"], [1, 1])]}, [7]),
    "Triton, whole scores": ({"outputs": [tensor(["10:2", "5:1"], [1, 2])]}, [2]),
    "Triton, a label with colons": ({"outputs": [tensor(["1.5:2:a:b c"], [1, 1])]}, ["a:b c"]),
    "Triton, one label twice": ({"outputs": [tensor(["0.9:2:x", "0.05:0:x"], [1, 2])]}, ["x"]),
    "a time of day": ({"outputs": [tensor(["12:30:45"], [1, 1])]}, [["12:30:45"]]),
    "a ratio": ({"outputs": [tensor(["16:9", "16:9"], [2])]}, ["16:9", "16:9"]),
    "MLServer, predict and predict_proba": ({"outputs": [PREDICT, PROBA]}, [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]),
    "MLServer, labels that are no indexes": (
        {"outputs": [tensor(["a", "b"], [2], name="predict"), PROBA]},
        ["a", "b"],
    ),
    "MLServer, a threshold of its own": (
        {"outputs": [tensor([1], [1, 1], "INT64", "predict"), tensor([0.7, 0.3], [1, 2], "FP64", "predict_proba")]},
        [1],
    ),
    "ONNX": (
        {"outputs": [tensor([1], [1], "INT64", "output_label"), tensor([0.2, 0.8], [1, 2], "FP64", "probabilities")]},
        [[0.2, 0.8]],
    ),
    "KServe, return_probabilities": ({"predictions": [{"0": 0.1, "1": 0.9}]}, [{"0": 0.1, "1": 0.9}]),
    "KServe, return_probabilities as text": (
        {"outputs": [tensor(["{0: 9.1e-05, 1: 0.99}"], [1])]},
        [{"0": 9.1e-05, "1": 0.99}],
    ),
    "KServe, logits as text": ({"outputs": [tensor(["{0: -2.9, 1: 3.1}"], [1, 1])]}, [{"0": -2.9, "1": 3.1}]),
    "KServe, PMML": (
        {"predictions": [{"Species": "setosa", "Probability_setosa": 1.0, "Probability_virginica": 0, "Node_Id": "2"}]},
        [{"setosa": 1.0, "virginica": 0}],
    ),
    "KServe, flowers": (
        {"predictions": [{"scores": [0.99, 0.01], "prediction": 0, "key": "   1"}]},
        [[0.99, 0.01]],
    ),
    "TensorFlow, classify": ({"results": [[["cat", 0.9], ["dog", 0.1]]]}, [{"cat": 0.9, "dog": 0.1}]),
    "TensorFlow, classify without labels": ({"results": [[["", 0.9], ["", 0.1]]]}, [[0.9, 0.1]]),
    "TensorFlow, classify, columns": (
        {"outputs": {"classes": [["0", "1"], ["0", "1"]], "scores": [[0.9, 0.1], [0.3, 0.7]]}},
        [{"0": 0.9, "1": 0.1}, {"0": 0.3, "1": 0.7}],
    ),
    "TensorFlow, regress": ({"results": [1.5, 2.5]}, [1.5, 2.5]),
    "TensorFlow, an estimator": (
        {"predictions": [{"class_ids": [1], "classes": ["1"], "probabilities": [0.2, 0.8], "logits": [-1, 1]}]},
        [[0.2, 0.8]],
    ),
    "MLflow, records": ({"predictions": [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.6}]}, LABELS),
    "MLflow, one column": ({"predictions": [{"prediction": 3.5}]}, [3.5]),
    "Hugging Face, a list of lists": (
        [[{"label": "POSITIVE", "score": 0.99}, {"label": "NEGATIVE", "score": 0.01}]],
        [{"POSITIVE": 0.99, "NEGATIVE": 0.01}],
    ),
    "Hugging Face, a list": ([{"label": "A", "score": 0.9}, {"label": "A", "score": 0.8}], ["A", "A"]),
    "Hugging Face, a row": ([{"label": "A", "score": 0.9}, {"label": "B", "score": 0.1}], [{"A": 0.9, "B": 0.1}]),
    "Hugging Face, generated": ([{"generated_text": "x"}, {"generated_text": "y"}], ["x", "y"]),
    "Triton, generate": ({"model_name": "m", "text_output": "a search engine"}, ["a search engine"]),
    "question answering": ({"score": 0.97, "start": 7, "end": 10, "answer": "Ada"}, ["Ada"]),
    "Core 2": ({"modelName": "m", "outputs": [WHOLE]}, [1, 9007199254740993]),
    "Core 2, raw": ({"modelName": "m", "outputs": [RAW], "rawOutputContents": ["AACAPwAAAEA="]}, [[1.0, 2.0]]),
    "Seldon, a record": ({"jsonData": {"prediction": "cat", "probabilities": FORECAST}}, [FORECAST]),
    "a record as text": ({"strData": '{"label": "cat", "score": 0.9}'}, ["cat"]),
    "an object detector": (
        {"predictions": [{"labels": ["a", "b"], "scores": [0.9, 0.8], "boxes": [[1, 2], [3, 4]]}]},
        [{"labels": ["a", "b"], "scores": [0.9, 0.8], "boxes": [[1, 2], [3, 4]]}],
    ),
    "columns that are features": (
        {"outputs": [tensor([1], [1], "INT64", "age"), tensor([2], [1], "INT64", "income")]},
        [[1, 2]],
    ),
    "an answer in JSON": ({"strData": '{"name": "Ada", "age": 36}'}, ['{"name": "Ada", "age": 36}']),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_instances(form: str) -> None:
    """Each form gives the documented instance of each row."""
    body, expected = FORMS[form]
    if "text_output" in body or "answer" in body:
        assert [item.instance for item in GenerateDecoder().decode(body).items] == expected
    elif isinstance(body, list) and "generated_text" in body[0]:
        texts = {"generated_text": [row["generated_text"] for row in body]}
        assert [item.instance for item in GenerateDecoder().decode(texts).items] == expected
    else:
        assert instances(body) == expected


@pytest.mark.parametrize(
    ("body", "truths", "correct"),
    [
        ({"outputs": [tensor(TRITON, [2, 2])]}, ["cat", "fox"], [1, 0]),
        ({"outputs": [tensor(["0.930000:2:cat"], [1, 1])]}, ["cat"], [1]),
        ({"outputs": [tensor(["0.9:1:b", "0.1:0:a"], [1, 2])]}, [1], [1]),
        ({"outputs": [PREDICT, PROBA]}, [2, 1], [1, 0]),
        (
            {"outputs": [tensor([1], [1, 1], "INT64", "predict"), tensor([0.2, 0.8], [1, 2], "FP64", "predict_proba")]},
            [1],
            [1],
        ),
        (
            {"outputs": [tensor([1], [1, 1], "INT64", "predict"), tensor([0.7, 0.3], [1, 2], "FP64", "predict_proba")]},
            [1],
            [1],
        ),
        ({"outputs": [tensor(["{0: 0.1, 1: 0.9}"], [1])]}, [1], [1]),
        ([[{"label": "POSITIVE", "score": 0.99}, {"label": "NEGATIVE", "score": 0.01}]], ["POSITIVE"], [1]),
        ({"results": [[["cat", 0.9], ["dog", 0.1]]]}, ["dog"], [0]),
        (FORMS["KServe, PMML"][0], ["setosa"], [1]),
        (FORMS["KServe, flowers"][0], [0], [1]),
    ],
)
def test_right_and_wrong(body: Any, truths: list[Any], correct: list[int]) -> None:
    """The figure is that of the class which the server means."""
    assert [metrics["correct"] for metrics in scored(body, *truths)] == correct


@pytest.mark.parametrize(
    ("body", "truth", "reason"),
    [
        ({"strData": '{"name": "Ada", "age": 36}'}, "cat", "the prediction is structured text, not a class name"),
        (
            {"strData": '{"name": "Ada, of London, and of the world", "n": [1, 2]}'},
            "cat",
            "the prediction is structured",
        ),
        ({"strData": "tensor([0.1, 0.9])"}, "cat", "the prediction is structured text, not a class name"),
        ({"strData": "0.93:2:cat"}, "cat", "the prediction is structured text, not a class name"),
        ({"strData": "cat"}, "{'label': 'cat', 'x': [1]}", "the truth is structured text, not a class name"),
        (
            {"outputs": [tensor(TRITON, [2, 2])]},
            2,
            "the truth and the prediction are a class name and an index that",
        ),
    ],
)
def test_what_can_not_be_compared_is_unscorable(body: Any, truth: Any, reason: str) -> None:
    """It is no wrong answer."""
    metrics = scored(body, truth)[0]
    assert metrics["unscorable"].startswith(reason)
    assert "correct" not in metrics


def test_structured_text_on_both_sides_is_compared() -> None:
    """A model that answers in JSON is right where the truth is the same text."""
    text = '{"name": "Ada", "age": 36}'
    assert scored({"strData": text}, text)[0]["correct"] == 1
    assert scored({"strData": text}, '{"name": "Bob", "age": 36}')[0]["correct"] == 0


def test_all_fields_of_a_record_can_be_searched() -> None:
    """They are the elements, while names that are no classes are left out."""
    [first, _] = response({"outputs": [PREDICT, PROBA]})
    assert first["elements"] == {"predict": 2, "predict_proba": [0.1, 0.2, 0.7]}
    assert "names" not in first
    [only] = response(FORMS["KServe, PMML"][0])
    assert only["elements"]["Species"] == "setosa"
    [only] = response({"outputs": [tensor(["0.9:2:cat"], [1, 1])]})
    assert only["elements"] == {"label": "cat", "score": 0.9}
    [only] = response({"outputs": [tensor(["0.9:1:b", "0.1:0:a"], [1, 2])]})
    assert (only["names"], only["elements"]) == (["a", "b"], {"a": 0.1, "b": 0.9})


def test_a_schema_names_the_columns_as_they_came() -> None:
    """The schema is of the response's columns, not of the prediction among them."""
    proba = {"name": "p", "type": "PROBA", "schema": [{"name": name} for name in "abc"]}
    schema = {"responses": [{"name": "predict", "type": "CATEGORICAL"}, proba]}
    [first, _] = response({"outputs": [PREDICT, PROBA]}, schema)
    assert first["elements"] == {"predict": 2, "p": {"a": 0.1, "b": 0.2, "c": 0.7}}
    assert first["instance"] == [0.1, 0.2, 0.7]


def test_requests_stay_as_they_are() -> None:
    """Columns of a request that are called so are features."""
    body = json.dumps({"inputs": [PREDICT, PROBA]}).encode()
    assert decode_body(body).items[0].instance == [2, [0.1, 0.2, 0.7]]


def test_truths_are_read_the_same_way() -> None:
    """In feedback, a record is the class that it says."""
    assert [item.instance for item in decode_message({"outputs": [PREDICT, PROBA]}).items] == FORMS[
        "MLServer, predict and predict_proba"
    ][1]
    assert [item.instance for item in decode_message([{"label": "cat"}, "dog"]).items] == ["cat", "dog"]


def test_mlflow_frames() -> None:
    """Both forms of a frame give named rows."""
    decoder = MLflowDecoder()
    split = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}, "params": {"t": 1}}
    assert decoder.accepts(split)
    decoded = decoder.decode(split)
    assert [item.elements for item in decoded.items] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert (decoded.names, decoded.fields) == (["a", "b"], {"params": {"t": 1}})
    records = {"dataframe_records": [{"a": 1}, {"b": 2}]}
    assert decoder.accepts(records)
    assert [item.instance for item in decoder.decode(records).items] == [[1, None], [None, 2]]
    assert decoder.columns(records) == ["a", "b"]
    for wrong in ({"dataframe_split": [1]}, {"dataframe_records": []}, {"dataframe_records": [1]}):
        with pytest.raises(UndecodableError):
            decoder.decode(wrong)


def test_generate_texts() -> None:
    """A text, or a list of them, and nothing else; bodies of other protocols are theirs."""
    decoder = GenerateDecoder()
    assert [item.instance for item in decoder.decode({"text_input": ["a", "b"], "parameters": {"n": 1}}).items] == [
        "a",
        "b",
    ]
    assert decoder.decode({"text_input": "a", "parameters": {"n": 1}, "stream": True}).fields == {
        "parameters": {"n": 1}
    }
    assert not decoder.accepts({"predictions": [1], "text_output": "x"})
    with pytest.raises(UndecodableError):
        decoder.decode({"text_output": 5})


def test_examples_of_classify() -> None:
    """Each has the features of the context; such words in another body are not TensorFlow's."""
    decoder = TensorFlowDecoder()
    body = {"signature_name": "s", "context": {"c": 1}, "examples": [{"x": 1}, {"x": 2}]}
    assert decoder.accepts(body)
    assert [item.instance for item in decoder.decode(body).items] == [{"c": 1, "x": 1}, {"c": 1, "x": 2}]
    assert not decoder.accepts({"results": [1], "user": "x"})
    assert not decoder.accepts({"examples": [1], "messages": []})


@pytest.mark.parametrize(
    "outputs",
    [
        [{"name": "y", "datatype": "INT64", "shape": ["x"], "contents": {"int64Contents": ["1"]}}],
        [{"name": "y", "datatype": "INT64", "shape": ["1"], "contents": {"int64Contents": "1"}}],
        [{"name": "y", "datatype": "BYTES", "shape": ["1"], "contents": {"bytesContents": ["%"]}}],
        [{"name": "y", "datatype": "INT64", "shape": ["1"], "contents": [1]}],
    ],
)
def test_wrong_protojson(outputs: Any) -> None:
    """One line says what was expected, and no value."""
    with pytest.raises(UndecodableError, match=r"outputs\[0\]"):
        decode_body(json.dumps({"modelName": "m", "outputs": outputs}).encode())


WORDS = st.sampled_from(
    [
        "label",
        "score",
        "scores",
        "predict",
        "predict_proba",
        "Probability_a",
        "probability(b)",
        "boxes",
        "x",
        "",
        "0",
        "a",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.sampled_from(["0.9:1:a", "{0: 1.5, 1: -2}", "[["])
)
ROWS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4) | st.builds(repr, inner),
    max_leaves=12,
)


@given(ROWS, ROWS)
def test_any_row_has_a_prediction_or_stays(row: Any, truth: Any) -> None:
    """Whatever a server says: the prediction is JSON, and is scored, or it is said why not."""
    json.dumps(prediction_of(row))
    wrapped(row)
    try:
        Multiclass().score(Row(prediction_of(truth)), Row(prediction_of(row)))
    except UnscorableError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "{1: " + "-" * 10_000 + "1}", "{" * 300 + "}" * 300, "[" + "1," * 9_000 + "]"]
)
def test_text_that_is_hard_to_read(text: str) -> None:
    """It stays text, soon."""
    assert prediction_of(text) == text


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b'[{"label": "a", "score": 1.7e308}, {"label": "b", "score": 1.6e308}]', 2),
        (b'[{"label": "a", "score": 1e308}, {"label": "b", "score": 1e308}, {"label": "c", "score": -1e308}]', 3),
        (b'{"predictions": [{"probability(a)": 1.7e308, "probability(b)": 1.7e308}]}', 1),
    ],
)
def test_scores_whose_sum_is_beyond_a_double(body: bytes, rows: int) -> None:
    """They are rows like any others, and aren't probabilities."""
    found = decode_body(body)
    assert len(found.items) == rows
    record = found.items[0].instance
    assert prediction_of(record) == (record if rows == 1 else record["label"])


def test_integers_beyond_a_double_are_no_scores() -> None:
    """In the text of a dictionary, as KServe's Hugging Face server writes it."""
    text = f"{{0: {10**400}, 1: 1}}"
    assert prediction_of(text) == text
