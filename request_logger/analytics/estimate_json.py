"""Estimates, and those of segments of documents, as the JSON of reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from request_logger.analytics.buckets import Segment
from request_logger.analytics.estimates import Estimate
from request_logger.analytics.fields import Field
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.splits import BETWEEN, Split
from request_logger.common.times import utc_text


def as_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    interval = found.interval
    return {
        "name": found.name,
        "value": found.value,
        **({"low": interval.low, "high": interval.high, "method": interval.method} if interval else {}),
        **({"no_interval": str(found.why)} if found.why not in (None, NoInterval.NO_ESTIMATE) else {}),
        **({"design_effect": found.together.effect} if found.together else {}),
        **({"by_chance": found.by_chance} if found.by_chance else {}),
        "n": found.n,
        "baseline": found.baseline,
        "higher_is_better": found.higher_is_better,
    }


def split_as_json(
    split: Split, fields: Sequence[Field], figures: Callable[[Segment], dict[str, Any]]
) -> dict[str, Any]:
    """Return documents split by a field, or by two, as JSON; ``figures`` are those of a segment."""
    return {
        "field": fields[0].path,
        "name": BETWEEN.join(field.name for field in fields),
        **({"across": fields[1].path} if len(fields) > 1 else {}),
        "ranges": split.ranges,
        "parts": [{"value": each.label, "n": each.count, **figures(each)} for each in split.segments],
        "values_left_out": split.values_left_out,
        "documents_left_out": split.documents_left_out,
    }


def point_as_json(segment: Segment, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the documents of a window of time as JSON, with the first of the metrics where there is one."""
    found = next(iter(metrics), {})
    values: dict[str, Any] = {name: found[name] for name in ("value", "low", "high") if name in found}
    return {"start": utc_text(segment.key), "n": segment.count, **values}
