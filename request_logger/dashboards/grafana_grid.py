"""Lays out a Grafana dashboard's panels on its grid, in rows with headings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

Json = dict[str, Any]
P = TypeVar("P")

WIDTH = 24
"""The grid's columns."""


class Grid(Generic[P]):
    """Lays out panels from left to right and rows from top to bottom.

    ``size_of`` returns a panel's width and height, ``make`` its JSON from its id and its place.
    """

    def __init__(self, size_of: Callable[[P], tuple[int, int]], make: Callable[[P, int, Json], Json]) -> None:
        self._size_of = size_of
        self._make = make
        self._top = 0
        self._number = 0

    def lay_out(self, rows: Sequence[tuple[str, Sequence[P]]], expanded: int = 1) -> list[Json]:
        """Return the panels of all rows, titles and panels; those after the first ``expanded`` rows are collapsed."""
        made: list[Json] = []
        for position, (title, panels) in enumerate(rows):
            # A collapsed row sends no queries until somebody opens it.
            is_collapsed = position >= expanded
            heading: Json = {
                "type": "row", "title": title, "id": self._next(), "collapsed": is_collapsed,
                "gridPos": {"x": 0, "y": self._top, "w": WIDTH, "h": 1}, "panels": [],
            }  # fmt: skip
            self._top += 1
            laid_out = self._lay_out_row(panels)
            made.append(heading)
            if is_collapsed:
                heading["panels"] = laid_out
            else:
                made.extend(laid_out)
        return made

    def _lay_out_row(self, panels: Iterable[P]) -> list[Json]:
        left = height = 0
        laid_out = []
        for panel in panels:
            width, panel_height = self._size_of(panel)
            if left + width > WIDTH or (height and panel_height != height):
                self._top, left, height = self._top + height, 0, 0
            place = {"x": left, "y": self._top, "w": width, "h": panel_height}
            laid_out.append(self._make(panel, self._next(), place))
            left, height = left + width, panel_height
        self._top += height
        return laid_out

    def _next(self) -> int:
        self._number += 1
        return self._number
