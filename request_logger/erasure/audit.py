"""The record of erasures in an index of their own: who, when, why and how much, and the hashes of the erased ids."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from request_logger.common.chunks import chunks
from request_logger.common.erasures import BLOCK, ERASURES_INDEX, RUN, erased_digest
from request_logger.common.json import dumps
from request_logger.errors import CommandError
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.errors import reason_of

_KEYWORD = {"type": "keyword", "ignore_above": 8000}
_DATE = {"type": "date"}
MAPPING = {
    "mappings": {
        "dynamic": False,
        "properties": {
            "kind": _KEYWORD,
            "digest": _KEYWORD,
            "run": _KEYWORD,
            "at": _DATE,
            "expires_at": _DATE,
            "state": _KEYWORD,
            "by": _KEYWORD,
            "reason": _KEYWORD,
        },
    }
}
_AT_ONCE = 1000


class Audit:
    """The records of one run."""

    def __init__(self, engine: SearchEngine, run: str, at: datetime, block_days: float) -> None:
        self._engine = engine
        self._run = run
        self._at = at.isoformat()
        self._expires_at = (at + timedelta(days=block_days)).isoformat()
        self._blocks = block_days > 0
        self._blocked: set[str] = set()

    def block(self, ids: Iterable[str]) -> None:
        """Store the hashes of ids, so that loggers refuse their events. Raises CommandError, StoreUnavailableError."""
        new = [digest for digest in dict.fromkeys(map(erased_digest, ids)) if digest not in self._blocked]
        if not self._blocks:
            return
        about = {"kind": BLOCK, "run": self._run, "at": self._at, "expires_at": self._expires_at}
        for some in chunks(new, _AT_ONCE):
            self._store({digest: {**about, "digest": digest} for digest in some})
        self._blocked.update(new)

    def record(self, state: str, reason: str, asked: Mapping[str, Any], removed: Mapping[str, Any]) -> None:
        """Store what the run has done so far. Raises CommandError, StoreUnavailableError."""
        about = {
            "kind": RUN,
            "run": self._run,
            "state": state,
            "at": self._at,
            "by": user(),
            "reason": reason,
            "asked": asked,
            "ids": len(self._blocked),
            "removed": removed,
        }
        self._store({self._run: about})

    def forget_expired(self) -> None:
        """Remove hashes whose time is over; those that an interrupted run leaves are removed by the next one."""
        query = {"bool": {"filter": [{"term": {"kind": BLOCK}}, {"range": {"expires_at": {"lt": "now"}}}]}}
        body = {"size": 10_000, "query": query, "_source": False}
        status, answer = self._engine.request("POST", f"/{ERASURES_INDEX}/_search", body)
        if status == 403:
            raise CommandError(f"the engine answered 403 to POST /{ERASURES_INDEX}/_search: {reason_of(answer)}")
        hits = answer.get("hits", {}).get("hits", []) if status == 200 and isinstance(answer, dict) else []
        if hits:
            self._bulk([dumps({"delete": {"_index": ERASURES_INDEX, "_id": hit["_id"]}}) for hit in hits])

    def prepare(self) -> None:
        """Create the index. Raises CommandError, StoreUnavailableError."""
        status, answer = self._engine.request("PUT", f"/{ERASURES_INDEX}", MAPPING)
        # 400: it is there already.
        if status not in (200, 400):
            raise CommandError(f"the engine answered {status} to PUT /{ERASURES_INDEX}: {reason_of(answer)[:200]}")

    def _store(self, documents: Mapping[str, Any]) -> None:
        lines = []
        for id, document in documents.items():
            lines += [dumps({"index": {"_index": ERASURES_INDEX, "_id": id}}), dumps(document)]
        self._bulk(lines)

    def _bulk(self, lines: list[bytes]) -> None:
        if not lines:
            return
        # Searched at once by the loggers, and by the second pass of this run.
        status, answer = self._engine.request("POST", "/_bulk", b"\n".join(lines) + b"\n", params={"refresh": "true"})
        if status >= 500 or status == 429:
            raise StoreUnavailableError(f"the engine answered {status} to the record of an erasure")
        if status != 200 or not isinstance(answer, dict) or answer.get("errors"):
            raise CommandError(f"the record of the erasure can't be stored: {reason_of(answer)[:200]}")


def user() -> str:
    """Return who runs the command, and where."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user may have no name.
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
