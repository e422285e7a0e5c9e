"""Which stored documents a tool is about: indices, and a query that every engine understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.periods import with_periods
from request_logger.settings import Settings
from request_logger.store.templates import INDEX_PATTERNS

PREDICTIONS = INDEX_PATTERNS[0]
TIME = "@timestamp"
# Text in an index that the original made is not keyword, but has this beside it; so have ours.
FIELDS = {
    "namespace": "Ce-Namespace.keyword",
    "deployment": "Ce-Inferenceservicename.keyword",
    "predictor": "Ce-Endpoint.keyword",
    "model": "Ce-Modelid.keyword",
}

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
            {"term": {field: value}} for name, field in FIELDS.items() if (value := getattr(self, name))
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


# A feedback of nothing but a truth has no indexed field; it was scored, if it has a response, and so has metrics.
WITH_FEEDBACK = any_of({"exists": {"field": "feedback"}}, {"exists": {"field": "metrics"}})
