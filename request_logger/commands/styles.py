"""Styles lines for a terminal: in colour where the output is a terminal and NO_COLOR is not set, else plain text."""
# ruff: noqa: T201  # it prints for the commands

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import StrEnum


class Style(StrEnum):
    """What a line is, with the terminal's code (ECMA-48) for it."""

    HEADING = "1"
    NOTE = "33"
    WARNING = "1;31"


class Line(str):
    """A line of text with a style; everywhere but on a terminal it is only the text."""

    __slots__ = ("style",)
    style: Style

    @classmethod
    def of(cls, text: str, style: Style) -> Line:
        """Return a text with a style."""
        line = cls(text)
        line.style = style
        return line


def heading(text: str) -> Line:
    """Return a heading."""
    return Line.of(text, Style.HEADING)


def note(text: str) -> Line:
    """Return a line that limits the figures."""
    return Line.of(f"Note: {text}", Style.NOTE)


def warning(text: str) -> Line:
    """Return a line without which the figures mislead."""
    return Line.of(f"WARNING: {text}", Style.WARNING)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, with their styles if the output is a terminal (https://no-color.org)."""
    is_styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in lines:
        # A name of a sender, or a reason, may have a terminal's codes of its own.
        text = "".join(char if char.isprintable() or char == "\n" else " " for char in line)
        print(f"\x1b[{line.style}m{text}\x1b[0m" if is_styled and isinstance(line, Line) else text)
