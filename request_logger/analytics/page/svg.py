"""Draws small plots as SVG: axes, a curve with its band, points with whiskers, bars.

The view box is as wide as a phone, so that text is never smaller than the page's. Colours come from the page's style
sheet, by class. All content from documents is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from request_logger.analytics.formatting import number

WIDTH, HEIGHT = 360.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 38.0
_BAR_HEIGHT = 30.0

Point = tuple[float, float]
Tick = tuple[float, str]


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; ``_`` in an attribute's name becomes a dash, a trailing one is removed."""
    known = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"), f"{value:.2f}" if isinstance(value, float) else value
        )
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, known, Markup("").join(map(escape, children)))


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a plot: ranges of x and y, ticks and labels; maps values to positions."""

    x: Point
    y: Point
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    x_label: str
    y_label: str

    def at(self, x: float, y: float) -> Point:
        """Return the position of a point, clipped to the axes."""
        return (
            _LEFT + _share(x, self.x) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - _share(y, self.y) * (HEIGHT - _TOP - _BOTTOM),
        )

    def drawn(self) -> Markup:
        """Return the grid, ticks and labels."""
        elements = []
        for y, text in self.y_ticks:
            left, height = self.at(self.x[0], y)
            elements.append(element("line", x1=left, x2=WIDTH - _RIGHT, y1=height, y2=height, class_="grid"))
            elements.append(element("text", text, x=left - 5, y=height + 4, text_anchor="end"))
        for x, text in self.x_ticks:
            middle, bottom = self.at(x, self.y[0])
            edge = "end" if middle > WIDTH - 40 else "start" if middle < _LEFT + 10 else "middle"
            elements.append(element("line", x1=middle, x2=middle, y1=bottom, y2=bottom + 4, class_="axis"))
            elements.append(element("text", text, x=middle, y=bottom + 16, text_anchor=edge))
        left, bottom = self.at(self.x[0], self.y[0])
        elements.append(element("line", x1=left, x2=WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="axis"))
        elements.append(element("text", self.x_label, x=(left + WIDTH) / 2, y=HEIGHT - 4, text_anchor="middle"))
        middle = (_TOP + bottom) / 2
        rotation = f"rotate(-90 11 {middle:.2f})"
        elements.append(element("text", self.y_label, x=11.0, y=middle, text_anchor="middle", transform=rotation))
        return Markup("").join(elements)


def _share(value: float, span: Point) -> float:
    low, high = span
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def ticks(span: Point, about: int = 5) -> list[Tick]:
    """Return about ``about`` round numbers within a range."""
    low, high = span
    if high <= low:
        return [(low, number(low))]
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    found = [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]
    return [(value, number(float(f"{value:.6g}"))) for value in found]


def padded_range(values: Iterable[float], *, zero: bool = False, bounds: Point = (-math.inf, math.inf)) -> Point:
    """Return a range around the values with a margin, within ``bounds``; with ``zero`` it starts or ends at 0."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    low, high = (low if zero and low == 0.0 else low - room), (high if zero and high == 0.0 else high + room)
    return max(low, bounds[0]), min(high, bounds[1])


def band(axes: Axes, low: Sequence[Point], high: Sequence[Point]) -> Markup:
    """Return the filled area between two curves."""
    return element("polygon", points=_path(axes, [*low, *reversed(high)]), class_="band")


def curve(axes: Axes, points: Sequence[Point], class_: str = "curve") -> Markup:
    """Return a line through points."""
    return element("polyline", points=_path(axes, points), class_=class_)


def dots(axes: Axes, points: Sequence[Point], radius: float = 3.0, class_: str = "dot") -> Markup:
    """Return one dot per point."""
    placed = [axes.at(*point) for point in points]
    return Markup("").join(element("circle", cx=x, cy=y, r=radius, class_=class_) for x, y in placed)


def whiskers(axes: Axes, intervals: Iterable[tuple[float, float, float]]) -> Markup:
    """Return a vertical line from low to high at each x, for (x, low, high)."""
    ends = [(axes.at(x, low), axes.at(x, high)) for x, low, high in intervals]
    return Markup("").join(element("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_="whisker") for a, b in ends)


def columns(axes: Axes, bars: Iterable[tuple[float, float, float]]) -> Markup:
    """Return vertical bars from 0 to y, for (left, right, y)."""
    elements = []
    for left, right, value in bars:
        (x1, y), (x2, bottom) = axes.at(left, value), axes.at(right, 0.0)
        elements.append(element("rect", x=x1, y=y, width=max(x2 - x1 - 1, 0.5), height=bottom - y, class_="bar"))
    return Markup("").join(elements)


def rows(bars: Sequence[tuple[str, int]]) -> tuple[Markup, float]:
    """Return one horizontal bar with label and count per entry, and their total height."""
    most = max((count for _, count in bars), default=0) or 1
    elements = []
    for position, (label, count) in enumerate(bars):
        top = position * (_BAR_HEIGHT + 8)
        length = (WIDTH - 4) * count / most
        elements.append(element("text", f"{label}: {count:,}", x=2.0, y=top + 12))
        elements.append(
            element("rect", x=2.0, y=top + 17, width=max(length, 0.5), height=_BAR_HEIGHT - 15, class_="bar")
        )
    return Markup("").join(elements), len(bars) * (_BAR_HEIGHT + 8)


def picture(key: str, title: str, description: str, *content: Markup, height: float = HEIGHT) -> Markup:
    """Return a plot as an image whose title and description screen readers announce; ``key`` is unique per page."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-text"),
        *content,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title {key}-text",
        # Only needed when the image is saved on its own.
        xmlns="http://www.w3.org/2000/svg",
    )


def _path(axes: Axes, points: Sequence[Point]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in (axes.at(*point) for point in points))
