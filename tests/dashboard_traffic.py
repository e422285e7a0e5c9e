"""What is sent for the dashboards to show, and what each panel must show of it, as scikit-learn has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics as sk

from request_logger.dashboards.panels import BARS, LINES, MATRIX, NUMBER, TABLE, Panel
from request_logger.scoring.registry import registered
from tests.scorers import oracle

DAYS = ("2026-03-02", "2026-03-04")
STARTS = (1772409600000, 1772582400000)  # of these days (ms)
RANGE = (1772323200000, 1772755200000)  # 2026-03-01 to 2026-03-06
CLASSES = ("ant", "bee", "cow", "dog")
TAGS = ("t0", "t1", "t2")


@dataclass(frozen=True)
class Case:
    """What is sent of one scorer, and the metrics of some of the pairs."""

    predictions: list[Any]
    truths: list[Any]
    expected: Callable[[slice], dict[str, Any]]
    names: tuple[str, ...] = ()


@functools.cache
def cases() -> dict[str, Case]:
    """60 pairs a scorer: 40 on one day, 20 on another."""
    n, first = 60, slice(0, 60)
    known, scores = (values[first] for values in oracle.binary_pairs(0.4, seed=1))
    truths, logits = (values[first] for values in oracle.multiclass_pairs(4, seed=2))
    chances = oracle.softmax(logits)
    labels, tag_logits = (values[first] for values in oracle.multilabel_pairs(3, seed=3))
    tag_scores = 1 / (1 + np.exp(-tag_logits))
    levels, answers = (values[first] for values in oracle.ordinal_pairs(seed=4))
    numbers, guesses = (values[first] for values in oracle.regression_pairs(seed=5))
    gains, order = (values[first] for values in oracle.ranking_pairs(8, seed=6))
    texts, written = (values[:n] for values in oracle.text_pairs(seed=7))
    return {
        "binary": Case(scores.tolist(), known.tolist(), lambda s: oracle.binary(known[s], scores[s])),
        "multiclass": Case(
            chances.tolist(),
            [CLASSES[k] for k in truths],
            lambda s: oracle.multiclass(truths[s], chances[s], CLASSES),
            CLASSES,
        ),
        "multilabel": Case(
            tag_scores.tolist(), labels.tolist(), lambda s: oracle.multilabel(labels[s], tag_scores[s], TAGS), TAGS
        ),
        "ordinal": Case(answers.tolist(), levels.tolist(), lambda s: oracle.ordinal(levels[s], answers[s])),
        "regression": Case(guesses.tolist(), numbers.tolist(), lambda s: oracle.regression(numbers[s], guesses[s])),
        "ranking": Case(order.tolist(), gains.tolist(), lambda s: oracle.ranking(gains[s], order[s], k=5)),
        "text": Case(written, texts, lambda s: oracle.text(texts[s], written[s])),
    }


HALVES = (slice(0, 40), slice(40, 60))
REWARDS = ([1.0, 0.0, 0.5, 1.0], [0.25, 1.0])


def wanted(panel: Panel, names: dict[str, str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What a panel must show: the values of its figures by the keys of its splits, computed from what was sent."""
    scorer = panel.title.partition(":")[0]
    if scorer not in registered():
        return wanted_of_all(panel, names)
    case = cases()[scorer]
    whole, origin = slice(0, 60), (names[scorer], "default", "classifier")

    def figures(part: slice) -> tuple[Any, ...]:
        values = {**expected(scorer, part.start, part.stop), "documents": part.stop - part.start}
        # Numbers have no ranked probability score: there is nothing to show then.
        return tuple(values.get(each.label) for each in ((panel.formula,) if panel.formula else panel.figures))

    if panel.shape == NUMBER:
        return {(): figures(whole)}
    if panel.shape == LINES:
        return {(start,): figures(half) for start, half in zip(STARTS, HALVES, strict=True)}
    if panel.shape == TABLE:
        return {origin: figures(whole)}
    if scorer == "multilabel":
        known, found = np.array(case.truths), np.array(case.predictions) >= 0.5
        matrices = sk.multilabel_confusion_matrix(known, found)
        cell = {"true positives": (1, 1), "false positives": (0, 1), "false negatives": (1, 0)}
        place = cell[panel.title.partition(": ")[2].removesuffix(" by label")]
        return {(tag,): (int(m[place]),) for tag, m in zip(TAGS, matrices, strict=True) if m[place]}
    known, found = labels_of(scorer, case)
    classes = sorted({*known, *found})
    if panel.shape == MATRIX:
        matrix = sk.confusion_matrix(known, found, labels=classes)
        return {
            (truth, answer): (int(matrix[row][column]),)
            for row, truth in enumerate(classes)
            for column, answer in enumerate(classes)
            if matrix[row][column]
        }
    assert panel.shape == BARS
    score = sk.precision_score if panel.figures[0].label == "precision" else sk.recall_score
    values = score(known, found, labels=classes, average=None, zero_division=np.nan)
    return {(label,): (value,) for label, value in zip(classes, values, strict=True) if not np.isnan(value)}


