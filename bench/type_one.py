"""`python -m bench.type_one`: how often `compare` finds a difference where there is none, and where there is one.

Both groups are drawn from the same model, many times, and compared by the code of the command: with one look (should be
0.05), and with a look every day for 30 days (the one-look test, and the confidence sequence). `--write` puts the
rows into the table of docs/report.md. No engine is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, Form, needed_sizes, outcome
from request_logger.analytics.differences import contrasts
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.scoring.registry import build
from scorers.base import Bucket, Count, Metric, Sum, SumBy
from scorers.classification import CELLS, MATRIX
from scorers.probabilities import SCORE_BINS, SCORE_LOGIT_LIMIT

PAGE = Path(__file__).parent.parent / "docs" / "report.md"
_MARKERS = "<!-- type one: made by `python -m bench.type_one --write` -->", "<!-- end of type one -->"
_POWER_MARKERS = "<!-- power: made by `python -m bench.type_one --power --write` -->", "<!-- end of power -->"
DAYS = 30
# Documents of both groups for one look, and for each of the days.
SIZES = ((100, 100), (100, 1000), (1000, 1000))
DAILY = ((50, 50), (10, 100))
# For daily looks, where the p-value's own error matters less: the confidence sequence needs only the standard error.
_FEW_DEALINGS = 199
_SEED = 20_260_102


class Sample(Protocol):
    """Documents of one group in order of time."""

    def answers(self, n: int) -> Answers:
        """Return the sums of the first ``n``."""
        ...


@dataclass(frozen=True)
class Values:
    """Values of a field, such as losses."""

    field: str
    values: Any

    def answers(self, n: int) -> Answers:
        """Return count, sum and moments."""
        x = self.values[:n]
        sums = MomentSums(n, float(x.sum()), float((x * x).sum()), float(x.min()), float(x.max()))
        return {Moments(self.field): sums, Sum(self.field): sums.total, Count(self.field): n}


@dataclass(frozen=True)
class Labels:
    """True and predicted classes, as indexes; class 1 of two is the positive one."""

    truths: Any
    predicted: Any
    classes: int

    def answers(self, n: int) -> Answers:
        """Return the confusion matrix and what follows from it."""
        cells = np.bincount(self.truths[:n] * self.classes + self.predicted[:n], minlength=self.classes**2)
        table = cells.reshape(self.classes, self.classes).tolist()
        matrix = {
            str(k): {str(j): count for j, count in enumerate(row) if count} for k, row in enumerate(table) if any(row)
        }
        hits = {label: row[label] for label, row in matrix.items() if label in row}
        missed = {label: rest for label, row in matrix.items() if (rest := sum(row.values()) - row.get(label, 0))}
        wrong = {
            str(j): rest for j in range(self.classes) if (rest := sum(row[j] for k, row in enumerate(table) if k != j))
        }
        found: Answers = {MATRIX["matrix"]: matrix, CELLS["tp"]: hits, CELLS["fp"]: wrong, CELLS["fn"]: missed}
        found[CELLS["n"]] = n
        binary = {"true_positive": table[1][1], "false_positive": table[0][1]}
        binary |= {"false_negative": table[1][0], "true_negative": table[0][0]}
        return found | {Count(cell): count for cell, count in binary.items()}


@dataclass(frozen=True)
class Scores:
    """Logits of the positive class, and whether it is the true one."""

    logits: Any
    positive: Any

    def answers(self, n: int) -> Answers:
        """Return positives and all documents by score bin."""
        places = (self.logits[:n] + SCORE_LOGIT_LIMIT) * SCORE_BINS / (2 * SCORE_LOGIT_LIMIT)
        bins = np.clip(places.astype(int), 0, SCORE_BINS - 1)
        every = np.bincount(bins, minlength=SCORE_BINS)
        hits = np.bincount(bins, weights=self.positive[:n], minlength=SCORE_BINS)
        need = SumBy(("truth_positive",), "score_bin")
        return {need: {k: Bucket(int(every[k]), {"truth_positive": hits[k]}) for k in np.flatnonzero(every).tolist()}}


@dataclass(frozen=True)
class Case:
    """Documents of a kind, and the metrics to compare; ``worse`` makes them worse by about that much."""

    name: str
    scorer: str
    metrics: tuple[str, ...]
    draw: Callable[[np.random.Generator, int, float], Sample]

    @property
    def declared(self) -> tuple[Metric, ...]:
        """The metrics as their scorer declares them."""
        known = {metric.name: metric for metric in build(self.scorer, {}).metrics}
        return tuple(known[name] for name in self.metrics)


def _right(share: float) -> Callable[[np.random.Generator, int, float], Sample]:
    return lambda g, n, worse: Values("correct", (g.random(n) < share - worse).astype(float))


def _errors(field: str, power: int, of: Callable[[np.random.Generator, int], Any]) -> Any:
    return lambda g, n, worse: Values(field, (1 + worse) * np.abs(of(g, n)) ** power)


def _log_loss(a: float, b: float) -> Any:
    def draw(g: np.random.Generator, n: int, worse: float) -> Sample:
        p = np.clip(g.beta(a, b, n), 1e-6, 1 - 1e-6)
        return Values("log_loss", (1 + worse) * -np.where(g.random(n) < p, np.log(p), np.log1p(-p)))

    return draw


def _labels(shares: Sequence[float], right: float) -> Any:
    def draw(g: np.random.Generator, n: int, worse: float) -> Sample:
        truths = g.choice(len(shares), n, p=shares)
        others = g.choice(len(shares), n, p=shares)
        return Labels(truths, np.where(g.random(n) < right - worse, truths, others), len(shares))

    return draw


def _scores(share: float, distance: float) -> Any:
    def draw(g: np.random.Generator, n: int, worse: float) -> Sample:
        positive = g.random(n) < share
        return Scores(g.normal(0, 1, n) + positive * (distance - worse), positive.astype(float))

    return draw


_MATRIX = ("f1_macro", "mcc", "kappa", "balanced_accuracy")
CASES = (
    Case("right in 90 %", "binary", ("accuracy",), _right(0.9)),
    Case("right in 99 %", "binary", ("accuracy",), _right(0.99)),
    Case("normal errors", "regression", ("mae",), _errors("absolute_error", 1, lambda g, n: g.normal(size=n))),
    Case("normal errors", "regression", ("mse",), _errors("squared_error", 2, lambda g, n: g.normal(size=n))),
    Case("t4 errors", "regression", ("mse",), _errors("squared_error", 2, lambda g, n: g.standard_t(4, n))),
    Case("lognormal errors", "regression", ("mse",), _errors("squared_error", 2, lambda g, n: g.lognormal(size=n))),
    Case("9 % positive, calibrated", "binary", ("log_loss",), _log_loss(0.5, 5)),
    Case("1 % positive, calibrated", "binary", ("log_loss",), _log_loss(0.3, 30)),
    Case("half positive, AUC .76", "binary", ("auc",), _scores(0.5, 1.0)),
    Case("10 % positive, AUC .92", "binary", ("auc",), _scores(0.1, 2.0)),
    Case("half positive, AUC .99", "binary", ("auc",), _scores(0.5, 3.3)),
    Case("half positive", "binary", ("f1", *_MATRIX), _labels((0.5, 0.5), 0.8)),
    Case("5 % positive", "binary", ("f1", *_MATRIX), _labels((0.95, 0.05), 0.9)),
    Case("1 % positive", "binary", ("f1", *_MATRIX), _labels((0.99, 0.01), 0.9)),
    Case("classes of 94, 5 and 1 %", "multiclass", _MATRIX, _labels((0.94, 0.05, 0.01), 0.9)),
)


# Cases whose second group is worse by this (of the share, of the errors, of the distance between the classes).
POWERS = (("right in 90 %", "accuracy", 0.02), ("normal errors", "mae", 0.05), ("half positive, AUC .76", "auc", 0.15))
# Group sizes in this ratio.
POWER_RATIO = (100, 300)


def one_look(case: Case, sizes: tuple[int, int], runs: int, worse: float = 0.0) -> dict[str, tuple[float, float]]:
    """Return per metric the share of runs that find a difference, and of those without a test."""
    counts = {name: [0, 0] for name in case.metrics}
    for run in range(runs):
        a, b = _draw(case, sizes, run, worse)
        found = contrasts(case.declared, a.answers(sizes[0]), b.answers(sizes[1]))
        for name, kept in counts.items():
            test = _tested(found.get(name), Form.FIXED)
            kept[0] += test is not None and test.p_value < ALPHA
            kept[1] += test is None
    return {name: (found / runs, untested / runs) for name, (found, untested) in counts.items()}


def every_day(case: Case, daily: tuple[int, int], runs: int, worse: float = 0.0) -> dict[str, dict[Form, float]]:
    """Return per metric the share of runs that find a difference on any of DAYS days, in both forms."""
    counts = {name: dict.fromkeys(Form, 0) for name in case.metrics}
    for run in range(runs):
        a, b = _draw(case, (daily[0] * DAYS, daily[1] * DAYS), run, worse)
        seen: dict[str, set[Form]] = {name: set() for name in case.metrics}
        for day in range(1, DAYS + 1):
            answers = a.answers(daily[0] * day), b.answers(daily[1] * day)
            found = contrasts(case.declared, *answers, dealings=_FEW_DEALINGS)
            for name, forms in seen.items():
                tests = {form: _tested(found.get(name), form) for form in Form}
                forms.update(form for form, test in tests.items() if test is not None and test.p_value < ALPHA)
        for name, forms in seen.items():
            for form in forms:
                counts[name][form] += 1
    return {name: {form: count / runs for form, count in forms.items()} for name, forms in counts.items()}


def power(case: Case, sizes: tuple[int, int], runs: int, worse: float) -> dict[Form, tuple[tuple[int, ...], float]]:
    """Return for both forms the sizes that `--detect` asks for, and the share of runs that then find the difference."""
    (name,) = case.metrics
    a, b = _draw(case, (200_000, 200_000 * sizes[1] // sizes[0]), runs, worse)
    large = contrasts(case.declared, a.answers(200_000), b.answers(200_000 * sizes[1] // sizes[0]))[name]
    assert isinstance(large, Contrast)
    found: dict[Form, tuple[tuple[int, ...], float]] = {}
    for form in Form:
        needed = needed_sizes(large, abs(large.value), form)
        assert needed is not None and len(needed) == 2
        hits = 0
        for run in range(runs):
            a, b = _draw(case, (needed[0], needed[1]), run, worse)
            contrast = contrasts(case.declared, a.answers(needed[0]), b.answers(needed[1])).get(name)
            test = _tested(contrast, form)
            hits += test is not None and test.p_value < ALPHA
        found[form] = needed, hits / runs
    return found


def power_rows(runs: int) -> Iterator[str]:
    """Yield the table of the power at the sizes of `--detect` as lines of Markdown."""
    yield "| documents | metric | difference | one look: sizes | shown | daily looks: sizes | shown in the last look |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for name, metric, worse in POWERS:
        (case,) = (case for case in CASES if case.name == name and case.metrics == (metric,))
        found = power(case, POWER_RATIO, runs, worse)
        figures = [
            f"{sizes[0]:,} and {sizes[1]:,} | {share:.2f}"
            for sizes, share in (found[Form.FIXED], found[Form.SEQUENTIAL])
        ]
        difference = _difference(case, worse)
        yield f"| {name} | `{metric}` | {difference:.3f} | {' | '.join(figures)} |"


def _difference(case: Case, worse: float) -> float:
    (name,) = case.metrics
    a, b = _draw(case, (200_000, 600_000), 0, worse)
    found = contrasts(case.declared, a.answers(200_000), b.answers(600_000))[name]
    assert isinstance(found, Contrast)
    return found.value


def _draw(case: Case, sizes: tuple[int, int], run: int, worse: float) -> tuple[Sample, Sample]:
    generator = np.random.default_rng((_SEED, run))
    return case.draw(generator, sizes[0], 0.0), case.draw(generator, sizes[1], worse)


def _tested(found: Any, form: Form) -> Difference | None:
    test = outcome(found, form) if isinstance(found, Contrast) else None
    return test if isinstance(test, Difference) else None


def rows(cases: Sequence[Case], runs: int, looks: int) -> Iterator[str]:
    """Yield the table as lines of Markdown."""
    once = " | ".join(f"{a} : {b}" for a, b in SIZES)
    daily = " | ".join(f"daily {a} : {b}" for a, b in DAILY)
    yield f"| documents | metric | {once} | {daily} | daily 50 : 50, one-look test |"
    yield "|---|---|" + "---:|" * (len(SIZES) + len(DAILY) + 1)
    for case in cases:
        at_once = [one_look(case, sizes, runs) for sizes in SIZES]
        every = [every_day(case, each, looks) for each in DAILY]
        for name in case.metrics:
            figures = [_figure(*found[name]) for found in at_once]
            figures += [f"{found[name][Form.SEQUENTIAL]:.3f}" for found in every]
            figures.append(f"{every[0][name][Form.FIXED]:.2f}")
            yield f"| {case.name} | `{name}` | {' | '.join(figures)} |"


def _write(markers: tuple[str, str], lines: Sequence[str]) -> None:
    before, rest = PAGE.read_text(encoding="utf-8").split(markers[0])
    known, after = rest.split(markers[1])
    if markers is _MARKERS:
        lines = list(_merged(known.strip().splitlines(), lines))
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{markers[0]}\n{table}\n{markers[1]}{after}", encoding="utf-8")


def _merged(known: Sequence[str], lines: Sequence[str]) -> Iterator[str]:
    """Yield the table with new rows in place of known ones, in the order of CASES."""
    table = {tuple(line.split("|")[1:3]): line for line in (*known, *lines)}
    names = [(f" {case.name} ", f" `{metric}` ") for case in CASES for metric in case.metrics]
    yield from lines[:2]
    yield from (table[name] for name in names if name in table)


def _figure(found: float, untested: float) -> str:
    """Return a rate; with many runs without a test their share, too."""
    return f"{found:.3f}" if untested < 0.01 else f"{found:.3f} ({100 * untested:.0f} % no test)"


def main() -> int:
    """Simulate, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.type_one", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="comparisons with one look (default: 1,000)")
    parser.add_argument("--looks", type=int, default=300, help="comparisons with daily looks (default: 300)")
    parser.add_argument("--only", default="", help="only cases whose name or metrics contain this text")
    parser.add_argument("--power", action="store_true", help="the table of the power instead")
    parser.add_argument("--write", action="store_true", help="write the rows into the tables of docs/report.md")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if arguments.only in f"{case.name} {' '.join(case.metrics)}"]
    lines = []
    made = power_rows(arguments.runs) if arguments.power else rows(chosen, arguments.runs, arguments.looks)
    for line in made:
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        _write(_POWER_MARKERS if arguments.power else _MARKERS, lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
