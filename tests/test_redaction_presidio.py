"""REDACT by presidio's entities: everywhere that patterns reach, without a language model and without the network."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

import pytest

from request_logger.common.json import dumps
from request_logger.ingest import redaction_finders
from request_logger.ingest.redaction import RedactionError, Redactor
from request_logger.ingest.redaction_finders import Entity
from request_logger.ingest.redaction_patterns import REMOVED, TOO_SLOW
from tests.payloads.llm.test_streams import chunk, sent
from tests.test_redaction import HASH, KEY, stored
from tests.test_redaction_llm import ANSWER, CALL, RESPONSE

MAIL, PHONE, CARD = "jane.doe@example.com", "+49 89 636 48018", "4111 1111 1111 1111"
RULES = "drop:presidio:EMAIL_ADDRESS,drop:presidio:PHONE_NUMBER,hash:presidio:CREDIT_CARD"
TEXT = f"I am {MAIL}, my card is {CARD}; call {PHONE}!"
LEFT = f"I am {REMOVED}, my card is {HASH(CARD)}; call {REMOVED}!"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may open a connection: presidio's own check of e-mail addresses would."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_messages_tool_calls_and_streams() -> None:
    """Before anything is stored, and also where a value is split between the chunks of a stream."""
    chat = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
    assert stored(RULES, chat)[0]["instance"] == LEFT
    function = {"name": "mail", "arguments": json.dumps({"to": MAIL, "n": 1})}
    calls = {**ANSWER, "choices": [{"index": 0, "message": {"tool_calls": [{**CALL, "function": function}]}}]}
    assert stored(RULES, calls, RESPONSE)[0]["instance"] == f'mail({{"to": "{REMOVED}", "n": 1}})'
    raw = sent(chunk(content=TEXT[:9]), chunk(content=TEXT[9:]), chunk(finish="stop"))
    (content,) = stored(RULES, raw, RESPONSE, content_type="text/event-stream")
    assert content["instance"] == LEFT
    assert not any(secret in dumps(content).decode() for secret in (MAIL, PHONE, CARD))
    feedback = stored(RULES, {"truth": [1], "comment": TEXT, MAIL: 1}, "feedback")
    assert LEFT in str(feedback)
    assert MAIL not in str(feedback)


@pytest.mark.parametrize(
    "text",
    ["jane@nowhere.nodomain", "4111 1111 1111 1112", "in 2025 we sold 12 of 400", "10.5 %", "a" * 3000, ""],
)
def test_what_is_none(text: str) -> None:
    """Checksums and domain names decide."""
    assert Redactor(RULES, KEY)
    for name in ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD"):
        assert Entity(name).replaced(text, lambda _: REMOVED, 10) == text


@pytest.mark.parametrize("before", [*range(880, 1010, 7)])
def test_long_texts(before: int) -> None:
    """A phone number is found wherever it is; what is around it stays."""
    text = "x" * before + f" {PHONE} " + "y" * 1000 + f" {PHONE}."
    replaced = Entity("PHONE_NUMBER").replaced(text, lambda found: "#" * len(found), 10)
    assert replaced == "x" * before + f" {'#' * len(PHONE)} " + "y" * 1000 + f" {'#' * len(PHONE)}."


def test_overlapping_finds() -> None:
    """Two recognizers' finds that overlap are replaced as one."""
    assert Entity("URL").replaced("see https://example.com/a?b=c now", lambda _: "-", 10) == "see - now"


def test_a_body_that_takes_too_long() -> None:
    """Only its size is kept; other bodies don't wait for it."""
    started = time.monotonic()
    (content,) = stored("drop:presidio:PHONE_NUMBER", {"prompt": "1 " * 1_000_000, "model": "m"})
    assert content["payload_dropped"]["reason"] == TOO_SLOW
    assert time.monotonic() - started < 60
    with pytest.raises(TimeoutError):
        Entity("CREDIT_CARD").replaced(CARD, str, -1.0)


def test_a_recognizer_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its finds are redacted."""
    (recognizer,) = redaction_finders._recognizers()["CREDIT_CARD"]

    def fail(_: str) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(recognizer, "validate_result", fail)
    assert Entity("CREDIT_CARD").replaced(f"a {CARD}", lambda _: "-", 10) == "a -"


def test_the_log_stays_short(caplog: pytest.LogCaptureFixture) -> None:
    """Presidio would log each recognizer, at each start of each worker."""
    redaction_finders._recognizers.cache_clear()
    with caplog.at_level("INFO"):
        assert Redactor(RULES, KEY)
    assert not caplog.records


def test_wrong_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line: the entities that there are, or the package to install."""
    with pytest.raises(RedactionError) as caught:
        Redactor("drop:presidio:PERSON")
    assert "REDACT: expected one of " in str(caught.value) and " US_SSN" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    redaction_finders._recognizers.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(RedactionError, match=r"presidio-analyzer to be installed: pip install .*\[presidio\]"):
        Redactor(RULES, KEY)
    monkeypatch.undo()
    assert Redactor(RULES, KEY)
    with pytest.raises(RedactionError, match="REDACT_KEY"):
        Redactor(RULES)
