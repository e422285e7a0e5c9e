"""The scorer for ordinal classification: ordered classes, such as ratings of one to five stars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from scorers.base import (
    Count,
    Fields,
    Metric,
    Row,
    Sum,
    UnscorableError,
    Value,
    Values,
    mean_of,
    number,
    ratio,
    share_at_most,
    shown,
    unwrap,
)
from scorers.classification import CELLS, averages, confusion_matrix, single_label_metrics, table
from scorers.labels import class_names, column_label, columns, numbers, numeric_text, only_column, scalar_label
from scorers.multiclass import as_probabilities, is_one_hot, outcome
from scorers.options import check_flag, class_tuple
from scorers.reasons import Reason, of_side

_LOSS = (0.0, float("inf"))
# Larger levels have squares whose sums would exceed the integers that a double represents exactly.
_MAX_LEVEL = 10_000


def _quadratic_kappa(values: Values) -> Value:
    n = values["n"]
    if n == 0:
        return None
    chance = values["truth_squares"] + values["prediction_squares"] - 2 * values["truth"] * values["prediction"] / n
    share = ratio(values["errors"], chance)
    return None if share is None else 1.0 - share


@dataclass(frozen=True, slots=True)
class Ordinal:
    """Scores ordered classes by the distance between the levels.

    The truth and the prediction are numbers (the value is the level), labels whose order is known, or rows of one-hot
    values, probabilities or logits (the first column with the greatest value is the level). A number between two levels
    is rounded to the nearest (a half to the even one).

    Options: ``classes``, the names from the lowest to the highest level: required for text levels. Without it a row's
    own names are used in column order. ``logits``, as for the scorer multiclass.
    """

    name: ClassVar[str] = "ordinal"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("accuracy", "correct"),
        share_at_most("accuracy_within_one", "off_by", 1, of="off_by"),
        mean_of("mean_off_by", "off_by", higher_is_better=False, bounds=_LOSS),
        Metric(
            "quadratic_weighted_kappa",
            {
                "errors": Sum("squared_error"),
                "truth": Sum("truth"),
                "prediction": Sum("prediction"),
                "truth_squares": Sum("truth_squared"),
                "prediction_squares": Sum("prediction_squared"),
                "n": Count("off_by"),
            },
            _quadratic_kappa,
            bounds=(-1.0, 1.0),
        ),
        mean_of("ranked_probability_score", "ranked_probability_score", higher_is_better=False),
        *single_label_metrics(CELLS),
        *averages(CELLS, "precision", "recall", "f1"),
        table(CELLS),
        confusion_matrix(),
    )

    classes: tuple[str, ...] = ()
    logits: bool | None = None

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        object.__setattr__(self, "classes", class_tuple("classes", self.classes))
        check_flag("logits", self.logits)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair.

        ``truth`` and ``prediction`` are the levels, ``off_by`` is the distance between them, and the squares are for
        the quadratic weighted kappa: 1 - sum (t - p)^2 / (sum t^2 + sum p^2 - 2 sum t sum p / n), which is Cohen's
        kappa with weights (i - j)^2. ``ranked_probability_score`` is the mean over the K - 1 steps of
        (P(level <= k) - [truth <= k])^2, for rows of probabilities. Raises UnscorableError for null, NaN, empty lists
        and for labels that aren't classes.
        """
        predicted = unwrap(prediction.value)
        row = predicted if isinstance(predicted, (list, tuple)) else None
        names = class_names(prediction, len(row) if row else 0, self.classes)
        actual = self._level(truth.value, names, "truth")
        found = self._level(predicted, names, "prediction")
        if row and not names and not 0 <= actual < len(row):
            text = f"the truth {actual} is none of the {len(row)} columns, which are counted from 0"
            raise UnscorableError(text, reason=Reason.TRUTH_NO_COLUMN)
        off_by = abs(found - actual)
        fields = outcome(column_label(actual, names), column_label(found, names))
        fields |= {
            "truth": actual,
            "prediction": found,
            "off_by": off_by,
            "squared_error": off_by * off_by,
            "truth_squared": actual * actual,
            "prediction_squared": found * found,
        }
        if row and not is_one_hot(row):
            forecast = as_probabilities(row, numbers(row, "prediction"), self.logits)
            if forecast is not None and 0 <= actual < len(forecast):
                fields["ranked_probability_score"] = _ranked_probability_score(forecast, actual)
        return fields

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return the label, and the level as ``value``. Raises UnscorableError for what `score` can't read."""
        predicted = unwrap(prediction.value)
        width = len(predicted) if isinstance(predicted, (list, tuple)) else 0
        names = class_names(prediction, width, self.classes)
        level = self._level(predicted, names, "prediction")
        return {"label": column_label(level, names), "value": level}

    def _level(self, value: object, names: tuple[str, ...], what: str) -> int:
        value = unwrap(value)
        if isinstance(value, (list, tuple)):
            if not value:
                raise UnscorableError(f"the {what} is empty", reason=of_side(what, "EMPTY"))
            numbers(value, what)
            level = only_column(value) if what == "truth" else value.index(max(value))
            return _among(level if not names or level < len(names) else None, value, names, what)
        if not names:
            level = round(number(value, what))
            if abs(level) > _MAX_LEVEL:
                text = f"the {what} is {level}: no level is beyond {_MAX_LEVEL}"
                raise UnscorableError(text, reason=of_side(what, "BEYOND_LEVELS"))
            return level
        if isinstance(value, str) and value not in names and (figure := numeric_text(value)) is not None:
            value = figure
        if isinstance(value, float):
            value = round(number(value, what))
        return _among(columns(names).get(scalar_label(value, names)), value, names, what)


def _among(level: int | None, value: object, names: tuple[str, ...], what: str) -> int:
    if level is None:
        text = f"the {what} {shown(value)} is none of the classes {', '.join(names)}"
        raise UnscorableError(text, reason=of_side(what, "NOT_AMONG_CLASSES"))
    return level


def _ranked_probability_score(forecast: Sequence[float], level: int) -> float:
    steps = list(accumulate(forecast))[:-1]
    return sum((below - (level <= k)) ** 2 for k, below in enumerate(steps)) / len(steps)
