"""Adapters for Seldon's MetricsServer: its own classes, and custom classes written for it, work unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from request_logger.common.guard import reraise_if_killed, type_name
from request_logger.scoring.custom_metrics import flatten
from request_logger.scoring.reasons import raised, returned
from scorers.base import Fields, Metric, Row, UnscorableError, unwrap
from scorers.binary import Binary
from scorers.multiclass import Multiclass


@dataclass(frozen=True, slots=True)
class ByNumber(Binary):
    """The scorer ``binary`` under the MetricsServer's class path: 0 is negative, and any other number is positive."""

    def _positive(self, names: tuple[str, ...], truth_label: str, predicted_label: str) -> str:
        found = (truth_label, predicted_label)
        if names or self.positive_label is not None or not all(label.startswith("CLASS_") for label in found):
            return Binary._positive(self, names, truth_label, predicted_label)
        return next((label for label in found if label != "CLASS_0"), "CLASS_1")


@dataclass(frozen=True, slots=True)
class ByColumn(Multiclass):
    """The scorer ``multiclass`` under the MetricsServer's class paths: classes are named by their column or number.

    The MetricsServer ignores column names, so CLASS_1 must not be renamed to the response's second column name.
    """

    fractions_are_classes: ClassVar[bool] = True

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Score as `Multiclass` does, without the names of the pair."""
        return Multiclass.score(self, Row(truth.value), Row(prediction.value))

    def prediction_fields(self, prediction: Row) -> Fields:
        """Read as `Multiclass` does, without the names of the response."""
        return Multiclass.prediction_fields(self, Row(prediction.value))


@dataclass(frozen=True, slots=True)
class OneHot(ByColumn):
    """The scorer ``multiclass`` under the path of MulticlassOneHot, to which a flat array is one row."""

    expects_rows: ClassVar[bool] = True
    fractions_are_classes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class LegacyScorer:
    """Wraps an object with ``transform(truth, response, request=None)`` that returns an object with a list ``metrics``.

    Each metric ``{key, type, value, tags}`` becomes one numeric field ``<type>__<key>`` or, with tags,
    ``<type>__<key>__<tag>__<value>`` (tags in order of their names); other characters than letters, digits and
    underscores are replaced by ``_``. A COUNTER ``hits`` of value 1 with the tag ``class: A`` is
    ``counter__hits__class__A: 1.0``, and the field's sum over documents is the counter's value. Two metrics with the
    same field are added, of gauges the last is kept. ``series`` has the original key and tags of each metric.
    """

    name: ClassVar[str] = "legacy"
    metrics: ClassVar[tuple[Metric, ...]] = ()

    scorer: Any

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Call ``transform`` with two numpy arrays of one row each, as the MetricsServer does, and flatten the result.

        Raises UnscorableError if the class raises, or returns anything but a list of metrics.
        """
        fields, problems = flatten(self._transform(truth, prediction))
        if problems:
            raise UnscorableError(problems[0], reason=returned(self.scorer, f"metrics: {problems[0]}"))
        return fields

    def _transform(self, truth: Row, prediction: Row) -> list[Any]:
        import numpy as np  # noqa: PLC0415 - slow to import, and needed for such classes only

        name = type(self.scorer).__name__
        try:
            truths, responses = (np.array([unwrap(row.value)]) for row in (truth, prediction))
            answer = self.scorer.transform(truths, responses, None)
        except BaseException as error:
            reraise_if_killed(error)
            text = f"{name}.transform failed: {type_name(error)}"
            raise UnscorableError(text, reason=raised(self.scorer, error)) from error
        found = getattr(answer, "metrics", None)
        if found is None:
            return []
        if not isinstance(found, (list, tuple)):
            text = f"{name}.transform returned metrics of type {type_name(found)}, not a list"
            reason = returned(self.scorer, f"metrics of type {type_name(found)}, expected a list")
            raise UnscorableError(text, reason=reason)
        return list(found)
