"""Converts custom metrics, Seldon's ``{key, type, value, tags}``, to fields of a document's ``metrics``.

They come from the feedback (``truth.meta.metrics``, where Seldon's executor puts them, or the top-level ``metrics``)
and from custom classes for Seldon's MetricsServer. Each becomes one number in its own field, so that a plain ``sum`` or
``avg`` rolls it up; ``series`` has the original key, type and tags, for /v1/metrics.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from request_logger.common.json import dumps, loads
from request_logger.scoring.reasons import PairWarning
from scorers.base import finite

Fields = dict[str, Any]

KINDS = ("COUNTER", "GAUGE", "TIMER")
SERIES = "series"
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_FIELD_CHARACTERS = 200
# Per feedback. Each metric is a field of the index's mapping, which has room for 2,000 dynamic fields.
MAX_METRICS = 100
# A longer keyword is stored and not indexed: see store.indices.templates.IGNORE_ABOVE.
_TEXT_CHARACTERS = 8000


@dataclass(frozen=True, slots=True)
class Series:
    """The identity of a Prometheus time series: ``kind`` is one of KINDS, ``tags`` are in order of their names."""

    kind: str
    key: str
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def field(self) -> str:
        """The field of ``metrics`` that holds its value: ``<kind>__<key>``, then ``__<tag>__<value>`` for each tag.

        Characters other than letters, digits and underscores are replaced by ``_``, so two series can have the same
        field; ``text`` distinguishes them.
        """
        parts = (self.kind.lower(), self.key, *(text for tag in self.tags for text in tag))
        return "__".join(_UNSAFE.sub("_", part) for part in parts)[:_FIELD_CHARACTERS]

    @property
    def text(self) -> str:
        """The series as canonical JSON text: an entry of ``metrics.series``."""
        return dumps({"key": self.key, "tags": dict(self.tags), "type": self.kind}).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the series of a ``text``. Raises ValueError, KeyError and TypeError for anything else."""
        value = loads(text)
        return cls(value["type"], value["key"], tuple(value["tags"].items()))


def flatten(metrics: Any) -> tuple[Fields, list[str]]:
    """Return the fields of a list of custom metrics, and the problems of invalid ones, as fixed texts.

    Counters and timers with the same field are added, of gauges the last one is kept. A metric without a type is a
    COUNTER.
    """
    if not isinstance(metrics, (list, tuple)):
        return {}, [PairWarning.METRICS_NOT_LIST]
    fields: Fields = {}
    problems: list[str] = []
    if len(metrics) > MAX_METRICS:
        problems.append(PairWarning.METRICS_TOO_MANY)
    for metric in metrics[:MAX_METRICS]:
        try:
            series, value = _read(metric)
        except ValueError as error:
            problems.append(str(error))
        else:
            fields = combine(fields, {series.field: value, SERIES: [series.text]})
    return fields, problems


def of_feedback(feedback: Mapping[str, Any]) -> tuple[Fields, list[str]]:
    """Return the fields of a feedback's ``truth.meta.metrics`` and ``metrics``, and their problems."""
    truth = feedback.get("truth")
    meta = truth.get("meta") if isinstance(truth, dict) else None
    of_truth, own = meta.get("metrics") if isinstance(meta, dict) else None, feedback.get("metrics")
    if of_truth is None and own is None:
        return {}, []
    fields: Fields = {}
    problems: list[str] = []
    for name, metrics in (("truth.meta.metrics", of_truth), ("metrics", own)):
        if metrics is not None:
            found, wrong = flatten(metrics)
            fields = combine(fields, found)
            problems.extend(f"{name}: {problem}" for problem in wrong)
    return fields, problems


def combine(first: Fields, second: Fields) -> Fields:
    """Return the fields of two sources combined, as if all metrics were in one list."""
    fields = {**first, **second}
    if len(fields) == len(first) + len(second):
        return fields
    for name in first.keys() & second.keys():
        one, other = first[name], second[name]
        if name == SERIES and isinstance(one, list) and isinstance(other, list):
            fields[name] = [*one, *(text for text in other if text not in one)]
        elif name.startswith(("counter__", "timer__")) and isinstance(one, (int, float)) and finite(other):
            total = one + other
            if finite(total):
                fields[name] = total
            else:
                del fields[name]
    return fields


def _read(metric: Any) -> tuple[Series, float]:
    """Return the series and the value of a metric. Raises ValueError with a fixed text."""
    try:
        kind, key = str(metric.get("type", "COUNTER")).upper(), str(metric["key"])
        tags = tuple(sorted((str(name), str(tag)) for name, tag in (metric.get("tags") or {}).items()))
        value = metric["value"]
        if isinstance(value, str) or not key:
            # float() would accept numeric text, which the MetricsServer refuses.
            raise TypeError
        number = float(value)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(PairWarning.METRIC_WITHOUT_VALUE) from None
    if not math.isfinite(number):
        raise ValueError(PairWarning.METRIC_WITHOUT_VALUE)
    if kind not in KINDS:
        raise ValueError(PairWarning.METRIC_KIND_UNKNOWN)
    series = Series(kind, key, tags)
    if len(series.text) > _TEXT_CHARACTERS:
        raise ValueError(PairWarning.METRIC_TOO_LONG)
    return series, number
