"""docs/scorers.md says what the code does, and its example runs as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from request_logger.scoring.registry import registered, scorer_class
from request_logger.scoring.rules import Chooser
from scorers import auto
from scorers.base import Row, Scorer, UnscorableError
from tests.scorers.aggregate import metrics_of

TEXT = (Path(__file__).parents[2] / "docs" / "scorers.md").read_text(encoding="utf-8")


def fenced(language: str) -> str:
    """The one fenced block of a language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    return str(block)


def section(title: str) -> str:
    """The text of a section."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_scorer_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is at most twenty lines, chosen by its dotted path, checked, and rolled up."""
    source = fenced("python")
    body = [line for line in source.splitlines() if line.strip()]
    assert len(body) <= 20
    module = ModuleType("house_prices")
    monkeypatch.setitem(sys.modules, "house_prices", module)
    exec(compile(source, "docs/scorers.md", "exec"), module.__dict__)
    chosen = Chooser("house_prices.WithinTenPercent:tolerance=0.2").choose("", "", "", "", Row(100), Row(115))
    assert isinstance(chosen, Scorer)
    assert chosen.score(Row(100), Row(115)) == {"correct": 1}
    assert metrics_of(chosen, [(Row(100), Row(115)), (Row(100), Row(130))]) == {"accuracy": 0.5}
    with pytest.raises(UnscorableError):
        chosen.score(Row(0), Row(1))
    scorer_class.cache_clear()


def test_into_the_image(tmp_path: Path) -> None:
    """A module in a folder that PYTHONPATH names is found, as the Dockerfile sets it."""
    (copied, folder), (searched, scorer) = (
        re.findall(pattern, TEXT)[0]
        for pattern in (r"COPY (house_prices\.py) (\S+)/\n", r"PYTHONPATH=(\S+) SCORER=(\S+)")
    )
    assert searched == folder
    (tmp_path / copied).write_text(fenced("python"))
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "request_logger.cli", "try", "--scorer", scorer, "100", "109"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"scorer": "within_ten_percent", "basis": "truth", "correct": 1}


def test_the_rules_file(tmp_path: Path) -> None:
    """The YAML of the page is a valid file."""
    path = tmp_path / "scorers.yaml"
    path.write_text(fenced("yaml"))
    assert len(yaml.safe_load(fenced("yaml"))["rules"]) == 3
    assert Chooser("auto", str(path)).choose("prod-1", "fraud-x", "a", "b", Row(1), Row(0.2)).name == "binary"


def test_every_metric_has_a_row() -> None:
    """Its formula, its assumptions, and when not to believe it; and there is no row of another."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [row.split(" | ")[0] for row in page.splitlines() if row.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {metric.name for name in registered() for metric in scorer_class(name).metrics}


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_scorer_option_and_metric_is_documented(name: str) -> None:
    """A scorer, an option or a metric can't be added without its line."""
    cls: Any = scorer_class(name)
    assert f"`{name}`" in TEXT
    for option in fields(cls):
        assert f"`{option.name}`" in section("Options")
    for metric in cls.metrics:
        plain = re.sub(r"_(macro|micro|weighted)$", "", metric.name)
        assert plain in section("Metrics"), metric.name


def test_every_field_is_documented() -> None:
    """The fields that the roll-ups read are on the page."""
    read = {
        getattr(need, attribute, None)
        for name in registered()
        for metric in scorer_class(name).metrics
        for need in metric.needs.values()
        for attribute in ("field", "by")
    } - {None}
    assert {"correct", "true_positive"} <= read
    assert [field for field in read if f"`{field}`" not in section("Fields")] == []


def test_the_auto_table_is_that_of_the_code() -> None:
    """The page's table has the rows of the module's docstring."""
    page = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section("auto").splitlines()
        if line[:1] == "|"
    ]
    assert auto.__doc__
    border = next(line for line in auto.__doc__.splitlines() if line.startswith("==="))
    rows = auto.__doc__.split(border)[2].strip("\n").splitlines()
    starts = [0, len(border.split()[0]) + 1, len(border) - len(border.split()[-1])]
    for cells, row in zip(page[2:], rows, strict=True):
        truth, prediction, scorer = (
            row[: starts[1]].strip(),
            row[starts[1] : starts[2]].strip(),
            row[starts[2] :].split()[0],
        )
        assert (cells[0], cells[1]) == (truth, prediction)
        assert cells[2].startswith(scorer)
