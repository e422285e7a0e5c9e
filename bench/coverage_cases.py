"""The cases of the coverage simulation: documents of known metrics, and their sums as the engine would give them.

A case makes columns: an array of numbers per field of `metrics` (NaN where a document lacks it), and for a keyword
field a boolean matrix with a column per label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments, MomentSums, Statistic
from scorers.base import AtMost, Bucket, Count, Sum, SumBy, Terms, TermsBy
from scorers.probabilities import CALIBRATION_BINS, SCORE_BINS, SCORE_LOGIT_LIMIT

Columns = Mapping[str, Any]
Generator = np.random.Generator
ROWS = 20
"""The rows of a batch in the cases of batches."""


@dataclass(frozen=True, slots=True)
class Case:
    """Documents of one scorer; ``make`` draws n of them. ``rows``: so many in succession are a batch."""

    name: str
    text: str
    scorer: str
    make: Callable[[Generator, int], Columns]
    rows: int = 1


def answers_of(statistics: list[Statistic], columns: Columns) -> Answers:
    """Return the value of each statistic over documents, as the engine sums them."""
    return {statistic: _answer(statistic, columns) for statistic in statistics}


def _answer(statistic: Statistic, columns: Columns) -> Any:
    match statistic:
        case Moments(field):
            x = _numbers(columns, field)
            if not len(x):
                return MomentSums(0, 0.0, 0.0, 0.0, 0.0)
            return MomentSums(len(x), *map(float, (x.sum(), (x * x).sum(), x.min(), x.max())))
        case Count(None):
            return len(next(iter(columns.values())))
        case Count(field):
            known = columns.get(field)
            is_keyword = known is not None and known.ndim == 2
            return int(known.sum()) if is_keyword else len(_numbers(columns, str(field)))
        case Sum(field):
            return float(_numbers(columns, field).sum())
        case AtMost(field, limit):
            return int((_numbers(columns, field) <= limit).sum())
        case Terms(field):
            return _named(columns[field].sum(axis=0)) if field in columns else {}
        case TermsBy(field, by):
            if field not in columns or by not in columns:
                return {}
            table = columns[by].astype(float).T @ columns[field].astype(float)
            return {f"c{k}": row for k, counts in enumerate(table) if (row := _named(counts))}
        case SumBy(fields, by):
            return _sums_by(columns, fields, by)


def _numbers(columns: Columns, field: str) -> Any:
    known = columns.get(field)
    return np.empty(0) if known is None else known[~np.isnan(known)]


def _named(counts: Any) -> dict[str, int]:
    return {f"c{k}": int(count) for k, count in enumerate(counts) if count}


def _sums_by(columns: Columns, fields: tuple[str, ...], by: str) -> dict[int, Bucket]:
    if by not in columns:
        return {}
    keys = columns[by].astype(int)
    counts = np.bincount(keys)
    sums = {field: np.bincount(keys, weights=columns[field]) for field in fields}
    return {
        int(key): Bucket(int(counts[key]), {field: float(sums[field][key]) for field in fields})
        for key in np.flatnonzero(counts)
    }


def classified(truths: Any, said: Any, classes: int) -> dict[str, Any]:
    """Return the columns of documents with one class each; both sides are indexes of classes."""
    truth, predicted = (np.eye(classes, dtype=bool)[each] for each in (truths, said))
    return {
        "correct": (truths == said).astype(float),
        "truth_label": truth,
        "predicted_label": predicted,
        "true_positive": truth & predicted,
        "false_positive": predicted & ~truth,
        "false_negative": truth & ~predicted,
    }


def scored(truths: Any, logits: Any) -> dict[str, Any]:
    """Return the columns of the scorer binary for probabilities; ``truths`` are booleans."""
    p = 1 / (1 + np.exp(-logits))
    said = p >= 0.5
    columns = classified(truths.astype(int), said.astype(int), 2)
    cells = {
        "true_positive": truths & said,
        "false_positive": ~truths & said,
        "false_negative": truths & ~said,
        "true_negative": ~truths & ~said,
    }
    bins = np.floor((logits + SCORE_LOGIT_LIMIT) * (SCORE_BINS / (2 * SCORE_LOGIT_LIMIT)))
    return {
        **columns,
        **{name: cell[:, None] for name, cell in cells.items()},
        "log_loss": -np.log(np.clip(np.where(truths, p, 1 - p), 2.2e-16, 1)),
        "brier": (p - truths) ** 2,
        "truth_positive": truths.astype(float),
        "positive_probability": p,
        "score_bin": np.clip(bins, 0, SCORE_BINS - 1),
        "calibration_bin": np.minimum(np.floor(p * CALIBRATION_BINS), CALIBRATION_BINS - 1),
    }


def regressed(truths: Any, errors: Any) -> dict[str, Any]:
    """Return the columns of the scorer regression."""
    return {
        "error": errors,
        "absolute_error": np.abs(errors),
        "squared_error": errors**2,
        "quantile_loss": np.abs(errors) / 2,
        "absolute_percentage_error": np.abs(errors / truths),
        "absolute_truth": np.abs(truths),
        "symmetric_percentage_error": 2 * np.abs(errors) / (np.abs(truths) + np.abs(truths + errors)),
        "truth_centered": truths,
        "truth_squared": truths**2,
    }


def _classes(shares: tuple[float, ...], recalls: tuple[float, ...]) -> Callable[[Generator, int], Columns]:
    """Return a case of classes: a wrong prediction is any other class, by its share."""

    def make(generator: Generator, n: int) -> Columns:
        k = len(shares)
        truths = generator.choice(k, n, p=shares)
        weights = np.tile(shares, (k, 1)) * (1 - np.eye(k))
        others = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
        wrong = (generator.random(n)[:, None] > others[truths]).sum(axis=1)
        is_right = generator.random(n) < np.array(recalls)[truths]
        return classified(truths, np.where(is_right, truths, wrong), k)

    return make


def _logits(mean: float, spread: float, noise: float = 0.0) -> Callable[[Generator, int], Columns]:
    """Return a case of probabilities, which are calibrated but for the ``noise`` of the logit."""

    def make(generator: Generator, n: int) -> Columns:
        logits = generator.normal(mean, spread, n)
        truths = generator.random(n) < 1 / (1 + np.exp(-logits))
        return scored(truths, logits + generator.normal(0, noise, n) if noise else logits)

    return make


def _errors(draw: Callable[[Generator, int], Any]) -> Callable[[Generator, int], Columns]:
    def make(generator: Generator, n: int) -> Columns:
        return regressed(generator.normal(50, 10, n), draw(generator, n))

    return make


def _text(generator: Generator, n: int) -> Columns:
    """Transcripts: most are nearly right, some are wrong altogether."""
    words = 1 + generator.poisson(12, n)
    rate = np.where(generator.random(n) < 0.15, generator.uniform(0.3, 1, n), 0.02)
    errors = generator.binomial(words, rate)
    characters = 5 * words
    distance = generator.binomial(characters, rate)
    exact = (errors == 0).astype(float)
    return {
        "correct": exact,
        "exact_match": exact,
        "normalized_match": exact,
        "token_f1": 1 - errors / words,
        "edit_similarity": 1 - distance / characters,
        "edit_distance": distance.astype(float),
        "word_errors": errors.astype(float),
        "truth_words": words.astype(float),
        "truth_characters": characters.astype(float),
    }


def _ordinal(generator: Generator, n: int) -> Columns:
    """Five levels, of which the middle ones are frequent; answers are off by one at most times."""
    truths = generator.choice(5, n, p=(0.05, 0.2, 0.4, 0.25, 0.1))
    said = np.clip(truths + generator.choice(5, n, p=(0.02, 0.13, 0.7, 0.13, 0.02)) - 2, 0, 4)
    off = np.abs(truths - said).astype(float)
    return {
        **classified(truths, said, 5),
        "off_by": off,
        "squared_error": off**2,
        "truth": truths.astype(float),
        "prediction": said.astype(float),
        "truth_squared": truths.astype(float) ** 2,
        "prediction_squared": said.astype(float) ** 2,
    }


def _labels(generator: Generator, n: int) -> Columns:
    """Four labels of frequencies .5 to .03, which belong together."""
    hidden = generator.normal(0, 1, (n, 1))
    truth = hidden + generator.normal(0, 1, (n, 4)) > np.array([0.0, 0.8, 1.6, 2.6])
    said = np.where(generator.random((n, 4)) < 0.85, truth, generator.random((n, 4)) < 0.1)
    both, either = (truth & said).sum(axis=1), (truth | said).sum(axis=1)
    return {
        "correct": (truth == said).all(axis=1).astype(float),
        "hamming_loss": (truth != said).mean(axis=1),
        "jaccard": np.where(either > 0, both / np.maximum(either, 1), 1.0),
        "truth_label": truth,
        "true_positive": truth & said,
        "false_positive": ~truth & said,
        "false_negative": truth & ~said,
    }


def _ranked(generator: Generator, n: int) -> Columns:
    rank = 1 + generator.geometric(0.6, n) - 1
    return {
        "truth_rank": rank.astype(float),
        "reciprocal_rank": 1 / rank,
        "ndcg": 1 / np.log2(1 + rank),
        "average_precision": 1 / rank,
        "precision_at_k": (rank <= 3) / 3.0,
        "recall_at_k": (rank <= 3).astype(float),
    }


def _batch_logits(generator: Generator, n: int) -> Columns:
    """Rows of a batch have nearly the same score, and mostly the same truth."""
    batch = np.arange(n) // ROWS
    batches = batch[-1] + 1
    shared = generator.normal(0.5, 1.5, batches)
    logits = shared[batch] + generator.normal(0, 0.3, n)
    together = (generator.random(batches) < 1 / (1 + np.exp(-shared)))[batch]
    own = generator.random(n) < 1 / (1 + np.exp(-logits))
    return scored(np.where(generator.random(n) < 0.7, together, own), logits)


def _batch_errors(generator: Generator, n: int) -> Columns:
    batch = np.arange(n) // ROWS
    batches = batch[-1] + 1
    truths = generator.normal(50, 8, batches)[batch] + generator.normal(0, 6, n)
    return regressed(truths, generator.normal(0, 2, batches)[batch] + generator.normal(0, 1, n))


def _batch_classes(generator: Generator, n: int) -> Columns:
    batch = np.arange(n) // ROWS
    batches = batch[-1] + 1
    truths = generator.choice(3, batches, p=(0.5, 0.3, 0.2))[batch]
    rate = generator.beta(4, 1, batches)[batch]
    return classified(truths, np.where(generator.random(n) < rate, truths, (truths + 1) % 3), 3)


CASES = {
    case.name: case
    for case in (
        Case("balanced", "three equal classes, accuracy .8", "multiclass", _classes((1 / 3,) * 3, (0.8,) * 3)),
        Case("nearly-perfect", "three classes, accuracy .99", "multiclass", _classes((1 / 3,) * 3, (0.99,) * 3)),
        Case("rare-classes", "classes of .94, .05, .01", "multiclass", _classes((0.94, 0.05, 0.01), (0.97, 0.7, 0.5))),
        Case("many-classes", "ten classes of .3 to .01", "multiclass",
             _classes(tuple(np.array([30, 20, 15, 10, 8, 7, 5, 3, 1, 1]) / 100), (0.85,) * 10)),
        Case("auc-76", "probabilities, AUC about .76", "binary", _logits(0, 1.2)),
        Case("auc-92", "probabilities, AUC about .92", "binary", _logits(0, 3.2)),
        Case("auc-99", "probabilities, AUC about .99", "binary", _logits(0, 11.0)),
        Case("positives-10", "probabilities, 10 % positives", "binary", _logits(-3.2, 2.0)),
        Case("positives-1", "probabilities, 1 % positives", "binary", _logits(-6.2, 2.0)),
        Case("overconfident", "probabilities that are not calibrated", "binary", _logits(0, 1.2, 1.0)),
        Case("normal-errors", "numbers, normal errors", "regression", _errors(lambda g, n: g.normal(1, 5, n))),
        Case("t4-errors", "numbers, errors of Student's t with 4 degrees of freedom", "regression",
             _errors(lambda g, n: 3 * g.standard_t(4, n))),
        Case("lognormal-errors", "numbers, lognormal errors", "regression", _errors(lambda g, n: g.lognormal(0, 1, n))),
        Case("ordinal", "five levels", "ordinal", _ordinal),
        Case("labels", "several labels per document", "multilabel", _labels),
        Case("ranking", "one relevant item", "ranking", _ranked),
        Case("text", "transcripts", "text", _text),
        Case("reward", "rewards, exponential", "reward", lambda g, n: {"reward": g.exponential(1, n)}),
        Case("batches-of-scores", "batches of 20 alike: probabilities", "binary", _batch_logits, ROWS),
        Case("batches-of-classes", "batches of 20 alike: three classes", "multiclass", _batch_classes, ROWS),
        Case("batches-of-numbers", "batches of 20 alike: numbers", "regression", _batch_errors, ROWS),
    )
}  # fmt: skip
