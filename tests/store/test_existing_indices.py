"""Indices that the original made go on working: what their dynamic mappings refuse is stored, and old queries agree."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from request_logger.commands import check
from request_logger.documents.document import expand
from request_logger.documents.event import Body, Event, from_headers
from request_logger.settings import Settings
from tests.helpers import DATA, Index, Sender, Server, event, index_of, ndarray
from tests.model import in_order, without_times

pytestmark = pytest.mark.engine

GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted((DATA / "golden").glob("*.json"))}
# Those of the default settings; structured ones have their id in the body, and the original kept none of them.
CASES = {name: case for name, case in GOLDEN.items() if not case["env"] and "mode" not in name}
# A separate index costs seconds on a small machine: only what is about conflicts, and one of each other part.
OWN_INDEX = [name for name in CASES if name.startswith(("conflict_", "feedback_", "outlier_", "drift_", "reference_"))]
SHARED = "old-shared-index"
DEAD_LETTERS = "request-logger-dead-letters"
QUERIES = {
    "rewards": {"sum": {"field": "feedback.reward"}},
    "with_feedback": {"filter": {"exists": {"field": "feedback.reward"}}},
}


@pytest.fixture(scope="module", autouse=True)
def no_template_of_ours(index: Index) -> Iterator[None]:
    """New indices of some names get the engine's own dynamic mapping, as the original's did.

    Of several index templates an engine takes only the one of the highest priority.
    """
    patterns = ["inference-log-*-gold-*", "inference-log-*-old-*", "drift-log-*-gold-*", "reference-log-*-gold-*"]
    body = {"index_patterns": [*patterns, SHARED], "priority": 1000, "template": {}}
    assert index.request("PUT", "/_index_template/as-the-original", body) == {"acknowledged": True}
    names = ",".join(body["index_patterns"])  # type: ignore[arg-type]
    index.drop(names)
    yield
    index.request("DELETE", "/_index_template/as-the-original")
    index.drop(names)
    index.request("DELETE", f"/{SHARED}")


@pytest.fixture
def old(deployment: str) -> str:
    """A deployment whose index is as the original would make it."""
    return f"old-{deployment}"


def put(index: Index, name: str, id: str, source: dict[str, Any]) -> bool:
    """Store a document as the original did; what the engine refuses was lost."""
    return "error" not in index.request("PUT", f"/{quote(name)}/_doc/{quote(id, safe='')}", source)


def as_the_original(name: str, **parts: Any) -> dict[str, Any]:
    """A document as the original stored it."""
    common = {"ce-time": "2026-01-01T00:00:00.000Z", "ce-source": "http::8000"}
    return {
        **{part: {**content, **common} for part, content in parts.items()},
        "ServingEngine": "seldon",
        "Ce-Inferenceservicename": name,
        "Ce-Endpoint": "default",
        "Ce-Namespace": "test",
        "Ce-Modelid": "classifier",
        "@timestamp": "2026-01-01T00:00:00.000Z",
        "RequestId": "old",
    }


def part_of(rows: list[Any], names: list[str]) -> dict[str, Any]:
    """A part of one row, as the original stored it."""
    return {
        "elements": dict(zip(names, rows, strict=True)),
        "instance": rows,
        "dataType": "tabular",
        "names": names,
        "payload": {"data": {"names": names, "ndarray": [rows]}},
    }


def expanded(document: dict[str, Any]) -> dict[str, Any]:
    return {name: expand(value) if isinstance(value, dict) else value for name, value in document.items()}


def messages(name: str) -> list[tuple[dict[str, str], bytes, bool]]:
    """The events of a case under ids that nothing has yet."""
    result = []
    for message in GOLDEN[name]["events"]:
        body = base64.b64decode(message["body_b64"]) if "body_b64" in message else str(message["body"]).encode()
        headers = {
            key: f"new-{name}-{value}" if key in ("Ce-Requestid", "Ce-Id") else value
            for key, value in message["headers"].items()
        }
        result.append((headers, body, bool(message.get("chunked"))))
    return result


def as_event(headers: dict[str, str], body: bytes, settings: Settings) -> Event:
    lowered = {name.lower(): value for name, value in headers.items()}
    kept = body if len(body) <= settings.max_payload_bytes else None
    digest = hashlib.sha256(body).hexdigest()
    return from_headers(lowered, Body(kept, lowered.get("content-type"), len(body), digest), settings)


def replay(sender: Sender, settings: Settings, names: Iterable[str]) -> tuple[list[Event], list[tuple[str, int]]]:
    """Send cases; give the events that were to be taken, and the answers other than 200 to them."""
    sent, refused = [], []
    for name in names:
        for headers, body, chunked in messages(name):
            try:
                sent.append(as_event(headers, body, settings))
            except ValueError:
                continue
            status, _ = sender.send(headers, body, chunked=chunked)
            if status != 200:
                refused.append((name, status))
    return sent, refused


def assert_all_is_stored(index: Index, sent: list[Event], pattern: str) -> None:
    """Each event's content is in the documents: indexed, or in the form that can't be refused."""
    expected = in_order(sent)
    query = {"ids": {"values": sorted({id for _, id in expected})}}
    found = {key: expanded(source) for key, source in index.documents(pattern, query).items() if key in expected}
    found = without_times(found)
    # Without a time that is one, the document's is that of the arrival.
    arrived = {event.request_id for event in sent if event.timestamp != event.time}
    for key, source in expected.items():
        assert key in found, key
        if source["RequestId"] in arrived:
            source["@timestamp"] = found[key]["@timestamp"]
        assert found[key] == source, key


def test_golden_indices_take_all_events(server: Server, sender: Sender, index: Index) -> None:
    """Into each index that the original made go the same events, also those that it refused: all of them are stored."""
    for name in OWN_INDEX:
        for document in CASES[name]["documents"]:
            assert put(index, document["index"], document["id"], document["source"])
    before = index.count("*-log-*-gold-*")
    letters = index.count(DEAD_LETTERS)
    old_documents = index.documents("*-log-*-gold-*")
    sent, refused = replay(sender, Settings(), OWN_INDEX)
    assert refused == []
    assert before == len(old_documents) > 30
    assert_all_is_stored(index, sent, "*-log-*")
    assert index.count(DEAD_LETTERS) == letters
    now = index.documents("*-log-*-gold-*")
    assert {key: now.get(key) for key in old_documents} == old_documents


def test_one_index_of_all_golden_documents_takes_all_events(make_server: Callable[..., Server], index: Index) -> None:
    """One old index for all deployments, of which each field has the type of whoever came first, refuses nothing."""
    kept = [
        put(index, SHARED, f"{name}-{document['id']}", document["source"])
        for name, case in CASES.items()
        for document in case["documents"]
    ]
    assert kept.count(False) > 5  # the original lost these
    letters = index.count(DEAD_LETTERS)
    server = make_server(INDEX_NAME=SHARED)
    sender = Sender(server.url)
    sent, refused = replay(sender, Settings(index_name=SHARED), CASES)
    sender.close()
    server.stop()
    assert refused == []
    assert_all_is_stored(index, sent, SHARED)
    assert index.count(DEAD_LETTERS) == letters


NAMES = ["a", "b"]
FEEDBACK = {"truth": {"data": {"ndarray": [[0, 1, 0]]}}}
RESPONSE = ndarray([[0.2, 0.7, 0.1]], ["t0", "t1", "t2"])


@pytest.mark.parametrize("first", [True, 1, "good", "2026-01-01", 1.5])
@pytest.mark.parametrize("reward", [0.5, 1, True, "0.25", "bad"])
def test_rewards(sender: Sender, index: Index, old: str, first: Any, reward: Any) -> None:
    """Whatever the first reward was, another is kept, and the metrics are there and roll up."""
    name = index_of(old)
    assert put(index, name, "old", as_the_original(old, feedback={"reward": first}))
    before = index.documents(name)[name, "old"]
    feedback = json.dumps({**FEEDBACK, "reward": reward}).encode()
    for part, body in (("response", RESPONSE), ("feedback", feedback), ("request", ndarray([[1, 2]], NAMES))):
        assert sender.send(event(part, "r1", old), body) == (200, b"")
    documents = index.documents(name)
    assert documents[name, "old"] == before
    document = expanded(documents[name, "r1"])
    number = {True: 1, "0.25": 0.25}.get(reward, reward)
    assert document["feedback"]["reward"] == number
    assert document["metrics"]["correct"] == 1
    answer = index.aggregate(
        name,
        {
            "classes": {"terms": {"field": "metrics.true_positive"}},
            "accuracy": {"avg": {"field": "metrics.correct"}},
            "rewards": {"sum": {"field": "metrics.reward"}},
            "loss": {"avg": {"field": "metrics.log_loss"}},
        },
    )
    assert [(bucket["key"], bucket["doc_count"]) for bucket in answer["classes"]["buckets"]] == [("t1", 1)]
    assert answer["accuracy"]["value"] == 1
    assert answer["rewards"]["value"] == (0 if reward == "bad" else number)
    assert answer["loss"]["value"] == pytest.approx(document["metrics"]["log_loss"], abs=1e-9)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param([1, 2], [1.5, "x"], id="number, then text"),
        pytest.param(["x", "y"], [1, 2.5], id="text, then number"),
        pytest.param(["2026-01-01", "2026-01-02"], ["soon", "y"], id="date, then text"),
        pytest.param(["x", "y"], [{"k": 1}, "y"], id="text, then object"),
        pytest.param([{"k": 1}, {"k": 2}], [1, 1], id="object, then number"),
        pytest.param([True, False], [0.5, 1], id="boolean, then number"),
        pytest.param([1, 2], [[1, 2], {"k": [3]}], id="number, then object"),
    ],
)
def test_elements_and_instances(sender: Sender, index: Index, old: str, first: list[Any], then: list[Any]) -> None:
    """A row with other types than the first is stored, and its response and feedback are still indexed."""
    name = index_of(old)
    assert put(index, name, "old", as_the_original(old, request=part_of(first, NAMES)))
    body = ndarray([then], NAMES)
    messages = (("request", body), ("response", RESPONSE), ("feedback", json.dumps({**FEEDBACK, "reward": 1}).encode()))
    for part, raw in messages:
        assert sender.send(event(part, "r1", old), raw) == (200, b"")
    sent = [as_event(event(part, "r1", old), raw, Settings()) for part, raw in messages]
    assert_all_is_stored(index, sent, name)
    new = {"term": {"RequestId.keyword": "r1"}}
    for field in ("response.elements.t1", "feedback.reward", "metrics.correct"):
        assert index.count(name, {"bool": {"filter": [new, {"exists": {"field": field}}]}}) == 1, field


def test_a_refused_payload_leaves_elements_indexed(sender: Sender, index: Index, old: str) -> None:
    """What is refused is taken out of the index alone: the other fields of its part can still be searched."""
    name = index_of(old)
    assert put(
        index, name, "old", as_the_original(old, request={"payload": {"data": {"ndarray": 1}}, "dataType": "number"})
    )
    assert sender.send(event("request", "r1", old), ndarray([["x", 2]], NAMES)) == (200, b"")
    assert index.count(name, {"term": {"request.elements.a": "x"}}) == 1
    document = index.documents(name)[name, "r1"]
    assert expand(document["request"])["payload"]["data"]["ndarray"] == [["x", 2]]
    assert "payload" in document["request"]["unindexed_reason"]


def test_late_feedback_scores_what_the_original_stored(sender: Sender, index: Index, old: str) -> None:
    """A document of the original gets its metrics when its feedback comes after the upgrade."""
    name = index_of(old)
    response = part_of([0.2, 0.7, 0.1], ["t0", "t1", "t2"])
    source = as_the_original(old, request=part_of([1, 2], NAMES), response=response)
    assert put(index, name, "r1", {**source, "RequestId": "r1"})
    assert sender.send(event("feedback", "r1", old), json.dumps({**FEEDBACK, "reward": 1}).encode()) == (200, b"")
    document = index.documents(name)[name, "r1"]
    assert document["metrics"]["truth_label"] == "t1"
    assert {part: document[part] for part in ("request", "response")} == {
        part: source[part] for part in ("request", "response")
    }


def test_an_index_at_its_limit_of_fields_gets_metrics(sender: Sender, index: Index, old: str) -> None:
    """An index that is full of element names is given room for ours."""
    name = index_of(old)
    elements = {f"x{number}": number for number in range(950)}
    assert put(index, name, "old", as_the_original(old, request={"elements": elements}))
    for part, body in (("response", RESPONSE), ("feedback", json.dumps(FEEDBACK).encode())):
        assert sender.send(event(part, "r1", old), body) == (200, b"")
    assert index.count(name, {"term": {"metrics.true_positive": "t1"}}) == 1


@pytest.mark.parametrize("kind", [bool, int, float], ids=["boolean", "whole", "fraction"])
def test_notebook_queries_agree_before_and_after(sender: Sender, index: Index, old: str, kind: type) -> None:
    """The sum of rewards and the count with feedback of old documents are what they were."""
    name = index_of(old)
    for number in range(100):
        parts = {"request": part_of([number, number + 1], NAMES), "response": part_of([0.1, 0.9], ["t0", "t1"])}
        if number < 63:
            parts["feedback"] = {"reward": kind(number < 46)}
        assert put(index, name, f"o{number}", as_the_original(old, **parts))
    before = index.aggregate(name, QUERIES)
    assert (before["rewards"]["value"], before["with_feedback"]["doc_count"]) == (46, 63)
    for number in range(5):
        for part, body in (("response", RESPONSE), ("feedback", json.dumps({**FEEDBACK, "reward": 0.5}).encode())):
            assert sender.send(event(part, f"n{number}", old), body) == (200, b"")
    ids = {"ids": {"values": [f"o{number}" for number in range(100)]}}
    assert index.aggregate(name, QUERIES, ids) == before
    assert index.aggregate(name, {"rewards": {"sum": {"field": "metrics.reward"}}})["rewards"]["value"] == 2.5


def run_check(index: Index, monkeypatch: pytest.MonkeyPatch, pattern: str) -> int:
    from request_logger.cli import main

    host, _, port = index.url.removeprefix("http://").partition(":")
    monkeypatch.setenv("ELASTICSEARCH_HOST", host)
    monkeypatch.setenv("ELASTICSEARCH_PORT", port)
    return main(["check", "--json", pattern])


def test_check_says_what_to_do_and_that_helps(
    sender: Sender, index: Index, old: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the advised commands the index has our types, nothing is un-indexed, and events go on to the same name."""
    if "error" in index.request("PUT", f"/_ingest/pipeline/{check.PIPELINE}", check.PIPELINE_BODY):
        pytest.skip("this engine has no scripts or no ingest processors")
    name = index_of(old)
    assert put(index, name, "old", as_the_original(old, request=part_of([1, 2], NAMES), feedback={"reward": True}))
    assert sender.send(event("request", "r1", old), ndarray([["y", 0.5]], NAMES)) == (200, b"")
    assert sender.send(event("response", "r1", old), RESPONSE) == (200, b"")
    assert sender.send(event("feedback", "r1", old), json.dumps({**FEEDBACK, "reward": 0.5}).encode()) == (200, b"")
    capsys.readouterr()
    assert run_check(index, monkeypatch, name) == 1
    (report,) = json.loads(capsys.readouterr().out)
    found = {finding["field"]: finding["needs_action"] for finding in report["findings"]}
    assert found["feedback.reward"] is True
    assert report["origin"] == "original, with our fields added"

    index.request("DELETE", "/_index_template/as-the-original")
    try:
        for command in report["commands"]:
            method, url, body = parsed(command)
            answer = index.request(method, url.removeprefix(index.url), body)
            assert "error" not in answer and not answer.get("failures"), (command, answer)
    finally:
        patterns = ["inference-log-*-gold-*", "inference-log-*-old-*"]
        body = {"index_patterns": patterns, "priority": 1000, "template": {}}
        index.request("PUT", "/_index_template/as-the-original", body)
    assert sender.send(event("request", "r2", old), ndarray([["z", 2]], NAMES)) == (200, b"")
    documents = {id: source for (_, id), source in index.documents(name).items()}
    assert set(documents) == {"old", "r1", "r2"}
    assert "unindexed" not in json.dumps([documents["old"], documents["r1"]])
    assert run_check(index, monkeypatch, name) == 0
    answer = index.aggregate(name, QUERIES)
    assert (answer["rewards"]["value"], answer["with_feedback"]["doc_count"]) == (1.5, 2)


