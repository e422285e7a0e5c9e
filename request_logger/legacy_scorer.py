"""Classes written for Seldon's MetricsServer work as they are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from scorers.base import Fields, Metric, Row, UnscorableError, unwrap

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_KINDS = ("COUNTER", "GAUGE", "TIMER")
_FIELD_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LegacyScorer:
    """Wrap an object with ``transform(truth, response, request=None)`` that returns one with a list ``metrics``.

    Each metric ``{key, type, value, tags}`` becomes one numeric field ``<type>__<key>`` and, with tags,
    ``<type>__<key>__<tag>__<value>`` (tags in order of their names), all but letters, digits and underscores replaced
    by ``_``: a COUNTER ``hits`` of value 1 with the tag ``class: A`` is ``counter__hits__class__A: 1.0``, and the
    field's sum over documents is the counter's value. Two metrics of one field add up, gauges keep the last.
    """

    name: ClassVar[str] = "legacy"
    metrics: ClassVar[tuple[Metric, ...]] = ()

    scorer: Any

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Call ``transform`` with two numpy arrays of one row each, as the MetricsServer did, and flatten the answer.

        Raises UnscorableError where the class fails, or answers something else than a list of metrics.
        """
        answer = self._transform(truth, prediction)
        fields: Fields = {}
        for metric in answer:
            field, value = _flatten(metric)
            fields[field] = fields.get(field, 0.0) + value if not field.startswith("gauge") else value
        return fields

    def _transform(self, truth: Row, prediction: Row) -> list[Any]:
        import numpy as np  # noqa: PLC0415 - only users of such classes pay for it

        name = type(self.scorer).__name__
        try:
            truths, responses = (np.array([unwrap(row.value)]) for row in (truth, prediction))
            answer = self.scorer.transform(truths, responses, None)
        except Exception as error:
            raise UnscorableError(f"{name}.transform failed: {type(error).__name__}: {error}") from error
        found = getattr(answer, "metrics", None)
        if found is None:
            return []
        if not isinstance(found, (list, tuple)):
            raise UnscorableError(f"{name}.transform returned metrics of type {type(found).__name__}, not a list")
        return list(found)


def _flatten(metric: Any) -> tuple[str, float]:
    try:
        kind = str(metric.get("type", "COUNTER")).upper()
        value = float(metric["value"])
        tags = metric.get("tags") or {}
        parts = [kind.lower(), metric["key"], *(text for tag in sorted(tags) for text in (tag, tags[tag]))]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnscorableError(f"not a metric of key, type and value: {metric!r}") from error
    if kind not in _KINDS or not math.isfinite(value):
        raise UnscorableError(f"the metric {metric!r} is no {', '.join(_KINDS)} or has no finite value")
    return "__".join(_UNSAFE.sub("_", str(part)) for part in parts)[:_FIELD_CHARACTERS], value
