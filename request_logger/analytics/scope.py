"""The documents that a report is about: a deployment or an index, and a time span."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from request_logger.analytics.errors import BadQueryError
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.common.names import strip_header
from request_logger.common.periods import is_of, with_periods
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.ports import EngineReader

Query = dict[str, Any]

PREDICTION_DATE = "@timestamp"
FEEDBACK_DATE = "feedback.ce-time"
DATES = {"prediction": PREDICTION_DATE, "feedback": FEEDBACK_DATE}
NAMESPACE, DEPLOYMENT, PREDICTOR, MODEL = (
    ORIGIN_KEYWORDS[name] for name in ("namespace", "deployment", "predictor", "model")
)
OWN_PREFIX = "inference-log-"
# An index that is deleted meanwhile, and a pattern without matches, are not errors.
TOLERANT = {"ignore_unavailable": "true", "allow_no_indices": "true"}

_DATE_MATH = re.compile(r"now(?:[+-]\d+[yMwdhms])*(?:/[yMwdhms])?")


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of documents: those of ``indices`` (names, globs, comma-separated) that match all ``filters``.

    ``start`` (inclusive) and ``end`` (exclusive) bound ``date_field``, the date of the prediction or of the feedback.
    """

    indices: str
    filters: tuple[Query, ...] = ()
    start: str | None = None
    end: str | None = None
    date_field: str = PREDICTION_DATE

    def query(self, *more: Query) -> Query:
        """Return the query for these documents, restricted further by ``more``."""
        clauses = [*self.filters, *self._span(), *more]
        return {"bool": {"filter": clauses}}

    def having(self, *more: Query) -> Scope:
        """Return the scope of those documents that also match ``more``."""
        return replace(self, filters=(*self.filters, *more))

    def _span(self) -> Iterable[Query]:
        bounds = {name: value for name, value in (("gte", self.start), ("lt", self.end)) if value}
        return [{"range": {self.date_field: bounds}}] if bounds else []

    @property
    def path(self) -> str:
        """The indices as the start of a URL path."""
        return "/" + quote(self.indices, safe="*,")


def scored_by(scorer: str) -> Query:
    """Return the query for the documents that a scorer could score."""
    return {
        "bool": {
            "filter": [{"term": {"metrics.scorer": scorer}}],
            "must_not": [{"exists": {"field": "metrics.unscorable"}}],
        }
    }


def find_scope(
    engine: EngineReader,
    settings: Settings,
    target: str = "",
    start: str | None = None,
    end: str | None = None,
    by_date: str = "prediction",
    *,
    only_own: bool = False,
) -> Scope:
    """Return the scope for a user's target and time span.

    ``target``: an index, alias or glob; else a deployment as ``name``, ``namespace/name`` or
    ``namespace/name/predictor``; empty: everything. ``start`` and ``end``: ISO 8601, or date math such as ``now-7d``.
    ``by_date``: prediction or feedback. ``only_own`` allows only indices that the logger writes, for requests through
    the server, which run with its rights. Raises BadQueryError, StoreUnavailableError.
    """
    if by_date not in DATES:
        raise BadQueryError(f"--by-date: expected prediction or feedback, found {by_date!r}")
    for option, value in (("--from", start), ("--to", end)):
        if value is not None and not is_time(value):
            raise BadQueryError(
                f"{option}: expected a date such as 2026-01-02 or 2026-01-02T03:04:05Z, or now-7d, found {value!r}"
            )
    patterns = ",".join((f"{OWN_PREFIX}*", *with_periods(settings.index_name, settings.index_period)))
    filters: tuple[Query, ...] = ()
    if target and _may_be_index(target, settings, only_own=only_own) and is_index(engine, target):
        patterns = target
    elif target:
        filters = deployment(target)
    return Scope(patterns, filters, start, end, DATES[by_date])


def _may_be_index(target: str, settings: Settings, *, only_own: bool) -> bool:
    """Return whether a target may name an index. Raises BadQueryError where it is neither an index nor a deployment."""
    if not only_own:
        return True
    # A colon addresses another cluster (cross-cluster search).
    if ":" not in target and all(
        each.startswith(OWN_PREFIX)
        or (settings.index_name and (each == settings.index_name or is_of(each, settings.index_name)))
        for each in target.split(",")
    ):
        return True
    if any(character in target for character in "*,:"):
        raise BadQueryError(f"target: expected a deployment, or indices of {OWN_PREFIX}*, found {target!r}")
    return False


def is_time(text: str) -> bool:
    """Return whether every search engine accepts a text as a time: ISO 8601, or date math on now."""
    if _DATE_MATH.fullmatch(text):
        return True
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return bool(re.match(r"\d{4}-\d\d-\d\d(?:$|T)", text))


def is_index(engine: EngineReader, target: str) -> bool:
    """Return whether a name is an index, an alias, or a glob or list of them. Raises StoreUnavailableError."""
    if "*" in target or "," in target:
        return True
    if "/" in target:
        return False
    status, _ = engine.request("GET", f"/{quote(target, safe='')}/_mapping")
    if status >= 500 or status in (401, 403, 429):
        raise StoreUnavailableError(f"the search engine answered {status} to a request for the index {target}")
    return status == 200


def deployment(target: str) -> tuple[Query, ...]:
    """Return the clauses for ``name``, ``namespace/name`` or ``namespace/name/predictor``. Raises BadQueryError."""
    parts = target.split("/")
    if len(parts) > 3 or not all(parts):
        raise BadQueryError(
            f"expected an index, a deployment, namespace/deployment or namespace/deployment/predictor, found {target!r}"
        )
    fields = (DEPLOYMENT,) if len(parts) == 1 else (NAMESPACE, DEPLOYMENT, PREDICTOR)
    return tuple({"term": {field: strip_header(part)}} for field, part in zip(fields, parts, strict=False))
