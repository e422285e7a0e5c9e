"""Where truths and predictions name the classes in different words there are no figures, but the reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from request_logger.analytics.report import Options, make_report
from request_logger.analytics.vocabularies import DISJOINT, LEAST_PAIRS, are_disjoint
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from tests.analytics.stored import START, document, engine_at, store


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (None, False),
        ({}, False),
        ({"0": {"cat": 30}, "1": {"dog": 10}}, True),
        ({"0": {"cat": LEAST_PAIRS - 1, "dog": 0}, "1": {"dog": 1}}, True),
        ({"0": {"cat": LEAST_PAIRS - 2}, "1": {"dog": 1}}, False),
        ({"0": {"cat": 100}}, False),
        ({"0": {"cat": 100, "dog": 1}}, True),
        ({"cat": {"dog": 100}, "dog": {"bird": 1}}, False),
        ({"cat": {"dog": 100, "cat": 0}, "bird": {"dog": 1}}, True),
    ],
)
def test_are_disjoint(matrix: dict[str, dict[str, int]] | None, expected: bool) -> None:
    """Only labels of pairs that exist count, and only where there are enough pairs and labels."""
    assert are_disjoint(matrix) is expected


@pytest.fixture
def indices(reach: Settings, deployment: str) -> Iterator[tuple[str, str]]:
    """One deployment that truths name by number and the model by word, and one where both use words."""
    engine = engine_at(f"http://{reach.elasticsearch_host}:{reach.elasticsearch_port}")
    scorer = build("multiclass", {})
    names = ("cat", "dog", "fox")
    made = []
    for kind, truths in (("numbers", ("0", "1", "2")), ("words", names)):
        index = f"inference-log-seldon-test-{deployment}-{kind}-default"
        documents: list[dict[str, Any]] = [
            document(scorer, truths[k % 3], names[(k // 2) % 3], at=START + timedelta(hours=k), names=names)
            for k in range(30)
        ]
        store(engine, index, documents)
        made.append(index)
    yield made[0], made[1]
    for index in made:
        engine.request("DELETE", f"/{index}")


@pytest.mark.engine
def test_a_report_says_so(
    reach: Settings, indices: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are left out and the reason is given, as JSON, as text and on the page."""
    engine = engine_at(f"http://{reach.elasticsearch_host}:{reach.elasticsearch_port}")
    (task,) = make_report(engine, reach, Options(indices[0]))["tasks"]
    assert task["reason"] == DISJOINT
    assert task.keys() == {"scorer", "documents", "reason", "confusion_matrix"}
    (task,) = make_report(engine, reach, Options(indices[1]))["tasks"]
    assert "reason" not in task
    assert task["metrics"]
    page = tmp_path / "report.html"
    assert main(["report", indices[0]]) == 0
    assert main(["report", indices[0], "--html", str(page)]) == 0
    assert f"No figures: {DISJOINT}." in capsys.readouterr().out
    assert f"No figures: {DISJOINT}." in page.read_text(encoding="utf-8")
