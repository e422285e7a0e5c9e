"""Simulates how often the report's 95 % intervals have the true value, and writes the tables of docs/intervals.md.

`python -m bench.coverage` prints all cases, `--case NAME` one, `--write` puts the tables into the page. A cell is the
share of the shown intervals that have the true value, and in brackets the share of samples that have an interval.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from bench.coverage_cases import CASES, Case, Columns, answers_of
from request_logger.analytics.estimates import DRAWS, estimates, needs_folds, statistics_of, value_of, with_folds
from request_logger.analytics.jackknife import Folds, without_each
from request_logger.analytics.label_averages import COOCCURRENCES
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Statistic
from request_logger.documents.folds import FOLDS
from request_logger.scoring.registry import build
from scorers.base import Metric

PAGE = Path(__file__).parents[1] / "docs" / "intervals.md"
SIZES = (50, 200, 1000)
# The standard error of a coverage of .95 is then .007.
REPEATS = 1000
# The true values are those of so many documents.
_POPULATION = 1_000_000
_SEED = 20_260_103
# What no interval is meant for.
_NOT_SHOWN = {"auc_bound", "confusion_matrix", "baseline_accuracy", "reward_sum"}


@dataclass(slots=True)
class Outcome:
    """How many samples had an interval of a metric, and in how many of these it had the true value."""

    samples: int = 0
    shown: int = 0
    covered: int = 0

    @property
    def coverage(self) -> float:
        """The share of the shown intervals that have the true value; NaN if none is shown."""
        return self.covered / self.shown if self.shown else math.nan

    @property
    def missed(self) -> float:
        """The share of samples with an interval that misses the true value."""
        return (self.shown - self.covered) / max(self.samples, 1)

    def cell(self) -> str:
        """Return it as a cell of the table."""
        share = self.shown / max(self.samples, 1)
        # Of fewer than 50 intervals, a coverage would be mostly chance.
        if self.shown < 50:
            return "-" if not self.shown else f"- ({share:.1%})"
        coverage = f"{self.coverage:.3f}".lstrip("0")
        return coverage if share > 0.995 else f"{coverage} ({share:.0%})"


class Population:
    """The true values of a case's metrics."""

    def __init__(self, case: Case, metrics: Sequence[Metric]) -> None:
        columns = case.make(np.random.default_rng((_SEED, 1)), _POPULATION)
        answers = answers_of(statistics_of(metrics), columns)
        self._values = {metric.name: value_of(metric, answers) for metric in metrics}
        if "score_bin" in columns:
            self._values["auc"] = float(roc_auc_score(columns["truth_positive"], columns["positive_probability"]))
        self._table = _table(metrics, answers)

    def value(self, metric: Metric, sample: Mapping[str, Any]) -> float | None:
        """Return the true value, over the classes that a sample (its table by class) has."""
        part, _, average = metric.name.rpartition("_")
        if average == "macro" and part in ("precision", "recall", "f1"):
            labels = [label for label in sample if label in self._table]
        elif metric.name == "balanced_accuracy":
            part, labels = "recall", [label for label, row in sample.items() if row["support"]]
        else:
            return self._values[metric.name]
        return math.fsum(self._table[label].get(part, 0.0) for label in labels) / max(len(labels), 1)


def _table(metrics: Sequence[Metric], answers: Answers) -> dict[str, Any]:
    for metric in metrics:
        if metric.per_class:
            found = metric.compute({key: answers[need] for key, need in metric.needs.items()})
            return found if isinstance(found, dict) else {}
    return {}