@functools.cache
def expected(scorer: str, start: int, stop: int) -> dict[str, Any]:
    return cases()[scorer].expected(slice(start, stop))


def labels_of(scorer: str, case: Case) -> tuple[list[str], list[str]]:
    """Truths and answers as class names."""
    if scorer == "multiclass":
        return case.truths, [CLASSES[int(np.argmax(row))] for row in case.predictions]
    if scorer == "binary":
        return [f"CLASS_{k}" for k in case.truths], [f"CLASS_{int(p >= 0.5)}" for p in case.predictions]
    return [f"CLASS_{k}" for k in case.truths], [f"CLASS_{k}" for k in case.predictions]


# Scorer -> the metric that is the mean of `correct`.
_CORRECT = {
    **dict.fromkeys(("binary", "multiclass", "ordinal", "text"), "accuracy"),
    "multilabel": "subset_accuracy",
    "ranking": "hit_at_1",
}


def audited_accuracy(part: slice) -> float:
    """The share of correct predictions of all scorers that have some; all predictions are audited."""
    return float(np.mean([expected(name, part.start, part.stop)[metric] for name, metric in _CORRECT.items()]))


def wanted_of_all(panel: Panel, names: dict[str, str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The panels that are about no scorer."""
    flat = [*REWARDS[0], *REWARDS[1]]
    scored = 7 * 60 + len(flat)
    numbers: dict[str, Any] = {
        "Predictions": scored + 2,
        "With a reward": len(flat),
        "Sum of rewards": sum(flat),
        "Mean reward": sum(flat) / len(flat),
        "Scored": scored,
        "Not scorable": 1,
        "Failed requests": 1,
        "Evaluated": len(flat),
        "Audited predictions": scored + 2,
        "Audited predictions with a truth": 7 * 60,
        "Audited accuracy": audited_accuracy(slice(0, 60)),
    }
    if panel.title in numbers:
        return {(): (numbers[panel.title],)}
    if panel.title == "Predictions over time":
        return {(STARTS[0],): (7 * 40 + 4 + 2,), (STARTS[1],): (7 * 20 + 2,)}
    if panel.title == "Evaluated over time":
        return {(start,): (len(each),) for start, each in zip(STARTS, REWARDS, strict=True)}
    if panel.title == "Audited accuracy over time":
        return {(start,): (audited_accuracy(half),) for start, half in zip(STARTS, HALVES, strict=True)}
    if panel.title == "Audit by model":
        origins = {name: (names[name], "default", "classifier") for name in cases()}
        return {origin: (60, expected(name, 0, 60).get(_CORRECT.get(name, ""))) for name, origin in origins.items()}
    # Up for the first and every second reward of a day.
    ups = [(len(each) + 1) // 2 for each in REWARDS]
    if panel.title == "Mean value of $evaluation":
        return {(): (sum(ups) / len(flat),)}
    if panel.title == "Mean value of $evaluation over time":
        return {(start,): (up / len(each),) for start, up, each in zip(STARTS, ups, REWARDS, strict=True)}
    if panel.title == "Evaluations by name":
        return {("helpful",): (len(flat),)}
    if panel.title.startswith("Evaluations by"):
        origin = (names["reward"], "default", "classifier") if panel.shape == TABLE else ()
        return {(*origin, "helpful=1"): (sum(ups),), (*origin, "helpful=0"): (len(flat) - sum(ups),)}
    if panel.title == "Rewards over time":
        return {(start,): (sum(each), len(each)) for start, each in zip(STARTS, REWARDS, strict=True)}
    if panel.title == "Rewards by model":
        return {(names["reward"], "default", "classifier"): (len(flat), sum(flat) / len(flat), sum(flat))}
    if panel.title == "Scorers":
        return {(name,): (60,) for name in cases()} | {("reward",): (len(flat),)}
    assert panel.title == "Why not scorable"
    return {("the feedback has neither a truth nor a reward",): (1,)}
