"""Small plots as SVG: elements, axes, ticks, the picture and the file that it can be saved as.

Own SVG rather than a plotting library. Vega-Lite, ECharts, Plotly and Observable Plot draw with scripts, which the
pages forbid (Content-Security-Policy), and which a mailed or archived report can't rely on. Of those that draw without,
matplotlib and vl-convert add tens of megabytes to the image, bake one theme into the picture, and give neither values
on hover nor elements that a link can name. The report needs lines, bars, intervals and grids: a few hundred lines here,
about a millisecond per picture.

The view box is as wide as a phone, so that text is never smaller than the page's. Colours come from `style.STYLE`, by
class. All content from documents is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from request_logger.analytics.formatting import number
from request_logger.analytics.page.style import STYLE

WIDTH, HEIGHT = 360.0, 240.0
_RIGHT, _TOP = 10.0, 10.0
# Below the axes: of ticks and a label, and of ticks alone.
_BOTTOM, _TICKS = 38.0, 20.0
# Left of the axes there is room for the label, which is upright, and for the longest tick.
_LEAST_LEFT, _LABEL = 46.0, 22.0
# What a browser tolerates in a page makes an XML file invalid: control characters, and halves of characters.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The mean width of a character of 11 px in a wide font.
_CHARACTER = 6.6

Point = tuple[float, float]
Tick = tuple[float, str]


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; ``_`` in an attribute's name becomes a dash, a trailing one is removed."""
    known = "".join(
        f' {_attribute(key)}="{f"{value:.2f}" if isinstance(value, float) else escape(value)}"'
        for key, value in attributes.items()
    )
    inner = "".join(map(escape, children))
    # Markup.format would escape as well, and take four times as long: a page has thousands of elements.
    return Markup(f"<{name}{known}>{inner}</{name}>")  # noqa: S704


@lru_cache(maxsize=64)
def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a plot: ranges of x and y, ticks and labels; maps values to positions.

    ``top`` is the room above them, for a legend or a name. ``box``: the left, upper, right and lower end of all.
    """

    x: Point
    y: Point
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    x_label: str
    y_label: str
    top: float = _TOP
    box: tuple[float, float, float, float] = (0.0, 0.0, WIDTH, HEIGHT)

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The left, upper, right and lower end of the area of the values."""
        ticks = max((width_of(text) for _, text in self.y_ticks), default=0.0)
        left = max(_LEAST_LEFT, _LABEL + ticks) if self.y_label else ticks + 10
        below = _BOTTOM if self.x_label else _TICKS
        return self.box[0] + left, self.box[1] + self.top, self.box[2] - _RIGHT, self.box[3] - below

    def at(self, x: float, y: float) -> Point:
        """Return the position of a point, clipped to the axes."""
        left, top, right, bottom = self.frame
        return left + _share(x, self.x) * (right - left), bottom - _share(y, self.y) * (bottom - top)

    def drawn(self) -> Markup:
        """Return the grid, ticks and labels."""
        left, top, right, bottom = self.frame
        elements = []
        for y, text in self.y_ticks:
            height = self.at(self.x[0], y)[1]
            elements.append(element("line", x1=left, x2=right, y1=height, y2=height, class_="grid"))
            elements.append(element("text", text, x=left - 5, y=height + 4, text_anchor="end"))
        placed = [(self.at(x, self.y[0])[0], text) for x, text in self.x_ticks]
        for x, _ in placed:
            elements.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis"))
        elements.append(tick_labels(placed, left, right, bottom + 16))
        elements.append(element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
        if self.x_label:
            middle = (left + self.box[2]) / 2
            elements.append(element("text", self.x_label, x=middle, y=self.box[3] - 4, text_anchor="middle"))
        if self.y_label:
            middle = (top + bottom) / 2
            rotation = f"rotate(-90 {self.box[0] + 11:.2f} {middle:.2f})"
            label = element(
                "text", self.y_label, x=self.box[0] + 11, y=middle, text_anchor="middle", transform=rotation
            )
            elements.append(label)
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


def tick_labels(placed: Iterable[Tick], left: float, right: float, y: float) -> Markup:
    """Return the labels of ticks at their positions, within two ends; one that would overlap the last is left out."""
    elements = []
    end = -math.inf
    for x, text in placed:
        width = width_of(text)
        start = min(max(x - width / 2, left - 10), right + 7 - width)
        if start > end:
            elements.append(element("text", text, x=start + width / 2, y=y, text_anchor="middle"))
            end = start + width + 4
    return Markup("").join(elements)


def hint(text: str) -> Markup:
    """Return what a browser shows of an element on hover; empty for an empty text."""
    return element("title", text) if text else Markup("")


def short(text: str, width: float) -> str:
    """Return a text that fits a width: of a longer one both ends, since names often differ in their last part only."""
    most = max(int(width / _CHARACTER), 3)
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end].rstrip()}\N{HORIZONTAL ELLIPSIS}{text[-end:].lstrip()}"


def width_of(text: str) -> float:
    """Return about how wide a text is."""
    return len(text) * _CHARACTER


def picture(
    key: str, title: str, description: str, *content: Markup, height: float = HEIGHT, has_links: bool = False
) -> Markup:
    """Return a plot as an image whose title and description screen readers announce; ``key`` is unique per page.

    With links in it, it is a group: the content of an image can't be reached.
    """
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-text"),
        *content,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="group" if has_links else "img",
        aria_labelledby=f"{key}-title {key}-text",
        # Only needed in a file.
        xmlns="http://www.w3.org/2000/svg",
    )


def file_of(drawn: Markup) -> str:
    """Return a picture as an SVG file, which has its colours, light and dark, with it."""
    start, end = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", drawn).split(">", 1)
    paper = element("rect", width="100%", height="100%", class_="paper")
    return f"{start}><style>{STYLE}</style>{paper}{end}"