def simulate(case: Case, n: int, repeats: int = REPEATS, seed: int = 0, draws: int = DRAWS) -> dict[str, Outcome]:
    """Return the outcomes of a case by metric, for samples of n documents.

    ``draws`` of a confusion matrix are the report's by default. They are the same ones for all samples: of 200, the
    limits are off so much that a coverage of .95 becomes .92.
    """
    metrics = [metric for metric in build(case.scorer, {}).metrics if metric.name not in _NOT_SHOWN]
    population = _population(case, metrics)
    outcomes: dict[str, Outcome] = {}
    for k in range(repeats):
        generator = np.random.default_rng((_SEED, seed, n, k))
        columns = case.make(generator, n)
        statistics: list[Statistic] = [*statistics_of(metrics), *(COOCCURRENCES if case.scorer == "multilabel" else ())]
        answers = answers_of(statistics, columns)
        found = estimates(metrics, answers, draws=draws)
        if case.rows > 1 or needs_folds(found):
            folds = _folds(case, generator, statistics, columns)
            found = with_folds(found, metrics, answers, folds, draws)
        table = _table(metrics, answers)
        for metric, each in ((metric, each) for metric in metrics for each in found if each.name == metric.name):
            true = population.value(metric, table)
            outcome = outcomes.setdefault(metric.name, Outcome())
            outcome.samples += 1
            # Where no method holds, the report says why.
            assert (each.interval is None) == (each.why is not None), metric.name
            if each.interval is not None and true is not None:
                outcome.shown += 1
                # The true value is itself from a sample: it may miss a limit by its own rounding.
                slack = 1e-9 * max(abs(true), 1.0)
                outcome.covered += each.interval.low - slack <= true <= each.interval.high + slack
    return outcomes


_KNOWN: dict[str, Population] = {}


def _population(case: Case, metrics: Sequence[Metric]) -> Population:
    if case.name not in _KNOWN:
        _KNOWN[case.name] = Population(case, metrics)
    return _KNOWN[case.name]


def _folds(case: Case, generator: np.random.Generator, statistics: list[Statistic], columns: Columns) -> Folds:
    n = len(next(iter(columns.values())))
    fold = generator.integers(0, FOLDS, n // case.rows + 1)[np.arange(n) // case.rows]
    parts = [{name: column[fold == k] for name, column in columns.items()} for k in range(FOLDS) if (fold == k).any()]
    sizes = tuple(len(next(iter(part.values()))) for part in parts)
    answers = [answers_of(statistics, part) for part in parts]
    return Folds(without_each(answers), sizes, are_together=case.rows > 1)


def table(case: Case, by_size: Mapping[int, Mapping[str, Outcome]]) -> Iterator[str]:
    """Yield the lines of a case's table."""
    yield f"**{case.name}**: {case.text}"
    yield ""
    samples = {outcome.samples for outcomes in by_size.values() for outcome in outcomes.values()}
    if samples:
        yield f"{max(samples):,} samples of each size."
        yield ""
    yield "| metric | " + " | ".join(f"n = {n:,}" for n in by_size) + " |"
    yield "|---|" + "---:|" * len(by_size)
    for name in dict.fromkeys(name for outcomes in by_size.values() for name in outcomes):
        cells = (outcomes[name].cell() if name in outcomes else "-" for outcomes in by_size.values())
        yield f"| {name} | " + " | ".join(cells) + " |"


def write(case: Case, lines: Sequence[str]) -> None:
    """Replace a case's table in the page, or add it at the end."""
    text = PAGE.read_text(encoding="utf-8")
    start, end = f"<!-- coverage of {case.name} -->\n", f"<!-- end of {case.name} -->\n"
    made = "\n".join([start.rstrip(), *lines, end])
    if start not in text:
        text = f"{text.rstrip()}\n\n{start}{end}"
    PAGE.write_text(re.sub(f"{start}.*?{end}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Simulate the chosen cases. Status 1 if more than 7 % of the samples of a metric have an interval that misses."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="a case; default: all")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"samples per size (default {REPEATS})")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/intervals.md")
    options = parser.parse_args(arguments)
    status = 0
    for name in options.case or CASES:
        case = CASES[name]
        by_size = {n: simulate(case, n, options.repeats, options.seed) for n in SIZES}
        lines = list(table(case, by_size))
        sys.stdout.write("\n".join([*lines, "", ""]))
        sys.stdout.flush()
        if options.write:
            write(case, lines)
        worst = max(outcome.missed for outcomes in by_size.values() for outcome in outcomes.values())
        status = max(status, int(worst > 0.07))
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
