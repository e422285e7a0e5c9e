"""What the bodies of language models have in common: texts of messages, counts of tokens, parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from request_logger.common.json import dumps, has_double
from request_logger.payloads.base import Decoded, Item, UndecodableError
from request_logger.payloads.llm.streams import STREAM, State

Elements = dict[str, Any]

_STATES = frozenset(state.value for state in State)
# Parameters of a request that are elements; their names and the names that a Responses request has for them.
_NUMBERS = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed")


def text_of(content: Any) -> str | None:
    """Return the text of a message's content: a text, or the texts of its parts, one per line; None without any."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, (str, dict))]
    found = [text for text in texts if isinstance(text, str)]
    return "\n".join(found) if found else None


def last_user_text(messages: Iterable[Any]) -> str | None:
    """Return the text of the last message of the role ``user``; None if there is none."""
    found = None
    for message in messages:
        if message.get("role") == "user":
            found = message.get("content")
    return text_of(found)


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that must be a list of objects, without those that REDACT removed. Raises UndecodableError."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(entry, (dict, type(None))) for entry in value):
        raise UndecodableError(f"{name}: expected a list of objects")
    return [entry for entry in value if entry is not None]


def called_functions(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the functions in a message's tool calls."""
    calls = message.get("tool_calls")
    found = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [function for function in found if isinstance(function, dict)]


def calls_text(calls: Iterable[tuple[Any, Any]]) -> str:
    """Return calls of tools (names and arguments) as text: ``name(arguments)``, one per line."""
    return "\n".join(
        f"{name}({arguments})" for name, arguments in calls if isinstance(name, str) and isinstance(arguments, str)
    )


def json_text(value: Any) -> str:
    """Return a JSON value as text."""
    return value if isinstance(value, str) else dumps(value).decode()


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, and no boolean."""
    return (type(value) is int and has_double(value)) or (type(value) is float and math.isfinite(value))


def parameters(body: Mapping[str, Any]) -> Elements:
    """Return the elements of a request: the model, whether it asks for a stream, and the parameters with a number."""
    found: Elements = {"model": body["model"]} if isinstance(body.get("model"), str) else {}
    found.update((name, body[name]) for name in _NUMBERS if is_number(body.get(name)))
    if isinstance(body.get("stream"), bool):
        found["stream"] = body["stream"]
    return found


def outcome(body: Mapping[str, Any]) -> Elements:
    """Return the elements of a response: the model, the counts of tokens, and the state of a stream."""
    found: Elements = {"model": body["model"]} if isinstance(body.get("model"), str) else {}
    return {**found, **tokens(body.get("usage")), **stream_state(body)}


def stream_state(body: Mapping[str, Any]) -> Elements:
    """Return the state of an assembled stream; empty for any other body."""
    state = body.get(STREAM)
    return {STREAM: state} if isinstance(state, str) and state in _STATES else {}


# element -> its names in `usage`, and a path of names for details.
_COUNTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("prompt_tokens", (("prompt_tokens",), ("input_tokens",))),
    ("completion_tokens", (("completion_tokens",), ("output_tokens",))),
    ("total_tokens", (("total_tokens",),)),
    ("cached_tokens", (("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"))),
    (
        "reasoning_tokens",
        (("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens")),
    ),
)


def tokens(usage: Any) -> Elements:
    """Return the counts of tokens in a ``usage``, under the names of chat completions."""
    found: Elements = {}
    for name, paths in _COUNTS:
        for path in paths:
            value = _at(usage, path)
            if is_number(value):
                found[name] = value
                break
    return found


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def one_or_all(values: list[Any]) -> Any:
    """Return the only value of a list, None if it is empty; several as the list."""
    return values[0] if len(values) == 1 else values or None


def distinct(values: Iterable[Any]) -> Any:
    """Return the texts among values once each, in their order; a single one as itself, None without any."""
    return one_or_all(list(dict.fromkeys(value for value in values if isinstance(value, str))))


def row(instance: Any, elements: Elements, body: Mapping[str, Any]) -> Decoded:
    """Return the single row of a call; its ``id`` is stored at the part's top level, since feedback may name it."""
    fields = {"id": body["id"]} if isinstance(body.get("id"), str) else {}
    return Decoded("text", [Item(instance, {k: v for k, v in elements.items() if v is not None})], None, fields)
