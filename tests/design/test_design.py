"""docs/architecture.md shows the packages and the way of an event as they are; packages and modules stay small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from request_logger.settings import Settings
from tests.design.packages import ROOT, layers, table
from tests.design.page import diagram, part
from tests.design.trace import way_of_an_event

PROGRAM = ROOT / "request_logger"
MOST_LINES = 400
# From the events route to the bulk request.
MOST_MODULES = 7


def test_the_table_is_made_of_the_packages() -> None:
    """`make docs` writes it."""
    assert part("packages") == table()


def test_every_package_has_its_layer() -> None:
    """And every layer is a package or module."""
    found = {path.name for path in PROGRAM.iterdir() if (path / "__init__.py").is_file()}
    found |= {path.stem for path in PROGRAM.glob("*.py")} - {"__init__"}
    assert set(layers()) == found


def test_imports_go_down_only() -> None:
    """Nor is there a circle: the contracts are in pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("top", ["request_logger", "scorers", "tests", "bench"])
def test_modules_are_small(top: str) -> None:
    """One module, one job."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / top).rglob("*.py")}
    assert counts
    assert {str(path): lines for path, lines in counts.items() if lines > MOST_LINES} == {}


@pytest.mark.engine
def test_the_way_of_an_event(reach: Settings, deployment: str) -> None:
    """The diagram has the modules that an event passes, from the events route to the bulk request: seven."""
    trace = way_of_an_event(reach, deployment)
    assert trace.trunk[0] == "server.events_route"
    assert len(trace.trunk) <= MOST_MODULES
    documented, found = part("way"), diagram(trace)
    # What the writer's thread uses depends on what else it has to do just then.
    in_the_request = re.compile(r"^  (?:t\d+\[.*|t\d+ -.*-> t\d+|t[01] -\.- .*)$", re.MULTILINE)
    assert in_the_request.findall(documented) == in_the_request.findall(found) != []
