"""Splits the response to several prompts of the completions API into those to each prompt. Pure code.

The response doesn't say how many prompts there were, so it is stored as one row until the request is known. With n
choices per prompt, those of prompt k have the indexes from k n on.
"""

from __future__ import annotations

from typing import Any

from request_logger.documents.batches import BODY_ITEM

Document = dict[str, Any]

# Elements of the whole call: those of the first row, so that sums over documents are right.
_OF_CALL = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


def response_rows(response: Document, rows: int) -> list[Document] | None:
    """Return the content of the response to each of ``rows`` prompts; None if it isn't a response to so many.

    The first row has the whole body.
    """
    texts, elements = response.get("instance"), response.get("elements")
    if rows < 2 or not isinstance(texts, list) or not isinstance(elements, dict):
        return None
    if elements.get("choices") != len(texts) or len(texts) % rows:
        return None
    each = len(texts) // rows
    reasons = _reasons(response.get("payload"), len(texts))
    found = []
    for row in range(rows):
        own = slice(row * each, (row + 1) * each)
        kept = {name: value for name, value in elements.items() if row == 0 or name not in _OF_CALL}
        kept |= {"choices": each, "finish_reason": _distinct(reasons[own]) if reasons else kept.get("finish_reason")}
        if each == 1:
            del kept["choices"]
        content = {
            **response,
            "instance": texts[row] if each == 1 else texts[own],
            "elements": {name: value for name, value in kept.items() if value is not None},
            "rows": rows,
        }
        if row and "payload" in content:
            del content["payload"]
            content[BODY_ITEM] = 0
        found.append(content)
    return found


def _reasons(payload: Any, count: int) -> list[Any] | None:
    """Return the finish reason of each choice by its index; None if the body isn't kept or has others."""
    choices = payload.get("choices") if isinstance(payload, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return None
    by_index = {choice.get("index"): choice.get("finish_reason") for choice in choices}
    return [by_index[k] for k in range(count)] if set(by_index) == set(range(count)) else None


def _distinct(values: list[Any]) -> Any:
    found = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    return found[0] if len(found) == 1 else found or None
