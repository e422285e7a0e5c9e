"""The plots of a report, each a picture with a title, a caption and a table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from request_logger.analytics.formatting import duration, interval, number, percent, words
from request_logger.analytics.maturity_text import size_of_window
from request_logger.analytics.page import svg
from request_logger.analytics.page.svg import Axes

Report = dict[str, Any]
_UNIT = (0.0, 1.0)
_UNIT_TICKS = [(share / 5, f"{share / 5:g}") for share in range(6)]
# The tick marks of a delay (seconds): round values from 100 ms to a year.
_TIMES = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture with its caption and the table of its numbers."""

    title: str
    picture: Markup
    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def of_report(report: Report) -> Iterator[Plot]:
    """Yield the plots over all documents: feedback coverage and delay."""
    counts = report["coverage"]
    steps = [
        ("Predictions", counts["predictions"]),
        ("with feedback", counts["with_feedback"]),
        ("scored", counts["scored"]),
        ("by a truth", counts["by_truth"]),
    ]
    drawn, height = svg.rows(steps)
    share = percent(counts.get("share"))
    caption = f"{share} of the predictions have feedback."
    yield Plot(
        "Coverage",
        svg.picture("coverage", "Coverage", caption, drawn, height=height),
        caption,
        ("Step", "Documents"),
        [(name, f"{count:,}") for name, count in steps],
    )
    if report.get("delay", {}).get("points"):
        yield _delay(report["delay"])


def _delay(found: Report) -> Plot:
    points = [(math.log10(max(point["seconds"], 0.001)), point["share"]) for point in found["points"]]
    low, high = points[0][0], points[-1][0]
    span = (low, high) if high > low else (low - 1, high + 1)
    marks = [(math.log10(seconds), duration(seconds)) for seconds in _TIMES]
    marks = [mark for mark in marks if span[0] <= mark[0] <= span[1]] or [(edge, duration(10**edge)) for edge in span]
    axes = Axes(span, _UNIT, marks, _UNIT_TICKS, "time after the prediction", "share of the feedback")
    half, most = (duration(found["quantiles"][key]) for key in ("0.5", "0.9"))
    caption = f"Half of the feedback came within {half}, 90 % within {most}."
    if found["sample"] < found["n"]:
        caption += f" A random sample of {found['sample']:,} of {found['n']:,}."
    return Plot(
        "Feedback delay",
        svg.picture("delay", "Feedback delay", caption, axes.drawn(), svg.curve(axes, points)),
        caption,
        ("Within", "Share of the feedback"),
        [(f"a {name}", percent(share)) for name, share in found["within"].items()],
    )


def of_task(task: Report, key: str) -> Iterator[Plot]:
    """Yield the plots of a task; ``key`` is unique within the page and prefixes element ids."""
    if task.get("over_time", {}).get("points"):
        yield _over_time(task, key)
    for name, draw in _PLOTS.items():
        if task.get(name):
            yield draw(task, key)


def _over_time(task: Report, key: str) -> Plot:
    found = task["over_time"]
    points = [point for point in found["points"] if "value" in point]
    name = words(found["metric"])
    times = [datetime.fromisoformat(point["start"]).timestamp() for point in points]
    sure = [(time, point) for time, point in zip(times, points, strict=True) if "low" in point]
    values = [point[key] for point in points for key in ("value", "low", "high") if key in point]
    is_share = all(0 <= value <= 1 for value in values)
    height = svg.padded_range(values, bounds=_UNIT if is_share else (-math.inf, math.inf))
    span = (times[0], times[-1]) if len(times) > 1 else (times[0] - 1, times[0] + 1)
    axes = Axes(span, height, _time_ticks(times), svg.ticks(height), f"time, in windows of {found['window']}", name)
    drawn = [axes.drawn()]
    if len(sure) > 1:
        low, high = ([(time, point[key]) for time, point in sure] for key in ("low", "high"))
        drawn.append(svg.band(axes, low, high))
    elif sure:
        drawn.append(svg.whiskers(axes, [(time, point["low"], point["high"]) for time, point in sure]))
    line = [(time, point["value"]) for time, point in zip(times, points, strict=True)]
    is_young = [point.get("mature") is False for point in points]
    drawn.append(svg.curve(axes, line))
    for class_, wanted in (("dot", False), ("young", True)):
        drawn.append(
            svg.dots(axes, [dot for dot, young in zip(line, is_young, strict=True) if young is wanted], 2.5, class_)
        )
    title = f"{name[0].upper()}{name[1:]} over time"
    last = points[-1]
    caption = f"Last: {number(last['value'])} of {last['n']:,} documents." + (
        " The band is the 95 % interval." if sure else ""
    )
    if any(is_young):
        caption += " Hollow dots are young windows, whose labels have not all come."
    rows = [
        (point["start"][:16].replace("T", " "), number(point["value"]), interval(point), size_of_window(point))
        for point in points
    ]
    picture = svg.picture(f"{key}-time", title, caption, *drawn)
    return Plot(title, picture, caption, ("From (UTC)", name, "95 % interval", "n"), rows)


