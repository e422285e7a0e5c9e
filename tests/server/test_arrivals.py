"""Which events wait for others: those of requests of their own, and not those that arrive in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from request_logger.documents.event import Body, from_headers
from request_logger.server.app import close, create_app
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.linger import Arrival
from request_logger.store.writing.writer import Writer
from tests.helpers import event, ndarray

SETTINGS = Settings(elasticsearch_port=1, linger_ms=20)
BODY = ndarray([[1]])


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The application, and how the events arrive that it gives to its writer, which takes none of them."""
    arrivals: list[Arrival] = []

    def submit(self: Writer, plan: Any, weight: int, then: Any = None, arrival: Arrival | None = None) -> Any:
        assert arrival is not None
        arrivals.append(arrival)
        raise StoreUnavailableError("simulated")

    monkeypatch.setattr(Writer, "submit", submit)
    flask = create_app(SETTINGS)
    yield SimpleNamespace(
        flask=flask, route=flask.wsgi_app, parts=flask.extensions["request_logger"], arrivals=arrivals
    )
    close(flask)


def headers() -> dict[str, str]:
    return {name.lower(): value for name, value in event("request", "r1", "a").items()}


def test_a_request_of_its_own(app: Any) -> None:
    """An event in binary or structured mode, or feedback by the short route, waits for those of other connections."""
    assert app.route.post(headers(), BODY).status == 503
    structured = {"content-type": "application/cloudevents+json"}
    attributes = {
        "specversion": "1.0",
        "id": "r1",
        "type": "io.seldon.serving.inference.request",
        "source": "test",
        "requestid": "r1",
        "inferenceservicename": "a",
        "data": json.loads(BODY),
    }
    assert app.route.post(structured, json.dumps(attributes).encode()).status == 503
    feedback = {"deployment": "a", "request_id": "r1", "truth": 1}
    assert app.flask.test_client().post("/v1/feedback", json=feedback).status_code == 503
    assert app.arrivals == 3 * [Arrival.ALONE]


def test_a_batch(app: Any) -> None:
    """Its events are queued together."""
    attributes = {
        "specversion": "1.0",
        "type": "io.seldon.serving.inference.request",
        "source": "test",
        "inferenceservicename": "a",
        "data": json.loads(BODY),
    }
    batch = [{**attributes, "id": f"r{number}", "requestid": f"r{number}"} for number in range(3)]
    answer = app.route.post({"content-type": "application/cloudevents-batch+json"}, json.dumps(batch).encode())
    assert answer.status == 503
    assert app.arrivals == 3 * [Arrival.IN_BULK]


def test_spool_and_kafka(app: Any) -> None:
    """They submit many events at once."""
    one = app.parts.pipeline.admit(from_headers(headers(), Body(BODY, "application/json", len(BODY)), SETTINGS))
    with pytest.raises(StoreUnavailableError):
        app.parts.pipeline.submit_to_engine(one)
    with pytest.raises(StoreUnavailableError):
        app.parts.pipeline.prepared(one)()
    assert app.arrivals == 2 * [Arrival.IN_BULK]
