"""KServe's agent 0.15.2 in front of real model servers: MLServer 1.7.1 and KServe's own Python server 0.21.0.

The events are those that the agent sent (tests/data/wire/kserve_mlserver.jsonl, kserve_python.jsonl), with
``--metadata-headers X-Tenant,X-Request-Id,X-Empty`` and two annotations.
"""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from request_logger.documents.event import Body, Event, from_attributes
from request_logger.settings import Settings
from tests.contract.events import Sent, read
from tests.helpers import DATA
from tests.model import in_order

SERVERS = ("kserve_mlserver", "kserve_python")
INDEX = "inference-log-inferenceservice-demo-iris-default"
FIRST, SECOND = [5.1, 3.5, 1.4, 0.2], [6.6, 2.9, 4.6, 1.3]
NO_JSON = "body is not JSON: unexpected end of data: line 1 column 13 (char 12)"


def events(server: str) -> list[Event]:
    found = []
    for line in (DATA / "wire" / f"{server}.jsonl").read_text().splitlines():
        record = json.loads(line)
        headers = tuple((name, value) for name, value in record["headers"])
        event = read(Sent(record["note"], headers, base64.b64decode(record["body_base64"])), Settings())
        assert isinstance(event, Event)
        found.append(event)
    return found


def stored(server: str) -> dict[str, Any]:
    """The documents by id; the two ids that the agent invented are called "two rows" and "metadata"."""
    documents = in_order(events(server))
    assert {index for index, _ in documents} == {INDEX}
    invented = {event.request_id: "metadata" for event in events(server) if not event.request_id.startswith("order-")}
    invented[next(iter(invented))] = "two rows"
    names = {}
    for _, id in documents:
        request_id = id.partition("-item-")[0]
        names[id] = id.replace(request_id, invented.get(request_id, request_id))
    return {names[id]: document for (_, id), document in documents.items()}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def documents(server: str) -> dict[str, Any]:
    return stored(server)


def test_requests(documents: dict[str, Any], server: str) -> None:
    """The rows of every form of the protocol, binary values too; what the model refuses is stored anyway."""
    rows = {id: document["request"].get("instance") for id, document in documents.items()}
    batches = ["two rows", "order-9", "order-10", "order-5" if server == "kserve_mlserver" else "order-4"]
    singles = ["order-1", "order-3", *(["order-4", "order-6"] if server == "kserve_mlserver" else [])]
    assert rows == {
        **dict.fromkeys(singles, SECOND),
        **{f"{id}-item-{row}": (FIRST, SECOND)[row] for id in batches for row in (0, 1)},
        "order-7": [1, 2, 3],
        "order-8": None,
        "metadata": None,
    }
    assert documents["order-8"]["request"]["undecodable"] == NO_JSON
    assert documents["metadata"]["request"]["undecodable"] == "empty body"


def test_responses_of_mlserver() -> None:
    """Classes, probabilities, and both: then the probabilities are the prediction. The version is the model's."""
    documents = stored("kserve_mlserver")
    responses = {id: document["response"] for id, document in documents.items() if "response" in document}
    probabilities = [
        pytest.approx([0.981656829444016, 0.01834315616093856, 1.4395e-08], rel=1e-4),
        pytest.approx([0.002766621724239681, 0.8966130307131909, 0.10062034756256955], rel=1e-9),
    ]
    instances = {id: response.get("instance") for id, response in responses.items()}
    assert instances == {
        **{id: [1] for id in ("order-1", "order-3", "order-4")},
        "two rows-item-0": [0],
        "two rows-item-1": [1],
        "order-5-item-0": probabilities[0],
        "order-5-item-1": probabilities[1],
        "order-6": probabilities[1],
        "metadata": None,
    }
    assert responses["order-6"]["elements"] == {"predict": 1, "predict_proba": probabilities[1]}
    versions = {response.get("model_version") for id, response in responses.items() if id != "metadata"}
    assert versions == {"v2"}
    assert {responses[f"two rows-item-{row}"]["id"] for row in (0, 1)} == {"body-2"}


def test_responses_of_kserve() -> None:
    """V1 and V2, as JSON under the request's binary content type, and binary: the same probabilities."""
    documents = stored("kserve_python")
    responses = {id: document["response"] for id, document in documents.items() if "response" in document}
    first, second = (
        [0.670167673352275, 0.32295982665629513, 0.006872499991429946],
        [2.44221561e-6, 0.00259906, 0.9973985],
    )
    batches = ("two rows", "order-4", "order-9", "order-10")
    assert {id: response.get("instance") for id, response in responses.items()} == {
        **dict.fromkeys(("order-1", "order-3"), pytest.approx(second)),
        **{f"{id}-item-0": pytest.approx(first) for id in batches},
        **{f"{id}-item-1": pytest.approx(second) for id in batches},
        "metadata": None,
    }
    # This server has no version: its null is no value.
    assert not any("model_version" in response for response in responses.values())


def test_metadata(documents: dict[str, Any]) -> None:
    """Of the request only, in this version of KServe: names in lower case, several values, UTF-8, an empty header."""
    found = {id: document["request"].get("metadata") for id, document in documents.items()}
    assert found["order-1"] == {"x-tenant": "acme", "x-request-id": "req-1"}
    for row in (0, 1):
        assert found[f"two rows-item-{row}"] == {"x-tenant": ["acme", "bolt"], "x-request-id": "req-2"}
    assert found["order-3"] == {"x-tenant": "Käse", "x-request-id": "req-3", "x-empty": ""}
    for document in documents.values():
        for part in document.keys() & {"request", "response"}:
            assert document[part]["annotations"] == {"team": "risk", "owner": "a b"}
            assert document[part]["ce-component"] == "predictor"
        assert "metadata" not in document.get("response", {})
        assert document["Ce-Inferenceservicename"] == "iris"


def test_any_order_and_twice(server: str) -> None:
    """The same documents, whatever the order of the events."""
    sent = events(server)
    expected = in_order(sent)
    for seed in range(20):
        shuffled = random.Random(seed).sample(sent, len(sent))
        assert in_order([*shuffled, *shuffled[:7]]) == expected


@pytest.mark.parametrize(
    ("server_name", "id", "truth", "correct"),
    [
        ("kserve_mlserver", "order-1", 1, 1),
        ("kserve_mlserver", "order-1", 2, 0),
        ("kserve_mlserver", "order-6", 1, 1),
        ("kserve_python", "order-1", 2, 1),
        ("kserve_python", "order-3", 0, 0),
    ],
)
def test_feedback(server_name: str, id: str, truth: int, correct: int) -> None:
    """By the client's Ce-Id: classes and probabilities are scored."""
    attributes = {
        "type": "org.kubeflow.serving.feedback",
        "requestid": id,
        "inferenceservicename": "iris",
        "namespace": "demo",
        "endpoint": "default",
        "time": "2026-12-01T00:00:00Z",
    }
    body = json.dumps({"truth": {"data": {"ndarray": [truth]}}}).encode()
    feedback = from_attributes(attributes, Body(body, "application/json", len(body)), Settings())
    document = in_order([*events(server_name), feedback])[INDEX, id]
    assert document["metrics"]["correct"] == correct
