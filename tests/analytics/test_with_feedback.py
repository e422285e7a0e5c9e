"""One definition of "with feedback" for report, export and rescore, whatever form a document's parts have."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from request_logger.cli import main
from request_logger.documents.document import degrade
from request_logger.documents.event import Body, Event, from_headers
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import engine_at, store
from tests.model import in_order

pytestmark = pytest.mark.engine

RESPONSE = b'{"data": {"names": ["no", "yes"], "ndarray": [[0.2, 0.8]]}}'
REQUEST = b'{"data": {"ndarray": [[1, 2]]}}'
TRUTH = b'{"truth": {"data": {"ndarray": [1]}}}'
REWARD = b'{"reward": 1}'
EMBEDDED = b'{"truth": {"data": {"ndarray": [1]}}, "response": {"data": {"ndarray": [[0.2, 0.8]]}}}'
# Each a prediction: the bodies of its parts, and whether it has feedback. None is a body that was not kept.
PREDICTIONS: dict[str, tuple[dict[str, bytes | None], bool]] = {
    "scored": ({"inference.request": REQUEST, "inference.response": RESPONSE, "feedback": TRUTH}, True),
    "without feedback": ({"inference.request": REQUEST, "inference.response": RESPONSE}, False),
    "by reward": ({"inference.response": RESPONSE, "feedback": REWARD}, True),
    "request alone": ({"inference.request": REQUEST, "feedback": REWARD}, True),
    "no JSON": ({"inference.response": b"\xff", "feedback": b"\xff"}, True),
    "not kept": ({"inference.request": None, "inference.response": None, "feedback": REWARD}, True),
    "custom metrics": ({"inference.response": RESPONSE, "feedback": b'{"metrics": [{"key": "k", "value": 1}]}'}, True),
    "response of the feedback": ({"feedback": EMBEDDED}, True),
    "strange feedback": ({"inference.response": RESPONSE, "feedback": b'{"note": "x"}'}, True),
}
ALONE = {"reward": REWARD, "no JSON": b"\xff"}


def made(kind: str, id: str, raw: bytes | None, deployment: str, *, bare: bool) -> Event:
    headers = {
        "ce-type": f"io.seldon.serving.{kind}",
        "ce-requestid": id,
        "ce-inferenceservicename": deployment,
        "ce-namespace": "test",
    }
    if not bare:
        headers |= {"ce-time": "2026-01-02T03:04:05Z", "ce-source": "test"}
    return from_headers(headers, Body(raw, "application/json", len(raw or b"")), Settings())


@pytest.fixture(scope="module")
def client(engine: Any) -> SearchEngine:
    return engine_at(engine.url)


@pytest.mark.parametrize("bare", [False, True], ids=["with time and source", "without"])
@pytest.mark.parametrize("unindexed", [False, True], ids=["indexed", "unindexed"])
def test_one_definition(
    bare: bool, unindexed: bool, reach: Settings, client: SearchEngine, tmp_path: Path, capsys: Any
) -> None:
    """Report and export count the same documents, and each of them is known by one of its leaves.

    Rescore reads the predictions without feedback as well, which have what their response says by itself.
    """
    index = f"t-{uuid.uuid4().hex[:10]}"
    events = [
        made(kind, id, raw, index, bare=bare) for id, (parts, _) in PREDICTIONS.items() for kind, raw in parts.items()
    ]
    events += [made("feedback", f"alone {id}", raw, index, bare=bare) for id, raw in ALONE.items()]
    documents = list(in_order(events).values())
    predictions = dict(PREDICTIONS)
    if unindexed:
        # Of what is known by its metrics alone nothing is left where they are not indexed either.
        del predictions["response of the feedback"]
        documents = [document for document in documents if document["RequestId"] != "response of the feedback"]
        refused = [degrade(document, ["a field of it is not taken"]) for document in documents]
        documents = [document for document in refused if document is not None]
    try:
        store(client, index, documents)
        counts = {}
        assert main(["report", index, "--json"]) == 0
        coverage = json.loads(capsys.readouterr().out)["coverage"]
        counts["report"] = coverage["with_feedback"]
        assert main(["export", str(tmp_path / "x.csv"), "--index", index]) == 0
        counts["export"] = len((tmp_path / "x.csv").read_text().splitlines()) - 1
        capsys.readouterr()
        assert main(["rescore", "--index", index, "--dry-run", "--json"]) == 0
        counts["rescore"] = json.loads(capsys.readouterr().out)["read"]
        expected = sum(has for _, has in predictions.values())
        assert counts == {"report": expected, "export": expected, "rescore": len(predictions)}
        assert (coverage["predictions"], coverage["feedback_only"]) == (len(predictions), len(ALONE))
    finally:
        client.request("DELETE", f"/{index}")


def test_names_of_two_kinds(reach: Settings, client: SearchEngine, capsys: Any) -> None:
    """A model and a deployment can't be compared; the error doesn't claim that one of them is missing."""
    index = f"t-{uuid.uuid4().hex[:10]}"
    events = [made("inference.response", f"r{number}", RESPONSE, "iris", bare=False) for number in range(3)]
    documents = [{**document, "Ce-Modelid": "classifier"} for document in in_order(events).values()]
    try:
        store(client, index, documents)
        assert main(["compare", "classifier", "iris", "--in", index]) == 2
        said = capsys.readouterr().err
        assert "expected two names of one kind, such as two models" in said
        assert "a model ('classifier') and a deployment ('iris')" in said
        assert main(["compare", "classifier", "nobody", "--in", index]) == 2
        assert "no prediction has 'nobody' as a predictor, model or deployment" in capsys.readouterr().err
    finally:
        client.request("DELETE", f"/{index}")
