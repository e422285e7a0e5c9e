"""The slices of one task as text, for `report` and `slices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics.slices.tables import header, rows, summary
from request_logger.commands.text_table import table


def slice_lines(task: dict[str, Any]) -> Iterator[str]:
    """Yield the slices of one task as lines of text."""
    if "reason" in task:
        yield f"No slices: {task['reason']}."
    else:
        yield summary(task)
        if task.get("slices"):
            yield table(header(task), list(rows(task)))
    yield from (f"Note: {note}" for note in task.get("notes", []))
