"""Headers of an event -> where it goes and when it was: as the original, on every engine."""

from __future__ import annotations

import pytest

from request_logger import events
from request_logger.documents import parts_of
from request_logger.settings import Settings
from tests.helpers import event

SETTINGS = Settings.from_env({})


def of(part: str, body: bytes = b"", **headers: str) -> events.Event:
    found = {name.lower(): value for name, value in event(part, "r1", "dep", **headers).items()}
    return events.from_headers(found, events.Body(body, "application/json", len(body)), SETTINGS)


@pytest.mark.parametrize(
    ("source", "detector"),
    [
        ("io.seldon.serving.det", "det"),
        ("org.kubeflow.serving.det", "det"),
        ("io.seldon.serving.org.kubeflow.serving.det", "org.kubeflow.serving.det"),
        ("http://:8000/", "dep"),
        ("det", "dep"),
        ("io.seldon.serving.", "unknown-inferenceservice"),
        ("", "unknown-detector"),
    ],
)
def test_a_drift_detector_is_named_by_its_source_else_by_its_deployment(source: str, detector: str) -> None:
    """What follows the type prefix; a source without one, as of a detector that is called directly, names nothing."""
    headers = {name.lower(): value for name, value in event("drift", "r1", "dep").items()}
    found = events.from_headers({**headers, "ce-source": source}, events.Body(b""), SETTINGS)
    assert found.index == f"drift-log-seldon-test-{detector}"


def test_an_empty_header_is_none() -> None:
    """As if it were not sent."""
    headers = {name.lower(): value for name, value in event("request", "r1", "dep").items()}
    found = events.from_headers({**headers, "ce-source": "", "ce-time": ""}, events.Body(b"{}"), SETTINGS)
    assert (found.source, found.time) == (None, None)
    assert {"ce-source", "ce-time"}.isdisjoint(parts_of(found)[0].content)


@pytest.mark.parametrize(
    ("flag", "stored"), [("null", False), ("0", False), ("1", True), ("0.0", False), ("true", True), ('""', False)]
)
def test_is_drift_is_a_boolean(flag: str, stored: bool) -> None:
    """Also where the detector says null."""
    (part,) = parts_of(of("drift", b'{"data": {"is_drift": %s}}' % flag.encode()))
    assert part.content["data"] == {"is_drift": stored, "drift_type": "batch"}


def test_is_drift_that_is_missing_stays_so() -> None:
    """No verdict is made up."""
    (part,) = parts_of(of("drift", b'{"data": {"distance": 0.5}}'))
    assert part.content["data"] == {"distance": 0.5, "drift_type": "batch"}
