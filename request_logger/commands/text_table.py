"""Formats tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 40


def table(header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Return a table as text: the first column is left-aligned, the others right-aligned; long text is truncated."""
    cut = [[_cut(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    lines = []
    for row in cut:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
