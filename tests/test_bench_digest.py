"""`python -m bench.digest`: it finds the fields in which the documents of two versions differ, and nothing else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bench.digest import compared, differences
from bench.engines import Client
from bench.memory_engine import memory_engine


@pytest.mark.parametrize(
    ("one", "other", "paths"),
    [
        ({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1}, set()),
        ({"a": 1}, {"a": 1.0}, {"a"}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "c": 2}}, {"a.b"}),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, {"a.b"}),
        ({"a": {"b": 1}}, {"a": {}}, {"a.b"}),
        ({"a": {"b": 1}}, {"a": 1}, {"a"}),
        ({}, {"a": {"b": 1}}, {"a"}),
    ],
)
def test_differences(one: Any, other: Any, paths: set[str]) -> None:
    """A path is as short as it can be, whichever document comes first."""
    assert set(differences(one, other)) == set(differences(other, one)) == paths


def test_two_engines_are_compared() -> None:
    """Documents count that differ or are missing on one side; the time of scoring and the order of fields don't."""
    same = {"x": 1, "metrics": {"correct": 1, "scored_at": "2026-01-01"}}
    before = {"same": same, "changed": {"x": {"y": 1}}, "gone": {"x": 1}}
    after = {"same": {"metrics": {"scored_at": "2027-01-01", "correct": 1}, "x": 1}, "changed": {"x": {"y": 2}}}
    with memory_engine() as first, memory_engine() as second:
        engines = Client(first), Client(second)
        for engine, documents in zip(engines, (before, after), strict=True):
            lines = [({"index": {"_index": "a", "_id": id}}, document) for id, document in documents.items()]
            engine.ask("POST", "/_bulk", b"".join(orjson.dumps(line) + b"\n" for pair in lines for line in pair))
        count, fields = compared(*engines)
        assert (count, dict(fields)) == (2, {"x.y": 1, "x": 1})
        assert compared(engines[0], engines[0]) == (0, {})
