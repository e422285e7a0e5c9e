"""The table of faults in the docs: every row of the benchmark is in it, and can be measured anew alone. No engine."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.faults import page
from bench.faults.counting import Count
from bench.faults.rows import ROWS


def rows_of(text: str) -> dict[str, list[str]]:
    """Name -> cells, of the page's table."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in lines if len(cells) == 1 + len(page.HEADINGS)}


def test_the_page_has_every_row() -> None:
    """With its description, and nothing missing in it."""
    found = rows_of(page.PAGE.read_text(encoding="utf-8"))
    assert {name: cells[0] for name, cells in found.items()} == {name: row.what for name, row in ROWS.items()}
    assert all(cells[5:7] == ["0", "0"] for cells in found.values())


def test_one_row_is_measured_anew(tmp_path: Path) -> None:
    """The others, and the text, stay."""
    copy = tmp_path / "faults.md"
    shutil.copy(page.PAGE, copy)
    before = copy.read_text(encoding="utf-8").splitlines()
    measured = Count(events=3000, acknowledged=3000, stored=3000, longest=1.25, memory=512.4)
    page.write({"poison": measured}, copy)
    after = copy.read_text(encoding="utf-8").splitlines()
    (changed,) = [number for number, line in enumerate(before) if line != after[number]]
    assert len(after) == len(before)
    assert rows_of(after[changed])["poison"][1:] == ["3,000", "0", "3,000", "3,000", "0", "0", "1.2", "512"]
