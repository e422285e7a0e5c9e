"""The table of results: as Markdown, and in docs/faults.md, whose rows can be measured again one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.faults.counting import Count
from bench.faults.rows import ROWS

PAGE = Path(__file__).parent.parent.parent / "docs" / "faults.md"
HEADINGS = ("what happens", "events", "retries", "acknowledged", "stored", "missing", "duplicates", "longest s", "MB")


def table(results: Mapping[str, Count]) -> list[tuple[str, ...]]:
    """Return the heading and a row of cells for each result."""
    lines: list[tuple[str, ...]] = [("row", *HEADINGS)]
    for name, one in results.items():
        numbers = (one.events, one.again, one.acknowledged, one.stored, one.missing, one.duplicated)
        figures = [f"{number:,}" for number in numbers]
        lines.append((name, ROWS[name].what, *figures, f"{one.longest:.1f}", f"{one.memory:.0f}"))
    return lines


def markdown(results: Mapping[str, Count]) -> list[str]:
    """Return the lines of the table as Markdown."""
    lines = [(f"`{line[0]}`" if number else line[0], *line[1:]) for number, line in enumerate(table(results))]
    lines.insert(1, ("---", "---", *("---:",) * 8))
    return ["| " + " | ".join(line) + " |" for line in lines]


def write(results: Mapping[str, Count], page: Path = PAGE) -> None:
    """Replace the measured rows of the page's table; the others stay. Raises ValueError if the page lacks a row."""
    lines = page.read_text(encoding="utf-8").split("\n")
    for row in markdown(results)[2:]:
        name = row.split(" | ")[0]
        lines[[line.split(" | ")[0] for line in lines].index(name)] = row
    page.write_text("\n".join(lines), encoding="utf-8")
