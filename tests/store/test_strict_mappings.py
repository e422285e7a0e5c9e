"""Indices that take no new names: a template with `dynamic: strict`, and one whose limit of fields is used up.

After shared cases of the field: the feedback is in its document, and its metrics can be rolled up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.documents.document import expand
from request_logger.metrics_server.exporter import Exporter
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import DYNAMIC_FIELDS
from tests.helpers import Index, Sender, event, index_of, ndarray

pytestmark = pytest.mark.engine

DEAD_LETTERS = "request-logger-dead-letters"
REQUEST = ndarray([[41]], ["age"])
RESPONSE = ndarray([[0.3, 0.7]], ["a", "b"])
FEEDBACK = json.dumps({"truth": {"data": {"ndarray": ["b"]}}}).encode()
LISTED = {"@timestamp": {"type": "date"}, "RequestId": {"type": "keyword"}}
STRICT: dict[str, Any] = {
    "as in the case": {"dynamic": "strict", "properties": LISTED},
    "one column is listed": {
        "dynamic": "strict",
        "properties": {"request": {"properties": {"elements": {"properties": {"age": {"type": "long"}}}}}},
    },
    "metrics alone are strict": {"properties": {"metrics": {"type": "object", "dynamic": "strict"}}},
    "parts alone are strict": {
        "properties": {part: {"type": "object", "dynamic": "strict"} for part in ("request", "response", "feedback")}
    },
    "no new names are indexed": {"dynamic": "false"},
}


@pytest.fixture
def templates_of_users(index: Index) -> Iterator[Callable[[str, Any], None]]:
    """Install an index template of the highest priority for one index; it goes at the end."""
    made: list[str] = []

    def make(name: str, template: Any) -> None:
        body = {"index_patterns": [name], "priority": 5000, "template": template}
        assert index.request("PUT", f"/_index_template/t-{name}", body) == {"acknowledged": True}
        made.append(name)

    yield make
    for name in made:
        index.request("DELETE", f"/_index_template/t-{name}")
        index.drop(name)


def letters(index: Index, name: str) -> int:
    return index.count(DEAD_LETTERS, {"term": {"index": name}})


def send(sender: Sender, deployment: str, request_id: str, **bodies: bytes) -> None:
    for part, body in bodies.items():
        assert sender.send(event(part, request_id, deployment), body) == (200, b"")


@pytest.mark.parametrize("mappings", STRICT.values(), ids=STRICT)
@pytest.mark.parametrize("by_hand", [False, True], ids=["template", "index"])
def test_a_strict_mapping(
    sender: Sender,
    index: Index,
    deployment: str,
    templates_of_users: Callable[[str, Any], None],
    mappings: Any,
    by_hand: bool,
) -> None:
    """200 each; one document with all three parts, and accuracy and log loss can be aggregated."""
    name = index_of(deployment)
    templates_of_users(name, {"mappings": mappings})
    if by_hand:
        assert index.request("PUT", f"/{name}")["acknowledged"]
    send(sender, deployment, "r1", request=REQUEST, response=RESPONSE, feedback=FEEDBACK)
    ((_, document),) = index.documents(name).items()
    assert expand(document["request"])["elements"] == {"age": 41.0}
    assert expand(document["response"])["elements"] == {"a": 0.3, "b": 0.7}
    assert expand(document["feedback"])["truth"] == {"data": {"ndarray": ["b"]}}
    assert "unindexed" not in document["metrics"]
    figures = index.aggregate(name, {f: {"avg": {"field": f"metrics.{f}"}} for f in ("correct", "log_loss", "brier")})
    assert figures["correct"]["value"] == 1
    assert figures["log_loss"]["value"] == pytest.approx(0.35667494393873245)
    assert letters(index, name) == 0


def test_custom_metrics_with_a_strict_mapping(
    sender: Sender, index: Index, deployment: str, templates_of_users: Callable[[str, Any], None], reach: Settings
) -> None:
    """A name that is not listed costs that field its place; those of the scorer count, and gauges are shown."""
    name = index_of(deployment)
    templates_of_users(name, {"mappings": STRICT["as in the case"]})
    metrics = [{"key": key, "type": "GAUGE", "value": 0.5} for key in ("one", "two")]
    feedback = {**json.loads(FEEDBACK), "reward": 1, "metrics": metrics}
    send(sender, deployment, "r1", request=REQUEST, response=RESPONSE, feedback=json.dumps(feedback).encode())
    ((_, document),) = index.documents(name).items()
    assert set(json.loads(document["metrics"]["unindexed"])) == {"gauge__one", "gauge__two"}
    assert expand(document["metrics"])["gauge__one"] == 0.5
    assert index.aggregate(name, {"a": {"avg": {"field": "metrics.correct"}}})["a"]["value"] == 1
    lines = Exporter(SearchEngine(reach), reach).exposition().decode().splitlines()
    shown = [line for line in lines if line.startswith(("one{", "two{")) and f'"{deployment}"' in line]
    assert [line.split()[-1] for line in shown] == ["0.5", "0.5"]
    assert letters(index, name) == 0


@pytest.fixture
def wide(index: Index, deployment: str) -> Iterator[str]:
    """The name of an index that goes at the end: `exists` on its elements is more clauses than a query may have."""
    yield index_of(deployment)
    index.drop(index_of(deployment))


@pytest.mark.parametrize("columns", [DYNAMIC_FIELDS, DYNAMIC_FIELDS + 300], ids=["just full", "too many"])
def test_all_names_are_used_up_before_the_first_feedback(
    sender: Sender, index: Index, deployment: str, wide: str, columns: int
) -> None:
    """Elements can't use up the room of feedback and metrics; custom ones for which there is none are un-indexed."""
    name = wide
    for start in range(0, columns, 500):
        names = [f"x{number}" for number in range(start, min(start + 500, columns))]
        send(sender, deployment, f"w{start}", request=ndarray([[1] * len(names)], names))
    more = [f"y{number}" for number in range(200)]
    metrics = [{"key": f"k{number}", "type": "GAUGE", "value": 0.5} for number in range(100)]
    feedback = {**json.loads(FEEDBACK), "reward": 1, "metrics": metrics, "more": {"of": "theirs"}}
    request = ndarray([[1] * len(more)], more)
    send(sender, deployment, "r1", request=request, response=RESPONSE, feedback=json.dumps(feedback).encode())
    document = index.documents(name)[name, "r1"]
    assert expand(document["request"])["elements"] == dict.fromkeys(more, 1.0)
    assert expand(document["metrics"])["gauge__k99"] == 0.5
    assert document["feedback"]["truth"] == json.loads(FEEDBACK)["truth"]
    query = {"ids": {"values": ["r1"]}}
    asked = {"right": {"avg": {"field": "metrics.correct"}}, "rewards": {"sum": {"field": "feedback.reward"}}}
    figures = index.aggregate(name, asked, query)
    assert (figures["right"]["value"], figures["rewards"]["value"]) == (1, 1)
    assert letters(index, name) == 0
