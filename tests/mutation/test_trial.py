"""Trials of a small module: the verdict on each mutant is what its tests can detect."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutation.groups import ROOT
from tests.mutation.mutants import mutant, sites
from tests.mutation.trial import (
    ENDLESS,
    KILLED,
    NOT_EXECUTED,
    ON_IMPORT,
    SURVIVED,
    Cache,
    Found,
    InProcess,
    Trial,
    fresh,
    in_child,
    options,
)

MODULE = """\
LIMIT = 10

def clipped(value):
    return min(value, LIMIT)

def sign(value):
    if value < 0:
        return -1
    return 1

def unused():
    return LIMIT - 1

def bits(value):
    found = 0
    while value > 0:
        value -= 1
        found += 1
    return found
"""
TESTS = """\
from {name} import bits, clipped, sign

def test_clipped():
    assert (clipped(3), clipped(30)) == (3, 10)

def test_sign():
    assert sign(-3) == -1
    assert sign(3) == 1

def test_bits():
    assert bits(2) == 2

def test_that_fails():
    assert bits(2) == 3
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a module and its tests, within the repository: tests are named by their path from its root."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        made = Path(name)
        (made / f"sample_{made.name}.py").write_text(MODULE)
        (made / f"test_sample_{made.name}.py").write_text(dedent(TESTS).format(name=f"sample_{made.name}"))
        yield made


def trials_of(path: Path) -> dict[str, Trial]:
    found = [mutant(MODULE, site) for site in sites(MODULE)]
    return {each.change: Trial(path.stem, path, each) for each in found}


def test_verdicts(folder: Path) -> None:
    """In one process per mutant; a test that fails on the original takes no part, a result is measured once."""
    path = next(folder.glob("sample_*.py"))
    trials = trials_of(path)
    lines: list[str] = []
    cache = Cache([path], folder / "cache")

    def run() -> tuple[Found | None, list[str]]:
        sys.path.insert(0, str(folder))
        plugin = InProcess([path], list(trials.values()), 60, lines.append)
        # An endless mutant has to end soon here.
        plugin.least_seconds = 2.0
        plugin.cache = cache
        pytest.main([*options(1), str(folder)], plugins=[plugin])
        return plugin.found, lines

    found, said = in_child(run) or (None, [])
    assert found is not None
    verdicts = {change: verdict for change, (verdict, _) in zip(trials, found.verdicts, strict=True)}
    assert verdicts["return min(value, LIMIT)  ->  return None"] == KILLED
    assert verdicts["min(value, LIMIT)  ->  max(value, LIMIT)"] == KILLED
    assert verdicts["if value < 0:  ->  if not value < 0:"] == KILLED
    assert verdicts["value < 0  ->  value <= 0"] == SURVIVED
    assert verdicts["LIMIT - 1  ->  LIMIT + 1"] == NOT_EXECUTED
    assert verdicts["value -= 1  ->  value += 1"] == ENDLESS
    assert verdicts["10  ->  11"] == ON_IMPORT
    assert any(line.startswith("left out, it fails on the original: ") for line in said)
    assert any("value < 0  ->  value <= 0" in line for line in said)
    test = next(folder.glob("test_*.py"))
    measured = cache.read(test)
    assert measured is not None
    assert {name.rpartition("::")[2] for name in measured.seconds} == {"test_clipped", "test_sign", "test_bits"}
    test.write_text(test.read_text() + "\n")
    assert cache.read(test) is None


def test_mutants_of_code_that_is_executed_on_import(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are imported instead of the module."""
    monkeypatch.syspath_prepend(str(folder))
    path = next(folder.glob("sample_*.py"))
    trial = trials_of(path)["10  ->  11"]
    file = next(folder.glob("test_*.py")).relative_to(ROOT)
    assert fresh(trial, [f"{file}::test_sign", f"{file}::test_clipped"], 1, 60) == KILLED
    assert fresh(trial, [f"{file}::test_sign"], 1, 60) == SURVIVED
