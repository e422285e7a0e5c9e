"""Post-stratification: each stratum of predictions counts as often as it occurs, not as often as it got feedback.

A truth in stratum b stands for w_b = N_b / m_b predictions. Metrics are functions of the weighted confusion matrix.
Their variance is that of their linearization: with z the derivative of the metric by the cell of a pair, it is the sum
over strata of w_b^2 m_b s_b^2(z). For the accuracy this is sum W_b^2 r_b (1 - r_b) / (m_b - 1). Pure code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from request_logger.analytics.feedback.strata import Stratum
from request_logger.analytics.intervals import Interval
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval

# A truth that stands for ten times as many predictions as the mean truth would decide the figure alone.
MOST_WEIGHT = 10.0
# Rounding errors of shares, squared, are below it; variances over a billion documents are above.
_NOISE = 1e-20

Pair = tuple[str, str]
Matrix = Mapping[Pair, float]
Slope = Callable[[Pair], float]


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight per stratum, the share of the predictions in strata whose weight was cut, and Kish's sample size."""

    weights: Sequence[float]
    cut: float
    effective_n: float


@dataclass(frozen=True, slots=True)
class Weighted:
    """A weighted metric with its variance; ``size`` is the number of documents that would give it if independent."""

    name: str
    value: float
    variance: float
    size: float

    def interval(self, together: Dependence = INDEPENDENT) -> Interval | None:
        """Return Wilson's interval for that many documents (Franco et al. 2019)."""
        value = min(max(self.value, 0.0), 1.0)
        return share_interval(value * self.size, self.size, together)


@dataclass(frozen=True, slots=True)
class _Function:
    """A metric of a matrix: its value and its derivative by the cell of a pair."""

    value: float
    slope: Slope


class Sized(Protocol):
    """A part of the predictions, of which some have a truth."""

    @property
    def predictions(self) -> int:
        """The number of predictions."""
        ...

    @property
    def with_truth(self) -> int:
        """The number of predictions with a truth."""
        ...


def weights_of(strata: Sequence[Sized]) -> Weights:
    """Return the weights, cut at MOST_WEIGHT times the mean one, and made to add up to the predictions again."""
    n = sum(stratum.predictions for stratum in strata)
    m = sum(stratum.with_truth for stratum in strata)
    most = MOST_WEIGHT * n / m
    raw = [stratum.predictions / stratum.with_truth for stratum in strata]
    kept = [min(weight, most) for weight in raw]
    scale = n / math.fsum(weight * stratum.with_truth for weight, stratum in zip(kept, strata, strict=True))
    weights = [weight * scale for weight in kept]
    cut = sum(stratum.predictions for stratum, weight in zip(strata, raw, strict=True) if weight > most)
    squares = math.fsum(weight * weight * stratum.with_truth for weight, stratum in zip(weights, strata, strict=True))
    return Weights(weights, cut / n, n * n / squares)


def weighted_metrics(strata: Sequence[Stratum], weights: Weights, positive: str | None = None) -> list[Weighted]:
    """Return accuracy, precision, recall and F1: of the class ``positive``, or without it their means over classes."""
    matrix: dict[Pair, float] = {}
    for stratum, weight in zip(strata, weights.weights, strict=True):
        for pair, count in stratum.pairs.items():
            matrix[pair] = matrix.get(pair, 0.0) + weight * count
    functions: dict[str, _Function | None] = {"accuracy": _accuracy(matrix)}
    sums = _Margins.of(matrix)
    for part, of in _PARTS.items():
        if positive is None:
            functions[f"{part}_macro"] = _mean({label: of(sums, label) for label in sums.labels})
        elif positive in sums.labels:
            functions[part] = of(sums, positive)
    found = []
    for name, function in functions.items():
        if function is not None:
            variance = _variance(strata, weights.weights, function.slope)
            size = size_of(function.value, variance, weights.effective_n)
            found.append(Weighted(name, function.value, variance, size))
    return found


def size_of(share: float, variance: float, otherwise: float) -> float:
    """Return how many independent documents give a share this variance; ``otherwise`` where it is 0 or rounding."""
    spread = share * (1 - share)
    return spread / variance if spread > _NOISE and variance > _NOISE else otherwise


def _variance(strata: Sequence[Stratum], weights: Sequence[float], slope: Slope) -> float:
    whole = []
    for stratum, weight in zip(strata, weights, strict=True):
        m = stratum.with_truth
        values = [(slope(pair), count) for pair, count in stratum.pairs.items()]
        mean = math.fsum(z * count for z, count in values) / m
        squares = math.fsum(count * (z - mean) ** 2 for z, count in values)
        whole.append(weight * weight * m * squares / (m - 1))
    return math.fsum(whole)


def _accuracy(matrix: Matrix) -> _Function:
    n = math.fsum(matrix.values())
    value = math.fsum(count for (said, true), count in matrix.items() if said == true) / n
    return _Function(value, lambda pair: ((pair[0] == pair[1]) - value) / n)


@dataclass(frozen=True, slots=True)
class _Margins:
    """The sums of a matrix by class: correct ones, predicted ones, true ones."""

    correct: Mapping[str, float]
    said: Mapping[str, float]
    true: Mapping[str, float]

    @classmethod
    def of(cls, matrix: Matrix) -> _Margins:
        correct: dict[str, float] = {}
        said: dict[str, float] = {}
        true: dict[str, float] = {}
        for (predicted, truth), count in matrix.items():
            said[predicted] = said.get(predicted, 0.0) + count
            true[truth] = true.get(truth, 0.0) + count
            if predicted == truth:
                correct[truth] = count
        return cls(correct, said, true)

    @property
    def labels(self) -> list[str]:
        return sorted({*self.said, *self.true})


def _ratio(upper: float, lower: float, of_pair: Callable[[Pair], tuple[float, float]]) -> _Function | None:
    """Return the ratio of two sums; ``of_pair`` is what one pair adds to each."""
    if lower <= 0:
        return None
    value = upper / lower

    def slope(pair: Pair) -> float:
        above, below = of_pair(pair)
        return (above - value * below) / lower

    return _Function(value, slope)


def _precision(sums: _Margins, label: str) -> _Function | None:
    correct, said = sums.correct.get(label, 0.0), sums.said.get(label, 0.0)
    return _ratio(correct, said, lambda pair: (float(pair == (label, label)), float(pair[0] == label)))


def _recall(sums: _Margins, label: str) -> _Function | None:
    correct, true = sums.correct.get(label, 0.0), sums.true.get(label, 0.0)
    return _ratio(correct, true, lambda pair: (float(pair == (label, label)), float(pair[1] == label)))


def _f1(sums: _Margins, label: str) -> _Function | None:
    below = sums.said.get(label, 0.0) + sums.true.get(label, 0.0)
    return _ratio(
        2 * sums.correct.get(label, 0.0),
        below,
        lambda pair: (2.0 * (pair == (label, label)), float((pair[0] == label) + (pair[1] == label))),
    )


_PARTS = {"precision": _precision, "recall": _recall, "f1": _f1}


def _mean(by_label: Mapping[str, _Function | None]) -> _Function | None:
    """Return the mean over classes; an undefined one counts as 0, as in scikit-learn."""
    if not by_label:
        return None
    n = len(by_label)
    value = math.fsum(function.value for function in by_label.values() if function is not None) / n

    def slope(pair: Pair) -> float:
        # A pair changes the metrics of its two classes only.
        functions = [by_label[label] for label in {*pair}]
        return math.fsum(function.slope(pair) for function in functions if function is not None) / n

    return _Function(value, slope)
