"""Attributes of structured events: text, and what CloudEvents has besides; anything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.documents.envelope import parse_structured
from request_logger.documents.event import BadEventError, Event, from_structured
from request_logger.settings import Settings


def taken(**attributes: Any) -> Event:
    event = {"id": "1", "type": "io.seldon.serving.inference.request", "data": {}}
    return from_structured({**event, **attributes}, Settings())


@pytest.mark.parametrize(
    ("value", "text"), [("r1", "r1"), (7, "7"), (-(2**31), "-2147483648"), (True, "true"), (False, "false")]
)
@pytest.mark.parametrize("name", ["requestid", "RequestId", "id"])
def test_canonical_text(name: str, value: Any, text: str) -> None:
    """Integers and booleans are their canonical text."""
    assert taken(**{name: value}).request_id == text


def test_null_is_none() -> None:
    """As if the attribute were not there."""
    assert taken(requestid=None, time=None).request_id == "1"


@pytest.mark.parametrize("value", [["r1"], {"a": "secret"}, 1.5, 1e300, [], {}])
@pytest.mark.parametrize(
    "name",
    [
        "id",
        "requestid",
        "type",
        "source",
        "time",
        "modelid",
        "inferenceservicename",
        "namespace",
        "endpoint",
        "traceparent",
    ],
)
def test_no_other_type(name: str, value: Any) -> None:
    """It names the attribute, and shows nothing of its value."""
    with pytest.raises(BadEventError, match=f"^{name}: expected text, an integer or a boolean, found ") as caught:
        taken(**{name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
@pytest.mark.parametrize("name", [b"id", b"requestid", b"time"])
def test_a_number_that_has_no_double(name: bytes, number: bytes) -> None:
    """Not an id: those of different predictions would be the same, such as NaN. An integer of any length is one."""
    for given in (number, b"1" + b"0" * 400):
        raw = b'{"id": "1", "type": "io.seldon.serving.inference.request", "%b": %b}' % (name, given)
        value = parse_structured(raw)
        if given is number:
            with pytest.raises(BadEventError, match=rf"^{name.decode()}: expected text, .*, found a number$"):
                from_structured(value, Settings())
        else:
            assert from_structured(value, Settings())


def test_unknown_attributes_may_be_anything() -> None:
    """They aren't read."""
    assert taken(extra={"a": 1}).request_id == "1"
