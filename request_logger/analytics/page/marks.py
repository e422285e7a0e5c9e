"""What plots are made of: curves, bands, dots, intervals, bars, legends; each shows its values on hover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from request_logger.analytics.page.style import LIGHT
from request_logger.analytics.page.svg import WIDTH, Axes, Point, Tick, element, hint, short, tick_labels, width_of

# As many curves as there are colours.
MOST_SERIES = len(LIGHT)
_BAR_HEIGHT = 15.0
_ROW_HEIGHT = 36.0
_LINE_HEIGHT = 16.0
# The shapes of the dots of up to MOST_SERIES curves, around (0, 0).
_SHAPES = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z",
    "M-3 -3H3V3H-3Z",
    "M0 -4L4 3H-4Z",
    "M0 -4.5L4.5 0L0 4.5L-4.5 0Z",
    "M0 4L4 -3H-4Z",
    "M-1 -4H1V-1H4V1H1V4H-1V1H-4V-1H-1Z",
)


def band(axes: Axes, low: Sequence[Point], high: Sequence[Point]) -> Markup:
    """Return the filled area between two curves."""
    return element("polygon", points=_path(axes, [*low, *reversed(high)]), class_="band")


def curve(axes: Axes, points: Sequence[Point], class_: str = "curve") -> Markup:
    """Return a line through points."""
    return element("polyline", points=_path(axes, points), class_=class_)


def dots(
    axes: Axes, points: Sequence[Point], radius: float = 3.0, class_: str = "dot", hints: Sequence[str] = ()
) -> Markup:
    """Return one dot per point, with what it shows on hover."""
    placed = [axes.at(*point) for point in points]
    return _joined(
        element("circle", hint(text), cx=x, cy=y, r=radius, class_=class_)
        for (x, y), text in zip(placed, hints or [""] * len(points), strict=True)
    )


def hits(axes: Axes, points: Sequence[Point], hints: Sequence[str]) -> Markup:
    """Return invisible dots that a pointer finds easily, with what they show on hover."""
    return dots(axes, points, 7.0, "hit", hints)


def shapes(axes: Axes, points: Sequence[Point], number: int, hints: Sequence[str]) -> Markup:
    """Return one dot per point in the shape of the curve with this number."""
    placed = [axes.at(*point) for point in points]
    return _joined(
        element("path", hint(text), d=_SHAPES[number], transform=f"translate({x:.2f} {y:.2f})", class_="dot")
        for (x, y), text in zip(placed, hints, strict=True)
    )


def series(number: int, *content: Markup) -> Markup:
    """Return content in the colour of the curve with this number."""
    return element("g", *content, class_=f"series{number}")


def legend(names: Sequence[str]) -> tuple[Markup, float]:
    """Return the names of curves with their line and shape, in as many lines as they need, and their height."""
    elements = []
    x, y = 2.0, 10.0
    for number, name in enumerate(names):
        text = short(name, WIDTH / 2 - 40)
        width = 30 + width_of(text) + 10
        if x > 2.0 and x + width > WIDTH:
            x, y = 2.0, y + _LINE_HEIGHT
        line = element("line", x1=x, x2=x + 24, y1=y - 4, y2=y - 4, class_="curve")
        shape = element("path", d=_SHAPES[number], transform=f"translate({x + 12:.2f} {y - 4:.2f})", class_="dot")
        elements.append(series(number, line, shape))
        elements.append(element("text", text, hint(name if text != name else ""), x=x + 29, y=y))
        x += width
    return _joined(elements), y + 6


def whiskers(axes: Axes, intervals: Iterable[tuple[float, float, float]]) -> Markup:
    """Return a vertical line from low to high at each x, for (x, low, high)."""
    ends = [(axes.at(x, low), axes.at(x, high)) for x, low, high in intervals]
    return _joined(element("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_="whisker") for a, b in ends)


def columns(axes: Axes, bars: Sequence[tuple[float, float, float]], hints: Sequence[str]) -> Markup:
    """Return vertical bars from 0 to y, which may be below 0, for (left, right, y)."""
    elements = []
    for (left, right, value), text in zip(bars, hints, strict=True):
        (x1, y), (x2, zero) = axes.at(left, value), axes.at(right, 0.0)
        elements.append(
            element(
                "rect",
                hint(text),
                x=x1,
                y=min(y, zero),
                width=max(x2 - x1 - 1, 0.5),
                height=abs(zero - y),
                class_="bar",
            )
        )
    return _joined(elements)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plot of rows: its name, its figure as text, and the figure, with its interval if it has one."""

    name: str
    text: str
    value: float | None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    """A mark on a bar, such as the value that it should not exceed."""


