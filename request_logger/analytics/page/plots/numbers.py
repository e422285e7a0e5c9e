"""Plots of predicted numbers: residuals, error by prediction, predicted against actual."""

from __future__ import annotations

import math
from itertools import pairwise

from markupsafe import Markup

from request_logger.analytics.formatting import interval, number
from request_logger.analytics.page import marks, svg
from request_logger.analytics.page.plots.plot import Plot, Report, metric_value, plot
from request_logger.analytics.page.svg import Axes


def residuals(task: Report, key: str) -> Plot:
    """Return the histogram of errors."""
    bins = task["residuals"]
    span = (bins[0]["from"], bins[-1]["to"])
    height = svg.padded_range([found["n"] for found in bins], zero=True)
    axes = Axes(span, height, svg.ticks(span, 4), svg.ticks(height), "error: prediction minus truth", "documents")
    bars = [(found["from"], found["to"], found["n"]) for found in bins]
    rows = [(f"{number(found['from'])} to {number(found['to'])}", f"{found['n']:,}") for found in bins]
    drawn = (axes.drawn(), marks.columns(axes, bars, [f"{edges}: {n} documents" for edges, n in rows]))
    caption = f"Mean error {number(metric_value(task, 'mean_error'))}. The outermost bars also count everything beyond."
    return plot(f"{key}-residuals", "Residuals", caption, ("Error", "Documents"), rows, *drawn)


def errors_by_prediction(task: Report, key: str) -> Plot:
    """Return the mean error in groups by prediction."""
    segments = task["errors_by_prediction"]
    span = svg.padded_range([segment["mean_prediction"] for segment in segments])
    height = svg.padded_range(
        [segment[name] for segment in segments for name in ("mean_error", "low", "high") if name in segment], zero=True
    )
    axes = Axes(span, height, svg.ticks(span, 4), svg.ticks(height), "prediction", "mean error")
    points = [(segment["mean_prediction"], segment["mean_error"]) for segment in segments]
    sure = [(found["mean_prediction"], found["low"], found["high"]) for found in segments if "low" in found]
    rows = [
        (segment["predictions"], number(segment["mean_error"]), interval(segment), f"{segment['n']:,}")
        for segment in segments
    ]
    hints = [f"predictions {span_}: mean error {mean} ({sure_}), n = {n}" for span_, mean, sure_, n in rows]
    drawn = (
        axes.drawn(),
        marks.curve(axes, [(span[0], 0.0), (span[1], 0.0)], "guide"),
        marks.whiskers(axes, sure),
        marks.dots(axes, points),
        marks.hits(axes, points, hints),
    )
    caption = "The mean error in about ten groups of equal size by prediction, with 95 % intervals; the line is at 0."
    header = ("Prediction", "Mean error", "95 % interval", "n")
    return plot(f"{key}-errors", "Error by prediction", caption, header, rows, *drawn)


def predicted_actual(task: Report, key: str) -> Plot:
    """Return how many predictions are in each range of truth and prediction."""
    found = task["predicted_actual"]
    edges, cells = found["edges"], found["cells"]
    span = (edges[0], edges[-1])
    axes = Axes(span, span, svg.ticks(span, 4), svg.ticks(span, 4), "actual", "predicted")
    most = max(cell["n"] for cell in cells)
    ranges = [f"{number(float(low))} to {number(float(high))}" for low, high in pairwise(edges)]
    drawn = [axes.drawn()]
    for cell in cells:
        left, top = axes.at(edges[cell["truth"]], edges[cell["prediction"] + 1])
        right, bottom = axes.at(edges[cell["truth"] + 1], edges[cell["prediction"]])
        text = f"actual {ranges[cell['truth']]}, predicted {ranges[cell['prediction']]}: {cell['n']:,} documents"
        drawn.append(_cell(left, top, right - left, bottom - top, cell["n"] / most, text))
    drawn.append(marks.curve(axes, [(span[0], span[0]), (span[1], span[1])], "guide"))
    caption = (
        "The stronger the colour, the more predictions; on the dashed line prediction and truth agree. The axes span"
        " the middle 99 % of both, and the outermost cells also count everything beyond."
    )
    rows = [(ranges[cell["truth"]], ranges[cell["prediction"]], f"{cell['n']:,}") for cell in cells]
    header = ("Actual", "Predicted", "Documents")
    return plot(f"{key}-predicted-actual", "Predicted against actual", caption, header, rows, *drawn)


def _cell(x: float, y: float, width: float, height: float, share: float, text: str) -> Markup:
    # By the root, since an area is read as an amount: a tenth of the most is still seen.
    shade = 0.1 + 0.9 * math.sqrt(share)
    return svg.element(
        "rect", svg.hint(text), x=x, y=y, width=width, height=height, class_="cell", fill_opacity=round(shade, 2)
    )
