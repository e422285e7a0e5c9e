"""Evaluations in feedback: every form that is understood, and the same documents in any order of arrival."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from request_logger.documents.document import degrade, join
from request_logger.documents.event import BadEventError, Body, Event, from_headers
from request_logger.documents.feedback_join import with_all_evaluations
from request_logger.documents.parts import parts_of
from request_logger.payloads.evaluations import (
    LEFT_OUT,
    MAX_ENTRIES,
    EvaluationError,
    read,
    read_leniently,
    with_evaluations,
)
from request_logger.scoring.evaluations import MAX_NAMES, of_feedback
from request_logger.scoring.reasons import PairWarning
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score
from request_logger.server.feedback_evaluations import of_logs
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from tests.helpers import event, index_of, ndarray
from tests.model import SETTLE, in_order

TIME = "2026-01-01T00:00:00Z"
INDEX = index_of("chat")


def made(part: str, body: Any, time: str = TIME, request_id: str = "r1", node: str = "") -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {"Ce_Modelid": node} if node else {}
    headers = {name.lower(): value for name, value in event(part, request_id, "chat", **more).items()} | {
        "ce-time": time
    }
    return from_headers(headers, Body(raw, "application/json", len(raw)), Settings())


# What an evaluation may look like


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"name": "a", "value": 0.5}, {"id": "", "value": 0.5}),
        ({"name": "a", "value": "0.5", "id": 7}, {"id": "7", "value": 0.5}),
        ({"name": "a", "value": True}, {"id": "", "value": 1.0}),
        ({"name": "a", "value": "up"}, {"id": "", "value": 1.0}),
        ({"name": "a", "value": "thumbs-down"}, {"id": "", "value": 0.0}),
        ({"name": "a", "value": -1}, {"id": "", "value": -1.0}),
        ({"name": "thumbs", "value": -1}, {"id": "", "value": 0.0}),
        ({"name": "a", "thumb": -1}, {"id": "", "value": 0.0}),
        ({"name": "a", "thumb": False}, {"id": "", "value": 0.0}),
        ({"name": "a", "value": "relevant"}, {"id": "", "label": "relevant"}),
        ({"name": "a", "value": 3, "label": "fair"}, {"id": "", "value": 3.0, "label": "fair"}),
        ({"name": "a", "error": "timeout", "source": "judge"}, {"id": "judge", "error": "timeout", "source": "judge"}),
        ({"name": "a", "value": 1, "source": "HUMAN", "comment": "x"},
         {"id": "human", "value": 1.0, "source": "human", "explanation": "x"}),
        ({"name": "a", "value": 1, "source": {"source_type": "LLM_JUDGE", "source_id": "gpt"}, "rationale": "y"},
         {"id": "gpt", "value": 1.0, "source": "judge", "explanation": "y"}),
    ],
)  # fmt: skip
def test_a_form_of_an_evaluation(raw: dict[str, Any], expected: dict[str, Any]) -> None:
    """And reading what was read changes nothing."""
    found = read(raw, TIME)
    assert found == {"name": raw["name"], "time": TIME, **expected}
    assert read(found, "2030-01-01T00:00:00Z") == found


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (5, "expected an object"), ({"value": 1}, "name:"), ({"name": ""}, "name:"), ({"name": "a"}, "expected one of"),
        ({"name": "a", "value": [1]}, "value:"), ({"name": "a", "value": 10**400}, "value:"),
        ({"name": "a", "value": 1, "source": "dog"}, "source:"), ({"name": "a", "value": 1, "id": [1]}, "id:"),
        ({"name": "a", "label": "x" * 201}, "label:"), ({"name": "thumb", "value": 7}, "thumb:"),
        ({"name": "x" * 201, "value": 1}, "name:"),
    ],
)  # fmt: skip
def test_a_wrong_evaluation_is_kept_with_the_reason(raw: Any, field: str) -> None:
    """Strictly an error that names the field; leniently the content and the reason, which is no reason to lose more."""
    with pytest.raises(EvaluationError, match=field):
        read(raw, TIME)
    kept = read_leniently(raw, TIME)
    assert kept["unusable"] == raw
    assert kept["reason"].startswith(field)
    assert read_leniently(kept, "") == kept
    document = join(None, parts_of(made("feedback", {"evaluations": [{"name": "b", "value": 1}, raw]}))[0])
    metrics = SETTLE(document)["metrics"]
    assert metrics["evaluated"] == ["b"]
    assert metrics["warning"].startswith("an evaluation can't be used")


ATTRIBUTES = {
    "gen_ai.evaluation.name": "Relevance",
    "gen_ai.evaluation.score.value": 0.75,
    "gen_ai.evaluation.score.label": "relevant",
    "gen_ai.evaluation.explanation": "to the point",
    "gen_ai.response.id": "chatcmpl-1",
}
LOGS = {
    "resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": "1767225600000000007", "eventName": "gen_ai.evaluation.result", "attributes": [
            {"key": "gen_ai.evaluation.name", "value": {"stringValue": "Relevance"}},
            {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.75}},
            {"key": "gen_ai.evaluation.score.label", "value": {"stringValue": "relevant"}},
            {"key": "gen_ai.evaluation.explanation", "value": {"stringValue": "to the point"}},
            {"key": "gen_ai.response.id", "value": {"stringValue": "chatcmpl-1"}},
        ]},
        {"body": {"stringValue": "another log line"}},
        {"eventName": "gen_ai.evaluation.result", "attributes": [
            {"key": "gen_ai.evaluation.name", "value": {"stringValue": "Toxicity"}},
            {"key": "error.type", "value": {"stringValue": "timeout"}},
            {"key": "gen_ai.response.id", "value": {"stringValue": "chatcmpl-2"}},
        ]},
    ]}]}]
}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        ATTRIBUTES,
        {"name": "gen_ai.evaluation.result", "attributes": ATTRIBUTES},
        {"event_name": "gen_ai.evaluation.result", "timestamp": "2026-01-01T00:00:00Z", "attributes": ATTRIBUTES},
    ],
)
def test_an_event_of_opentelemetry(body: dict[str, Any]) -> None:
    """As the body of a feedback event, and of POST /v1/feedback, where the response's id is the prediction's."""
    expected = {
        "name": "Relevance", "id": "", "value": 0.75, "label": "relevant", "explanation": "to the point", "time": TIME,
    }  # fmt: skip
    (entry,) = parts_of(made("feedback", body))[0].content["evaluations"]
    assert entry == expected
    posted = feedback_event(json.dumps({**body, "deployment": "chat"}).encode(), Settings())
    assert posted.request_id == "chatcmpl-1"
    (entry,) = parts_of(posted)[0].content["evaluations"]
    assert {**entry, "time": TIME} == expected


def test_log_records_of_opentelemetry() -> None:
    """One feedback per response; records that are no evaluations are ignored."""
    found = list(of_logs(json.dumps(LOGS).encode()) or ())
    assert [each["request_id"] for each in found] == ["chatcmpl-1", "chatcmpl-2"]
    (first,), (second,) = (each["evaluations"] for each in found)
    assert (first["value"], first["time"]) == (0.75, "2026-01-01T00:00:00.000000007Z")
    assert second == {"name": "Toxicity", "error": "timeout"}
    assert of_logs(b'{"resourceLogs": []}') is None
    content = with_evaluations(LOGS, TIME)
    assert [entry["name"] for entry in content["evaluations"]] == ["Relevance", "Toxicity"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"evaluations": 1}, "evaluations: expected a list"),
        ({"evaluations": [{"name": "a", "value": 1}, {"name": "b"}]}, r"evaluations\[1\]: expected one of"),
        ({"evaluations": [{"name": "a", "value": [3]}]}, r"evaluations\[0\].value: expected"),
        ({"thumb": 9}, "thumb: expected 1, -1, up, down, true or false"),
        ({"evaluations": [{"name": "a", "value": 1}] * 101}, "evaluations: expected a list of up to 100"),
    ],
)
def test_a_wrong_evaluation_is_refused_over_http(more: dict[str, Any], message: str) -> None:
    body = {"request_id": "r1", "deployment": "chat", **more}
    with pytest.raises(BadEventError, match=message):
        feedback_event(json.dumps(body).encode(), Settings())


# Joining


RATERS = ("alice", "bob", "")
evaluations = st.fixed_dictionaries(
    {"name": st.sampled_from(["helpful", "correct"]), "id": st.sampled_from(RATERS), "value": st.integers(0, 3)},
    optional={"source": st.sampled_from(["human", "judge"]), "time": st.sampled_from([TIME, "2026-01-09T00:00:00Z"])},
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "note": st.just("empty otherwise"),
        "truth": st.builds(lambda n: {"data": {"ndarray": [n]}}, st.integers(0, 1)),
        "reward": st.sampled_from([0, 1]),
        "evaluations": st.lists(evaluations, max_size=3),
        "thumb": st.sampled_from(["up", -1]),
    },
)
PREDICTIONS = [
    [("request", ndarray([[1, 2]], ["a", "b"])), ("response", ndarray([[0.2, 0.8]], ["no", "yes"]))],
    [
        ("request", ndarray([[1, 2], [3, 4]], ["a", "b"])),
        ("response", ndarray([[0.2, 0.8], [0.9, 0.1]], ["no", "yes"])),
    ],
]


@given(st.lists(bodies, min_size=1, max_size=5), st.sampled_from(PREDICTIONS), st.randoms(use_true_random=False),
       st.lists(st.sampled_from(["", "a"]), min_size=5, max_size=5))  # fmt: skip
@settings(max_examples=150)
def test_any_order_and_repetition_gives_the_same_documents(
    feedback: list[Any], prediction: list[Any], shuffler: random.Random, nodes: list[str]
) -> None:
    """Of a single prediction and of a batch; a truth replaces a truth, and an evaluation its own name and id."""
    events = [made(part, body) for part, body in prediction]
    events += [
        made("feedback", body, f"2026-01-0{day}T00:00:00Z", node=node if len(prediction) == 1 else "")
        for day, (body, node) in enumerate(zip(feedback, nodes, strict=False), start=2)
    ]
    expected = in_order(events)
    several = events + shuffler.sample(events, len(events) // 2)
    shuffler.shuffle(several)
    assert in_order(several) == expected


def test_a_truth_and_evaluations_leave_each_other_in_place() -> None:
    """Whichever is later, and with any number of corrections of both."""
    events = [
        *(made(part, body) for part, body in PREDICTIONS[0]),
        made("feedback", {"truth": {"data": {"ndarray": [0]}}, "note": "wrong"}, "2026-01-02T00:00:00Z"),
        made("feedback", {"evaluations": [{"name": "helpful", "value": 1, "id": "a"}]}, "2026-01-03T00:00:00Z"),
        made("feedback", {"truth": {"data": {"ndarray": [1]}}}, "2026-01-04T00:00:00Z"),
        made("feedback", {"evaluations": [{"name": "helpful", "value": 0, "id": "a"}]}, "2026-01-05T00:00:00Z"),
        made("feedback", {"evaluations": [{"name": "helpful", "value": 1, "id": "b"}]}, "2026-01-01T00:00:00Z"),
    ]
    (document,) = in_order(events).values()
    assert document["feedback"]["truth"] == {"data": {"ndarray": [1]}}
    assert "note" not in document["feedback"]
    assert document["feedback"]["ce-time"] == "2026-01-04T00:00:00Z"
    assert {entry["id"]: entry["value"] for entry in document["feedback"]["evaluations"]} == {"a": 0.0, "b": 1.0}
    assert document["metrics"]["correct"] == 1
    assert document["metrics"]["evaluations"]["helpful"]["value"] == 0.5


def test_evaluations_of_a_batch_are_in_its_first_row() -> None:
    """As they are of the prediction as a whole; those of a row by its id are in that row."""
    batch = [made(part, body) for part, body in PREDICTIONS[1]]
    whole = made("feedback", {"evaluations": [{"name": "helpful", "value": 1}]}, "2026-01-03T00:00:00Z")
    of_row = made("feedback", {"evaluations": [{"name": "helpful", "value": 0}]}, request_id="r1-item-1")
    store = in_order([*batch, of_row, whole])
    assert in_order([whole, *batch, of_row]).keys() == store.keys()
    values = [store[INDEX, f"r1-item-{row}"]["metrics"]["evaluations"]["helpful"]["value"] for row in (0, 1)]
    assert values == [1.0, 0.0]


def test_the_number_of_evaluations_is_bounded() -> None:
    """The same ones are kept in any order, and the document says so."""
    events = [
        made("feedback", {"evaluations": [{"name": "a", "id": str(k), "value": 1} for k in range(start, start + 60)]})
        for start in (0, 60, 120)
    ]
    (document,) = in_order(events).values()
    assert len(document["feedback"]["evaluations"]) == MAX_ENTRIES
    assert document["metrics"]["warning"].startswith("only 100 evaluations")
    assert in_order(events[::-1]) == in_order(events)
    # A version that says that it had too many is enough, however many are stored.
    (document,) = in_order([made("feedback", {"evaluations": [{"name": "a", "id": "0", "value": 1}]})]).values()
    cut = with_all_evaluations(document["feedback"], (document["feedback"], {LEFT_OUT: True}))
    assert cut[LEFT_OUT] is True
    assert LEFT_OUT not in with_all_evaluations(document["feedback"], (document["feedback"], {}))


def test_what_ratings_say() -> None:
    """Labels by rater and source, numbers, and failed evaluations; one that can't be used leaves a warning."""
    stored = [
        {"name": "tone", "label": "kind", "id": "a", "source": "human"},
        {"name": "tone", "label": "rude", "id": "b", "source": "judge"},
        {"name": "tone", "error": "timeout", "id": "c", "source": "code"},
        {"name": "stars", "value": 0.5},
        {"name": "length", "label": "long"},
    ]
    fields, problems = of_feedback({"evaluations": stored})
    assert problems == []
    assert fields["evaluated"] == ["length", "stars", "tone"]
    assert fields["evaluation_labels"] == ["length=long"]
    assert fields["evaluations"]["stars"] == {"raters": 1, "value": 0.5}
    tone = fields["evaluations"]["tone"]
    assert (tone["raters"], tone["failed"], tone["source"]) == (2, 1, ["code", "human", "judge"])
    assert (tone["human"], tone["judge"]) == ({"label": "kind"}, {"label": "rude"})
    assert tone["rater_pairs"] == ['["a", "b", "kind", "rude"]']
    assert of_feedback({"evaluations": [7]}) == ({}, [PairWarning.EVALUATION_UNUSABLE])
    most = [{"name": f"n{k}", "value": 1} for k in range(MAX_NAMES)]
    assert of_feedback({"evaluations": most})[1] == []


