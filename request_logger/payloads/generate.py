"""Decodes text inputs and outputs of models: Triton's generate extension, Hugging Face's pipelines and TGI."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.base import Decoded, Item, UndecodableError, columns_in
from request_logger.payloads.llm.fields import stream_state, tokens

_TEXTS = ("text_input", "text_output", "generated_text")
_TEXT_KEYS = frozenset(_TEXTS)
# A body with any of these keys is of another protocol.
_ROWS = frozenset({"instances", "predictions", "inputs", "outputs", "data", "instance"})
_FIELDS = ("id", "model_name", "model_version", "parameters")


class GenerateDecoder:
    """Decodes ``text_input``, ``text_output``, ``generated_text``, and the ``answer`` of question answering."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has one of the texts, or an answer and its score."""
        if not _ROWS.isdisjoint(body):
            return False
        return not _TEXT_KEYS.isdisjoint(body) or ("answer" in body and "score" in body)

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return a row per text; ``id``, ``parameters`` and the model's fields are stored at the part's top level."""
        key = next((name for name in _TEXTS if name in body), "answer")
        content = body[key]
        texts = content if isinstance(content, list) else [content]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise UndecodableError(f"{key}: expected text or a list of texts")
        fields = {name: body[name] for name in _FIELDS if name in body}
        elements = _elements(body)
        if not elements:
            return Decoded("text", list(map(Item, texts)), None, fields, has_elements=False)
        # The details are those of the whole call: in one row, so that sums over documents are right.
        others = [Item(text, {}) for text in texts[1:]]
        return Decoded("text", [Item(texts[0], elements), *others], None, fields)


def _elements(body: dict[str, Any]) -> dict[str, Any]:
    """Return the finish reason and the number of tokens in TGI's details, and the state of a stream."""
    found = stream_state(body)
    details = body.get("details")
    if isinstance(details, dict):
        found |= tokens({"completion_tokens": details.get("generated_tokens")})
        if isinstance(details.get("finish_reason"), str):
            found["finish_reason"] = details["finish_reason"]
    return found
