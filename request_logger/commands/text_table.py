"""Formats tables for a terminal: decimals are aligned, text is shortened to fit the width, numbers never."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence

# A column of text keeps this much, so that most names stay recognisable.
_LEAST = 12
_MOST = 40
# By which aligned decimals may widen a column.
_MOST_BLANKS = 6
_NONE = "-"
_GAP = "  "
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
# Other text in a column of figures: words and brackets of intervals, signs of shares, p-values and times.
_OF_FIGURES = re.compile(r"[\s()%<>:]*(?:to[\s()%<>]*)?(?:young)?")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ", width: int | None = None) -> str:
    """Return a table as text: the first column is left-aligned, the others right-aligned with their decimals aligned.

    ``width`` is the line's length, by default that of the terminal (none if there is no terminal). Where columns don't
    fit even with shortened text, those that are left follow in a second table below, with the first column again.
    """
    width = screen_width() if width is None else width
    columns = [[_printable(cell) for cell in column] for column in zip(header, *rows, strict=True)]
    first, *others = [_aligned(column) if k else column for k, column in enumerate(columns)]
    most = max(width - len(indent), 2 * _LEAST) if width else 0
    blocks = list(_blocks(_fitted([first, *others], most), most))
    return "\n\n".join(_lines(block, indent) for block in blocks)


def screen_width() -> int:
    """Return the characters per line of the terminal; 0 where the output isn't a terminal, whatever COLUMNS says.

    Test runners and notebooks set COLUMNS, and a file has lines of any length.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _lines(columns: Sequence[Sequence[str]], indent: str) -> str:
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns, strict=True):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append((indent + _GAP.join(cells)).rstrip())
    return "\n".join(lines)


def _fitted(columns: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    """Return the columns with text shortened, the widest first, until a row has at most ``most`` characters.

    Where that isn't enough, text is shortened to _MOST only: the columns are then in several tables.
    """
    # The first column names its row.
    texts = [k for k, column in enumerate(columns) if not k or _is_text(column)]
    limits = [_MOST if k in texts else max(map(len, column)) for k, column in enumerate(columns)]
    natural = [min(limit, max(map(len, column))) for limit, column in zip(limits, columns, strict=True)]
    widths = list(natural)
    while most and sum(widths) + len(_GAP) * (len(widths) - 1) > most:
        widest = max(texts, key=lambda k: widths[k])
        if widths[widest] <= _LEAST:
            # Each column fits next to the first one.
            rest = most - len(_GAP)
            widths = [min(width, rest - _LEAST) if k in texts else width for k, width in enumerate(natural)]
            widths[0] = min(natural[0], max(rest - max(widths[1:], default=0), _LEAST))
            break
        widths[widest] -= 1
    return [[_cut(cell, width) for cell in column] for column, width in zip(columns, widths, strict=True)]


def _blocks(columns: Sequence[list[str]], most: int) -> Iterator[list[list[str]]]:
    """Yield the columns in groups that fit, each with the first column."""
    first, *others = columns
    block = [first]
    for column in others:
        size = sum(max(map(len, each)) + len(_GAP) for each in block) + max(map(len, column))
        if most and size > most and len(block) > 1:
            yield block
            block = [first]
        block.append(column)
    yield block


def _is_text(column: Sequence[str]) -> bool:
    """Return whether a column has words, which may be shortened, and not only figures."""
    return not all(_is_figure(cell) for cell in column[1:])


def _is_figure(cell: str) -> bool:
    return cell.strip() in ("", _NONE) or (
        _NUMBER.search(cell) is not None and _OF_FIGURES.fullmatch(_NUMBER.sub("", cell)) is not None
    )


def _aligned(column: Sequence[str]) -> list[str]:
    """Return a column whose numbers have their decimal points below each other, if all cells are of one form."""
    head, *cells = column
    forms = [_NUMBER.split(cell) for cell in cells if cell != _NONE]
    longest = max(forms, key=len, default=[""])
    # A cell without an interval is the beginning of one with an interval.
    is_one_form = all(
        form[:-1] == longest[: len(form) - 1] and longest[len(form) - 1].startswith(form[-1]) for form in forms
    )
    if len(longest) < 2 or not is_one_form or not all(map(_is_figure, cells)):
        return list(column)
    found = [[_split(match) for match in _NUMBER.finditer(cell)] for cell in cells]
    slots = [[each[slot] for each in found if len(each) > slot] for slot in range(len(longest) - 1)]
    sizes = [[max(len(each[part]) for each in slot) for part in (1, 2)] for slot in slots]
    aligned = []
    for cell, numbers in zip(cells, found, strict=True):
        if not numbers:
            aligned.append(cell.rjust(len(longest[0]) + sizes[0][0]))
            continue
        parts = [
            f"{before}{whole.rjust(left)}{rest.ljust(right)}"
            for (before, whole, rest), (left, right) in zip(numbers, sizes, strict=False)
        ]
        aligned.append("".join(parts))
    width = max(map(len, aligned))
    if width > max(map(len, cells)) + _MOST_BLANKS:
        # Numbers of very different sizes, such as 123,456 and 1.2e-09.
        return list(column)
    return [head, *(text.ljust(width) for text in aligned)]


def _split(match: re.Match[str]) -> tuple[str, str, str]:
    """Return the text before a number (after the one before it), the number to its decimal point, and the rest.

    What follows a number without a blank, such as a bracket, or ends the cell, belongs to the rest.
    """
    text, start, end = match.string, match.start(), match.end()
    begin = max((each.end() + len(_tail(each)) for each in _NUMBER.finditer(text) if each.end() <= start), default=0)
    whole, point, rest = text[start:end].partition(".")
    return text[begin:start], whole, point + rest + _tail(match)


def _tail(match: re.Match[str]) -> str:
    rest = match.string[match.end() :]
    return rest if not _NUMBER.search(rest) else rest[: len(rest) - len(rest.lstrip(")%"))]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
