"""When two versions of a document are the same: the time of scoring alone is no reason for a write."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.store.writing.steps import is_same

STORED: dict[str, Any] = {"request": {"a": 1}, "metrics": {"correct": 1, "scored_at": "2026-01-01T00:00:00.000Z"}}


@pytest.mark.parametrize(
    ("wanted", "stored", "expected"),
    [
        (STORED, STORED, True),
        ({**STORED}, STORED, True),
        ({**STORED, "metrics": {"correct": 1, "scored_at": "2026-01-02T00:00:00.000Z"}}, STORED, True),
        ({**STORED, "metrics": {"correct": 1}}, STORED, True),
        ({**STORED, "metrics": {"correct": 0, "scored_at": "2026-01-01T00:00:00.000Z"}}, STORED, False),
        ({**STORED, "request": {"a": 2}, "metrics": {"correct": 1}}, STORED, False),
        ({"request": {"a": 1}}, STORED, False),
        ({"request": {"a": 1}}, {"request": {"a": 1}, "metrics": "odd"}, False),
        (STORED, None, False),
        (None, STORED, False),
        (None, None, True),
    ],
)
def test_is_same(wanted: Any, stored: Any, expected: bool) -> None:
    """Joining two copies ended in writing one document for ever: each time the pair was scored anew in between."""
    assert is_same(wanted, stored) is expected