def _time_ticks(times: Sequence[float]) -> list[svg.Tick]:
    chosen = sorted({times[0], times[len(times) // 2], times[-1]})
    form = "%m-%d" if times[-1] - times[0] > 2 * 86_400 else "%H:%M"
    return [(time, datetime.fromtimestamp(time, tz=_UTC).strftime(form)) for time in chosen]


_UTC = datetime.fromisoformat("1970-01-01T00:00:00+00:00").tzinfo


def _reliability(task: Report, key: str) -> Plot:
    bins = task["reliability"]
    axes = Axes(_UNIT, _UNIT, _UNIT_TICKS, _UNIT_TICKS, "predicted probability", "observed share")
    points = [(found["said"], found["happened"]) for found in bins]
    drawn = (
        axes.drawn(),
        svg.curve(axes, [(0, 0), (1, 1)], "guide"),
        svg.whiskers(axes, [(found["said"], found["low"], found["high"]) for found in bins]),
        svg.curve(axes, points),
        svg.dots(axes, points),
    )
    error = _metric(task, "ece")
    caption = f"Expected calibration error {number(error)}. On the dashed line prediction and observation agree."
    rows = [
        (f"{found['from']:.2f} to {found['to']:.2f}", number(found["said"]), number(found["happened"]),
         interval(found), f"{found['n']:,}")
        for found in bins
    ]  # fmt: skip
    header = ("Probability", "mean prediction", "observed share", "95 % interval", "n")
    picture = svg.picture(f"{key}-reliability", "Reliability", caption, *drawn)
    return Plot("Reliability", picture, caption, header, rows)


def _roc(task: Report, key: str) -> Plot:
    points = [(found["false_positive_rate"], found["true_positive_rate"]) for found in task["roc"]]
    axes = Axes(_UNIT, _UNIT, _UNIT_TICKS, _UNIT_TICKS, "false positive rate", "true positive rate")
    upper, lower = [points[0]], [points[0]]
    for before, after in pairwise(points):
        upper += [(before[0], after[1]), after]
        lower += [(after[0], before[1]), after]
    drawn = (
        axes.drawn(),
        svg.curve(axes, [(0, 0), (1, 1)], "guide"),
        svg.band(axes, lower, upper),
        svg.curve(axes, points),
    )
    area, bound = _metric(task, "auc"), _metric(task, "auc_bound")
    caption = (
        f"Area {number(area)}, from 100 bins of the score. The exact area differs by at most {number(bound)}, and the"
        " exact curve is within the band."
    )
    rows = [(number(x), number(y)) for x, y in points]
    picture = svg.picture(f"{key}-roc", "ROC curve", caption, *drawn)
    return Plot("ROC curve", picture, caption, ("False positive rate", "True positive rate"), rows)


def _residuals(task: Report, key: str) -> Plot:
    bins = task["residuals"]
    span = (bins[0]["from"], bins[-1]["to"])
    height = svg.padded_range([found["n"] for found in bins], zero=True)
    axes = Axes(span, height, svg.ticks(span, 4), svg.ticks(height), "error: prediction minus truth", "documents")
    drawn = (axes.drawn(), svg.columns(axes, [(found["from"], found["to"], found["n"]) for found in bins]))
    caption = f"Mean error {number(_metric(task, 'mean_error'))}. The outermost bars also count everything beyond."
    rows = [(f"{number(found['from'])} to {number(found['to'])}", f"{found['n']:,}") for found in bins]
    picture = svg.picture(f"{key}-residuals", "Residuals", caption, *drawn)
    return Plot("Residuals", picture, caption, ("Error", "Documents"), rows)


def _errors_by_prediction(task: Report, key: str) -> Plot:
    segments = task["errors_by_prediction"]
    span = svg.padded_range([segment["mean_prediction"] for segment in segments])
    height = svg.padded_range(
        [segment[name] for segment in segments for name in ("mean_error", "low", "high") if name in segment], zero=True
    )
    axes = Axes(span, height, svg.ticks(span, 4), svg.ticks(height), "prediction", "mean error")
    points = [(segment["mean_prediction"], segment["mean_error"]) for segment in segments]
    sure = [(found["mean_prediction"], found["low"], found["high"]) for found in segments if "low" in found]
    drawn = (
        axes.drawn(),
        svg.curve(axes, [(span[0], 0.0), (span[1], 0.0)], "guide"),
        svg.whiskers(axes, sure),
        svg.dots(axes, points),
    )
    caption = "The mean error in about ten groups of equal size by prediction, with 95 % intervals; the line is at 0."
    rows = [
        (segment["predictions"], number(segment["mean_error"]), interval(segment), f"{segment['n']:,}")
        for segment in segments
    ]
    title = "Error by prediction"
    picture = svg.picture(f"{key}-errors", title, caption, *drawn)
    return Plot(title, picture, caption, ("Prediction", "Mean error", "95 % interval", "n"), rows)


_PLOTS: dict[str, Callable[[Report, str], Plot]] = {
    "reliability": _reliability,
    "roc": _roc,
    "residuals": _residuals,
    "errors_by_prediction": _errors_by_prediction,
}


def _metric(task: Report, name: str) -> float | None:
    return next((found["value"] for found in task.get("metrics", []) if found["name"] == name), None)
