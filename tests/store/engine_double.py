"""A search engine in memory for tests of those who only read it: it answers by a function and keeps what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Answer = tuple[int, Any]


class EngineDouble:
    """Answers each request with ``answer(path, body)``; `paths` and `bodies` are those of all requests, in order."""

    def __init__(self, answer: Callable[[str, Any], Answer]) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.bodies: list[Any] = []

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        self.paths.append(path)
        self.bodies.append(body)
        return self.answer(path, body)


def answers_by_start(answers: Mapping[str, Any]) -> EngineDouble:
    """Make an engine that answers a path by how it starts, and any other with 404."""

    def answer(path: str, _: Any) -> Answer:
        return next(((200, found) for start, found in answers.items() if path.startswith(start)), (404, {}))

    return EngineDouble(answer)
