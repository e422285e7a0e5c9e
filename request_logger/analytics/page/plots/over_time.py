"""Plots over time: the headline, by class and by the values of a field, the coverage; and the delay of feedback."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from request_logger.analytics.formatting import duration, interval, number, percent, window_length, words
from request_logger.analytics.maturity_text import size_of_window
from request_logger.analytics.page import marks, svg
from request_logger.analytics.page.plots.plot import UNIT, UNIT_TICKS, Plot, Report, capitalized, plot
from request_logger.analytics.page.svg import Axes

# The tick marks of a delay (seconds): round values from 100 ms to a year.
_TIMES = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0)
# More curves in one plot hide each other: each has a panel of its own then.
_MOST_TOGETHER = 2
# Width and height of a panel.
_PANEL = (svg.WIDTH / 2, 120.0)
# How far an axis goes beyond the curves for their intervals, in heights of the curves.
_MOST_REACH = 3.0
_YOUNG = " Hollow dots are young windows, whose labels have not all come."


def headline(task: Report, key: str) -> Plot | None:
    """Return the headline metric over time; None where no window has a value."""
    found = task["over_time"]
    points = [point for point in found["points"] if "value" in point]
    if not points:
        return None
    name = words(found["metric"])
    times = [_time(point) for point in points]
    axes = _axes([times], points, found["window"], name)
    sure = [(time, point) for time, point in zip(times, points, strict=True) if "low" in point]
    drawn = [axes.drawn(), *_certainty(axes, sure)]
    line = [(time, point["value"]) for time, point in zip(times, points, strict=True)]
    drawn += [marks.curve(axes, line), *_dots(axes, line, points), marks.hits(axes, line, list(map(_hint, points)))]
    last = points[-1]
    caption = f"Last: {number(last['value'])} of {last['n']:,} documents." + (
        f" The band is the 95 % interval.{_cut(axes, points)}" if sure else ""
    )
    if any(point.get("mature") is False for point in points):
        caption += _YOUNG
    rows = [(_start(point), number(point["value"]), interval(point), size_of_window(point)) for point in points]
    header = ("From (UTC)", name, "95 % interval", "n")
    return plot(f"{key}-time", f"{capitalized(name)} over time", caption, header, rows, *drawn)


def by_class(task: Report, key: str) -> Plot | None:
    """Return the recall of classes over time."""
    found = task["over_time_by_class"]
    curves = [(each["class"], each["points"]) for each in found["classes"] if "points" in each]
    name = words(found["metric"])
    more = found["classes_left_out"]
    caption = "Of the predictions of a class, the share that is right." + (
        f" The {len(curves)} most frequent classes; {more:,} others are left out." if more else ""
    )
    title = f"{capitalized(name)} by class over time"
    return _curves(f"{key}-classes", title, caption, (name, "Class"), found["window"], curves)


def by_value(task: Report, key: str) -> Plot | None:
    """Return the headline over time by the values of the field that the report is split by."""
    parts = [part for part in task["by"].get("parts", []) if part.get("over_time", {}).get("points")]
    if not parts:
        return None
    curves = [(part["value"], part["over_time"]["points"]) for part in parts[: marks.MOST_SERIES]]
    first = parts[0]["over_time"]
    name, field = words(first["metric"]), task["by"]["name"]
    all_parts = len(task["by"]["parts"]) + task["by"].get("values_left_out", 0)
    caption = f"By {field}." + (f" The first {len(curves)} of {all_parts:,} values." if all_parts > len(curves) else "")
    title = f"{capitalized(name)} by {field} over time"
    return _curves(f"{key}-values", title, caption, (name, field), first["window"], curves)


def coverage(report: Report) -> Iterator[Plot]:
    """Yield the share of the predictions with feedback over time."""
    found = report["coverage_over_time"]
    points = [{**point, "value": point["share"]} for point in found.get("points", [])]
    if not points:
        return
    times = [_time(point) for point in points]
    axes = Axes(_span(times), UNIT, _ticks(times), UNIT_TICKS, _time_label(found["window"]), "share with feedback")
    line = [(time, point["share"]) for time, point in zip(times, points, strict=True)]
    hints = [
        f"{_start(point)}: {percent(point['share'])}, {point['with_feedback']:,} of {point['n']:,}" for point in points
    ]
    drawn = (axes.drawn(), marks.curve(axes, line), *_dots(axes, line, points), marks.hits(axes, line, hints))
    last = points[-1]
    caption = f"Last: {percent(last['share'])} of {last['n']:,} predictions have feedback."
    if any(point.get("mature") is False for point in points):
        caption += _YOUNG
    rows = [
        (_start(point), percent(point["share"]), f"{point['with_feedback']:,}", f"{point['n']:,}") for point in points
    ]
    header = ("From (UTC)", "Share", "With feedback", "Predictions")
    yield plot("coverage-time", "Coverage over time", caption, header, rows, *drawn)


def delay(report: Report) -> Plot:
    """Return how late feedback comes: the share that has come by the time since the prediction."""
    found = report["delay"]
    points = [(math.log10(max(point["seconds"], 0.001)), point["share"]) for point in found["points"]]
    low, high = points[0][0], points[-1][0]
    span = (low, high) if high > low else (low - 1, high + 1)
    known = [(math.log10(seconds), duration(seconds)) for seconds in _TIMES]
    ticks = [mark for mark in known if span[0] <= mark[0] <= span[1]] or [(edge, duration(10**edge)) for edge in span]
    axes = Axes(span, UNIT, ticks, UNIT_TICKS, "time after the prediction", "share of the feedback")
    half, most = (duration(found["quantiles"][key]) for key in ("0.5", "0.9"))
    caption = f"Half of the feedback came within {half}, 90 % within {most}."
    if found["sample"] < found["n"]:
        caption += f" A random sample of {found['sample']:,} of {found['n']:,}."
    hints = [f"{percent(point['share'])} within {duration(point['seconds'])}" for point in found["points"]]
    rows = [(f"a {name}", percent(share)) for name, share in found["within"].items()]
    # A single point doesn't make a line.
    drawn = (
        axes.drawn(),
        marks.curve(axes, points),
        marks.dots(axes, points[:1], 2.0),
        marks.hits(axes, points, hints),
    )
    return plot("delay", "Feedback delay", caption, ("Within", "Share of the feedback"), rows, *drawn)


def _curves(
    name: str,
    title: str,
    caption: str,
    labels: tuple[str, str],
    window: str,
    curves: Sequence[tuple[str, Sequence[Report]]],
) -> Plot | None:
    """Return several curves in one plot; ``labels`` name the values and what the curves are of."""
    known = [(label, [point for point in points if "value" in point]) for label, points in curves]
    known = [(label, points) for label, points in known if points]
    if not known:
        return None
    rows = [
        (label, _start(point), number(point["value"]), interval(point), f"{point['n']:,}")
        for label, points in known
        for point in points
    ]
    header = (labels[1], "From (UTC)", labels[0], "95 % interval", "n")
    if len(known) > _MOST_TOGETHER:
        panels, height = _panels(known)
        return plot(name, title, f"{caption} Each curve with its 95 % interval; behind it all others.", header, rows,
                    panels, height=height)  # fmt: skip
    entries, height = marks.legend([label for label, _ in known])
    every = [point for _, points in known for point in points]
    times = [[_time(point) for point in points] for _, points in known]
    axes = _axes(times, every, window, labels[0], top=height + 6)
    drawn = [entries, axes.drawn()]
    for position, (label, points) in enumerate(known):
        line = [(time, point["value"]) for time, point in zip(times[position], points, strict=True)]
        sure = [(time, point) for time, point in zip(times[position], points, strict=True) if "low" in point]
        hints = [f"{label}, {_hint(point)}" for point in points]
        drawn.append(
            marks.series(
                position, *_certainty(axes, sure), marks.curve(axes, line), marks.shapes(axes, line, position, hints)
            )
        )
    return plot(name, title, f"{caption}{_cut(axes, every)}", header, rows, *drawn)


def _panels(curves: Sequence[tuple[str, Sequence[Report]]]) -> tuple[Markup, float]:
    """Return one small plot per curve, two side by side with the same axes, and their total height."""
    every = [point for _, points in curves for point in points]
    # Of few documents, intervals would leave no room for the curves.
    values = [point["value"] for point in every]
    is_share = all(0 <= value <= 1 for value in values)
    height = svg.padded_range(values, bounds=UNIT if is_share else (-math.inf, math.inf))
    times = sorted({_time(point) for point in every})
    ticks = _ticks(times)
    ends = ticks if len(ticks) == 1 else [ticks[0], ticks[-1]]
    lines = [[(_time(point), point["value"]) for point in points] for _, points in curves]
    drawn = []
    for position, (label, points) in enumerate(curves):
        left, top = position % 2 * _PANEL[0], position // 2 * _PANEL[1]
        axes = Axes(_span(times), height, ends, svg.ticks(height, 3), "", "", 20.0,
                    (left, top, left + _PANEL[0], top + _PANEL[1]))  # fmt: skip
        sure = [(_time(point), point) for point in points if "low" in point]
        others = [line for number_, line in enumerate(lines) if number_ != position]
        content = [
            *_certainty(axes, sure),
            marks.curve(axes, lines[position]),
            marks.dots(axes, lines[position], 1.5 if len(points) > 1 else 3.0),
            marks.hits(axes, lines[position], list(map(_hint, points))),
        ]
        # It is bold, and so a fifth wider.
        name = svg.short(label, 0.8 * _PANEL[0] - 10)
        drawn += [
            svg.element("text", name, svg.hint(label), x=left + 2, y=top + 12, class_="name"),
            axes.drawn(),
            *(marks.curve(axes, line, "context") for line in others),
            svg.element("g", *content, class_=f"series{position} plain"),
        ]
    return Markup("").join(drawn), (len(curves) + 1) // 2 * _PANEL[1]


def _axes(
    times: Sequence[Sequence[float]], points: Sequence[Report], window: str, name: str, top: float = 10.0
) -> Axes:
    values = [point["value"] for point in points]
    ends = [point[key] for point in points for key in ("low", "high") if key in point]
    is_share = all(0 <= value <= 1 for value in (*values, *ends))
    low, high = min(values), max(values)
    if not is_share and low < high:
        # An interval of a few documents may be so wide that all curves would be one line at the bottom.
        reach = _MOST_REACH * (high - low)
        ends = [min(max(end, low - reach), high + reach) for end in ends]
    height = svg.padded_range([*values, *ends], bounds=UNIT if is_share else (-math.inf, math.inf))
    every = sorted({time for each in times for time in each})
    return Axes(_span(every), height, _ticks(every), svg.ticks(height), _time_label(window), name, top)


def _cut(axes: Axes, points: Sequence[Report]) -> str:
    """Return the sentence that intervals are cut off at the edge; empty if none is."""
    is_cut = any(point["low"] < axes.y[0] or point["high"] > axes.y[1] for point in points if "low" in point)
    return " Wider intervals end at the edge; the figures have them." if is_cut else ""


def _time_label(window: str) -> str:
    return f"time (UTC), in windows of {window_length(window)}"


def _certainty(axes: Axes, sure: Sequence[tuple[float, Report]]) -> list[Markup]:
    """Return the intervals as a band, or as a line for a single point."""
    if len(sure) > 1:
        low, high = ([(time, point[key]) for time, point in sure] for key in ("low", "high"))
        return [marks.band(axes, low, high)]
    return [marks.whiskers(axes, [(time, point["low"], point["high"]) for time, point in sure])] if sure else []


def _dots(axes: Axes, line: Sequence[svg.Point], points: Sequence[Report]) -> list[Markup]:
    return [
        marks.dots(
            axes,
            [dot for dot, point in zip(line, points, strict=True) if (point.get("mature") is False) is wanted],
            2.5,
            class_,
        )
        for class_, wanted in (("dot", False), ("young", True))
    ]


def _span(times: Sequence[float]) -> svg.Point:
    return (times[0], times[-1]) if len(times) > 1 else (times[0] - 1, times[0] + 1)


def _ticks(times: Sequence[float]) -> list[svg.Tick]:
    chosen = sorted({times[0], times[len(times) // 2], times[-1]})
    form = "%m-%d" if times[-1] - times[0] > 2 * 86_400 else "%H:%M"
    return [(time, datetime.fromtimestamp(time, tz=UTC).strftime(form)) for time in chosen]


def _time(point: Report) -> float:
    return datetime.fromisoformat(point["start"]).timestamp()


def _start(point: Report) -> str:
    return str(point["start"])[:16].replace("T", " ")


def _hint(point: Report) -> str:
    sure = f" ({interval(point)})" if "low" in point else ""
    return f"{_start(point)}: {number(point['value'])}{sure}, n = {point['n']:,}"
