"""Tables in a terminal: decimals below each other, lines that fit, numbers that are never cut."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.commands.text_table import screen_width, table

HEADER = ["class", "precision", "recall", "support", "why there is no figure"]
ROWS = [
    ["versicolor", "0.6087 (0.4079 to 0.7959)", "0.6364", "22", "-"],
    ["setosa", "1 (0.8318 to 1)", "-", "1,219", "a reason in many words, which may be shortened"],
]


def test_decimals_are_aligned() -> None:
    """Those of an interval, too; a dash is where the whole number would be."""
    assert table(HEADER[:4], [row[:4] for row in ROWS], width=0).splitlines() == [
        "  class                       precision  recall  support",
        "  versicolor  0.6087 (0.4079 to 0.7959)  0.6364       22",
        "  setosa      1      (0.8318 to 1)       -         1,219",
    ]


@pytest.mark.parametrize(
    "cells",
    [["50 %", "5.25 %", "-"], ["12 young", "1,234", "7"], ["-1.5", "12.25", "1e-07"], ["< 0.0001", "0.2", "1"]],
)
def test_every_form_of_a_number_is_kept(cells: list[str]) -> None:
    """The other cells of its column do not change it."""
    lines = table(["of", "n"], [["x", cell] for cell in cells], width=0).splitlines()[1:]
    assert [line.split(None, 1)[1].strip() for line in lines] == cells


def test_text_is_shortened_before_anything_else() -> None:
    """To the width of the terminal."""
    text = table(HEADER, ROWS, width=85)
    assert max(map(len, text.splitlines())) <= 85
    assert "a reason" in text
    assert "shortened" not in text


def test_columns_that_do_not_fit_follow_below() -> None:
    """With the first column again, and every number in full."""
    text = table(HEADER, ROWS, width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert len(re.findall("versicolor", text)) == len(re.findall("setosa", text)) > 1
    for row in ROWS:
        assert all(number in text for cell in row[:4] for number in re.findall(r"[\d.,]*\d", cell))


NUMBERS = st.one_of(st.integers(-(10**9), 10**9).map("{:,}".format), st.floats(-1e6, 1e6).map("{:.4g}".format))


@given(
    st.lists(st.tuples(st.text(max_size=60), NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4), st.integers(36, 90)
)
def test_any_table_fits_and_keeps_its_numbers(rows: list[tuple[str, str, str, str]], width: int) -> None:
    """Whatever the texts are."""
    text = table(["name", "a", "b", "c"], [[name, a, b, c] for name, a, b, c in rows], width=width)
    assert all(len(line) <= width for line in text.split("\n"))
    assert all(number in text for _, *numbers in rows for number in numbers)


def test_without_a_terminal_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a pipe has whole lines, whatever COLUMNS says."""
    monkeypatch.setenv("COLUMNS", "70")
    assert screen_width() == 0
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert screen_width() == 70


def test_no_rows() -> None:
    """The header alone."""
    assert table(["a", "b"], [], width=80) == "  a  b"
