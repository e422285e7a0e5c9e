"""Custom metrics, Seldon's ``{key, type, value, tags}`` -> fields of a document's ``metrics``.

They come from the feedback itself (``truth.meta.metrics``, where the executor puts them, or ``metrics`` at its top)
and from classes that were written for Seldon's MetricsServer. Each becomes one number under a name of its own, so that
a plain ``sum`` or ``avg`` rolls it up; ``series`` keeps key, type and tags as they came, for /v1/metrics.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from request_logger.common.json import dumps, loads
from request_logger.scoring.reasons import Oddity
from scorers.base import finite

Fields = dict[str, Any]

KINDS = ("COUNTER", "GAUGE", "TIMER")
SERIES = "series"
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_FIELD_CHARACTERS = 200
# Each is a field of the index's mapping, which has room for some thousand.
MAX_METRICS = 100
# A longer keyword is stored and not indexed.
_TEXT_CHARACTERS = 8000


@dataclass(frozen=True, slots=True)
class Series:
    """What one time series of Prometheus is called: ``kind`` is one of KINDS, ``tags`` are in order of their names."""

    kind: str
    key: str
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def field(self) -> str:
        """The field of ``metrics`` that holds its value: ``<kind>__<key>``, then ``__<tag>__<value>`` for each tag.

        All but letters, digits and underscores are replaced by ``_``, so two series can have one field; ``text`` tells
        them apart.
        """
        parts = (self.kind.lower(), self.key, *(text for tag in self.tags for text in tag))
        return "__".join(_UNSAFE.sub("_", part) for part in parts)[:_FIELD_CHARACTERS]

    @property
    def text(self) -> str:
        """The series as JSON text, always the same for the same series: an entry of ``metrics.series``."""
        return dumps({"key": self.key, "tags": dict(self.tags), "type": self.kind}).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what ``text`` wrote. Raises ValueError, KeyError and TypeError for anything else."""
        value = loads(text)
        return cls(value["type"], value["key"], tuple(value["tags"].items()))


def flatten(metrics: Any) -> tuple[Fields, list[str]]:
    """Give the fields of a list of custom metrics, and what is wrong with those that have none: fixed texts.

    Of two metrics of one field counters and timers add up, of gauges the last counts. Without a type a metric is a
    COUNTER.
    """
    if not isinstance(metrics, (list, tuple)):
        return {}, [Oddity.METRICS_NOT_LIST]
    fields: Fields = {}
    problems: list[str] = []
    if len(metrics) > MAX_METRICS:
        problems.append(Oddity.METRICS_TOO_MANY)
    for metric in metrics[:MAX_METRICS]:
        try:
            series, value = _read(metric)
        except ValueError as error:
            problems.append(str(error))
        else:
            fields = combine(fields, {series.field: value, SERIES: [series.text]})
    return fields, problems


def of_feedback(feedback: Mapping[str, Any]) -> tuple[Fields, list[str]]:
    """Give the fields of a feedback's own metrics: of ``truth.meta.metrics`` and of ``metrics``; and what is wrong."""
    truth = feedback.get("truth")
    meta = truth.get("meta") if isinstance(truth, dict) else None
    lists = {"truth.meta.metrics": meta.get("metrics") if isinstance(meta, dict) else None}
    lists["metrics"] = feedback.get("metrics")
    fields: Fields = {}
    problems: list[str] = []
    for name, metrics in lists.items():
        if metrics is not None:
            found, wrong = flatten(metrics)
            fields = combine(fields, found)
            problems.extend(f"{name}: {problem}" for problem in wrong)
    return fields, problems


def combine(first: Fields, second: Fields) -> Fields:
    """Put the fields of two sources together, as though all had been one list."""
    fields = {**first, **second}
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
    """Read one metric. Raises ValueError with a fixed text."""
    try:
        kind, key = str(metric.get("type", "COUNTER")).upper(), str(metric["key"])
        tags = tuple(sorted((str(name), str(tag)) for name, tag in (metric.get("tags") or {}).items()))
        value = metric["value"]
        if isinstance(value, str) or not key:
            # float() would read a number in a text, which the MetricsServer refused.
            raise TypeError
        number = float(value)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(Oddity.METRIC_WITHOUT_VALUE) from None
    if not math.isfinite(number):
        raise ValueError(Oddity.METRIC_WITHOUT_VALUE)
    if kind not in KINDS:
        raise ValueError(Oddity.METRIC_KIND_UNKNOWN)
    series = Series(kind, key, tags)
    if len(series.text) > _TEXT_CHARACTERS:
        raise ValueError(Oddity.METRIC_TOO_LONG)
    return series, number
