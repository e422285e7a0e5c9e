"""Removes the payloads of old documents, so that their metrics can be kept for longer than what they were made from.

Documents are changed one by one through the store's writer, each on the condition of its version, so that live traffic
may go on and no engine needs more than searches and `_bulk`. A run can be interrupted and repeated: documents that have
lost their payloads are not found again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from request_logger.analytics.selection import Query, any_of, exists, has_part, without
from request_logger.common.times import utc_text
from request_logger.documents.document import Document
from request_logger.documents.kept_fields import REMOVED
from request_logger.documents.payload_removal import without_payloads
from request_logger.store.changes import Change, Plan, RejectedError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from request_logger.store.writing.writer import Writer

# Documents per read. The writer reads their contents in pieces of BULK_MAX_BYTES.
_PAGE = 200
# The memory (bytes) that one pending change is assumed to hold, as for rescore.
_WEIGHT = 4096
MOST_REASONS = 5


@dataclass(slots=True)
class Removed:
    """The outcome: documents per index, and how many the search engine rejected, with the first reasons."""

    by_index: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)


def query_of(before: datetime, clauses: Sequence[Query] = ()) -> Query:
    """Return the query for documents from before a time that still have their payloads, and match all ``clauses``."""
    old = {"range": {"@timestamp": {"lt": utc_text(before, "milliseconds")}}}
    return without(exists(REMOVED), old, any_of(*map(has_part, ("request", "response", "feedback"))), *clauses)


def remove_payloads(
    engine: SearchEngine, writer: Writer, pattern: str, query: Query, at: str, on_page: Callable[[int], object]
) -> Removed:
    """Remove the payloads of the documents of a query (`query_of`); ``at`` is noted in each as the time of the removal.

    ``on_page`` is called with the number of documents read since. Raises ScanError and StoreUnavailableError; what is
    done stays done.
    """
    outcome = Removed()

    def apply(stored: Document | None) -> Document | None:
        return stored if stored is None else without_payloads(stored, at)

    def plan(hit: Hit) -> Plan:
        yield [Change(hit.index, hit.id, apply)]

    with Scan(engine, f"/{quote(pattern, safe='*,')}", query, source=[REMOVED], page=_PAGE) as scan:
        outcome.left_out = scan.left_out.as_json()
        for hits in scan.pages():
            # A mapping that doesn't know the field finds documents again.
            new = [hit for hit in hits if REMOVED not in hit.source]
            waiting: list[Any] = [(hit, writer.submit(plan(hit), _WEIGHT)) for hit in new]
            for hit, future in waiting:
                try:
                    future.result()
                except RejectedError as error:
                    outcome.refused += 1
                    if len(outcome.reasons) < MOST_REASONS:
                        outcome.reasons.append(str(error))
                else:
                    outcome.by_index[hit.index] = outcome.by_index.get(hit.index, 0) + 1
            on_page(len(hits))
    return outcome
