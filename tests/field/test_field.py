"""Each case is replayed to a real server and engine; `expect` in its file says what must come of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.cli import main
from tests.helpers import DATA, Index, Sender, Server

pytestmark = pytest.mark.engine

CASES = {path.stem: json.loads(path.read_text()) for path in sorted((DATA / "field").glob("*.json"))}
DEAD_LETTERS = "request-logger-dead-letters"
COMMON = {
    "Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Source": "http://:8000/", "Ce-Namespace": "field",
    "Ce-Endpoint": "default", "Ce-Modelid": "clf", "Ce-Time": "2026-03-01T10:00:00Z",
}  # fmt: skip


class Field:
    """Replays a case under a deployment of its own."""

    def __init__(self, name: str, deployment: str, sender: Sender, index: Index) -> None:
        # The case's own deployment is a part of the names of its indices and templates.
        text = json.dumps(CASES[name])
        known = {event["headers"].get("Ce-Inferenceservicename", "f-src3") for event in CASES[name]["events"]}
        (self._of_case,) = known
        self._case = json.loads(text.replace(self._of_case, deployment))
        self.deployment = deployment
        self._sender, self._index = sender, index
        self.set_up()

    def send_through(self, sender: Sender) -> list[int]:
        """Send all events over another connection, and return the statuses."""
        self._sender = sender
        return self.send()

    def set_up(self) -> None:
        """Bring the engine into the case's state."""
        for method, path, body in self._case.get("engine_before", []):
            assert "error" not in self._index.request(method, path, body)

    def send(self) -> list[int]:
        """Send all events, and return the statuses."""
        statuses = []
        for event in self._case["events"]:
            headers = {**COMMON, "Ce-Inferenceservicename": self.deployment, **event["headers"]}
            headers.setdefault("Ce-Id", f"{headers.get('Ce-Requestid')}-{headers['Ce-Type']}")
            encoded = event.get("body_b64")
            body = json.dumps(event["body"]).encode() if encoded is None else base64.b64decode(encoded)
            statuses.append(self._sender.send(headers, body)[0])
        return statuses

    def clean_up(self) -> None:
        """Undo what the case did to the engine."""
        for entry in self._case.get("engine_before", []):
            if entry[1].startswith("/_index_template/"):
                self._index.request("DELETE", entry[1])

    def documents(self) -> dict[str, Any]:
        """Return the deployment's documents by their ids."""
        return {id: source for (_, id), source in self._index.documents(f"*-log-*{self.deployment}*").items()}

    def count(self, query: Any) -> int:
        """Count the documents of the deployment that a query finds."""
        return self._index.count(f"inference-log-*{self.deployment}*", query)

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters of the deployment."""
        found = self._index.documents(DEAD_LETTERS).values()
        return [each for each in found if self.deployment in each["index"]]


@pytest.fixture
def field(request: pytest.FixtureRequest, deployment: str, sender: Sender, index: Index) -> Iterator[Field]:
    """The case that the test names."""
    made = Field(request.param, deployment, sender, index)
    yield made
    made.clean_up()


def case(name: str) -> pytest.MarkDecorator:
    assert name in CASES
    return pytest.mark.parametrize("field", [name], indirect=True)


def test_every_case_is_replayed() -> None:
    """A file without a test proves nothing."""
    source = (DATA.parent / "field" / "test_field.py").read_text(encoding="utf-8")
    assert [name for name in CASES if f'@case("{name}")' not in source] == []


@case("02_blank_dotted_names")
def test_names_that_no_index_can_have(field: Field) -> None:
    """The other columns of the row can be searched, and all values are kept."""
    assert field.send() == [200, 200, 200]
    (document,) = field.documents().values()
    assert field.count({"term": {"request.elements.ok": 7}}) == 1
    assert field.count({"term": {"metrics.correct": 1}}) == 1
    assert document["request"]["instance"] == [1, 2, 3, 4, 5, 6, 7]
    assert document["request"]["payload"]["data"]["ndarray"] == [[1, 2, 3, 4, 5, 6, 7]]


@case("04_alias_no_write_index")
def test_an_alias_without_a_write_index(field: Field, index: Index) -> None:
    """Nothing is acknowledged and missing; with a write index the same events end in one scored document."""
    statuses = field.send()
    assert set(statuses) <= {200, 503}
    assert len(field.letters()) >= statuses.count(200) > 0 or statuses == [503, 503, 503]
    name = f"inference-log-seldon-field-{field.deployment}-default"
    add = {"index": f"{name}-000002", "alias": name, "is_write_index": True}
    assert index.request("POST", "/_aliases", {"actions": [{"add": add}]})["acknowledged"]
    assert field.send() == [200, 200, 200]
    (document,) = field.documents().values()
    assert {"request", "response", "feedback"} <= document.keys()
    assert document["metrics"]["correct"] == 1


@case("09_routing_required")
def test_an_index_that_requires_routing(field: Field) -> None:
    """Every event that is acknowledged is a dead letter with the reason."""
    statuses = field.send()
    assert set(statuses) <= {200, 503}
    letters = field.letters()
    assert len(letters) >= statuses.count(200)
    assert all("routing" in letter["reason"] for letter in letters)


@case("10_strict_mapping")
def test_a_mapping_that_takes_no_new_field(field: Field, index: Index) -> None:
    """The document has all parts, and its metrics can be aggregated."""
    assert field.send() == [200, 200, 200]
    (document,) = field.documents().values()
    assert {"request", "response", "feedback", "metrics"} <= document.keys()
    mean = {"mean": {"avg": {"field": "metrics.correct"}}}
    found = index.aggregate(f"inference-log-*{field.deployment}*", mean)
    assert found["mean"]["value"] == 1
    assert field.letters() == []


@case("13_mlserver_predict_and_proba")
def test_label_and_probabilities_side_by_side(field: Field) -> None:
    """The label is the prediction; never another class."""
    assert set(field.send()) == {200}
    documents = field.documents()
    right = {"pp1-item-0": 1, "pp1-item-1": 0, "pp2": 1}
    assert documents.keys() == right.keys()
    for id, correct in right.items():
        metrics = documents[id]["metrics"]
        assert metrics.get("correct") == correct or metrics["unscorable"], id


@case("14_triton_classification")
def test_scores_with_labels_as_text(field: Field) -> None:
    """`0.93:2:cat` is the class cat."""
    assert set(field.send()) == {200}
    documents = field.documents()
    right = {"tc1-item-0": 1, "tc1-item-1": 0, "tc2": 1}
    assert documents.keys() == right.keys()
    for id, correct in right.items():
        metrics = documents[id]["metrics"]
        assert metrics.get("correct") == correct or metrics["unscorable"], id


@case("17_chat_completions")
def test_chats(field: Field, index: Index) -> None:
    """JSON stays JSON, rewards count, and a truth is right or unscorable."""
    assert set(field.send()) == {200}
    documents = field.documents()
    assert documents.keys() == {"ch1", "ch2", "ch3"}
    assert all({"request", "response", "feedback"} <= document.keys() for document in documents.values())
    assert documents["ch1"]["request"]["payload"]["messages"][0]["content"][0]["text"] == "Capital of France?"
    assert documents["ch1"]["response"]["payload"]["choices"][0]["message"]["content"] == "Paris"
    for name in ("feedback.reward", "metrics.reward"):
        wanted = {"sum": {"sum": {"field": name}}, "mean": {"avg": {"field": name}}}
        found = index.aggregate(f"inference-log-*{field.deployment}*", wanted)
        assert (found["sum"]["value"], found["mean"]["value"]) == (1, 0.5), name
    metrics = documents["ch3"]["metrics"]
    assert 1 in (metrics.get("correct"), metrics.get("exact_match")) or metrics["unscorable"]


@case("18_generate_and_pipelines")
def test_generated_text_and_pipelines(field: Field) -> None:
    """A text is one row, never a row per character; the answers are kept; a right answer is never wrong."""
    assert set(field.send()) == {200}
    documents = field.documents()
    assert documents.keys() == {"ge1", "ge2", "ge3"}
    for id, document in documents.items():
        assert {"request", "response", "feedback"} <= document.keys()
        assert "payload" in document["response"], id
        metrics = document["metrics"]
        assert 1 in (metrics.get("correct"), metrics.get("exact_match")) or metrics["unscorable"], id


@case("39_payload_excluded_batch_feedback")
def test_a_payload_that_is_not_in_the_source(field: Field, index: Index, make_server: Callable[..., Server]) -> None:
    """All rows of the batch are scored, by a process that has never seen the response."""
    statuses = field.send()
    assert statuses == [200, 200, 200]
    other = make_server(GUNICORN_WORKERS="1")
    assert field.send_through(Sender(other.url))[2] == 200
    other.stop()
    wanted = {"mean": {"avg": {"field": "metrics.correct"}}, "n": {"value_count": {"field": "metrics.correct"}}}
    found = index.aggregate(f"inference-log-*{field.deployment}*", wanted)
    assert (found["n"]["value"], found["mean"]["value"]) == (3, pytest.approx(1 / 3))


def test_a_wide_index_spoils_no_report(
    sender: Sender, index: Index, deployment: str, reach: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report works for an index with 1,100 columns, and for other indices while that index exists."""
    wide, narrow = f"{deployment}-genes", f"{deployment}-other"
    names = {wide: [f"gene_{number}" for number in range(1100)], narrow: ["age"]}
    bodies = {
        "request": lambda name: {"data": {"names": names[name], "ndarray": [[0.5] * len(names[name])]}},
        "response": lambda name: {"data": {"names": ["a", "b"], "ndarray": [[0.3, 0.7]]}},
        "feedback": lambda name: {"truth": {"data": {"ndarray": ["b"]}}},
    }
    kinds = {"request": "inference.request", "response": "inference.response", "feedback": "feedback"}
    for name in names:
        for part, body in bodies.items():
            headers = {
                **COMMON, "Ce-Type": f"io.seldon.serving.{kinds[part]}", "Ce-Inferenceservicename": name,
                "Ce-Id": f"{name}-{part}", "Ce-Requestid": f"{name}-w1",
            }  # fmt: skip
            assert sender.send(headers, json.dumps(body(name)).encode())[0] == 200
    index.refresh()
    for name in names:
        assert main(["report", name]) == 0
        text = capsys.readouterr().out
        assert "1 predictions, 1 with feedback (100 %), 1 scored" in text
        assert "too_many" not in text
