"""Where one index of many can't be asked, each command names it, and answers without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from request_logger.cli import main
from request_logger.settings import Settings
from request_logger.store.errors import is_partial, reason_of
from tests.helpers import Index, Sender, event, index_of, ndarray

SAID = "index bad: query_shard_exception: no number"
SHARD = {"shard": 0, "index": "bad", "reason": {"type": "query_shard_exception", "reason": "no\nnumber", "index": "b"}}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ({"error": {"failed_shards": [SHARD], "reason": "all shards failed"}}, SAID),
        ({"_shards": {"failed": 1, "failures": [SHARD]}}, SAID),
        ({"error": {"root_cause": [{"type": "x", "reason": "y", "index": "i"}]}}, "index i: x: y"),
        ({"error": {"type": "x", "reason": "y"}}, "x: y"),
        ({"error": "no handler"}, '{"error":"no handler"}'),
        ("<html>", "<html>"),
        (None, "null"),
        ({"_shards": {"failed": 1, "failures": ["lost"]}}, '{"_shards":{"failed":1,"failures":["lost"]}}'),
        ({"_shards": {"failures": [{"index": 5, "reason": "lost\nhere"}]}}, "lost here"),
        ({"error": {"failed_shards": {}, "root_cause": "x", "caused_by": {"type": "t", "reason": "r"}}}, "t: r"),
        ([1], "[1]"),
    ],
)  # fmt: skip
def test_one_line(answer: Any, right: str) -> None:
    """The cause of the first shard that failed, else the root of all, else all that there is."""
    assert reason_of(answer) == right


@pytest.mark.parametrize(
    ("answer", "partial"),
    [
        ({"timed_out": False, "_shards": {"total": 2, "failed": 0}}, False),
        ({}, False),
        ({"timed_out": True, "_shards": {"total": 2, "failed": 0}}, True),
        ({"timed_out": False, "_shards": {"total": 2, "failed": 1}}, True),
        ({"timed_out": False, "_shards": {"total": 2, "successful": 1, "failed": 0}}, True),
        ({"timed_out": False, "_shards": {"total": 2, "successful": 2, "skipped": 1, "failed": 0}}, False),
        ({"_shards": None}, False),
        ({"_shards": ["x"]}, False),
    ],
)
def test_half_an_answer(answer: dict[str, Any], partial: bool) -> None:
    """Whatever the reason."""
    assert is_partial(answer) == partial


@pytest.mark.engine
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "command",
    [("report", "--json"), ("export",), ("check-quality", "--min", "mean_reward=0"), ("rescore", "--dry-run")],
)
def test_the_index_is_named(
    command: tuple[str, ...],
    alone: bool,
    refusing: Callable[[str], None],
    reach: Settings,
    deployment: str,
    sender: Sender,
    index: Index,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An index with numbers for times: alone it is an error of one line; beside one that is in order it is left out."""
    good, bad = index_of(deployment), f"{index_of(deployment)}-bad"
    refusing(bad)
    assert sender.send(event("response", "r", deployment), ndarray([[0.2, 0.8]]))[0] == 200
    assert sender.send(event("feedback", "r", deployment), json.dumps({"reward": 1}).encode())[0] == 200
    index.refresh()
    indices = bad if alone else f"{good},{bad}"
    where = [indices] if command[0] == "report" else ["--index", indices]
    to = [str(tmp_path / "x.csv")] if command[0] == "export" else []
    status = main([*command, *to, *where, "--from", "2026-01-01"])
    said = capsys.readouterr()
    if alone:
        assert (status, said.err.count("\n")) == (2, 1), said.err
        assert f"index {bad}: " in said.err
    else:
        # The answer is that of the good one.
        assert status == 0, said.err
        assert f"Left out, because they could not be asked: {bad} (" in said.out + said.err
