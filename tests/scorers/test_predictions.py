"""What a response says by itself: as its pair says it later, whatever the truth, the order and the number of events."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.document import degrade
from request_logger.documents.event import Body, Event, from_headers
from request_logger.scoring.registry import build
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import Settle, settler
from request_logger.settings import Settings
from scorers.auto import response_scorer_name
from scorers.base import RESPONSE_FIELDS, Fields, ReadsResponses, Row, UnscorableError
from tests.helpers import event
from tests.model import in_order
from tests.scorers.test_binary import VALUES

SAME = {"label": "predicted_label", "value": "prediction"}
ROWS = st.lists(st.floats(0, 1) | st.integers(0, 1), min_size=2, max_size=4)
DISTRIBUTIONS = st.lists(st.floats(0.01, 1), min_size=2, max_size=4).map(lambda row: [v / sum(row) for v in row])
ANSWERS = (
    VALUES
    | ROWS
    | DISTRIBUTIONS
    | st.dictionaries(st.sampled_from("abc"), st.floats(0, 1))
    | st.sampled_from(["a", "b", "2"])
)
TRUTHS = VALUES | ROWS | st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.lists(st.sampled_from("abc"), max_size=3)
NAMES = st.sampled_from([(), ("a", "b"), ("a", "b", "c")])
SETTINGS = [
    ("binary", {}), ("binary", {"threshold": 0.3, "classes": ["a", "b"]}), ("binary", {"positive_label": "a"}),
    ("binary", {"logits": True}), ("multiclass", {}), ("multiclass", {"classes": ["a", "b", "c"]}),
    ("multiclass", {"logits": True}), ("multilabel", {}), ("multilabel", {"indicator": True}),
    ("multilabel", {"classes": ["a", "b", "c"]}), ("ordinal", {}), ("ordinal", {"classes": ["a", "b", "c"]}),
    ("regression", {}), ("adserver.cm_models.multiclass_numeric.MulticlassNumeric", {}),
]  # fmt: skip


def read(name: str, value: Any, names: tuple[str, ...] = (), **options: Any) -> Fields | None:
    scorer = build(name, options)
    assert isinstance(scorer, ReadsResponses)
    try:
        return scorer.prediction_fields(Row(value, names))
    except UnscorableError as error:
        assert error.reason
        return None


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
@given(truth=TRUTHS, answer=ANSWERS, names=NAMES)
def test_as_the_pair_says_it(
    name: str, options: dict[str, Any], truth: Any, answer: Any, names: tuple[str, ...]
) -> None:
    """Each figure that both have is the same one. The values are plain, so that a mapping takes them."""
    fields = read(name, answer, names, **options)
    if fields is None:
        return
    assert fields.keys() <= set(RESPONSE_FIELDS)
    for field, value in fields.items():
        assert not isinstance(value, float) or math.isfinite(value)
        assert isinstance(value, (str, list)) == (field == "label")
    try:
        metrics = build(name, options).score(Row(truth), Row(answer, names))
    except UnscorableError:
        return
    # A truth that is an object names the labels; a set beside a row is read as one: `with_prediction` finds out.
    if name == "multilabel" and fields.get("label") != metrics.get("predicted_label"):
        return
    for field, value in fields.items():
        assert metrics.get(SAME.get(field, field), value) == value


@pytest.mark.parametrize(
    ("name", "value", "names", "fields"),
    [
        (
            "binary", [0.25, 0.75], ("no", "yes"),
            {"label": "yes", "probability": 0.75, "positive_probability": 0.75, "score_bin": 54, "calibration_bin": 11},
        ),
        (
            "binary", 0.25, (),
            {"label": "CLASS_0", "probability": 0.75, "positive_probability": 0.25, "score_bin": 45,
             "calibration_bin": 3},
        ),
        ("binary", [0, 1], (), {"label": "CLASS_1"}),
        ("binary", True, (), {"label": "CLASS_1"}),
        ("binary", "spam", (), None),
        ("binary", [0.1, 0.2, 0.7], (), None),
        (
            "multiclass", [0.125, 0.625, 0.25], ("a", "b", "c"),
            {"label": "b", "probability": 0.625, "calibration_bin": 9, "margin": 0.375},
        ),
        (
            "multiclass", {"a": 0.75, "b": 0.25}, (),
            {"label": "a", "probability": 0.75, "calibration_bin": 11, "margin": 0.5},
        ),
        ("multiclass", [0.5, 0.9], (), {"label": "CLASS_1"}),
        (
            "adserver.cm_models.multiclass_numeric.MulticlassNumeric", [0.125, 0.625, 0.25], ("a", "b", "c"),
            {"label": "CLASS_1", "probability": 0.625, "calibration_bin": 9, "margin": 0.375},
        ),
        ("multiclass", "cat", (), {"label": "cat"}),
        ("multiclass", 2, (), {"label": "CLASS_2"}),
        ("multiclass", 0.7, (), None),
        ("multiclass", "0.7", (), None),
        ("multiclass", '{"a": 1}', (), None),
        ("multiclass", "x" * 513, (), None),
        ("multiclass", None, (), None),
        ("multiclass", [], (), None),
        ("multilabel", [0.7, 0.6, 0.1], (), {"label": ["CLASS_0", "CLASS_1"]}),
        ("multilabel", [0.1, 0.2, 0.3], (), {}),
        ("multilabel", ["b", "a"], (), {"label": ["a", "b"]}),
        ("multilabel", [0, 1], (), None),
        ("multilabel", [3, 7], (), {"label": ["CLASS_3", "CLASS_7"]}),
        ("ordinal", 3.2, (), {"label": "CLASS_3", "value": 3}),
        ("ordinal", [0.1, 0.7, 0.2], ("low", "mid", "high"), {"label": "mid", "value": 1}),
        ("regression", "2.5", (), {"value": 2.5}),
        ("regression", [1.0, 2.0], (), {}),
        ("regression", "much", (), None),
    ],
)  # fmt: skip
def test_what_a_scorer_reads(name: str, value: Any, names: tuple[str, ...], fields: Fields | None) -> None:
    assert read(name, value, names) == fields


@pytest.mark.parametrize("name", ["ranking", "text", "reward"])
def test_scorers_of_what_has_no_label(name: str) -> None:
    """Rankings and answers are not counted by their values."""
    assert not isinstance(build(name, {}), ReadsResponses)


@pytest.mark.parametrize(
    ("value", "scorer"),
    [
        ([0.2, 0.8], "binary"), ([0.2, 0.3, 0.5], "multiclass"), ([1.0, 0.0, 0.0], "multiclass"), ([0, 1], "binary"),
        ([0, 0, 1], "multiclass"), ({"a": 0.2, "b": 0.8}, "multiclass"), ([[0.2, 0.8]], "binary"), (True, "binary"),
        (2.5, "regression"), ("2.5", "regression"), (-0.5, "regression"), (0.5, None), (3, None), (3.0, None),
        ("cat", None), ("A long answer.", None), (["a", "b"], None), ([0.2, 0.9], None), ([2.5, 1.5], None),
        ([1, 1, 0], None), ({"price": 12.5}, None), ([], None), ({}, None), (None, None), (math.nan, None),
        ([math.nan, 1.0], None), ([[0.1, 0.9], [0.2, 0.8]], None), (10**400, None), ([10**400, 0.5], None),
    ],
)  # fmt: skip
def test_auto(value: Any, scorer: str | None) -> None:
    """Only what every truth leaves as it is."""
    assert response_scorer_name(Row(value)) == scorer


def test_the_table_of_auto() -> None:
    """The page has the rows of the docstring."""
    text = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text(encoding="utf-8")
    rows = [row.strip("| ").split(" | ") for row in text.split("| response | scorer |\n|---|---|\n")[1].splitlines()]
    assert response_scorer_name.__doc__
    told = response_scorer_name.__doc__.split("scorer\n    ===")[1].split("\n    ===")[0].splitlines()[1:]
    assert rows[: len(told)] == [[row[:57].strip(), row[57:].strip()] for row in told]
    assert rows[len(told)] == [""]


@given(VALUES | ROWS)
def test_auto_never_raises(value: Any) -> None:
    name = response_scorer_name(Row(value))
    assert name is None or read(name, value) is not None or not isinstance(value, float)


@given(truth=TRUTHS, answer=ANSWERS, names=NAMES)
def test_auto_never_contradicts_the_metrics(truth: Any, answer: Any, names: tuple[str, ...]) -> None:
    """Where the truth shows another task, the document has no prediction of the wrong one."""
    response: dict[str, Any] = {"instance": answer, "names": list(names)}
    document = settler(Chooser())({"response": response, "feedback": {"truth": {"data": {"ndarray": [truth]}}}})
    label = document.get("prediction", {}).get("label")
    assert label is None or document["metrics"].get("predicted_label", label) == label


SETTLE = settler(Chooser())
TIMES = {"request": "2026-03-01T10:00:00Z", "response": "2026-03-01T10:00:01Z", "feedback": "2026-03-01T11:00:00.5Z"}


def sent(part: str, *rows: Any, time: str = "") -> Event:
    data = {"data": {"ndarray": list(rows)}}
    headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
    headers["ce-time"] = time or TIMES[part]
    raw = json.dumps({"truth": data} if part == "feedback" else data).encode()
    return from_headers(headers, Body(raw, "application/json", len(raw)), Settings())


def stored(events: Any, settle: Settle = SETTLE) -> dict[str, Any]:
    return {id: document for (_, id), document in in_order(list(events), settle).items()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_in_any_order(order: tuple[int, ...]) -> None:
    """Feedback first, a batch, twice, and a response that changed: it is that of the response that is stored."""
    events = [
        sent("request", [1, 2], [3, 4]),
        sent("response", [0.75, 0.25], [0.5, 0.5], time="2026-03-01T10:00:00.5Z"),
        sent("response", [0.25, 0.75], [0.875, 0.125]),
        sent("feedback", 1, 1),
    ]
    documents = stored([events[k] for k in order + order])
    assert {id: document["prediction"]["label"] for id, document in documents.items()} == {
        "r1-item-0": "CLASS_1",
        "r1-item-1": "CLASS_0",
    }
    for document in documents.values():
        for field in ("probability", "positive_probability", "score_bin", "calibration_bin"):
            assert document["prediction"][field] == document["metrics"][field]
        assert document["metrics"]["delay_seconds"] == 3600.5
        assert SETTLE(document) is document


@pytest.mark.parametrize(
    "events", [[sent("request", [1])], [sent("feedback", 1)], [sent("request", [1]), sent("feedback", 1)]]
)
def test_without_a_response(events: list[Event]) -> None:
    """There is nothing to read, and nothing that the delay would be counted from."""
    (document,) = stored(events).values()
    assert "prediction" not in document
    assert "delay_seconds" not in document.get("metrics", {})


@pytest.mark.parametrize(
    ("response", "feedback", "delay"),
    [
        ("2026-03-01T10:00:01Z", "2026-03-01T10:00:01Z", 0.0),
        ("2026-03-01T10:00:01Z", "2026-03-01T10:00:00Z", None),
        ("2026-03-01T10:00:01Z", "2026-04-01T10:00:01Z", 31 * 86400.0),
    ],
)
def test_delay(response: str, feedback: str, delay: float | None) -> None:
    """Without a request it is counted from the response, and never negative."""
    (document,) = stored([sent("response", [0.25, 0.75], time=response), sent("feedback", 1, time=feedback)]).values()
    assert document["metrics"].get("delay_seconds") == delay


def test_arrival_is_the_time_of_feedback_without_one() -> None:
    document = {
        "@timestamp": "2026-03-01T10:00:00Z",
        "response": {"instance": [0.25, 0.75]},
        "feedback": {"truth": 1, "received-time": "2026-03-01T10:00:30Z"},
    }
    assert SETTLE(document)["metrics"]["delay_seconds"] == 30
    del document["feedback"]["received-time"]  # type: ignore[attr-defined]
    assert "delay_seconds" not in SETTLE(document)["metrics"]


def test_what_is_not_a_prediction_has_none() -> None:
    """A failed request, and a body that can't be decoded."""
    for response in ({"instance": [0.2, 0.8], "ce-statuscode": 500}, {"undecodable": "x", "payload": 1}, "text", None):
        document: dict[str, Any] = {"response": response}
        assert SETTLE(document) is document
        assert SETTLE({**document, "prediction": {"label": "old"}}) == document


