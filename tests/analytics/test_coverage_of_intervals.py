"""The short form of `python -m bench.coverage`: no interval misses far more often than it may. The seeds are fixed."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from bench import coverage
from bench.coverage import PAGE, Outcome, simulate, table, write
from bench.coverage_cases import CASES

# Case, documents and samples; the long form has all cases, more samples and its table in docs/intervals.md.
# A fifth of the report's: for the short simulations, whose limits are wide.
_DRAWS = 200
SHORT = [
    ("balanced", 50, 40),
    ("rare-classes", 50, 40),
    ("positives-1", 200, 40),
    ("auc-99", 50, 40),
    ("normal-errors", 50, 60),
    ("t4-errors", 50, 60),
    ("lognormal-errors", 200, 60),
    ("text", 50, 60),
    ("batches-of-numbers", 1000, 40),
    ("batches-of-classes", 1000, 25),
]


_CELL = re.compile(r"(?:(?P<coverage>[01]?\.\d+|-)(?: \((?P<share>[\d.]+)%\))?)")


def shown_and_covered(cell: str) -> tuple[float, float]:
    """The share of samples with an interval, and the coverage of these (NaN for few), of a cell of the table."""
    found = _CELL.fullmatch(cell)
    assert found is not None, cell
    is_rare = found["coverage"] == "-"
    share = float(found["share"]) / 100 if found["share"] else float(not is_rare)
    return share, math.nan if is_rare else float(found["coverage"])


def tables() -> dict[str, tuple[int, dict[str, dict[int, tuple[float, float]]]]]:
    """The number of samples and the cells, by metric and documents, of each case on the page."""
    found = {}
    page = PAGE.read_text(encoding="utf-8")
    for name, text in re.findall(r"<!-- coverage of (\S+) -->\n(.*?)<!-- end of \1 -->\n", page, re.DOTALL):
        samples = re.search(r"^([\d,]+) samples of each size", text, re.MULTILINE)
        assert samples is not None, name
        head, _, *rows = (
            [each.strip() for each in line.split("|")[1:-1]] for line in re.findall(r"^\|.*", text, re.MULTILINE)
        )
        sizes = [int(each.removeprefix("n = ").replace(",", "")) for each in head[1:]]
        cells = {row[0]: dict(zip(sizes, map(shown_and_covered, row[1:]), strict=True)) for row in rows}
        found[name] = int(samples[1].replace(",", "")), cells
    return found


def test_every_table_holds() -> None:
    """No metric of any case has more samples whose interval misses than may, except by chance."""
    found = tables()
    assert found.keys() <= CASES.keys()
    for name, (samples, metrics) in found.items():
        # Of about a thousand cells, chance brings none so far above .07.
        limit = 0.07 + 4 * math.sqrt(0.07 * 0.93 / samples)
        missed = {
            (metric, n): share * (1 - coverage)
            for metric, cells in metrics.items()
            for n, (share, coverage) in cells.items()
            if not math.isnan(coverage)
        }
        assert {cell: each for cell, each in missed.items() if each > limit} == {}, name


@pytest.mark.parametrize(("name", "n", "repeats"), SHORT)
def test_coverage(name: str, n: int, repeats: int) -> None:
    """With a coverage of .93, so many misses happen in one of 1,000 simulations of a metric.

    As often as the table says there is an interval; else there is a reason, which `simulate` asserts.
    """
    outcomes = simulate(CASES[name], n, repeats, draws=_DRAWS)
    _, table_of = tables().get(name, (0, {}))
    for metric, cells in table_of.items():
        outcome, share = outcomes[metric], cells[n][0]
        slack = 0.02 + 4 * math.sqrt(share * (1 - share) / repeats)
        assert abs(outcome.shown / outcome.samples - share) <= slack, metric
    limit = 0.07 + 3 * math.sqrt(0.07 * 0.93 / repeats)
    assert {metric: each.missed for metric, each in outcomes.items() if each.missed > limit} == {}
    assert any(each.shown for each in outcomes.values())


def test_what_is_shown() -> None:
    """Metrics that always have an interval, and some that mostly have none for few rare events or large values."""
    rare = simulate(CASES["rare-classes"], 50, 20, seed=1, draws=_DRAWS)
    assert all(rare[name].shown == 20 for name in ("accuracy", "f1_macro", "balanced_accuracy", "f1_micro"))
    assert rare["mcc"].shown < 10
    heavy = simulate(CASES["lognormal-errors"], 200, 20, seed=1, draws=_DRAWS)
    assert heavy["mse"].shown < 10 < heavy["mae"].samples


def test_cells() -> None:
    """Coverage of what is shown, and how often it is shown."""
    assert Outcome(100, 100, 95).cell() == ".950"
    assert Outcome(200, 100, 94).cell() == ".940 (50%)"
    assert Outcome(200, 40, 40).cell() == "- (20.0%)"
    assert Outcome(200, 0, 0).cell() == "-"
    assert (Outcome(100, 80, 76).missed, Outcome(100, 80, 76).coverage) == (0.04, 0.95)
    assert math.isnan(Outcome(100, 0, 0).coverage)


def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is that of a case, with its text; written again, it replaces the one before."""
    page = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"<!-- coverage of (\S+) -->\n(.*?)<!-- end of \1 -->\n", page, re.DOTALL)
    assert len(tables) > 7
    for name, text in tables:
        assert text.splitlines()[0] == next(table(CASES[name], {})), name
        assert text.count("\n|") >= 3, name
    lines = list(table(CASES["balanced"], {50: {"accuracy": Outcome(1000, 1000, 950)}}))
    assert lines[2:] == ["1,000 samples of each size.", "", "| metric | n = 50 |", "|---|---:|", "| accuracy | .950 |"]
    copy = tmp_path / "intervals.md"
    copy.write_text(page)
    monkeypatch.setattr(coverage, "PAGE", copy)
    name, text = tables[1]
    write(CASES[name], text.splitlines())
    assert copy.read_text() == page
    copy.write_text("")
    write(CASES[name], ["one"])
    write(CASES[name], ["two"])
    assert copy.read_text().split("\n") == [
        "",
        "",
        f"<!-- coverage of {name} -->",
        "two",
        f"<!-- end of {name} -->",
        "",
    ]
