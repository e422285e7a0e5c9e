"""Finds the stored baselines of drift that show a value of an erased document. Pure code, except for reading them.

A baseline counts many documents. It shows single values at its ends and among its rare categories; what many documents
share says nothing about one of them. A baseline that is removed is made again from the reference that is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from request_logger.analytics.drift.baselines import Baseline, Kind
from request_logger.analytics.drift.stored_baselines import INDEX
from request_logger.common.join_keys import JoinKey
from request_logger.common.mapped_fields import PREDICTION
from request_logger.documents.document import part_in
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Scan

# A value that at least so many documents of the reference have identifies none of them.
_COMMON = 10
_PARTS = ("request", "response", PREDICTION)


def stored_baselines(engine: SearchEngine) -> dict[str, tuple[str, Baseline]]:
    """Return all stored baselines by their ids, each with its field. Raises ScanError and StoreUnavailableError."""
    found: dict[str, tuple[str, Baseline]] = {}
    with Scan(engine, f"/{INDEX}", {"match_all": {}}) as scan:
        for hits in scan.pages():
            for hit in hits:
                # A later version of this program may have written another form.
                with contextlib.suppress(ValueError):
                    found[hit.id] = (str(hit.source.get("field", "")), Baseline.of(hit.source.get("baseline")))
    return found


def shown(baselines: Mapping[str, tuple[str, Baseline]], document: Mapping[str, Any]) -> list[str]:
    """Return the ids of the baselines that show a value of a document."""
    return [id for id, (field, baseline) in baselines.items() if _shows(baseline, _value(document, field))]


def _value(document: Mapping[str, Any], field: str) -> str | None:
    key = JoinKey(field.removesuffix(".keyword"))
    return key.value_in(part_in(dict(document), key.part)) if key.part in _PARTS else None


def _shows(baseline: Baseline, text: str | None) -> bool:
    if text is None:
        return False
    cells = baseline.cells
    if cells.kind is Kind.NUMBER:
        try:
            return float(text) in (cells.low, cells.high)
        except ValueError:
            return False
    counts = dict(zip(cells.values, baseline.counts.cells, strict=False))
    return text in (*cells.values, *(cells.known or ()), *baseline.counts.examples) and counts.get(text, 0) < _COMMON
