"""Puts the chunks of TGI, of Triton's generate extension and of Ollama together."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.llm import deltas


class TgiStream:
    """TGI's native stream: one token per chunk; the last chunk has the whole text."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last: dict[str, Any] = {}

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is of this API."""
        token = chunk.get("token")
        return isinstance(token, dict) and isinstance(token.get("text"), str)

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk; return False if it isn't one of this API."""
        if not self.accepts(chunk):
            return False
        if not chunk["token"].get("special"):
            self._pieces.append(chunk["token"]["text"])
        if isinstance(chunk.get("generated_text"), str):
            self._last = chunk
        return True

    def is_whole(self, *, has_end: bool) -> bool:
        """Return whether the last chunk was read. ``has_end``, the end mark of other APIs, says nothing here."""
        return bool(self._last)

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it without streaming."""
        if not self._last:
            return {"generated_text": deltas.text_of(self._pieces)}
        details = {"details": self._last["details"]} if isinstance(self._last.get("details"), dict) else {}
        return {"generated_text": self._last["generated_text"], **details}


class TritonStream:
    """Triton's ``generate_stream``: each chunk has a piece of the text. Nothing marks its end."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._fields: dict[str, Any] = {}

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is of this API."""
        return isinstance(chunk.get("text_output"), str)

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk; return False if it isn't one of this API."""
        if not self.accepts(chunk):
            return False
        self._pieces.append(chunk["text_output"])
        self._fields.update(chunk)
        return True

    def is_whole(self, *, has_end: bool) -> None:
        """Return None: whether such a stream is complete can't be known."""

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it without streaming."""
        return {**self._fields, "text_output": deltas.text_of(self._pieces)}


class OllamaStream:
    """Ollama's chat and generate: one JSON object per line, the last of which has ``done`` and the counts."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._pieces: dict[str, list[str]] = {}

    @staticmethod
    def accepts(chunk: dict[str, Any]) -> bool:
        """Return whether a chunk is of this API."""
        return "done" in chunk and (isinstance(chunk.get("message"), dict) or isinstance(chunk.get("response"), str))

    def add(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk; return False if it isn't one of this API."""
        if not self.accepts(chunk):
            return False
        for name, value in chunk.items():
            if name == "message" and isinstance(value, dict):
                deltas.add(self._message, value)
            elif name in ("response", "thinking") and isinstance(value, str):
                self._pieces.setdefault(name, []).append(value)
            else:
                self._fields[name] = value
        return True

    def is_whole(self, *, has_end: bool) -> bool:
        """Return whether the last chunk was read. ``has_end``, the end mark of other APIs, says nothing here."""
        return self._fields.get("done") is True

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it without streaming."""
        texts = {name: deltas.text_of(pieces) for name, pieces in self._pieces.items()}
        message = {"message": deltas.finished(self._message)} if self._message else {}
        return {**self._fields, **message, **texts}