def parsed(command: str) -> tuple[str, str, Any]:
    """Method, URL and body of a curl line."""
    import shlex

    words = shlex.split(command)
    return words[1].removeprefix("-X"), words[2], json.loads(words[-1]) if "-d" in words else None


def test_check_ends_with_2_where_it_cannot_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], index: Index
) -> None:
    """An engine that isn't there, or settings that are wrong, are one line."""
    from request_logger.cli import main

    monkeypatch.setenv("ELASTICSEARCH_HOST", "127.0.0.1:1")
    assert main(["check"]) == 2
    monkeypatch.setenv("ELASTICSEARCH_HOST", "http://:x")
    assert main(["check"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_check_of_nothing(index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No index is no reason to do anything."""
    assert run_check(index, monkeypatch, "inference-log-nothing-like-this*") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_prints_for_people(
    index: Index, old: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line an index, one a finding, the commands, and a summary."""
    from request_logger.cli import main

    assert put(index, index_of(old), "old", as_the_original(old, feedback={"reward": 1}))
    index.refresh()
    host, _, port = index.url.removeprefix("http://").partition(":")
    monkeypatch.setenv("ELASTICSEARCH_HOST", f"{host}:{port}")
    assert main(["check", index_of(old)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{index_of(old)}: mapping of the original, 1 documents"
    assert lines[1].startswith("  ! feedback.reward (long): ")
    assert any(check.PIPELINE in line for line in lines)
    assert lines[-1] == "1 indices: 1 need changes (!), 0 don't."
