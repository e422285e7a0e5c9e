"""A plot: a picture with its title, its caption, and a table of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from request_logger.analytics.page import svg

Report = dict[str, Any]
UNIT = (0.0, 1.0)
UNIT_TICKS: list[svg.Tick] = [(share / 5, f"{share / 5:g}") for share in range(6)]


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture with its caption and the table of its numbers; ``name`` is unique within the page."""

    title: str
    picture: Markup
    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    name: str

    @property
    def file(self) -> str:
        """The picture as an SVG file, in the colours of the reader's theme."""
        return svg.file_of(self.picture)


def plot(
    name: str,
    title: str,
    caption: str,
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *drawn: Markup,
    height: float = svg.HEIGHT,
    has_links: bool = False,
) -> Plot:
    """Return a plot of what is drawn."""
    picture = svg.picture(name, title, caption, *drawn, height=height, has_links=has_links)
    return Plot(title, picture, caption, header, rows, name)


def capitalized(text: str) -> str:
    """Return a text with a capital first letter, all others as they are."""
    return f"{text[:1].upper()}{text[1:]}"


def metric_value(task: Report, name: str) -> float | None:
    """Return the value of a metric of a task; None if it has none."""
    return next((found["value"] for found in task.get("metrics", []) if found["name"] == name), None)
