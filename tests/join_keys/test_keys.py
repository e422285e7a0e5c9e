"""JOIN_KEYS: paths, the values at them, and the names by which feedback gives a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.common.join_keys import JoinKey, key_text, named, parse_join_keys
from request_logger.common.json import JsonText
from request_logger.documents.event import BadEventError
from request_logger.server.batch_route import _digest
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings, SettingsError
from tests.join_keys.events import CONFIG, feedback


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("response", "expected paths such as"),
        ("id", "expected paths such as"),
        ("feedback.id", "expected paths such as"),
        ("request..id", "expected paths such as"),
        ("response.id, response.id", "expected each path once"),
        ("request.METADATA.a,request.metadata.A, request.metadata.a", "expected each path once"),
        (",".join(f"request.{n}" for n in range(9)), "expected at most 8 paths"),
        ("request" + ".a" * 13, "expected paths of at most 12 names"),
        ("request." + "a" * 250, "expected paths of at most 12 names and 256 characters"),
    ],
)
def test_wrong_settings_name_themselves(text: str, error: str) -> None:
    with pytest.raises(SettingsError, match=rf"^JOIN_KEYS: {error}"):
        Settings(join_keys=text)


def test_a_payload_that_is_not_kept_has_no_key() -> None:
    with pytest.raises(SettingsError, match=r"^JOIN_KEYS: expected no path in payload"):
        Settings(join_keys="response.payload.id", keep_payload="none")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), (42, "42"), (42.0, "42"), ("42", "42"), (0.5, "0.5"), (2**70, str(2**70)), (-0.0, "0"),
        (1e300, "1e+300"), ("x" * 512, "x" * 512), ("x" * 513, None), ("", None),
        (True, None), (None, None), ([1], None),
        ({}, None), (float("nan"), None), (float("inf"), None),
    ],
)  # fmt: skip
def test_text_of_a_value(value: Any, text: str | None) -> None:
    assert key_text(value) == text


@pytest.mark.parametrize(
    ("path", "content", "text"),
    [
        ("request.a.b", {"a": {"b": 1}}, "1"),
        ("request.a.b", {"a.b": 1}, "1"),
        ("request.a.b.c", {"a": {"x": 0}, "a.b": {"c": 2}}, "2"),
        ("request.a.1.b", {"a": [{}, {"b": "x"}]}, "x"),
        ("request.a.1", {"a": JsonText(b"[1, 2]")}, "2"),
        ("request.a.2", {"a": [1, 2]}, None),
        ("request.a.x", {"a": [1, 2]}, None),
        ("request.a.b", {"a": 1}, None),
        ("request.a.b", {}, None),
    ],
)
def test_value_at_a_path(path: str, content: Any, text: str | None) -> None:
    assert JoinKey(path).value_in(content) == text


def test_names_of_keys() -> None:
    """A whole path, or its end as long as that is clear; metadata in any spelling."""
    found = parse_join_keys("request.metadata.X-Request-Id,response.id,request.id,request.payload.Id")
    assert [key.path for key in named(found, "X-REQUEST-ID")] == ["request.metadata.x-request-id"]
    assert [key.path for key in named(found, "response.id")] == ["response.id"]
    assert [key.path for key in named(found, "id")] == ["response.id", "request.id"]
    assert named(found, "ID") == named(found, "request-id") == []


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ({}, "key: expected an object with one of request.metadata"),
        ("p1", "key: expected an object with one of request.metadata"),
        ({"puid": 1, "customer": 2}, "key: expected an object with one of request.metadata"),
        ({"secret": 1}, "key: expected one of request.metadata.x-request-id, response"),
        ({"puid": ["secret"]}, "key.response.payload.meta.puid: expected a number, or text of 1 to 512 characters"),
        ({"puid": "secret" * 100}, "key.response.payload.meta.puid: expected a number"),
    ],
)
def test_wrong_keys_name_themselves(key: Any, error: str) -> None:
    body = {"deployment": "iris", "truth": 1, "key": key}
    with pytest.raises(BadEventError) as raised:
        feedback_event(json.dumps(body).encode(), CONFIG)
    assert str(raised.value).startswith(error)
    assert "secret" not in str(raised.value)


def test_a_key_or_an_id() -> None:
    for config, more, error in (
        (Settings(), {}, "key: expected JOIN_KEYS to be set in the logger"),
        (CONFIG, {"request_id": "r1"}, "request_id, key: expected one of them"),
        (
            Settings(join_keys="request.id,response.id"),
            {"key": {"id": 1}},
            "key: expected the whole path of request.id",
        ),
    ):
        body = {"deployment": "iris", "truth": 1, "key": {"puid": 1}, **more}
        with pytest.raises(BadEventError, match=f"^{error}"):
            feedback_event(json.dumps(body).encode(), config)


def test_a_retry_knows_keys_apart() -> None:
    """Feedback by another key with the same value is another one, for a batch that is sent again."""
    one, other = feedback({"puid": "v"}), feedback({"customer": "v"})
    assert _digest(one) == _digest(feedback({"puid": "v"}))
    assert _digest(one) != _digest(other)