def bars(entries: Sequence[Row]) -> tuple[Markup, float]:
    """Return one horizontal bar from 0 per entry below its name and figure, and their total height."""
    ends = [end for row in entries for end in (row.value, row.limit) if end is not None]
    most = max(ends, default=0.0) or 1.0
    elements = []
    for position, row in enumerate(entries):
        top = position * (_ROW_HEIGHT + 4)
        elements.append(_heading(row, top))
        length = (WIDTH - 6) * (row.value or 0.0) / most
        elements.append(element("rect", x=2.0, y=top + 17, width=max(length, 0.5), height=_BAR_HEIGHT, class_="bar"))
        if row.limit is not None:
            at = 2.0 + (WIDTH - 6) * row.limit / most
            elements.append(element("line", x1=at, x2=at, y1=top + 14, y2=top + 18 + _BAR_HEIGHT, class_="limit"))
    return _joined(elements), len(entries) * (_ROW_HEIGHT + 4)


def paired_bars(entries: Sequence[tuple[str, Sequence[float], str]]) -> tuple[Markup, float]:
    """Return per entry (name, values, text) one bar for each value in the colours of curves, and their total height."""
    most = max((value for _, values, _ in entries for value in values), default=0.0) or 1.0
    elements = []
    top = 0.0
    for name, values, text in entries:
        elements.append(_heading(Row(name, text, None), top))
        top += 16
        for number, value in enumerate(values):
            length = max((WIDTH - 4) * value / most, 0.5)
            elements.append(series(number, element("rect", x=2.0, y=top, width=length, height=7.0, class_="bar")))
            top += 8
        top += 6
    return _joined(elements), top


def moved_down(drawn: Markup, distance: float) -> Markup:
    """Return what is drawn, moved down."""
    return element("g", drawn, transform=f"translate(0 {distance:.2f})")


def intervals(entries: Sequence[Row], span: Point, ticks: Sequence[Tick], guide: float | None) -> tuple[Markup, float]:
    """Return a dot with its interval per entry below its name and figure, over one axis, and the total height.

    ``guide`` is the value of a dashed line across all entries.
    """
    low, high = span
    height = len(entries) * _ROW_HEIGHT

    def at(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        return 8 + share * (WIDTH - 16)

    elements = []
    placed = [(at(value), text) for value, text in ticks]
    for x, _ in placed:
        elements.append(element("line", x1=x, x2=x, y1=0.0, y2=height + 4, class_="grid"))
    elements.append(tick_labels(placed, 10.0, WIDTH - 10, height + 17))
    if guide is not None and low <= guide <= high:
        elements.append(element("line", x1=at(guide), x2=at(guide), y1=0.0, y2=height, class_="guide"))
    for position, row in enumerate(entries):
        top = position * _ROW_HEIGHT
        elements.append(_heading(row, top))
        middle = top + 24
        if row.low is not None and row.high is not None:
            elements.append(element("line", x1=at(row.low), x2=at(row.high), y1=middle, y2=middle, class_="whisker"))
        if row.value is not None:
            elements.append(element("circle", cx=at(row.value), cy=middle, r=4.0, class_="dot"))
    return _joined(elements), height + 22


def _heading(row: Row, top: float) -> Markup:
    """Return the name of a row, cut off before its figure, and the figure at the right; both whole on hover."""
    name = short(row.name, WIDTH - width_of(row.text) - 16)
    return element(
        "g",
        hint(f"{row.name}: {row.text}" if row.text else row.name),
        element("text", name, x=2.0, y=top + 12, class_="halo"),
        element("text", row.text, x=WIDTH - 2, y=top + 12, text_anchor="end", class_="soft halo"),
        # Also where there is no text below the pointer.
        element("rect", x=0.0, y=top, width=WIDTH, height=_ROW_HEIGHT - 2, fill="transparent"),
    )


def _joined(elements: Iterable[Markup]) -> Markup:
    return Markup("").join(elements)


def _path(axes: Axes, points: Sequence[Point]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in (axes.at(*point) for point in points))
