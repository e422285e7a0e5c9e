"""Writes series with arbitrary labels in Prometheus' text format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

Labels = dict[str, str]
_Key = tuple[tuple[str, str], ...]

_ILLEGAL = re.compile(r"^[^a-zA-Z_:]|[^a-zA-Z0-9_:]")
_ILLEGAL_IN_LABEL = re.compile(r"^[^a-zA-Z_]|[^a-zA-Z0-9_]")


@cache
def _timer_edges() -> tuple[float, ...]:
    import numpy as np  # noqa: PLC0415 - only users of timers pay for it

    return tuple(float(edge) for edge in np.logspace(-3, np.log10(30), 50))


@dataclass(slots=True)
class _Family:
    kind: str
    samples: dict[_Key, Any] = field(default_factory=dict)


class Families:
    """Collects series into one family per name; values under the same labels are combined. Not thread-safe.

    Characters other than letters, digits and underscores become ``_`` in names, as in Prometheus' clients.
    """

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    @staticmethod
    def timer_edges() -> tuple[float, ...]:
        """Return a timer's upper bucket edges (seconds): Seldon's 50 from 1 ms to 30 s; infinity is implied."""
        return _timer_edges()

    def count(self, name: str, labels: Labels, value: float) -> None:
        """Add to a counter, which is exposed as ``<name>_total``."""
        samples = self._samples(name.removesuffix("_total"), "counter")
        key = _key(labels)
        samples[key] = samples.get(key, 0) + value

    def set(self, name: str, labels: Labels, value: float, order: Sequence[Any]) -> None:
        """Set a gauge; of several values the one with the greatest ``order`` is kept."""
        samples = self._samples(name, "gauge")
        key = _key(labels)
        rank = [-float("inf") if number is None else number for number in order]
        if key not in samples or samples[key][0] <= rank:
            samples[key] = (rank, value)

    def observe(self, name: str, labels: Labels, below: Sequence[int], count: int, milliseconds: float) -> None:
        """Add to a timer: the values below each of `timer_edges`, their total number and their sum (milliseconds)."""
        samples = self._samples(name, "histogram")
        key = _key(labels)
        figures = [*below, count, milliseconds / 1000]
        samples[key] = [a + b for a, b in zip(samples.get(key, [0] * len(figures)), figures, strict=True)]

    def text(self) -> bytes:
        """Return the families in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families; prometheus_client's registry calls it."""
        for name, family in sorted(self._families.items()):
            metric = Metric(name.removesuffix("_total") if family.kind == "counter" else name, "", family.kind)
            for key, value in sorted(family.samples.items()):
                labels = dict(key)
                if family.kind == "histogram":
                    *below, count, total = value
                    edges = (*_timer_edges(), float("inf"))
                    for edge, number in zip(edges, (*below, count), strict=True):
                        shown = floatToGoString(edge)  # type: ignore[no-untyped-call]
                        metric.add_sample(f"{name}_bucket", {**labels, "le": shown}, number)
                    metric.add_sample(f"{name}_count", labels, count)
                    metric.add_sample(f"{name}_sum", labels, total)
                else:
                    metric.add_sample(name, labels, value[1] if family.kind == "gauge" else value)
            yield metric

    def _samples(self, name: str, kind: str) -> dict[_Key, Any]:
        name = _ILLEGAL.sub("_", name)
        suffix = "_total" if kind == "counter" else ""
        if self._families.get(name + suffix, _Family(kind)).kind != kind:
            # Two families of one name would make the whole exposition invalid.
            name = f"{name}_{kind}"
        return self._families.setdefault(name + suffix, _Family(kind)).samples


def _key(labels: Labels) -> _Key:
    return tuple(sorted({_ILLEGAL_IN_LABEL.sub("_", name): value for name, value in labels.items()}.items()))
