"""Decodes the bodies of OpenAI-compatible servers, such as vLLM behind KServe, and of their assembled streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from request_logger.payloads.base import Decoded, UndecodableError, columns_in
from request_logger.payloads.llm import openai_chat, openai_lists, openai_responses

Decode = Callable[[dict[str, Any]], Decoded]

# A body with any of these keys is of another protocol.
_ROWS = frozenset({"instances", "predictions", "inputs", "outputs", "instance", "strData", "jsonData", "binData"})
# The keys of each request, and its decoder.
_REQUESTS: tuple[tuple[frozenset[str], Decode], ...] = (
    (frozenset({"messages"}), openai_chat.chat_request),
    (frozenset({"prompt", "model"}), openai_chat.completion_request),
    (frozenset({"query", "documents"}), openai_lists.rerank_request),
    (frozenset({"text_1", "text_2"}), openai_lists.pairs_request),
)
_OF_REQUESTS = frozenset({"input"}).union(*(keys for keys, _ in _REQUESTS))


class OpenAIDecoder:
    """Decodes chat completions, completions, responses, embeddings, rerank, classify and score, in both directions."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has the fields of one of these APIs, and those of no other protocol."""
        return _decode_of(body) is not None

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the elements, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return a row per call, or per input of embeddings, classify and score. Raises UndecodableError."""
        # The model's name may have been redacted.
        decode = _decode_of(body) or _decode_of({**body, "model": None})
        if decode is None:
            raise UndecodableError("expected the fields of a request or response of an OpenAI-compatible server")
        return decode(body)


def _decode_of(body: dict[str, Any]) -> Decode | None:
    if not _ROWS.isdisjoint(body):
        return None
    return _decode_of_response(body) or _decode_of_request(body)


def _decode_of_response(body: dict[str, Any]) -> Decode | None:
    if "choices" in body:
        return openai_chat.response
    if "output" in body and body.get("object") == "response":
        return openai_responses.response
    if type(body.get("data")) is list:
        if openai_lists.is_list_of(body, "embedding"):
            return openai_lists.embeddings
        if openai_lists.is_list_of(body, "probs", "label"):
            return openai_lists.classes
        if openai_lists.is_list_of(body, "score"):
            return openai_lists.scores
    results = body.get("results")
    first = results[0] if isinstance(results, list) and results else None
    return openai_lists.rerank if isinstance(first, dict) and "relevance_score" in first else None


def _decode_of_request(body: dict[str, Any]) -> Decode | None:
    if _OF_REQUESTS.isdisjoint(body):
        return None
    for keys, decode in _REQUESTS:
        if keys <= body.keys():
            return decode
    if "input" in body and "model" in body:
        given = body["input"]
        is_of_items = isinstance(given, list) and bool(given) and isinstance(given[0], dict)
        return openai_responses.request if is_of_items else openai_lists.input_request
    return None