def test_names_become_safe_fields_of_a_bounded_number() -> None:
    """A name with a dot would be an object in the index."""
    names = ["a.b c", "äöü", *(f"n{k}" for k in range(30))]
    content = {"evaluations": [{"name": name, "value": 1} for name in names]}
    metrics = score({"feedback": with_evaluations(content, TIME)}, Chooser())
    assert metrics is not None
    assert len(metrics["evaluated"]) == 20
    assert metrics["evaluated"][0] == "a_b_c"
    assert metrics["warning"].startswith("only 100 evaluations and 20 names")


def test_evaluations_are_set_aside_before_anything_else() -> None:
    """Where an index has no room for another name, its columns stay searchable; evaluations can be computed again."""
    events = [*(made(part, body) for part, body in PREDICTIONS[0])]
    events.append(made("feedback", {"truth": {"data": {"ndarray": [1]}}, "evaluations": [{"name": "a", "value": 1}]}))
    (document,) = in_order(events).values()
    refused = degrade(document, ["Limit of total fields [2300] has been exceeded while adding new fields [4]"])
    assert refused is not None
    assert json.loads(refused["metrics"]["unindexed"]).keys() == {"evaluations"}
    assert refused["metrics"]["correct"] == 1
    assert all("unindexed" not in refused[part] for part in ("request", "response", "feedback"))
    # And what arrives then is joined to what was set aside.
    later = made("feedback", {"evaluations": [{"name": "a", "id": "b", "value": 0}]}, "2026-01-09T00:00:00Z")
    joined = SETTLE(join(refused, parts_of(later)[0]))
    assert joined["metrics"]["evaluations"]["a"]["value"] == 0.5
