"""Schedules with JOIN_KEYS: some feedback names its prediction by a key that only the response has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from request_logger.common.join_keys import is_keys_index
from request_logger.documents.key_document import key_id
from tests.simulation.compare import Delivered
from tests.simulation.traffic import KEY, Message
from tests.simulation.world import World

_KEYED_SHARE = 0.8
_BY_VALUE_SHARE = 0.4


class KeyedWorld(World):
    """A schedule with JOIN_KEYS. Its seed draws the same as that of `World`, and then the keys."""

    def __init__(self, seed: int, *, tells: bool = False) -> None:
        super().__init__(seed, tells=tells, join_keys=f"request.payload.meta.puid, {KEY}")
        # Both deliveries of an event are the same.
        keyed = {message: self._with_key(message) for message in dict.fromkeys(self.messages)}
        self.messages = [keyed[message] for message in self.messages]
        self.burst = []

    def _with_key(self, message: Message) -> Message:
        if message.part == "response":
            body = _parsed(message.body)
            return (
                message
                if body is None
                else replace(message, body=orjson.dumps({**body, "meta": {"puid": message.key}}))
            )
        if message.part == "feedback" and self._rng.random() < _KEYED_SHARE:
            return replace(message, named_by="value" if self._rng.random() < _BY_VALUE_SHARE else "key")
        return message

    def compare(self, delivered: Delivered, stored: Any) -> list[str]:
        """Compare the predictions without the documents of keys; see that waiting feedback is nowhere lost or left."""
        predictions = {key: source for key, source in stored.items() if not is_keys_index(key[0])}
        problems = super().compare(delivered, predictions)
        for message in sorted({each for each in delivered.acknowledged if each.named_by != "id"}, key=repr):
            index = message.event(self.settings).index
            names = {message.key, key_id(index, KEY, message.key)}
            waits = any("feedback" in source for (_, id), source in stored.items() if id in names)
            is_in_doubt = message.request_id in {*delivered.interrupted, *delivered.late} or names & {*delivered.late}
            if delivered.is_claimed(message.request_id):
                if waits and not is_in_doubt:
                    problems.append(f"{message.request_id} has its key, and feedback still waits for it")
            elif not waits and not any(
                each.has_key and each.request_id == message.request_id for each in self.messages
            ):
                problems.append(f"the feedback that waits for {message.key} is lost")
        return [f"with JOIN_KEYS: {problem}" for problem in problems]


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Return the body of a response that can be read; None for others."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    has_rows = isinstance(parsed, dict) and len(body) < 1_000 and "data" in parsed and b"e999" not in body
    return parsed if has_rows else None
