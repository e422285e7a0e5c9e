"""Keeps baselines in the search engine, so that every look at a fixed reference uses the same cells.

One document per target, reference and field, in an index of the logger. It is written once: the first writer wins, and
all others use what it wrote.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from request_logger.analytics.drift.baselines import Baseline
from request_logger.common.json import dumps
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import reason_of
from request_logger.store.ports import EngineReader

INDEX = "request-logger-drift"
_MAPPING = {
    "mappings": {
        "dynamic": False,
        "properties": {
            "target": {"type": "keyword"},
            "reference": {"type": "keyword"},
            "field": {"type": "keyword"},
            "made_at": {"type": "date"},
            "baseline": {"type": "object", "enabled": False},
        },
    }
}


class StoredBaselines:
    """The stored baselines of one target and reference."""

    def __init__(self, engine: EngineReader, target: str, reference: str) -> None:
        self._engine = engine
        self._target = target
        self._reference = reference

    def read(self, fields: Iterable[str]) -> dict[str, Baseline]:
        """Return the stored baselines of these fields; one that can't be read counts as missing.

        Raises StoreUnavailableError.
        """
        asked = list(fields)
        if not asked:
            return {}
        docs = [{"_id": self._id(field)} for field in asked]
        status, answer = self._engine.request("POST", f"/{INDEX}/_mget", {"docs": docs})
        if status == 404:
            return {}
        found = answer.get("docs") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(found, list) or len(found) != len(asked):
            reason = "" if status == 200 else f": {reason_of(answer)}"
            raise StoreUnavailableError(f"the engine answered {status} to a request for the baselines of drift{reason}")
        baselines = {}
        for field, each in zip(asked, found, strict=True):
            source = each.get("_source") if isinstance(each, dict) else None
            if isinstance(source, dict) and source.get("field") == field:
                # A later version of this program may have written another form.
                with contextlib.suppress(ValueError):
                    baselines[field] = Baseline.of(source.get("baseline"))
        return baselines

    def add(self, made: Mapping[str, Baseline]) -> str:
        """Store new baselines; those that another look has stored meanwhile are kept. Returns why it failed, or ""."""
        return self._write(made, "create")

    def replace(self, made: Mapping[str, Baseline]) -> str:
        """Store baselines in place of the stored ones. Returns why it failed, or ""."""
        return self._write(made, "index")

    def _write(self, made: Mapping[str, Baseline], action: str) -> str:
        if not made:
            return ""
        status, answer = self._engine.request("PUT", f"/{INDEX}", _MAPPING)
        if status not in (200, 400):
            # 400: it is there already.
            return f"{status}: {reason_of(answer)}"
        lines = []
        for field, baseline in made.items():
            head = {action: {"_index": INDEX, "_id": self._id(field)}}
            lines += [dumps(head), dumps(self._document(field, baseline))]
        status, answer = self._engine.request("POST", "/_bulk", b"\n".join(lines) + b"\n")
        items = answer.get("items") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(items, list):
            return f"{status}: {reason_of(answer)}"
        results: list[dict[str, Any]] = [next(iter(item.values()), {}) for item in items if isinstance(item, dict)]
        failed = [each for each in results if each.get("status") not in (200, 201, 409)]
        return f"{failed[0].get('status')}: {reason_of(failed[0])}" if failed else ""

    def _document(self, field: str, baseline: Baseline) -> dict[str, Any]:
        return {
            "target": self._target,
            "reference": self._reference,
            "field": field,
            "made_at": baseline.made_at,
            "baseline": baseline.as_json(),
        }

    def _id(self, field: str) -> str:
        return hashlib.sha256(dumps([self._target, self._reference, field])).hexdigest()
