"""Puts the chunks of OpenAI's chat completions and completions together."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.llm import deltas

_CHUNK = ".chunk"


class ChatStream:
    """The chunks of one answer: deltas of messages, or pieces of text, of one or more choices."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is of this API."""
        return isinstance(chunk.get("choices"), list)

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk; return False if it isn't one of this API."""
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            return False
        for name, value in chunk.items():
            if name != "choices" and (value is not None or name not in self._fields):
                self._fields[name] = value
        for choice in choices:
            self._add_choice(choice)
        return True

    def _add_choice(self, choice: dict[str, Any]) -> None:
        given = choice.get("index")
        index: int = given if type(given) is int and given >= 0 else 0
        known = self._choices.setdefault(index, {"index": index})
        for name, value in choice.items():
            if name == "delta":
                message = known.setdefault("message", {})
                if isinstance(value, dict):
                    deltas.add(message, value)
            elif name in ("text", "logprobs"):
                deltas.add(known, {name: value})
            elif value is not None or name not in known:
                known[name] = value
        known["index"] = index

    def is_whole(self, *, has_end: bool) -> bool:
        """Return whether the answer is complete: the stream's end was read, or each choice has its finish reason."""
        return has_end or (
            bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())
        )

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it without streaming."""
        found = {**self._fields, "choices": [deltas.finished(self._choices[index]) for index in sorted(self._choices)]}
        kind = found.get("object")
        if isinstance(kind, str):
            found["object"] = kind.removesuffix(_CHUNK)
        return found
