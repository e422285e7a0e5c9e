"""The scorer for binary classification: two classes, one of which is the positive class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scorers.base import Count, Fields, Metric, Row, UnscorableError, mean_of, number, ratio, unwrap
from scorers.classification import MATRIX, averages, confusion_matrix, single_label_metrics, table
from scorers.labels import class_names, numbers, numeric_text, one_class, scalar_label
from scorers.multiclass import as_probabilities, is_one_hot
from scorers.options import check_flag, check_range, class_tuple
from scorers.probabilities import (
    auc_metrics,
    calibration_bin,
    calibration_metric,
    clipped,
    is_nearly_within,
    log_loss,
    score_bin,
    sigmoid,
)
from scorers.reasons import Reason
from scorers.structured import check_class_text, check_comparable_text

_CELLS = {cell: Count(cell) for cell in ("true_positive", "false_positive", "false_negative", "true_negative")}
_COLUMNS = ("CLASS_0", "CLASS_1")


@dataclass(frozen=True, slots=True)
class Binary:
    """Scores two classes, and the probability of the positive class if the prediction has one.

    The truth is 0 or 1, a boolean, a label or a one-hot pair. The prediction is one of these, the probability of the
    positive class (a number between 0 and 1), or a pair of probabilities or logits.

    Options: ``threshold``, the probability from which on (>=) the answer is positive. ``classes``, the two class names,
    negative first, for responses without names. ``positive_label``, the positive class, by default the second; if no
    classes are known, every other class is negative. ``logits``, whether the prediction is a logit (of the positive
    class) or a pair of logits; by default a pair with a value outside [0, 1] is. ``probabilities``, whether the
    prediction is a probability or a pair of them: by default exactly 0 or 1, and a pair of integers or booleans, are
    answers without probabilities, so set it to true for a model whose single scores round to 0.0 and 1.0.
    """

    name: ClassVar[str] = "binary"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("accuracy", "correct"),
        Metric("precision", _CELLS, lambda v: ratio(v["true_positive"], v["true_positive"] + v["false_positive"])),
        Metric("recall", _CELLS, lambda v: ratio(v["true_positive"], v["true_positive"] + v["false_negative"])),
        Metric("specificity", _CELLS, lambda v: ratio(v["true_negative"], v["true_negative"] + v["false_positive"])),
        Metric(
            "f1",
            _CELLS,
            lambda v: ratio(2 * v["true_positive"], 2 * v["true_positive"] + v["false_positive"] + v["false_negative"]),
        ),
        *single_label_metrics(MATRIX),
        *averages(MATRIX, "precision", "recall", "f1"),
        table(MATRIX),
        confusion_matrix(),
        mean_of("log_loss", "log_loss", higher_is_better=False, bounds=(0.0, float("inf"))),
        mean_of("brier", "brier", higher_is_better=False),
        *auc_metrics(),
        calibration_metric("truth_positive", "positive_probability"),
    )

    threshold: float = 0.5
    positive_label: str | int | bool | None = None
    classes: tuple[str, ...] = ()
    logits: bool | None = None
    probabilities: bool | None = None

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        check_range("threshold", self.threshold, 0.0, 1.0)
        check_flag("logits", self.logits)
        check_flag("probabilities", self.probabilities)
        object.__setattr__(self, "classes", class_tuple("classes", self.classes))
        if len(self.classes) not in (0, 2):
            raise ValueError(f"option classes must have two names, not {self.classes!r}")
        if self.positive_label is not None and not isinstance(self.positive_label, (str, int)):
            raise ValueError(f"option positive_label must be a class name or index, not {self.positive_label!r}")
        is_named = self.classes and self.positive_label is not None
        if is_named and scalar_label(self.positive_label, self.classes) not in self.classes:
            raise ValueError(f"option positive_label must be one of the classes, not {self.positive_label!r}")

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair; those for probabilities only if the prediction has a probability.

        One of ``true_positive``, ``false_positive``, ``false_negative``, ``true_negative`` has the name of the positive
        class. ``brier`` is (p - y)^2, ``log_loss`` is -ln of the true class's probability. Raises UnscorableError for
        null, NaN, more than two classes, and labels whose positive class is unknown.
        """
        value = unwrap(prediction.value)
        check_comparable_text(unwrap(truth.value), value)
        if type(value) is dict:
            prediction = Row(list(value.values()), tuple(map(str, value)))
            value = prediction.value
        if isinstance(value, (list, tuple)):
            return self._pair(truth, prediction, value)
        if value is None:
            raise UnscorableError("the prediction is null", reason=Reason.PREDICTION_NULL)
        truth_label = self._truth(truth, self.classes)
        probability = self._probability(value)
        if probability is None:
            predicted_label = scalar_label(value, self.classes)
            positive = self._positive(self.classes, truth_label, predicted_label)
            if self.positive_label is not None:
                # One versus rest: all other classes are one negative class.
                negative = self._negative(positive, self.classes)
                truth_label, predicted_label = (
                    positive if found == positive else negative for found in (truth_label, predicted_label)
                )
            return self._outcome(truth_label, predicted_label, positive)
        positive = self._positive(self.classes, truth_label, truth_label)
        return self._forecast(truth_label, positive, self._negative(positive, self.classes), probability)

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return the label, and of a prediction with a probability also that and the bins of the positive class's.

        Raises UnscorableError for what `score` can't read, and where the positive class is unknown.
        """
        value = unwrap(prediction.value)
        check_class_text(value)
        if type(value) is dict:
            prediction = Row(list(value.values()), tuple(map(str, value)))
            value = prediction.value
        if isinstance(value, (list, tuple)):
            names, positive, column, forecast = self._read_pair(prediction, value)
            negative = names[1 - column]
            if forecast is None:
                return {"label": positive if value.index(max(value)) == column else negative}
            return self._forecast_fields(positive, negative, forecast[column], forecast[1 - column])
        if value is None:
            raise UnscorableError("the prediction is null", reason=Reason.PREDICTION_NULL)
        probability = self._probability(value)
        if probability is None:
            label = scalar_label(value, self.classes)
            positive = self._positive(self.classes, label, label)
            one_of_two = self.positive_label is None or label == positive
            return {"label": label if one_of_two else self._negative(positive, self.classes)}
        positive = self._positive(self.classes, *_COLUMNS)
        return self._forecast_fields(positive, self._negative(positive, self.classes), probability)

    def _pair(self, truth: Row, prediction: Row, pair: Sequence[float]) -> Fields:
        names, positive, column, forecast = self._read_pair(prediction, pair)
        truth_label = self._truth(truth, names)
        negative = names[1 - column]
        if forecast is None:
            says_positive = pair.index(max(pair)) == column
            truth_label = positive if truth_label == positive else negative
            return self._outcome(truth_label, positive if says_positive else negative, positive)
        return self._forecast(truth_label, positive, negative, forecast[column], forecast[1 - column])

    def _read_pair(
        self, prediction: Row, pair: Sequence[float]
    ) -> tuple[tuple[str, ...], str, int, Sequence[float] | None]:
        """Return the names of two columns, the positive class and its column, and the probabilities if any."""
        if len(pair) != 2:
            text = f"the prediction has {len(pair)} columns, not 1 or 2: use the scorer multiclass"
            raise UnscorableError(text, reason=Reason.PREDICTION_NOT_TWO_COLUMNS)
        total = numbers(pair, "prediction")
        names = class_names(prediction, 2, self.classes) or _COLUMNS
        positive = self._positive(names, "", "")
        column = 0 if positive == names[0] else 1
        is_answer = self.probabilities is False or (self.probabilities is None and is_one_hot(pair))
        forecast = None if is_answer else as_probabilities(pair, total, self.logits, self.probabilities)
        return names, positive, column, forecast

    def _truth(self, truth: Row, names: tuple[str, ...]) -> str:
        value = unwrap(truth.value)
        if isinstance(value, float) and not value.is_integer() and math.isfinite(value):
            raise UnscorableError(f"the truth is {value}, neither of two classes", reason=Reason.TRUTH_NEITHER_CLASS)
        found = one_class(truth, names)
        if names and found not in names and self.positive_label is None:
            text = f"the truth is {found!r}, neither {names[0]!r} nor {names[1]!r}"
            if names is _COLUMNS and found.startswith("CLASS_"):
                raise UnscorableError(text, reason=Reason.TRUTH_NO_COLUMN)
            raise UnscorableError(text, reason=Reason.TRUTH_NEITHER_CLASS)
        return found

    def _probability(self, value: Any) -> float | None:
        if self.probabilities is False:
            return None
        if isinstance(value, str):
            figure = numeric_text(value)
            if figure is None:
                return None
            value = figure
        predicted = number(value, "prediction")
        if self.logits:
            return sigmoid(predicted)
        if self.probabilities or not predicted.is_integer():
            if is_nearly_within(predicted, predicted):
                return clipped(predicted)
            text = f"the prediction is {predicted}, not within [0, 1]: set logits where it is a logit"
            raise UnscorableError(text, reason=Reason.PREDICTION_NOT_PROBABILITY)
        return None

    def _positive(self, names: tuple[str, ...], truth_label: str, predicted_label: str) -> str:
        if self.positive_label is not None:
            return scalar_label(self.positive_label, names)
        if names:
            return names[1]
        # The classes have no names: of 1 and 2 or of -1 and 1, a pair alone doesn't say which is the positive one.
        for found in (truth_label, predicted_label):
            if found not in ("CLASS_0", "CLASS_1"):
                text = f"{found!r} may be either class: set the option positive_label"
                raise UnscorableError(text, reason=Reason.POSITIVE_UNKNOWN)
        return "CLASS_1"

    def _negative(self, positive: str, names: tuple[str, ...]) -> str:
        if names:
            return names[0] if names[1] == positive else names[1]
        return {"CLASS_0": "CLASS_1"}.get(positive, "CLASS_0" if positive.startswith("CLASS_") else f"not {positive}")

    def _outcome(self, truth_label: str, predicted_label: str, positive: str) -> Fields:
        is_positive = truth_label == positive
        says_positive = predicted_label == positive
        cell = ("true_" if is_positive == says_positive else "false_") + ("positive" if says_positive else "negative")
        return {
            "correct": int(is_positive == says_positive),
            "truth_label": truth_label,
            "predicted_label": predicted_label,
            cell: [positive],
        }

    def _forecast(
        self, truth_label: str, positive: str, negative: str, probability: float, other: float | None = None
    ) -> Fields:
        if other is None:
            other = 1.0 - probability
        says_positive = probability >= self.threshold
        is_positive = truth_label == positive
        chance = probability if is_positive else other
        fields = self._outcome(positive if is_positive else negative, positive if says_positive else negative, positive)
        fields["probability"] = probability if says_positive else other
        fields["truth_probability"] = chance
        fields["positive_probability"] = probability
        fields["truth_positive"] = int(is_positive)
        fields["log_loss"] = log_loss(chance)
        fields["brier"] = (probability - is_positive) ** 2
        fields["score_bin"] = score_bin(probability)
        fields["calibration_bin"] = calibration_bin(probability)
        return fields

    def _forecast_fields(self, positive: str, negative: str, probability: float, other: float | None = None) -> Fields:
        if other is None:
            other = 1.0 - probability
        says_positive = probability >= self.threshold
        return {
            "label": positive if says_positive else negative,
            "probability": probability if says_positive else other,
            "positive_probability": probability,
            "score_bin": score_bin(probability),
            "calibration_bin": calibration_bin(probability),
        }
