"""Plots of probabilities: reliability, ROC curve, histogram by truth, precision and recall, thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from markupsafe import Markup

from request_logger.analytics.formatting import interval, number, percent
from request_logger.analytics.page import marks, svg
from request_logger.analytics.page.plots.plot import UNIT, UNIT_TICKS, Plot, Report, metric_value, plot
from request_logger.analytics.page.svg import Axes
from request_logger.analytics.thresholds.text import NAMES, sentences, threshold
from scorers.probabilities import SCORE_LOGIT_LIMIT

_CURVES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
_RARE = 0.4
_MARKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


def reliability(task: Report, key: str) -> Plot:
    """Return the observed share by the predicted probability."""
    bins = task["reliability"]
    # The probabilities of rare events are all in one corner.
    most = max(found[name] for found in bins for name in ("said", "high"))
    span = UNIT if most > _RARE else (0.0, most)
    axes = Axes(span, span, svg.ticks(span), svg.ticks(span), "predicted probability", "observed share")
    points = [(found["said"], found["happened"]) for found in bins]
    hints = [
        f"predicted {number(found['said'])}, observed {number(found['happened'])} ({interval(found)}), n ="
        f" {found['n']:,}"
        for found in bins
    ]
    drawn = (
        axes.drawn(),
        marks.curve(axes, [(0, 0), (span[1], span[1])], "guide"),
        marks.whiskers(axes, [(found["said"], found["low"], found["high"]) for found in bins]),
        marks.curve(axes, points),
        marks.dots(axes, points),
        marks.hits(axes, points, hints),
    )
    error = metric_value(task, "ece")
    caption = f"Expected calibration error {number(error)}. On the dashed line prediction and observation agree."
    rows = [
        (f"{found['from']:.2f} to {found['to']:.2f}", number(found["said"]), number(found["happened"]),
         interval(found), f"{found['n']:,}")
        for found in bins
    ]  # fmt: skip
    header = ("Probability", "mean prediction", "observed share", "95 % interval", "n")
    return plot(f"{key}-reliability", "Reliability", caption, header, rows, *drawn)


def roc(task: Report, key: str) -> Plot:
    """Return the ROC curve with the band that the exact curve is in."""
    points = [(found["false_positive_rate"], found["true_positive_rate"]) for found in task["roc"]]
    axes = Axes(UNIT, UNIT, UNIT_TICKS, UNIT_TICKS, "false positive rate", "true positive rate")
    upper, lower = [points[0]], [points[0]]
    for before, after in pairwise(points):
        upper += [(before[0], after[1]), after]
        lower += [(after[0], before[1]), after]
    hints = [f"false positive rate {number(x)}, true positive rate {number(y)}" for x, y in points]
    drawn = (
        axes.drawn(),
        marks.curve(axes, [(0, 0), (1, 1)], "guide"),
        marks.band(axes, lower, upper),
        marks.curve(axes, points),
        marks.hits(axes, points, hints),
    )
    area, bound = metric_value(task, "auc"), metric_value(task, "auc_bound")
    caption = (
        f"Area {number(area)}, from 100 bins of the score. The exact area differs by at most {number(bound)}, and the"
        " exact curve is within the band."
    )
    rows = [(number(x), number(y)) for x, y in points]
    header = ("False positive rate", "True positive rate")
    return plot(f"{key}-roc", "ROC curve", caption, header, rows, *drawn)


def histogram(task: Report, key: str) -> Plot:
    """Return the scores of the positives upwards and of the negatives downwards, each as shares of their class."""
    found = task["score_histogram"]
    totals = [sum(each[name] for each in found["bins"]) for name in ("positive", "negative")]
    bins = found["bins"]
    if found["scale"] == "logit":
        used = [k for k, each in enumerate(bins) if each["positive"] or each["negative"]]
        bins = bins[used[0] : used[-1] + 1]
    scale = _Scale(found["scale"], bins[0]["from"], bins[-1]["to"])
    shares = [
        [each[name] / total if total else 0.0 for each in bins]
        for name, total in zip(("positive", "negative"), totals, strict=True)
    ]
    most = max(map(max, shares))
    span = (-max(shares[1]) - 0.05 * most, max(shares[0]) + 0.05 * most)
    ticks = [(value, percent(abs(value))) for value, _ in svg.ticks(span, 4)]
    entries, height = marks.legend(
        [f"{name}: {total:,}" for name, total in zip(("positive", "negative"), totals, strict=True)]
    )
    axes = Axes(scale.span, span, scale.ticks(), ticks, f"score{scale.note}", "share of the class", height + 6)
    drawn = [entries, axes.drawn()]
    for number_, (sign, name) in enumerate(((1, "positive"), (-1, "negative"))):
        bars = [
            (scale.at(each["from"]), scale.at(each["to"]), sign * share)
            for each, share in zip(bins, shares[number_], strict=True)
        ]
        hints = [
            f"{_range(each)}: {each[name]:,} {name}, {percent(share)}"
            for each, share in zip(bins, shares[number_], strict=True)
        ]
        drawn.append(marks.series(number_, marks.columns(axes, bars, hints)))
    caption = "Scores of positives above, of negatives below: the less both overlap, the better they are told apart."
    rows = [(_range(each), f"{each['positive']:,}", f"{each['negative']:,}") for each in bins]
    header = ("Score", "Positive", "Negative")
    return plot(f"{key}-scores", "Scores by truth", caption, header, rows, *drawn)


def of_thresholds(task: Report, key: str) -> Iterator[Plot]:
    """Yield the plots of the thresholds: precision by recall, and all by the threshold."""
    yield precision_recall(task, key)
    yield from by_threshold(task, key)


def precision_recall(task: Report, key: str) -> Plot:
    """Return precision by recall, each precision with its interval."""
    found = task["thresholds"]
    # From the highest threshold on; precision is undefined where nothing is positive.
    points = [each for each in reversed(found["thresholds"]) if "precision" in each and "recall" in each]
    axes = Axes(UNIT, UNIT, UNIT_TICKS, UNIT_TICKS, "recall", "precision")
    line = [(each["recall"], each["precision"]) for each in points]
    low, high = ([(each["recall"], each[f"precision_{end}"]) for each in points] for end in ("low", "high"))
    share = found["positives"] / found["n"]
    hints = [
        f"threshold {threshold(each.get('threshold'))}: precision {_sure(each, 'precision')}, recall"
        f" {_sure(each, 'recall')}"
        for each in points
    ]
    drawn = (
        axes.drawn(),
        marks.curve(axes, [(0.0, share), (1.0, share)], "guide"),
        marks.band(axes, low, high),
        marks.curve(axes, line),
        marks.dots(axes, line, 2.0),
        marks.hits(axes, line, hints),
    )
    caption = (
        f"{' '.join(sentences(found))} The band has the 95 % interval of each precision for itself; the dashed line is"
        f" the share of positives, {percent(share)}."
    )
    rows = [
        (threshold(each.get("threshold")), number(each["precision"]), _ends(each, "precision"), number(each["recall"]),
         _ends(each, "recall"))
        for each in points
    ]  # fmt: skip
    header = ("Threshold", "Precision", "95 % interval", "Recall", "95 % interval")
    return plot(f"{key}-precision-recall", "Precision and recall", caption, header, rows, *drawn)


def by_threshold(task: Report, key: str) -> Iterator[Plot]:
    """Yield precision, recall and F1 by the threshold, and the value of a prediction where outcomes have one."""
    found = task["thresholds"]
    points = [each for each in found["thresholds"] if "threshold" in each]
    scale = _Scale(_scale_of(task), points[0]["threshold"], points[-1]["threshold"])
    best = found["best"].get("threshold")
    entries, height = marks.legend(list(_CURVES.values()))
    label = f"threshold{scale.note}"
    axes = Axes(scale.span, UNIT, scale.ticks(), UNIT_TICKS, label, "share", height + 6)
    drawn = [entries, axes.drawn(), *_best(axes, scale, best)]
    for position, (name, title) in enumerate(_CURVES.items()):
        known = [each for each in points if name in each]
        line = [(scale.at(each["threshold"]), each[name]) for each in known]
        hints = [f"threshold {threshold(each['threshold'])}: {title} {number(each[name])}" for each in known]
        drawn.append(marks.series(position, marks.curve(axes, line), marks.hits(axes, line, hints)))
    by, value = NAMES[found["best"]["by"]], number(found["best"].get(found["best"]["by"]))
    caption = f"The best {by} is {value}, with the threshold {threshold(best)}, where the dashed line is."
    rows = [
        (threshold(each["threshold"]), *(number(each.get(name)) for name in _CURVES), f"{each['tp'] + each['fp']:,}")
        for each in points
    ]
    header = ("Threshold", *_CURVES.values(), "Positive")
    yield plot(f"{key}-thresholds", "By threshold", caption, header, rows, *drawn)
    valued = [each for each in points if "value" in each]
    if not valued:
        return
    line = [(scale.at(each["threshold"]), each["value"]) for each in valued]
    span = svg.padded_range([each["value"] for each in valued])
    axes = Axes(scale.span, span, scale.ticks(), svg.ticks(span), label, "value per prediction")
    hints = [f"threshold {threshold(each['threshold'])}: {number(each['value'])}" for each in valued]
    drawn = [axes.drawn(), *_best(axes, scale, best), marks.curve(axes, line), marks.hits(axes, line, hints)]
    rows = [
        (threshold(each["threshold"]), number(each["value"]), *(f"{each[cell]:,}" for cell in ("tp", "fp", "fn", "tn")))
        for each in valued
    ]
    header = ("Threshold", "Value per prediction", "TP", "FP", "FN", "TN")
    yield plot(f"{key}-value", "Value by threshold", caption, header, rows, *drawn)


def _scale_of(task: Report) -> str:
    return str(task.get("score_histogram", {}).get("scale", "probability"))


class _Scale:
    """Where scores are on an axis: as they are, or by their logit, which keeps those near 0 and 1 apart."""

    def __init__(self, name: str, low: float, high: float) -> None:
        self._is_logit = name == "logit"
        self.note = " (logit scale)" if self._is_logit else ""
        first, last = (self.at(low), self.at(high)) if self._is_logit else UNIT
        self.span = (first, last) if last > first else (first - 1, first + 1)

    def at(self, score: float) -> float:
        """Return the position of a score."""
        if not self._is_logit:
            return score
        if score <= 0 or score >= 1:
            return -SCORE_LOGIT_LIMIT if score <= 0 else SCORE_LOGIT_LIMIT
        return math.log(score / (1 - score))

    def ticks(self) -> list[svg.Tick]:
        """Return round scores within the span."""
        if not self._is_logit:
            return UNIT_TICKS
        return [(self.at(score), f"{score:g}") for score in _MARKS if self.span[0] <= self.at(score) <= self.span[1]]


def _best(axes: Axes, scale: _Scale, best: float | None) -> list[Markup]:
    """Return the line at the best threshold."""
    return (
        [] if best is None else [marks.curve(axes, [(scale.at(best), axes.y[0]), (scale.at(best), axes.y[1])], "guide")]
    )


def _range(found: Report) -> str:
    return f"{number(float(found['from']))} to {number(float(found['to']))}"


def _ends(found: Report, name: str) -> str:
    return f"{number(found[f'{name}_low'])} to {number(found[f'{name}_high'])}"


def _sure(found: Report, name: str) -> str:
    return f"{number(found[name])} ({_ends(found, name)})"
