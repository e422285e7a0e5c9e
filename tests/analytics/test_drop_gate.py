"""`check-quality --max-drop`: a drop counts where its whole interval is above the limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.drop_gate import MaxDrop, Severity
from request_logger.analytics.proportions import shares_contrast
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from tests.analytics.stored import document, engine_at, store
from tests.helpers import Index

N = 600
LABELS = np.array(["ant", "bee", "cow"])
BEFORE, AFTER = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
PERIOD, FROM = ("--against", "2026-01-01..2026-02-01"), ("--from", "2026-02-01", "--to", "2026-03-01")
Run = Callable[..., tuple[int, str, str]]


def pairs(seed: int, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truths = generator.integers(0, 3, N)
    wrong = generator.random(N) >= accuracy
    return truths, np.where(wrong, (truths + 1) % 3, truths)


@pytest.fixture(scope="module")
def stored(engine: Any) -> Iterator[Any]:
    """A month with an accuracy of .9 and one with .8; and errors of numbers that become smaller."""
    name, scorer = "inference-log-seldon-test-drop-gate", build("multiclass", {})
    months = pairs(1, 0.9), pairs(2, 0.8)
    for (truths, said), at in zip(months, (BEFORE, AFTER), strict=True):
        found = (
            document(scorer, str(LABELS[t]), np.eye(3)[p].tolist(), names=tuple(LABELS), deployment="drop-gate",
                     at=at + timedelta(minutes=k), delay_seconds=3600.0, request_id=f"{at:%m}-{k}")
            for k, (t, p) in enumerate(zip(truths, said, strict=True))
        )  # fmt: skip
        store(engine_at(engine.url), name, found)
    yield months
    Index(engine.url).drop(name)


@pytest.fixture
def command(reach: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line on the deployment; gives status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["check-quality", "--deployment", "drop-gate", *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


@pytest.mark.engine
def test_the_limit_of_the_interval_decides(command: Run, stored: Any) -> None:
    hits = [int((truths == said).sum()) for truths, said in stored]
    expected = shares_contrast(hits[0], N, hits[1], N).once.interval  # type: ignore[union-attr]
    status, out, err = command(*FROM, *PERIOD, "--max-drop", "0.02", "--json")
    told = json.loads(out)
    assert (status, told["status"], err) == (1, 1, "")
    drop = told["drops"][0]
    assert (drop["metric"], drop["scorer"], drop["labels"]) == ("accuracy", "multiclass", [N, N])
    figures = [sk.accuracy_score(truths, said) for truths, said in stored]
    assert drop["drop"] == pytest.approx(figures[0] - figures[1], abs=1e-12)
    assert (drop["low"], drop["high"]) == pytest.approx((-expected.high, -expected.low), abs=1e-12)
    for limit, wanted in ((drop["low"] - 1e-9, 1), (drop["low"] + 1e-9, 0)):
        assert command(*FROM, *PERIOD, "--max-drop", f"accuracy={limit!r}")[0] == wanted
    line = command(*FROM, *PERIOD, "--max-drop", "0.02")[1]
    assert line.startswith("VIOLATED: accuracy 0.") and "a drop of 0." in line


@pytest.mark.engine
def test_two_severities(command: Run, stored: Any) -> None:
    """A warning has its own status; a failure, or a violated condition, is more than that."""
    of = (*FROM, *PERIOD)
    assert command(*of, "--warn-drop", "0.01", "--max-drop", "0.3")[0] == 4
    assert command(*of, "--warn-drop", "0.01", "--max-drop", "0.02")[0] == 1
    assert command(*of, "--warn-drop", "0.3", "--max-drop", "0.3")[0] == 0
    assert command(*of, "--warn-drop", "0.01", "--min", "accuracy=0.99")[0] == 1
    status, out, _ = command(*of, "--warn-drop", "f1_macro=0.01", "--min", "accuracy=0.1")
    assert status == 4 and "ok: accuracy" in out and "WARNING: f1_macro" in out


@pytest.mark.engine
def test_windows(command: Run, stored: Any) -> None:
    """The span before and the same weekdays; an improvement is no drop, and few labels are no verdict."""
    four_weeks = ("--from", "2026-02-02", "--to", "2026-03-02")
    for against in ("previous", "same-weekday"):
        assert command(*four_weeks, "--against", against, "--max-drop", "0.02")[0] == 1
    backwards = ("--from", "2026-01-01", "--to", "2026-02-01", "--against", "2026-02-01..2026-03-01")
    status, out, _ = command(*backwards, "--max-drop", "0")
    assert status == 0 and "a drop of -0." in out
    status, out, _ = command(*FROM, *PERIOD, "--max-drop", "0.02", "--min-labels", str(N + 1))
    assert (status, out.startswith("not enough data: the drop of accuracy")) == (3, True)
    assert command(*FROM, "--against", "2025-01-01..2025-02-01", "--max-drop", "0.02")[0] == 3
    assert command("--from", "2027-01-01", *PERIOD, "--max-drop", "0.02")[:2] == (
        3,
        "not enough data: no scored pairs\n",
    )
    assert command(*FROM, "--against", "reference", "--max-drop", "0.02")[0] == 3


@pytest.mark.engine
def test_mature_windows(command: Run, stored: Any) -> None:
    """All labels came within an hour, long ago: --mature leaves nothing out. Without any prediction it is unknown."""
    of = (*FROM, *PERIOD, "--max-drop", "0.02")
    assert command(*of, "--mature") == command(*of)
    status, out, _ = command(*of, "--mature", "--model", "unknown")
    assert status == 3 and out.startswith("not enough data: --mature")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-drop", "0.02"), "expected --against together with --max-drop"),
        (("--against", "previous"), "expected at least one --min"),
        (("--against", "previous", "--min", "accuracy=0.1"), "expected --against together"),
        (("--against", "previous", "--max-drop", "0.02"), "--against previous: expected --from"),
        (("--from", "x", "--against", "previous", "--max-drop", "0.02"), "--from: expected a date"),
        ((*FROM, *PERIOD, "--max-drop", "mse=0.02"), "--max-drop: expected one of"),
        (("--max-drop", "much"), "expected a number of at least 0"),
    ],
)
def test_wrong_usage(command: Run, stored: Any, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = command(*arguments)
    assert (status, out) == (2, "") and message in err


def test_limits() -> None:
    """A limit is a number, for one metric or for the first of each scorer."""
    assert MaxDrop.of("0.02", Severity.FAILURE) == MaxDrop("", 0.02, Severity.FAILURE)
    assert MaxDrop.of("f1_macro=0.5", Severity.WARNING) == MaxDrop("f1_macro", 0.5, Severity.WARNING)
    for bad in ("", "x", "accuracy=", "accuracy=x", "=1", "-0.1", "nan", "inf", "a=b=1"):
        with pytest.raises(ValueError, match="expected a number"):
            MaxDrop.of(bad, Severity.FAILURE)
