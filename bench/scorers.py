"""`python -m bench.scorers`: microseconds per pair of every scorer, compared with scikit-learn.

scikit-learn is called on the same pairs, once per pair (the cost in the path of an event) and once over all 2,000 (the
cost per pair in a nightly job). Before the times are printed, the mean of the scorer's field over the pairs is compared
with scikit-learn's value.
"""

from __future__ import annotations

import timeit
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics as sk

from request_logger.scoring.registry import build
from request_logger.scoring.rules import Chooser
from scorers.base import Row, Scorer

N = 2_000
REPEATS = 5

Function = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Comparison:
    """A scorer on pairs, and scikit-learn's functions for the same pairs."""

    title: str
    scorer: Scorer
    truths: list[Any]
    answers: list[Any]
    field: str
    functions: tuple[Function, ...]

    @property
    def pairs(self) -> list[tuple[Row, Row]]:
        """The pairs as the scorer gets them."""
        return [(Row(truth), Row(answer)) for truth, answer in zip(self.truths, self.answers, strict=True)]

    def check(self) -> None:
        """Compare the mean of the field with the first function over all pairs. Raises AssertionError."""
        values = [fields[self.field] for fields in (self.scorer.score(*pair) for pair in self.pairs)]
        expected = self.functions[0](np.array(self.truths), np.array(self.answers))
        assert abs(sum(values) / len(values) - expected) < 1e-9, (self.title, sum(values) / len(values), expected)

    def times(self) -> tuple[float, float, float]:
        """Return microseconds per pair: of the scorer, of scikit-learn by pair, and of scikit-learn over all pairs."""
        pairs, score = self.pairs, self.scorer.score
        own = _best(lambda: [score(truth, answer) for truth, answer in pairs], 1) / N
        truths, answers = np.array(self.truths), np.array(self.answers)
        single = _best(lambda: [function(truths[:1], answers[:1]) for function in self.functions], 50)
        together = _best(lambda: [function(truths, answers) for function in self.functions], 5) / N
        return own, single, together


def _best(function: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(function, number=number, repeat=REPEATS)) / number * 1e6


def _log_loss(classes: int) -> Function:
    return lambda y, p: sk.log_loss(y, p, labels=list(range(classes)))


def _argmax(function: Function) -> Function:
    return lambda y, p: function(y, p.argmax(axis=1))


def comparisons() -> list[Comparison]:
    """Return the pairs of every scorer, the same in every run."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    scores = rng.random(N)
    numbers = rng.normal(0, 10, N)
    levels = rng.integers(0, 5, N)
    flags = rng.integers(0, 2, (N, 8))
    flags[:, 0] = 1
    gains = rng.integers(0, 3, (N, 20))
    gains[:, 0] = 1
    found = [
        Comparison(
            "binary, a probability", build("binary", {}), labels.tolist(), scores.tolist(), "log_loss",
            (_log_loss(2), lambda y, p: sk.accuracy_score(y, p >= 0.5), sk.mean_squared_error),
        )
    ]  # fmt: skip
    for classes in (3, 100, 10_000):
        count = N if classes < 1_000 else 50
        rows = rng.dirichlet(np.ones(classes), count)
        truths = rng.integers(0, classes, count)
        found.append(
            Comparison(
                f"multiclass, {classes} columns", build("multiclass", {}), truths.tolist(), rows.tolist(), "log_loss",
                (_log_loss(classes), _argmax(sk.accuracy_score)),
            )
        )  # fmt: skip
    return [
        *found,
        Comparison(
            "multilabel, 8 columns", build("multilabel", {}), flags.tolist(), rng.random((N, 8)).tolist(),
            "hamming_loss",
            (lambda y, p: sk.hamming_loss(y, p >= 0.5), lambda y, p: sk.jaccard_score(y, p >= 0.5, average="samples")),
        ),
        Comparison(
            "ordinal, levels", build("ordinal", {}), levels.tolist(), rng.integers(0, 5, N).tolist(), "off_by",
            (sk.mean_absolute_error, sk.accuracy_score),
        ),
        Comparison(
            "regression", build("regression", {}), numbers.tolist(), (numbers + rng.normal(0, 1, N)).tolist(),
            "squared_error",
            (sk.mean_squared_error, sk.mean_absolute_error),
        ),
        Comparison(
            "ranking, 20 scores", build("ranking", {}), gains.tolist(), rng.random((N, 20)).tolist(), "ndcg",
            (sk.ndcg_score,),
        ),
    ]  # fmt: skip


def text_times() -> list[tuple[str, float]]:
    """Return microseconds per pair of the scorer of texts, by length; scikit-learn has no counterpart."""
    scorer = build("text", {})
    found = []
    for words in (5, 50, 500):
        truth, answer = Row(" ".join(["word", "other"] * words)), Row(" ".join(["ward", "other"] * words))
        function = lambda truth=truth, answer=answer: scorer.score(truth, answer)  # noqa: E731
        found.append((f"text, {len(truth.value)} characters", _best(function, 5)))
    return found


def main() -> None:
    """Check, time and print a table."""
    warnings.simplefilter("ignore")
    print(f"{'microseconds per pair':<28}{'scorer':>10}{'sklearn, one':>16}{'sklearn, ' + str(N):>16}")
    for comparison in comparisons():
        comparison.check()
        own, single, together = comparison.times()
        scale = N / len(comparison.truths)
        print(f"{comparison.title:<28}{own * scale:>10.1f}{single:>16.1f}{together * scale:>16.2f}")
    for title, own in text_times():
        print(f"{title:<28}{own:>10.1f}")
    reward = build("reward", {})
    print(f"{'reward':<28}{_best(lambda: reward.score(Row(0.5), Row(None)), 1_000):>10.1f}")
    chooser, pair = Chooser("auto"), (Row([0, 0, 1]), Row([0.1, 0.2, 0.7]))
    print(f"{'auto, the choice':<28}{_best(lambda: chooser.choose('n', 'd', 'p', 'm', *pair), 1_000):>10.1f}")


if __name__ == "__main__":
    main()
