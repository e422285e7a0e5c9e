"""One contract for all ways in: the same events give the same documents and the same answers, whatever brings them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.server.fast_parser import FastParser
from tests.contract.events import Answer, Sent, read, settings_of, traffic
from tests.contract.ways import WAYS, Place
from tests.helpers import Index
from tests.model import Store, in_order, without_times

EVENTS = traffic()
# Their answers are 200 and nothing is stored, or the consumer leaves them out without a dead letter.
UNANSWERED = {"kafka": (403,)}


@dataclass(frozen=True)
class Outcome:
    """What a way made of the events, and what it must make of them."""

    way: str
    answers: list[Answer]
    stored: Store
    expected: Store
    expected_answers: list[Answer]


@pytest.fixture(scope="module", params=WAYS)
def outcome(request: pytest.FixtureRequest, engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send all events on one way."""
    way = request.param
    environment = f"c{uuid.uuid4().hex[:8]}"
    answers = WAYS[way](Place(engine.url, tmp_path_factory.mktemp(way), environment), EVENTS)
    results = [read(sent, settings_of(environment)) for sent in EVENTS]
    index = Index(engine.url)
    pattern = f"*-log-{environment}-*"
    yield Outcome(
        way,
        answers,
        without_times(index.documents(pattern)),
        in_order(result for result in results if isinstance(result, Event)),
        [result if isinstance(result, Answer) else Answer() for result in results],
    )
    index.drop(pattern)


@pytest.mark.engine
def test_documents(outcome: Outcome) -> None:
    """They are those that the pure functions make of the events one after the other."""
    assert outcome.stored.keys() == outcome.expected.keys()
    different = {key for key, source in outcome.expected.items() if outcome.stored[key] != source}
    assert {key: (outcome.stored[key], outcome.expected[key]) for key in different} == {}


@pytest.mark.engine
def test_answers(outcome: Outcome) -> None:
    """Status and error text are the same everywhere; attributes are spelled as the sender spells them."""
    left_out = UNANSWERED.get(outcome.way, ())
    expected = [Answer() if answer.status in left_out else answer for answer in outcome.expected_answers]
    found = zip(EVENTS, outcome.answers, expected, strict=True)
    assert [(sent.name, a, b) for sent, a, b in found if spelled(a) != spelled(b)] == []


def spelled(answer: Answer) -> Answer:
    """Spell attributes alike: `Ce-Id` of a header is `id` in structured mode."""
    return Answer(answer.status, answer.error.replace("Ce-", "").lower())


def test_the_traffic_is_what_it_says() -> None:
    """Many events, of each part and with each answer; each is one that the fast parser takes, unless in chunks."""
    results = [read(sent, settings_of("x")) for sent in EVENTS]
    assert len(EVENTS) > 250
    assert {result.status for result in results if isinstance(result, Answer)} == {200, 400, 403}
    parts = {result.part for result in results if isinstance(result, Event)}
    assert parts == {"request", "response", "feedback", "outlier", "drift"}
    assert [sent.name for sent in EVENTS if not is_plain(sent, b"Content-Length: %d" % len(sent.body), sent.body)] == []
    assert [sent.name for sent in EVENTS if is_plain(sent, b"Transfer-Encoding: chunked", b"0\r\n\r\n")] == []


def is_plain(sent: Sent, framing: bytes, body: bytes) -> bool:
    """Return whether the fast parser takes an event, framed so."""
    lines = [f"{name}: {value}".encode("latin-1") for name, value in sent.headers]
    reader = FastParser()
    reader.feed(b"\r\n".join([b"POST / HTTP/1.1", b"Host: here", *lines, framing, b"", body]))
    return reader.is_plain
