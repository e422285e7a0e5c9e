"""Feedback for Seldon Core 2 that names its prediction by a record's key or a response's header. No Kafka."""

from __future__ import annotations

import pytest

from request_logger.common.json import dumps
from request_logger.documents.event import Body, from_attributes
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings

SETTINGS = Settings()


@pytest.mark.parametrize("predictor", ["model", "pipeline", "default"])
@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("r.2", "r.2"),
        ("3.iris.r.2", "r.2"),
        ("12.iris.r.2, r.2", "r.2"),
        # The key of a pipeline's record in the topic of its model.
        ("3.pipe.r2, r2", "r2"),
        ("3.iris.", "3.iris."),
        ("3.iris", "3.iris"),
        ("3.other.r2", "3.other.r2"),
        ("3.iris.r2, r3", "r2, r3"),
        ("\u0663.iris.r2", "\u0663.iris.r2"),
        ("iris.r2", "iris.r2"),
        ("3.", "3."),
        ("1." + ".," * 50_000, "1." + ".," * 50_000),
    ],
)
def test_feedback_names_a_key_or_a_header(named: str, expected: str, predictor: str) -> None:
    """A user has the header of a response at hand, or the key of a record: both have partition and resource."""
    expected = named if predictor == "default" else expected
    attributes = {"type": "io.seldon.serving.feedback", "requestid": named, "namespace": "ns", "endpoint": predictor}
    attributes["inferenceservicename"] = "iris"
    of_event = from_attributes(attributes, Body(b"{}"), SETTINGS)
    body = {"request_id": named, "deployment": "iris", "namespace": "ns", "predictor": predictor, "truth": 1}
    of_object = feedback_event(dumps(body), SETTINGS)
    for found in (of_event, of_object):
        assert found.request_id == found.header["RequestId"] == expected
    attributes["type"] = "io.seldon.serving.inference.request"
    assert from_attributes(attributes, Body(b"{}"), SETTINGS).request_id == named


def test_the_value_of_a_join_key_stays() -> None:
    body = {"key": {"order": "3.iris.r2"}, "deployment": "iris", "predictor": "model", "truth": 1}
    found = feedback_event(dumps(body), Settings(join_keys="request.metadata.order"))
    assert (found.request_id, found.header["RequestId"]) == ("3.iris.r2", "3.iris.r2")
