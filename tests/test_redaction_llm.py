"""REDACT within chats, calls of tools and streams: by role, by path, by name and by pattern."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from request_logger.common.json import dumps
from request_logger.ingest.redaction import RedactionError, Redactor
from request_logger.ingest.redaction_patterns import REMOVED, TOO_SLOW
from tests.payloads.llm.test_streams import chunk, sent
from tests.test_redaction import HASH, KEY, SECRET, made, stored

USER = {"role": "user", "content": f"I am {SECRET}"}
CHAT = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, USER], "temperature": 0}
CALL = {"id": "c", "type": "function", "function": {"name": "mail", "arguments": json.dumps({"to": SECRET, "n": 1})}}
ANSWER = {
    "id": "x", "model": "m", "object": "chat.completion", "usage": {"prompt_tokens": 3},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": f"Hello {SECRET}"}, "finish_reason": "stop"}],
}  # fmt: skip
CALLS = {**ANSWER, "choices": [{"index": 0, "message": {"content": None, "tool_calls": [CALL]}}]}
RESPONSE = "inference.response"


@pytest.mark.parametrize(
    ("rules", "body", "part", "instance"),
    [
        ("drop:$.messages[role=user].content", CHAT, "inference.request", None),
        ("drop:$.messages[role=user]", CHAT, "inference.request", None),
        ("hash:$.messages[role=user].content", CHAT, "inference.request", HASH(USER["content"])),
        ("drop:content", CHAT, "inference.request", None),
        (f"drop:/{SECRET}/", CHAT, "inference.request", f"I am {REMOVED}"),
        (f"hash:/{SECRET}/", CHAT, "inference.request", f"I am {HASH(SECRET)}"),
        ("drop:$.choices[*].message.content", ANSWER, RESPONSE, None),
        ("drop:/S3[A-Z]+/", ANSWER, RESPONSE, f"Hello {REMOVED}"),
        ("drop:to", CALLS, RESPONSE, 'mail({"n": 1})'),
        ("drop:/S3[A-Z]+/", CALLS, RESPONSE, f'mail({{"to": "{REMOVED}", "n": 1}})'),
        ("drop:$.choices[*].message.tool_calls[*].function.arguments", CALLS, RESPONSE, None),
        ("drop:messages", CHAT, "inference.request", ...),
    ],
    ids=str,
)
def test_no_secret_is_stored(rules: str, body: Any, part: str, instance: Any) -> None:
    """What remains is decoded as before."""
    (content,) = stored(rules, body, part)
    assert SECRET not in dumps(content).decode()
    assert content.get("instance", ...) == instance
    if instance is not ...:
        assert content["elements"]["model"] == "m"
        assert "payload" in content


@pytest.mark.parametrize("rules", ["drop:/S3[A-Z]+/", "drop:$.choices[*].message.content", "drop:content"])
def test_streams(rules: str) -> None:
    """A value that is split between chunks is found, since they are put together first."""
    raw = sent(chunk(content="I am S3"), chunk(content="CRET."), chunk(finish="stop"))
    for body in (raw, raw[: raw.index(b'"stop"')]):
        (content,) = stored(rules, body, RESPONSE, content_type="text/event-stream")
        assert "S3" not in dumps(content).decode()
        assert content["instance"] in (None, f"I am {REMOVED}.")
        assert content["elements"]["stream"] in ("complete", "cut")


def test_rules_by_element() -> None:
    """Elements come from what is left; a hash of a number is no number."""
    (content,) = stored("drop:model,hash:temperature", CHAT)
    assert content["elements"] == {}
    assert content["payload"] == {**{k: v for k, v in CHAT.items() if k != "model"}, "temperature": HASH(0)}
    (content,) = stored("drop:model", {"model": SECRET, "prompt": "x"})
    assert content["payload"] == {"prompt": "x"}


def test_patterns_reach_everything() -> None:
    """Keys, feedback, bodies of any protocol, and metadata."""
    rules = "drop:/S3[A-Z]+/"
    assert stored(rules, {"data": {"names": [SECRET], "ndarray": [[SECRET]]}})[0]["elements"] == {REMOVED: REMOVED}
    assert SECRET not in str(stored(rules, {"truth": [SECRET], "comment": f"from {SECRET}"}, "feedback"))
    header = json.dumps({"x-user": [SECRET], "x-tenant": ["acme"]})
    (content,) = stored(rules, CHAT, **{"ce-metadata": header})
    assert content["metadata"] == {"x-user": REMOVED, "x-tenant": "acme"}
    ((_, value),) = Redactor(rules, KEY).headers([("x-note", SECRET.encode())], None, None)
    assert value == REMOVED.encode()


def test_a_slow_pattern_stops_nothing() -> None:
    """Its body isn't stored: only its size is, and why."""
    body = {"model": "m", "prompt": "a" * 100 + "!"}
    (content,) = stored(r"drop:/(a|aa)+$/", body)
    assert content["payload_dropped"]["reason"] == TOO_SLOW
    assert "payload" not in content
    # The time is that of all texts together.
    (content,) = stored(r"drop:/(a|aa)+$/", {"model": "m", "prompt": ["a" * 25 + "!"] * 100_000})
    assert content["payload_dropped"]["reason"] == TOO_SLOW


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("/(/", "REDACT: expected a regular expression in slashes"),
        ("/a*/", "REDACT: expected a pattern that no empty text matches, found '/a*/'"),
        ("$.messages[role=]", "REDACT: expected a path such as"),
        ("$.messages[=user]", "REDACT: expected a path such as"),
    ],
)
def test_bad_rules(rule: str, problem: str) -> None:
    """One line that names the setting and what was expected."""
    with pytest.raises(RedactionError) as caught:
        Redactor(f"drop:{rule}", KEY)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_rules_in_a_file(tmp_path: Path) -> None:
    """A pattern may have a comma there; hashes need the key."""
    path = tmp_path / "rules.yaml"
    path.write_text("""rules: [{namespace: prod, hash: ['/S3[A-Z]{2,9}/', '$.messages[role=system].content']}]""")
    (content,) = stored(str(path), CHAT)
    assert content["payload"]["messages"] == [
        {"role": "system", "content": HASH("Be brief.")},
        {"role": "user", "content": f"I am {HASH(SECRET)}"},
    ]
    with pytest.raises(RedactionError, match="REDACT_KEY"):
        Redactor(str(path))
    other = made(CHAT, **{"ce-namespace": "dev"})
    assert Redactor(str(path), KEY).redact(other) is other
