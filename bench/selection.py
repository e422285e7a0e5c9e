"""Simulates feedback that is not a random part of the predictions, and writes the table of docs/selection.md.

A binary model, too sure of itself, makes 20,000 predictions. Feedback depends on what they are, in one of five ways; a
hash has chosen 2 % of them for an audit, of which all truths are known. A cell is the bias of the accuracy, with the
share of samples whose 95 % interval has the true value, and half of the mean width of the intervals. `python -m
bench.selection` prints the table, `--write` puts it into the page.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from request_logger.analytics.feedback.audit import powered_accuracy
from request_logger.analytics.feedback.cells import SCORE_BIN, Cell, Cells, Sums
from request_logger.analytics.feedback.contingency import selection_test
from request_logger.analytics.feedback.prediction_powered import prediction_powered
from request_logger.analytics.feedback.section import WARNS_BELOW
from request_logger.analytics.feedback.strata import strata_of
from request_logger.analytics.feedback.weighted import weighted_metrics, weights_of
from request_logger.analytics.shares import share_interval
from scorers.probabilities import SCORE_BINS, SCORE_LOGIT_LIMIT

PAGE = Path(__file__).parents[1] / "docs" / "selection.md"
N = 20_000
AUDIT_RATE = 0.02
# The standard error of a coverage of .95 is then .007.
REPEATS = 1000
LABELS = ("CLASS_0", "CLASS_1")
_SEED = 20_260_104
_POPULATION = 4_000_000
# The standard deviation of the true logits gives an accuracy of about .85; the model's are a fifth too large.
_SPREAD, _TOO_SURE = 2.9, 1.2

Values = Any
METHODS = ("over all feedback", "post-stratified", "PPI++ of all feedback", "audit", "PPI++ of the audit")


@dataclass(frozen=True, slots=True)
class Sample:
    """Predictions: whether the positive class is said, whether it is true, its probability by the model."""

    said: Values
    true: Values
    probability: Values

    @property
    def correct(self) -> Values:
        """Whether each prediction is correct."""
        return self.said == self.true

    @property
    def confidence(self) -> Values:
        """The probability of the predicted class."""
        return np.where(self.said, self.probability, 1 - self.probability)


def draw(generator: np.random.Generator, n: int) -> Sample:
    """Return n predictions."""
    logits = generator.normal(-0.3, _SPREAD, n)
    true = generator.random(n) < 1 / (1 + np.exp(-logits))
    probability = 1 / (1 + np.exp(-_TOO_SURE * logits))
    return Sample(probability >= 0.5, true, probability)


# By name, the probability that a prediction gets feedback.
FEEDBACK: Mapping[str, Callable[[Sample], Values]] = {
    "errors reported 5 times more": lambda s: np.where(s.correct, 0.05, 0.25),
    "by predicted class": lambda s: np.where(s.said, 0.1, 0.02),
    "by true class": lambda s: np.where(s.true, 0.1, 0.02),
    "low confidence reviewed": lambda s: np.where(s.confidence < 0.7, 0.3, 0.01),
    "random 5 %": lambda s: np.full(len(s.said), 0.05),
}


def cells_of(sample: Sample, labelled: Values) -> Cells:
    """Return the cells as the search engine's aggregation would give them."""
    logits = np.log(sample.probability / (1 - sample.probability))
    step = SCORE_BINS / (2 * SCORE_LOGIT_LIMIT)
    bins = np.clip(((logits + SCORE_LOGIT_LIMIT) * step).astype(int), 0, SCORE_BINS - 1)
    size = 2 * SCORE_BINS
    key = sample.said * SCORE_BINS + bins
    f = sample.confidence

    def sums(only: Values) -> list[Sums]:
        counts = np.bincount(key[only], minlength=size)
        totals, squares = (np.bincount(key[only], weights=f[only] ** power, minlength=size) for power in (1, 2))
        return [Sums(int(a), float(b), float(c)) for a, b, c in zip(counts, totals, squares, strict=True)]

    everything = sums(np.ones(len(key), bool))
    known, correct = sums(labelled), sums(labelled & sample.correct)
    cells = []
    for k, found in enumerate(everything):
        if found.n:
            label, other = LABELS[k // SCORE_BINS], LABELS[1 - k // SCORE_BINS]
            truths = {label: correct[k].n, other: known[k].n - correct[k].n}
            kept = {truth: count for truth, count in truths.items() if count}
            cells.append(Cell(label, k % SCORE_BINS, found.n, kept, found, known[k], correct[k]))
    return Cells(cells, SCORE_BIN)


@dataclass(slots=True)
class Outcome:
    """The estimates of a method, how many of their intervals have the true value, and the sum of their widths."""

    values: list[float] = field(default_factory=list)
    covered: int = 0
    width: float = 0.0

    def add(self, value: float, low: float, high: float, true: float) -> None:
        """Add one sample's estimate."""
        self.values.append(value)
        self.covered += low <= true <= high
        self.width += high - low

    def bias(self, true: float) -> float:
        """The mean error."""
        return float(np.mean(self.values)) - true

    @property
    def coverage(self) -> float:
        """The share of the intervals that have the true value."""
        return self.covered / len(self.values)

    def cell(self, true: float) -> str:
        """Return it as a cell of the table."""
        # Without the sign of a bias that rounds to 0.
        bias = round(self.bias(true), 3) + 0.0
        return f"{bias:+.3f} ({self.coverage:.3f}, ± {self.width / len(self.values) / 2:.3f})"


@dataclass(slots=True)
class Result:
    """The outcomes of one kind of feedback by method, and the share of samples in which the test warns."""

    outcomes: dict[str, Outcome]
    warned: float


def true_accuracy() -> float:
    """Return the accuracy of the model."""
    return float(draw(np.random.default_rng((_SEED, 1)), _POPULATION).correct.mean())


def simulate(kind: str, true: float, repeats: int = REPEATS, seed: int = 0) -> Result:
    """Return the outcomes of one kind of feedback over some samples."""
    outcomes = {method: Outcome() for method in METHODS}
    warned = 0
    for k in range(repeats):
        generator = np.random.default_rng((_SEED, 2, seed, k))
        sample = draw(generator, N)
        audited = generator.random(N) < AUDIT_RATE
        volunteered = generator.random(N) < FEEDBACK[kind](sample)
        for method, (value, low, high) in _estimates(sample, volunteered, audited):
            outcomes[method].add(value, low, high, true)
        test = selection_test(cells_of(sample, volunteered).cells)
        warned += test is not None and test.p_value < WARNS_BELOW
    return Result(outcomes, warned / repeats)


def _estimates(
    sample: Sample, volunteered: Values, audited: Values
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    cells = cells_of(sample, volunteered)
    yield METHODS[0], _share(cells)
    strata = strata_of(cells.cells).strata
    accuracy = weighted_metrics(strata, weights_of(strata))[0]
    interval = accuracy.interval()
    assert interval is not None
    yield METHODS[1], (accuracy.value, interval.low, interval.high)
    labelled = cells.sums("labelled")
    powered = prediction_powered(labelled, cells.sums("correct"), cells.sums("confidence") - labelled)
    limits = powered.interval(labelled.n) if powered else None
    assert powered is not None and limits is not None
    yield METHODS[2], (powered.value, limits.low, limits.high)
    within = Sample(sample.said[audited], sample.true[audited], sample.probability[audited])
    chosen = cells_of(within, np.ones(int(audited.sum()), bool))
    yield METHODS[3], _share(chosen)
    found = powered_accuracy(chosen, cells)
    assert found is not None
    yield METHODS[4], (found["value"], found["low"], found["high"])


def _share(cells: Cells) -> tuple[float, float, float]:
    interval = share_interval(cells.hits, cells.with_truth)
    assert interval is not None
    return cells.hits / cells.with_truth, interval.low, interval.high


def table(results: Mapping[str, Result], true: float) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| feedback | {' | '.join(METHODS)} | test warns |"
    yield "|---" * (len(METHODS) + 2) + "|"
    for kind, result in results.items():
        cells = [result.outcomes[method].cell(true) for method in METHODS]
        yield f"| {kind} | {' | '.join(cells)} | {result.warned:.1%} |"


def main() -> None:
    """Print the table; with --write put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--write", action="store_true", help="write the table into docs/selection.md")
    arguments = parser.parse_args()
    true = true_accuracy()
    lines = list(table({kind: simulate(kind, true, arguments.repeats) for kind in FEEDBACK}, true))
    print(f"true accuracy {true:.4f}", *lines, sep="\n")
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        start, end = "<!-- made by `python -m bench.selection --write` -->", "<!-- end -->"
        found = re.sub(f"(?s){re.escape(start)}.*?{end}", lambda _: "\n".join([start, *lines, end]), text)
        PAGE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
