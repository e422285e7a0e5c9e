"""Invalid responses: some that no engine should return, and some that proxies return."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

from bench.faults.proxy import Asked, Reply, Rule

_HTML = Reply.of(b"<html><body>Sign in to continue</body></html>", kind="text/html")
_LIST = Reply.of(b"[1, 2, 3]")


def _changed(change: Callable[[Any], Any]) -> Rule:
    """Return a rule that forwards a request and changes the engine's response."""

    def rule(asked: Asked) -> Reply:
        reply = asked.forward()
        return reply.with_body(json.dumps(change(json.loads(reply.body))).encode())

    return rule


def _items(change: Callable[[list[Any]], Any]) -> Rule:
    return _changed(lambda answer: {**answer, "items": change(answer["items"])})


def _without_status(items: list[Any]) -> list[Any]:
    return [{action: {k: v for k, v in one.items() if k != "status"}} for item in items for action, one in item.items()]


def _cut(asked: Asked) -> Reply:
    reply = asked.forward()
    return reply.with_body(reply.body[: len(reply.body) // 2])


def _is(path: str, *methods: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.path.partition("?")[0].endswith(path) and (not methods or asked.method in methods)


_BULK = _is("/_bulk")
_MGET = _is("/_mget")

KINDS: dict[str, tuple[Callable[[Asked], bool], Rule]] = {
    "bulk: HTML": (_BULK, lambda _: _HTML),
    "bulk: HTML after it was stored": (_BULK, lambda asked: asked.forward() and _HTML),
    "bulk: invalid JSON": (_BULK, _cut),
    "bulk: empty": (_BULK, lambda asked: asked.forward().with_body(b"")),
    "bulk: a list": (_BULK, lambda asked: asked.forward() and _LIST),
    "bulk: items null": (_BULK, _items(lambda _: None)),
    "bulk: items no list": (_BULK, _items(lambda items: {"0": items[0]})),
    "bulk: items shorter": (_BULK, _items(lambda items: items[:-1])),
    "bulk: items longer": (_BULK, _items(lambda items: [*items, items[-1]])),
    "bulk: items of null": (_BULK, _items(lambda items: [None] * len(items))),
    "bulk: items of text": (_BULK, _items(lambda items: ["index"] * len(items))),
    "bulk: items without action": (_BULK, _items(lambda items: [{}] * len(items))),
    "bulk: items without status": (_BULK, _items(_without_status)),
    "bulk: status as text": (
        _BULK,
        _items(lambda items: [{a: {**one, "status": "ok"}} for item in items for a, one in item.items()]),
    ),
    "bulk: no sequence number": (
        _BULK,
        _items(
            lambda items: [
                {a: {k: v for k, v in one.items() if k not in ("_seq_no", "_primary_term", "get")}}
                for item in items
                for a, one in item.items()
            ]
        ),
    ),
    "mget: without docs": (_MGET, _changed(lambda _: {})),
    "mget: docs shorter": (_MGET, _changed(lambda answer: {"docs": answer["docs"][:-1]})),
    "mget: docs of null": (_MGET, _changed(lambda answer: {"docs": [None] * len(answer["docs"])})),
    "mget: HTML": (_MGET, lambda _: _HTML),
    "template: a list": (lambda asked: "/_index_template/" in asked.path and asked.method == "GET", lambda _: _LIST),
    "template: HTML": (lambda asked: "/_index_template/" in asked.path and asked.method == "GET", lambda _: _HTML),
    "mapping: a list": (_is("/_mapping", "GET"), lambda _: _LIST),
    "mapping: HTML": (_is("/_mapping", "GET"), lambda _: _HTML),
    "mapping: of null": (_is("/_mapping", "GET"), _changed(dict.fromkeys)),
    "alias: a list": (_is("/_alias", "GET"), lambda _: _LIST),
    "alias: HTML": (_is("/_alias", "GET"), lambda _: _HTML),
    "settings: a list": (_is("/_settings", "GET"), lambda _: _LIST),
    "health: HTML": (_is("/_cluster/health", "GET"), lambda _: _HTML),
}
"""By name: the requests that a kind concerns, and the rule that answers them."""


class Garbage:
    """A rule that answers with one kind of garbage, ``times`` times (None: always), and then forwards everything."""

    def __init__(self, kind: str, times: int | None = None) -> None:
        self._concerns, self._rule = KINDS[kind]
        self.left = times
        """How often it will still answer, None for always."""
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply | None:
        """Answer a request, or return None to forward it."""
        if not self._concerns(asked):
            return None
        with self._lock:
            if self.left is not None:
                if self.left == 0:
                    return None
                self.left -= 1
        return self._rule(asked)


class SomeGarbage:
    """A rule that answers a share of the requests with garbage of a random kind that concerns them, by a seed."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply | None:
        """Answer a request, or return None to forward it."""
        rules = [rule for concerns, rule in KINDS.values() if concerns(asked)]
        with self._lock:
            chosen = self._chance.choice(rules) if rules and self._chance.random() < self._share else None
        if chosen is None:
            return None
        try:
            return chosen(asked)
        except (ValueError, LookupError, TypeError, AttributeError):
            # The engine's response was an error, which has no such fields.
            return _HTML


def too_many_requests(asked: Asked) -> Reply | None:
    """Answer every write with 429, as an overloaded engine does: a rule."""
    error = {"error": {"type": "rejected_execution_exception", "reason": "rejected"}, "status": 429}
    return Reply.of(json.dumps(error).encode(), 429) if asked.method in ("POST", "PUT") else None
