"""Prometheus' metrics in the form of OpenTelemetry's data model: cumulative sums, gauges and histograms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family

from request_logger import __version__

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_SCOPE = InstrumentationScope("request_logger", __version__)


def metrics_data(families: Iterable[Family], resource: Resource, start: int, now: int) -> MetricsData:
    """Return the metrics of families; ``start`` is when their counters began (ns since 1970).

    A counter keeps Prometheus' name, so that queries are the same whichever way it came.
    """
    metrics = [made for family in families for made in _metrics(family, start, now)]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def _metrics(family: Family, start: int, now: int) -> Iterator[Metric]:
    about = family.documentation
    if family.type == "histogram":
        yield Metric(family.name, about, "", Histogram(list(_histograms(family, start, now)), _CUMULATIVE))
        return
    is_counter = family.type == "counter"
    name = f"{family.name}_total" if is_counter else family.name
    points = [
        NumberDataPoint(sample.labels, start, now, sample.value) for sample in family.samples if sample.name == name
    ]
    if points:
        yield Metric(name, about, "", Sum(points, _CUMULATIVE, is_monotonic=True) if is_counter else Gauge(points))


def _histograms(family: Family, start: int, now: int) -> Iterator[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        found = series.setdefault(tuple(sorted(labels.items())), {"labels": labels, "buckets": {}})
        if sample.name.endswith("_bucket"):
            found["buckets"][float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            found["sum"] = sample.value
    for each in series.values():
        yield _histogram(each["labels"], each["buckets"], each.get("sum", 0.0), start, now)


def _histogram(
    labels: Mapping[str, str], cumulative: Mapping[float, float], total: float, start: int, now: int
) -> HistogramDataPoint:
    bounds = sorted(cumulative)
    counts = [int(cumulative[bound]) for bound in bounds]
    own = [count - before for count, before in zip(counts, [0, *counts], strict=False)]
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=counts[-1] if counts else 0,
        sum=total,
        bucket_counts=own,
        explicit_bounds=[bound for bound in bounds if math.isfinite(bound)],
        # Prometheus doesn't know them.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )
