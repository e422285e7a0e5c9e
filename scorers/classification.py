"""Classification metrics, computed from the true positives, false positives and false negatives of each class."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from scorers.base import Count, Metric, Need, Terms, TermsBy, Value, Values, mean, ratio

# Sufficient for all averages over classes: each class of a truth or a prediction is in at least one of the three.
CELLS: dict[str, Need] = {
    "tp": Terms("true_positive"),
    "fp": Terms("false_positive"),
    "fn": Terms("false_negative"),
    "n": Count("correct"),
}
MATRIX: dict[str, Need] = {"matrix": TermsBy("predicted_label", by="truth_label")}


class ClassCounts(NamedTuple):
    """The counts of one class over ``n`` documents. A tuple, since draws and permutations make 100,000 of them."""

    true_positive: int
    false_positive: int
    false_negative: int
    n: int

    @property
    def support(self) -> int:
        """The number of documents of this class: TP + FN."""
        return self.true_positive + self.false_negative

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP)."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN)."""
        return ratio(self.true_positive, self.support)

    @property
    def specificity(self) -> float | None:
        """TN / (TN + FP), with TN = n - TP - FP - FN."""
        return ratio(self.n - self.support - self.false_positive, self.n - self.support)

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN)."""
        return ratio(2 * self.true_positive, self.true_positive + self.support + self.false_positive)

    @property
    def jaccard(self) -> float | None:
        """TP / (TP + FP + FN)."""
        return ratio(self.true_positive, self.support + self.false_positive)


PARTS: dict[str, Callable[[ClassCounts], float | None]] = {
    "precision": lambda c: c.precision,
    "recall": lambda c: c.recall,
    "specificity": lambda c: c.specificity,
    "f1": lambda c: c.f1,
    "jaccard": lambda c: c.jaccard,
}


class SharedValues(dict[str, Any]):
    """Values of CELLS or MATRIX that several metrics are computed from: their classes are counted once."""

    @cached_property
    def classes(self) -> dict[str, ClassCounts]:
        """The counts of every class."""
        return _class_counts(self)


def class_counts(values: Values) -> dict[str, ClassCounts]:
    """Return the counts of every class of a truth or a prediction, sorted by name; ``values`` are CELLS or MATRIX."""
    return values.classes if isinstance(values, SharedValues) else _class_counts(values)


def _class_counts(values: Values) -> dict[str, ClassCounts]:
    if "matrix" in values:
        return _from_matrix(values["matrix"])
    tp, fp, fn = values["tp"], values["fp"], values["fn"]
    labels = sorted({*tp, *fp, *fn})
    return {label: ClassCounts(tp.get(label, 0), fp.get(label, 0), fn.get(label, 0), values["n"]) for label in labels}


def _from_matrix(matrix: dict[str, dict[str, int]]) -> dict[str, ClassCounts]:
    n = sum(sum(row.values()) for row in matrix.values())
    predicted: dict[str, int] = {}
    for row in matrix.values():
        for label, count in row.items():
            predicted[label] = predicted.get(label, 0) + count
    counts = {}
    for label in sorted({*matrix, *predicted}):
        row = matrix.get(label, {})
        hits = row.get(label, 0)
        counts[label] = ClassCounts(hits, predicted.get(label, 0) - hits, sum(row.values()) - hits, n)
    return counts


def averaged(part: str, average: str, needs: dict[str, Need]) -> Metric:
    """Return the metric ``<part>_<average>``, such as ``f1_macro``, computed as by scikit-learn with that ``average``.

    ``macro`` is the mean over the classes of truths and predictions, ``weighted`` the mean weighted by support,
    ``micro`` the value of the summed counts. A class whose value is 0/0 (the precision of a class that was never
    predicted) counts as 0 in the means, as in scikit-learn: without it, the mean of a model that ignores the class
    would be higher.
    """
    of = PARTS[part]

    def compute(values: Values) -> Value:
        counts = class_counts(values).values()
        if average == "micro":
            return of(
                ClassCounts(
                    sum(c.true_positive for c in counts),
                    sum(c.false_positive for c in counts),
                    sum(c.false_negative for c in counts),
                    sum(c.n for c in counts),
                )
            )
        if average == "weighted":
            return ratio(math.fsum(c.support * (of(c) or 0.0) for c in counts), sum(c.support for c in counts))
        return mean(of(c) or 0.0 for c in counts)

    return Metric(f"{part}_{average}", needs, compute)


def _table(values: Values) -> Value:
    return {
        label: {
            **{part: value for part, of in PARTS.items() if (value := of(counts)) is not None},
            "support": counts.support,
            "true_positive": counts.true_positive,
            "false_positive": counts.false_positive,
            "false_negative": counts.false_negative,
        }
        for label, counts in class_counts(values).items()
    }


def table(needs: dict[str, Need]) -> Metric:
    """Return the metric ``per_class``: precision, recall, specificity, F1, Jaccard, support, counts by class name."""
    return Metric("per_class", needs, _table, None, (0.0, float("inf")), per_class=True)


def confusion_matrix() -> Metric:
    """Return the metric ``confusion_matrix``: dict[truth, dict[prediction, count]], without cells that are 0."""
    return Metric("confusion_matrix", MATRIX, lambda v: v["matrix"], None, (0.0, float("inf")))


def _balanced_accuracy(values: Values) -> Value:
    return mean(counts.recall for counts in class_counts(values).values())


def _matthews(values: Values) -> Value:
    counts = list(class_counts(values).values())
    n = sum(c.support for c in counts)
    hits = sum(c.true_positive for c in counts)
    predicted = [c.true_positive + c.false_positive for c in counts]
    # Integers are exact here: from a few hundred million documents on, the products exceed a double's 2**53.
    covariance = hits * n - sum(c.support * p for c, p in zip(counts, predicted, strict=True))
    spread = (n * n - sum(c.support**2 for c in counts)) * (n * n - sum(p * p for p in predicted))
    return ratio(covariance, math.sqrt(spread))


def _kappa(values: Values) -> Value:
    counts = list(class_counts(values).values())
    n = sum(c.support for c in counts)
    chance = sum(c.support * (c.true_positive + c.false_positive) for c in counts)
    return ratio(sum(c.true_positive for c in counts) * n - chance, n * n - chance)


def _baseline(values: Values) -> Value:
    supports = [counts.support for counts in class_counts(values).values()]
    return ratio(max(supports, default=0), sum(supports))


def single_label_metrics(needs: dict[str, Need]) -> tuple[Metric, ...]:
    """Return the metrics for one class per document: balanced accuracy, MCC, Cohen's kappa, and a baseline accuracy.

    MCC = (c n - sum row col) / sqrt((n^2 - sum col^2)(n^2 - sum row^2)) and kappa = (po - pe) / (1 - pe), with the row
    (truth), column (prediction) and diagonal (c, n po) counts of the confusion matrix. ``baseline_accuracy`` is the
    accuracy of always answering the most frequent class: a model below it is useless.
    """
    return (
        Metric("balanced_accuracy", needs, _balanced_accuracy),
        Metric("mcc", needs, _matthews, bounds=(-1.0, 1.0)),
        Metric("kappa", needs, _kappa, bounds=(-1.0, 1.0)),
        Metric("baseline_accuracy", needs, _baseline, None),
    )


def averages(needs: dict[str, Need], *parts: str) -> tuple[Metric, ...]:
    """Return the macro, micro and weighted averages of each part."""
    return tuple(averaged(part, average, needs) for part in parts for average in ("macro", "micro", "weighted"))
