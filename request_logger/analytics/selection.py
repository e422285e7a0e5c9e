"""Selects stored documents: indices, and query clauses that every supported search engine understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.common.mapped_fields import FAILED_STATUS, ORIGIN_KEYWORDS, STATUS
from request_logger.common.periods import with_periods
from request_logger.settings import Settings
from request_logger.store.indices.templates import INDEX_PATTERNS

PREDICTIONS = INDEX_PATTERNS[0]
TIME = "@timestamp"


Query = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects documents by origin and time; an empty field selects everything.

    ``since`` (inclusive) and ``until`` (exclusive) are dates as the search engine reads them: ``2026-01-31``,
    ``2026-01-31T12:00:00Z``, ``now-7d``. ``clauses`` are further clauses of the query.
    """

    index: str = ""
    namespace: str = ""
    deployment: str = ""
    predictor: str = ""
    model: str = ""
    since: str = ""
    until: str = ""
    clauses: tuple[Query, ...] = ()

    def indices(self, settings: Settings) -> str:
        """Return the index names and globs, comma-separated; by default all that the logger writes predictions to."""
        return self.index or ",".join((PREDICTIONS, *with_periods(settings.index_name, settings.index_period)))

    def path(self, settings: Settings) -> str:
        """Return the indices as the start of a URL path."""
        return "/" + quote(self.indices(settings), safe="*,")

    def filters(self) -> list[Query]:
        """Return the clauses of a ``bool`` query's ``filter``."""
        filters: list[Query] = [
            {"term": {field: value}} for name, field in ORIGIN_KEYWORDS.items() if (value := getattr(self, name))
        ]
        times = {name: value for name, value in (("gte", self.since), ("lt", self.until)) if value}
        if times:
            filters.append({"range": {TIME: times}})
        return [*filters, *self.clauses]


def having(*filters: Query) -> Query:
    """Return the query for documents that match all of these."""
    return {"bool": {"filter": list(filters)}}


def any_of(*queries: Query) -> Query:
    """Return the query for documents that match at least one of these."""
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def without(excluded: Query, *filters: Query) -> Query:
    """Return the query for documents that match all of ``filters``, but not ``excluded``."""
    return {"bool": {"filter": list(filters), "must_not": [excluded]}}


def exists(field: str) -> Query:
    """Return the query for documents that have a field, which must not be an object.

    For an object the search engine makes one clause per field below it, and rejects more than 1,024 clauses, for all
    indices of the search.
    """
    return {"exists": {"field": field}}


def has_part(part: str) -> Query:
    """Return the query for documents that have a part (request, response, feedback) in any form.

    No single field is in every form: a decoded body has ``dataType``, a body that was not decoded or not kept has a
    field that says so, and a feedback of nothing but a truth has only the sender's attributes.
    """
    return any_of(*(exists(f"{part}.{leaf}") for leaf in _LEAVES[part]))


_IN_EACH = ("ce-time", "ce-source", "undecodable", "payload_dropped.bytes", "unindexed_reason")
_LEAVES = {
    "request": ("dataType", *_IN_EACH),
    "response": ("dataType", *_IN_EACH),
    "feedback": ("reward", "items", "evaluations_only", *_IN_EACH),
    # A scored document has ``scorer``, one that could not be scored ``unscorable``, custom metrics alone have
    # ``series``, evaluations alone ``evaluated``.
    "metrics": ("scorer", "unscorable", "series", "evaluated", "unindexed_reason"),
}
FAILED: Query = {"range": {f"response.{STATUS}": {"gte": FAILED_STATUS}}}
"""The failed requests, which aren't predictions: neither counted nor scored."""
IN_BATCHES: Query = {"range": {"feedback.items": {"gt": 1}}}
"""Documents of rows that one feedback for several rows judges."""
# The one definition of these terms, for report, export and rescore; docs/report.md states it. A feedback that carries
# the response itself is scored where no response is stored, and only a prediction can have a scorer.
PREDICTION = without(FAILED, any_of(has_part("request"), has_part("response"), exists("metrics.scorer")))
# A feedback of nothing but a truth may have no indexed field; with a response it was scored, and so has metrics.
FEEDBACK = any_of(has_part("feedback"), has_part("metrics"))
WITH_FEEDBACK = having(PREDICTION, FEEDBACK)
# What scoring derives anything from, for rescore: a response that says something by itself, or a pair.
READABLE = having(PREDICTION, any_of(has_part("response"), FEEDBACK))
