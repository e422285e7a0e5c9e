"""The scorer for regression: one number, or several outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from scorers.base import Count, Fields, Metric, Row, Sum, UnscorableError, Value, Values, mean_of, number, ratio, unwrap
from scorers.options import check_range
from scorers.reasons import Reason

_UNBOUNDED = (float("-inf"), float("inf"))
_LOSS = (0.0, float("inf"))


def _rmse(values: Values) -> Value:
    mse = ratio(values["sum"], values["n"])
    return None if mse is None else math.sqrt(mse)


def spread_of(squares: float, centered: float, n: int) -> float | None:
    """Return the sum of squared differences from the mean of ``n`` truths, from the sums of their squares and of them.

    None where the difference of these sums is a rounding error: of a constant truth, and of truths whose distance from
    the option ``offset`` is more than a million times their spread.
    """
    spread = squares - centered**2 / n
    return None if spread <= 1e-13 * squares else float(spread)


def _wmape(values: Values) -> Value:
    # Documents of a version before it have errors, but no absolute truth.
    if values["n"] != values["error_count"]:
        return None
    return ratio(values["errors"], values["truths"])


def _r2(values: Values) -> Value:
    # A document with several outputs has errors, but no single truth for the total sum of squares.
    if values["n"] == 0 or values["n"] != values["error_count"]:
        return None
    spread = spread_of(values["squares"], values["centered"], values["n"])
    return None if spread is None else 1.0 - float(values["errors"]) / spread


@dataclass(frozen=True, slots=True)
class Regression:
    """Scores numbers: the error is prediction minus truth.

    The truth and the prediction are numbers (or numeric text), or two lists of numbers of the same length: then each
    field is the mean over the outputs (scikit-learn's ``uniform_average``), and the fields of a single number
    (``truth``, ``prediction`` and those for R2) are omitted.

    Options: ``offset``, a typical truth, which is subtracted before squaring: without it R2 loses digits if the truth's
    mean is much larger than its standard deviation (the third digit at 1e7 to 1). It must be the same for all documents
    of a sum. ``quantile``, the one that the model predicts, for ``quantile_loss``.
    """

    name: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("mse", "squared_error", higher_is_better=False, bounds=_LOSS),
        Metric("rmse", {"sum": Sum("squared_error"), "n": Count("squared_error")}, _rmse, False, _LOSS),
        mean_of("mae", "absolute_error", higher_is_better=False, bounds=_LOSS),
        mean_of("mape", "absolute_percentage_error", higher_is_better=False, bounds=_LOSS),
        Metric(
            "wmape",
            {
                "errors": Sum("absolute_error"),
                "error_count": Count("absolute_error"),
                "truths": Sum("absolute_truth"),
                "n": Count("absolute_truth"),
            },
            _wmape,
            False,
            _LOSS,
        ),
        mean_of("smape", "symmetric_percentage_error", higher_is_better=False, bounds=(0.0, 2.0)),
        mean_of("mean_error", "error", higher_is_better=None, bounds=_UNBOUNDED),
        mean_of("quantile_loss", "quantile_loss", higher_is_better=False, bounds=_LOSS),
        Metric(
            "r2",
            {
                "errors": Sum("squared_error"),
                "error_count": Count("squared_error"),
                "squares": Sum("truth_squared"),
                "centered": Sum("truth_centered"),
                "n": Count("truth_squared"),
            },
            _r2,
            bounds=(float("-inf"), 1.0),
        ),
    )

    offset: float = 0.0
    quantile: float = 0.5

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        check_range("offset", self.offset, *_UNBOUNDED)
        check_range("quantile", self.quantile, 0.0, 1.0)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair, in the truth's unit or its square.

        ``absolute_percentage_error`` is abs(error / truth), 0.1 for 10 %, and omitted if the truth is 0.
        ``symmetric_percentage_error`` is abs(error) divided by the mean of abs(truth) and abs(prediction), from 0 to 2;
        0 if both are 0. ``absolute_truth`` is abs(truth).
        ``quantile_loss`` is max(q (y - p), (q - 1) (y - p)). ``truth_centered`` is the truth minus the offset,
        ``truth_squared`` its square. Raises UnscorableError for anything but finite numbers, for lists of different
        lengths, and if a square is too large for a double.
        """
        actual, predicted = unwrap(truth.value), unwrap(prediction.value)
        if isinstance(actual, (list, tuple)) or isinstance(predicted, (list, tuple)):
            return self._several(actual, predicted)
        y, p = number(actual, "truth"), number(predicted, "prediction")
        centered = y - self.offset
        fields = self._errors(y, p)
        fields |= {
            "truth": y,
            "prediction": p,
            "truth_centered": centered,
            "truth_squared": centered * centered,
        }
        if not math.isfinite(fields["truth_squared"]):
            raise UnscorableError(f"the truth {y} is too large to be squared", reason=Reason.TRUTH_TOO_LARGE)
        return fields

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return the number as ``value``; nothing for several outputs. Raises UnscorableError for anything else."""
        predicted = unwrap(prediction.value)
        return {} if isinstance(predicted, (list, tuple)) else {"value": number(predicted, "prediction")}

    def _errors(self, y: float, p: float) -> Fields:
        error = p - y
        squared = error * error
        if not math.isfinite(squared):
            text = f"the error between {y} and {p} is too large to be squared"
            raise UnscorableError(text, reason=Reason.ERROR_TOO_LARGE)
        fields = {
            "error": error,
            "absolute_error": abs(error),
            "absolute_truth": abs(y),
            "squared_error": squared,
            "quantile_loss": max(self.quantile * -error, (self.quantile - 1.0) * -error),
        }
        # Halves: a sum of two large numbers would be infinite.
        size = abs(y) / 2 + abs(p) / 2
        fields["symmetric_percentage_error"] = abs(error) / size if size else 0.0
        percentage = abs(error / y) if y else math.inf
        if math.isfinite(percentage):
            fields["absolute_percentage_error"] = percentage
        return fields

    def _several(self, actual: object, predicted: object) -> Fields:
        if (
            not isinstance(actual, Sequence)
            or not isinstance(predicted, Sequence)
            or len(actual) != len(predicted)
            or not actual
        ):
            sizes = [len(side) if isinstance(side, (list, tuple)) else 1 for side in (actual, predicted)]
            text = f"the truth has {sizes[0]} numbers, the prediction {sizes[1]}"
            raise UnscorableError(text, reason=Reason.LENGTHS_DIFFER)
        outputs = [
            self._errors(number(y, f"truth of output {k}"), number(p, f"prediction of output {k}"))
            for k, (y, p) in enumerate(zip(actual, predicted, strict=True))
        ]
        # Only fields of all outputs: a mean over some of them would be another quantity.
        shared = [key for key in outputs[0] if all(key in output for output in outputs)]
        try:
            return {key: math.fsum(output[key] for output in outputs) / len(outputs) for key in shared}
        except OverflowError:
            text = f"the numbers of {len(outputs)} outputs are too large to be added up"
            raise UnscorableError(text, reason=Reason.VALUE_TOO_LARGE) from None
