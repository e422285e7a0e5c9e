"""Files that a page contains itself, as ``data:`` links: the tables as CSV and JSON, the pictures as SVG.

So a page that was mailed has them, too, and the server computes no figure twice.
"""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.common.spreadsheets import without_formula

_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Download:
    """A file: what it is, its name, and the link that contains it."""

    kind: str
    name: str
    url: str


def of_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Download]:
    """Return a table as CSV, and as JSON with one object per row."""
    rows = [[_value(cell) for cell in row] for row in rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[_cell(cell) for cell in row] for row in (header, *rows)])
    names = list(header) if len(set(header)) == len(header) else [f"{name} {k + 1}" for k, name in enumerate(header)]
    objects = [dict(zip(names, row, strict=False)) for row in rows]
    return [
        _download("CSV", title, "text/csv", text.getvalue()),
        _download("JSON", title, "application/json", json.dumps(objects, ensure_ascii=False)),
    ]


def of_picture(title: str, file: str) -> Download:
    """Return the link to a picture as an SVG file."""
    # Markup is shorter in base64 than with its characters escaped.
    return Download("SVG", _file(title, "svg"), f"data:image/svg+xml;base64,{b64encode(file.encode()).decode()}")


def _download(kind: str, title: str, media_type: str, text: str) -> Download:
    return Download(kind, _file(title, kind.lower()), f"data:{media_type};charset=utf-8,{quote(text)}")


def _file(title: str, suffix: str) -> str:
    return f"{_NAME.sub('-', title).strip('-').lower()[:60] or 'figure'}.{suffix}"


def _value(cell: Any) -> Any:
    """Return a cell of a page as a value: a number where it is one, nothing where it is a dash."""
    if not isinstance(cell, str):
        return cell
    if cell in ("", "-"):
        return None
    if not _NUMBER.fullmatch(cell):
        return cell
    plain = cell.replace(",", "")
    return int(plain) if plain.lstrip("-").isdecimal() else float(plain)


def _cell(value: Any) -> Any:
    return without_formula(value) if isinstance(value, str) else value