def test_documents_of_the_reference_have_it() -> None:
    """So that the predictions of the traffic can be compared with them."""
    headers = {name.lower(): value for name, value in event("response", "r1", "iris").items()}
    headers["ce-type"] = "io.seldon.serving.reference.response"
    raw = b'{"data": {"ndarray": [[0.25, 0.75]]}}'
    (document,) = stored([from_headers(headers, Body(raw, "application/json", len(raw)), Settings())]).values()
    assert document["prediction"]["score_bin"] == 54


def test_a_field_of_another_program_stays() -> None:
    """Whether or not the response says something."""
    for other in ("text", {"of": "another"}, [1]):
        for response in ([0.2, 0.8], "cat"):
            assert SETTLE({"response": {"instance": response}, "prediction": other})["prediction"] == other


@dataclass
class Mine:
    """A user's scorer."""

    found: Any
    name: ClassVar[str] = "mine"
    metrics: ClassVar[tuple[Any, ...]] = ()

    def score(self, truth: Row, prediction: Row) -> Fields:
        return {"correct": 1}

    def prediction_fields(self, prediction: Row) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


class Choosing:
    """A chooser of one scorer."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def choose(self, *_: Any) -> Any:
        return self.scorer

    def choose_for_response(self, *_: Any) -> Any:
        if isinstance(self.scorer, BaseException):
            raise self.scorer
        return self.scorer


@pytest.mark.parametrize(
    ("found", "fields"),
    [
        ({"label": "a", "probability": 0.5}, {"label": "a", "probability": 0.5}),
        ({"label": ("a", "b"), "value": math.nan, "margin": None}, {"label": ["a", "b"]}),
        (dict.fromkeys(RESPONSE_FIELDS, 1) | {"label": "a"}, dict.fromkeys(RESPONSE_FIELDS, 1) | {"label": "a"}),
        ({}, None), (None, None), ([], None), ({"label": 1}, None), ({"label": []}, None),
        ({"label": [1]}, None), ({"label": ["a", 1]}, None),
        ({"value": "x"}, None), ({"value": True}, None), ({"value": [1]}, None), ({"other": 1}, None),
        (UnscorableError("x"), None), (ValueError("x"), None), (SystemExit(), None), (RecursionError(), None),
    ],
)  # fmt: skip
def test_a_scorer_of_ones_own(found: Any, fields: Fields | None) -> None:
    """What it reads is stored; whatever else it does, the document is, with its metrics."""
    settle = settler(Choosing(Mine(found)))
    document = settle({"response": {"instance": 1}, "feedback": {"truth": 1}})
    assert document.get("prediction") == fields
    assert document["metrics"]["correct"] == 1
    assert settle(document) is document


@pytest.mark.parametrize("scorer", [object(), ValueError(), None])
def test_a_scorer_that_reads_no_responses(scorer: Any) -> None:
    """Without the method there is nothing, and no error; nor if the choice fails."""
    document = {"response": {"instance": 1}}
    assert settler(Choosing(scorer))(document) is document


STRICT = "[1:2] mapping set to strict, dynamic introduction of [{}] within [{}] is not allowed"
OBJECT = "object mapping for [prediction] tried to parse field [prediction] as object, but found a concrete value"
PREDICTION = {"label": "a", "probability": 0.5}


@pytest.mark.parametrize(
    ("reasons", "kept"),
    [
        ([STRICT.format("prediction", "_doc")], None),
        ([OBJECT], ["label", "probability"]),
        ([OBJECT] * 2, None),
        (["failed to parse field [prediction.label] of type [double]"], ["label"]),
        ([STRICT.format("label", "prediction"), STRICT.format("unindexed", "prediction")], None),
    ],
)
def test_an_index_that_refuses_it(reasons: list[str], kept: list[str] | None) -> None:
    """It becomes text, or is left out, as metrics are; everything else stays, and so do the metrics."""
    document: dict[str, Any] = {"response": {"instance": 1}, "metrics": {"correct": 1}, "prediction": PREDICTION}
    refused = degrade(document, reasons)
    assert refused is not None
    assert {name: value for name, value in refused.items() if name != "prediction"} == {
        name: value for name, value in document.items() if name != "prediction"
    }
    told = refused.get("prediction", {}).get("unindexed")
    assert (sorted(json.loads(told)) if told else None) == kept
