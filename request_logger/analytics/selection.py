"""Which stored documents a tool is about: indices, and a query that every engine understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.common.periods import with_periods
from request_logger.settings import Settings
from request_logger.store.indices.templates import INDEX_PATTERNS

PREDICTIONS = INDEX_PATTERNS[0]
TIME = "@timestamp"


Query = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Documents by where they are from and when; what is empty selects nothing out.

    ``since`` (included) and ``until`` (not included) are dates as the engine takes them: ``2026-01-31``,
    ``2026-01-31T12:00:00Z``, ``now-7d``.
    """

    index: str = ""
    namespace: str = ""
    deployment: str = ""
    predictor: str = ""
    model: str = ""
    since: str = ""
    until: str = ""

    def indices(self, settings: Settings) -> str:
        """Name the indices, with * and commas: by default all that the logger writes predictions to."""
        return self.index or ",".join((PREDICTIONS, *with_periods(settings.index_name, settings.index_period)))

    def path(self, settings: Settings) -> str:
        """Give the start of the engine's path for them."""
        return "/" + quote(self.indices(settings), safe="*,")

    def filters(self) -> list[Query]:
        """Give the conditions of a ``bool`` query's ``filter``."""
        filters: list[Query] = [
            {"term": {field: value}} for name, field in ORIGIN_KEYWORDS.items() if (value := getattr(self, name))
        ]
        times = {name: value for name, value in (("gte", self.since), ("lt", self.until)) if value}
        if times:
            filters.append({"range": {TIME: times}})
        return filters


def having(*filters: Query) -> Query:
    """Give the query for documents that fulfil all of these."""
    return {"bool": {"filter": list(filters)}}


def any_of(*queries: Query) -> Query:
    """Give the query for documents that fulfil one of these."""
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def exists(field: str) -> Query:
    """Return the query of the documents that have a field, which must be no object.

    An engine makes one clause of a query for each field below an object: of an object with over 1,000 columns it
    refuses to do so, for all indices that are asked together.
    """
    return {"exists": {"field": field}}


def has_part(part: str) -> Query:
    """Return the query of the documents that have a part (request, response, feedback) in any form.

    No field is in each form of a part: a decoded body has ``dataType``, one that was not decoded or kept says so, and
    only a sender's attributes tell of a feedback that has nothing but a truth.
    """
    return any_of(*(exists(f"{part}.{leaf}") for leaf in _LEAVES[part]))


_IN_EACH = ("ce-time", "ce-source", "undecodable", "payload_dropped.bytes", "unindexed_reason")
_LEAVES = {
    "request": ("dataType", *_IN_EACH),
    "response": ("dataType", *_IN_EACH),
    "feedback": ("reward", "items", *_IN_EACH),
    # Whatever scored it, or could not; custom metrics alone have only their series.
    "metrics": ("scorer", "unscorable", "series", "unindexed_reason"),
}
# The one definition of these words, for report, export and rescore; docs/report.md states it.
# A feedback that carries the response itself is scored where none is stored: only a prediction can have a scorer.
PREDICTION = any_of(has_part("request"), has_part("response"), exists("metrics.scorer"))
# A feedback of nothing but a truth may have no indexed field; it was scored, if it has a response, and so has metrics.
FEEDBACK = any_of(has_part("feedback"), has_part("metrics"))
WITH_FEEDBACK = having(PREDICTION, FEEDBACK)
