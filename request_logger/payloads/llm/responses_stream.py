"""Puts the events of OpenAI's Responses API together."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.llm import deltas

_PREFIX = "response."
# The last event of a stream has the whole response.
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
# Events whose delta is a piece of a field of a content part, and those of a field of an item.
_OF_PART = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}
_OF_ITEM = {"response.function_call_arguments.delta": "arguments", "response.custom_tool_call_input.delta": "input"}


class ResponsesStream:
    """The events of one response: its last event has it; a cut one is made of the events before."""

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._parts: dict[int, dict[int, dict[str, Any]]] = {}
        self._is_whole = False

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is an event of this API."""
        kind = chunk.get("type")
        return isinstance(kind, str) and kind.startswith(_PREFIX)

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add an event; return False if it isn't one of this API."""
        if not self.accepts(chunk):
            return False
        kind: str = chunk["type"]
        if isinstance(chunk.get("response"), dict):
            self._response = chunk["response"]
            self._is_whole = self._is_whole or kind in _ENDS
        index = chunk.get("output_index")
        if deltas.is_index(index):
            self._add_to_item(kind, index, chunk)
        return True

    def _add_to_item(self, kind: str, index: Any, chunk: dict[str, Any]) -> None:
        if kind in ("response.output_item.added", "response.output_item.done"):
            if isinstance(chunk.get("item"), dict):
                self._items[index] = dict(chunk["item"])
            if kind.endswith("done"):
                self._parts.pop(index, None)
            return
        piece = chunk.get("delta")
        if not isinstance(piece, str):
            return
        if kind in _OF_ITEM:
            deltas.add(self._item(index, "function_call", _OF_ITEM[kind]), {_OF_ITEM[kind]: piece})
        elif kind in _OF_PART and deltas.is_index(chunk.get("content_index")):
            name = _OF_PART[kind]
            self._item(index, "message", "content")
            part = self._parts.setdefault(index, {}).setdefault(
                chunk["content_index"], {"type": "output_text" if name == "text" else name}
            )
            deltas.add(part, {name: piece})

    def _item(self, index: int, kind: str, pieces: str) -> dict[str, Any]:
        item = self._items.setdefault(index, {"type": kind})
        if type(item.get(pieces)) is not deltas.Pieces:
            # The item was added with an empty field, whose content follows in pieces.
            item.pop(pieces, None)
        return item

    def is_whole(self, *, has_end: bool) -> bool:
        """Return whether the last event was read. ``has_end``, the end mark of other APIs, says nothing here."""
        return self._is_whole

    def body(self) -> dict[str, Any]:
        """Return the response as the API gives it without streaming."""
        found = {"object": "response", **self._response}
        if self._is_whole:
            return found
        output = []
        for index in sorted(self._items):
            item = deltas.finished(self._items[index])
            parts = self._parts.get(index)
            if parts:
                item["content"] = [deltas.finished(parts[number]) for number in sorted(parts)]
            output.append(item)
        return {**found, "output": output}
