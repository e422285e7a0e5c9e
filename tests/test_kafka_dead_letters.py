"""The consumer's dead letters in the index, over a model of the engine: each is stored, retried, or said to be lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from request_logger.ingest.redaction import Redactor
from request_logger.kafka.dead_letters import DeadLetters
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.simulation.model_engine import ModelEngine


class Engine(SearchEngine):
    """The program's client over a model; ``change`` makes another answer of that to each _bulk."""

    def __init__(self) -> None:
        super().__init__(Settings(), warn=False)
        self.model = ModelEngine()
        self.change: Any = lambda answer: answer

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[int, Any]:
        status, answer = self.model.request(method, path, body if isinstance(body, bytes) else b"{}", params)
        return status, self.change(answer) if path == "/_bulk" else answer


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
def letters(engine: Engine, counted: list[str]) -> DeadLetters:
    client: Any = engine
    return DeadLetters(Settings(), Redactor(""), client, counted.append)


def record(offset: int, size: int = 1) -> Record:
    return Record("events", 0, offset, 0, None, (), size * b"x")


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: {"items": None},
        lambda answer: {"items": answer["items"][:-1]},
        lambda answer: {"items": [None, None]},
        lambda answer: {"items": [{"index": {"_id": "kafka:events[0]@0"}}, answer["items"][1]]},
        lambda answer: [],
    ],
)
def test_an_answer_that_says_nothing_leaves_letters_to_be_retried(
    engine: Engine, letters: DeadLetters, counted: list[str], change: Any
) -> None:
    """Nothing is raised, and every record waits: its offset may not be committed."""
    engine.change = change
    futures = [letters.write(record(0), "no event"), letters.write(record(1), "no event")]
    letters.flush()
    assert all(isinstance(future.exception(), StoreUnavailableError) for future in futures)
    assert counted == []


def test_letters_that_are_too_large_together_are_stored_one_by_one(
    engine: Engine, letters: DeadLetters, counted: list[str]
) -> None:
    """Only one that is too large by itself is lost, and counted."""
    engine.model.max_content_length = 1000
    futures = [letters.write(record(number, size), "no event") for number, size in enumerate((1, 200, 2000, 1))]
    letters.flush()
    assert [future.exception() for future in futures] == 4 * [None]
    assert sorted(counted) == ["index", "index", "index", "nowhere"]
    assert {id for _, id in engine.model.documents()} == {f"kafka:events[0]@{number}" for number in (0, 1, 3)}


def test_a_letter_waits_for_an_index_that_is_closed(engine: Engine, letters: DeadLetters, counted: list[str]) -> None:
    """A closed index says nothing of the letter: it is stored once the index is open."""
    engine.model.request("PUT", f"/{DEAD_LETTER_INDEX}", b"{}")
    engine.model.request("POST", f"/{DEAD_LETTER_INDEX}/_close")
    first = letters.write(record(0), "no event")
    letters.flush()
    assert isinstance(first.exception(), StoreUnavailableError)
    engine.model.request("POST", f"/{DEAD_LETTER_INDEX}/_open")
    second = letters.write(record(0), "no event")
    letters.flush()
    assert (second.exception(), counted) == (None, ["index"])
