"""Documents as the logger would store them, put into a real engine in one bulk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from scorers.base import Row, Scorer

START = datetime(2026, 1, 5, tzinfo=UTC)


def engine_at(url: str) -> SearchEngine:
    host, _, port = url.rpartition("//")[2].partition(":")
    return SearchEngine(Settings(elasticsearch_host=host, elasticsearch_port=int(port)))


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def document(
    scorer: Scorer | None,
    truth: Any,
    prediction: Any,
    *,
    at: datetime = START,
    late: timedelta = timedelta(hours=1),
    deployment: str = "d",
    predictor: str = "default",
    model: str = "classifier",
    request_id: str = "",
    names: tuple[str, ...] = (),
    elements: Mapping[str, Any] | None = None,
    **metrics: Any,
) -> dict[str, Any]:
    """A prediction with its feedback, or without where ``scorer`` is None."""
    made: dict[str, Any] = {
        "@timestamp": stamp(at),
        "Ce-Inferenceservicename": deployment,
        "Ce-Namespace": "test",
        "Ce-Endpoint": predictor,
        "Ce-Modelid": model,
        "RequestId": request_id,
        "request": {"ce-time": stamp(at), "dataType": "tabular", "elements": dict(elements or {})},
        "response": {"ce-time": stamp(at), "dataType": "tabular"},
    }
    if scorer is not None:
        made["feedback"] = {"ce-time": stamp(at + late)}
        fields = scorer.score(Row(truth), Row(prediction, names))
        made["metrics"] = {"scorer": scorer.name, "basis": "truth", **fields, **metrics}
    return made


def store(engine: SearchEngine, index: str, documents: Iterable[dict[str, Any]], prefix: str = "") -> None:
    """Store documents in an index that has our mapping, and make them visible."""
    engine.prepare(index)
    lines: list[str] = []
    for number, content in enumerate(documents):
        id = content["RequestId"] or f"{prefix}{number}"
        lines += [json.dumps({"index": {"_index": index, "_id": id}}), json.dumps({**content, "RequestId": id})]
    answer = engine.bulk(("\n".join(lines) + "\n").encode())
    assert not answer["errors"], answer["items"][0]
    engine.request("POST", f"/{index}/_refresh")
