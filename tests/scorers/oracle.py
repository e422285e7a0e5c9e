"""Random pairs of each task, and what scikit-learn computes over them: what every roll-up must equal to 1e-9."""

from __future__ import annotations

import math
import random
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from scorers.probabilities import CALIBRATION_BINS

N = 2_000
Expected = dict[str, Any]

_AVERAGES = ("macro", "micro", "weighted")
_FUNCTIONS = {
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "jaccard": sk.jaccard_score,
}


def assert_equal(found: dict[str, Any], expected: Expected) -> None:
    """Compare all metrics, no more and no fewer, to 1e-9; the AUC within the bound that goes with it."""
    found, expected = dict(found), dict(expected)
    if "auc" in expected:
        assert found.pop("auc") == pytest.approx(expected.pop("auc"), abs=found["auc_bound"] + 1e-12)
        assert 0 <= found.pop("auc_bound") < 0.03
    assert _flat(found) == {
        path: value if isinstance(value, int) else pytest.approx(value, rel=1e-9, abs=1e-9)
        for path, value in _flat(expected).items()
    }


def _flat(table: Any, *path: str) -> dict[tuple[str, ...], Any]:
    if not isinstance(table, dict):
        return {path: table}
    return {key: value for name, inner in table.items() for key, value in _flat(inner, *path, name).items()}


def binary_pairs(base_rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths of the base rate, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    truths = (rng.random(N) < base_rate).astype(int)
    logits = rng.normal(math.log(base_rate / (1 - base_rate)), 1.0, N) + 1.5 * truths
    return truths, 1 / (1 + np.exp(-logits))


def binary(truths: np.ndarray, scores: np.ndarray, names: Sequence[str] = ("CLASS_0", "CLASS_1")) -> Expected:
    """Metrics of the scorer binary at the threshold 0.5."""
    answers = (scores >= 0.5).astype(int)
    expected = {
        **_single_label(truths, answers, names, "precision", "recall", "f1"),
        "recall": sk.recall_score(truths, answers),
        "specificity": sk.recall_score(truths, answers, pos_label=0),
        "f1": sk.f1_score(truths, answers),
        "log_loss": sk.log_loss(truths, scores),
        "brier": sk.brier_score_loss(truths, scores),
        "auc": sk.roc_auc_score(truths, scores),
        "ece": _calibration_error(truths, scores),
    }
    if answers.any():
        expected["precision"] = sk.precision_score(truths, answers)
    return expected


def multiclass_pairs(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths of uneven frequency and logits that know something of them."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(classes, 0.7))
    truths = rng.choice(classes, N, p=weights)
    logits = rng.normal(0, 1.5, (N, classes)) + np.log(weights + 1e-3)
    logits[np.arange(N), truths] += 1.5
    return truths, logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def multiclass(truths: np.ndarray, probabilities: np.ndarray, names: Sequence[str] = ()) -> Expected:
    """Metrics of the scorer multiclass for rows of probabilities."""
    answers = probabilities.argmax(axis=1)
    labels = range(probabilities.shape[1])
    own = probabilities[np.arange(len(truths)), truths]
    return {
        **multiclass_answers(truths, answers, names or class_names(len(labels))),
        "log_loss": sk.log_loss(truths, probabilities, labels=labels),
        "brier": sk.brier_score_loss(truths, probabilities, labels=labels, scale_by_half=False),
        **{
            f"top_{k}_accuracy": sk.top_k_accuracy_score(truths, probabilities, k=k, labels=labels)
            if k < len(labels)
            else 1.0
            for k in (1, 3, 5)
        },
        "mrr": (1 / (1 + (probabilities > own[:, None]).sum(axis=1))).mean(),
        "ece": _calibration_error(answers == truths, probabilities.max(axis=1)),
    }


def multiclass_answers(truths: np.ndarray, answers: np.ndarray, names: Sequence[str]) -> Expected:
    """Metrics of the scorer multiclass for answers without probabilities."""
    return _single_label(truths, answers, names, "precision", "recall", "specificity", "f1")


def multilabel_pairs(labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 0 and 1, some with none set, and logits that know something of them."""
    rng = np.random.default_rng(seed)
    truths = (rng.random((N, labels)) < np.linspace(0.5, 0.05, labels)).astype(int)
    return truths, rng.normal(-1, 1, (N, labels)) + 2 * truths


def multilabel(truths: np.ndarray, scores: np.ndarray, names: Sequence[str] = ()) -> Expected:
    """Metrics of the scorer multilabel for rows of probabilities, at the threshold 0.5."""
    labels = range(scores.shape[1])
    return {
        **multilabel_answers(truths, (scores >= 0.5).astype(int), names or class_names(len(labels))),
        "brier": np.mean([sk.brier_score_loss(truths[:, k], scores[:, k]) for k in labels]),
        "log_loss": np.mean([sk.log_loss(truths[:, k], scores[:, k], labels=[0, 1]) for k in labels]),
    }


def multilabel_answers(truths: np.ndarray, answers: np.ndarray, names: Sequence[str]) -> Expected:
    """Metrics of the scorer multilabel for answers without probabilities."""
    filled = (truths | answers).any(axis=1)
    return {
        "subset_accuracy": sk.accuracy_score(truths, answers),
        "hamming_loss": sk.hamming_loss(truths, answers),
        # Two empty sets have no Jaccard index; scikit-learn would count them as 0 or 1.
        "jaccard": sk.jaccard_score(truths[filled], answers[filled], average="samples", zero_division=0),
        "labels_per_document": truths.sum() / len(truths),
        **_averages(truths, answers, "precision", "recall", "f1", "jaccard"),
        "per_class": {name: _class_row(truths[:, k], answers[:, k]) for k, name in enumerate(names)},
    }


def ordinal_pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ratings of 0 to 4, and answers that are up to two off."""
    rng = np.random.default_rng(seed)
    truths = rng.integers(0, 5, N)
    return truths, np.clip(truths + rng.integers(-2, 3, N), 0, 4)


def ordinal(truths: np.ndarray, answers: np.ndarray, names: Sequence[str] = ()) -> Expected:
    """Metrics of the scorer ordinal, without those of probabilities."""
    return {
        **_single_label(truths, answers, names or class_names(5), "precision", "recall", "f1"),
        "accuracy_within_one": (np.abs(answers - truths) <= 1).mean(),
        "mean_off_by": sk.mean_absolute_error(truths, answers),
        "quadratic_weighted_kappa": sk.cohen_kappa_score(truths, answers, weights="quadratic"),
    }


def regression_pairs(seed: int, outputs: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Truths and answers with a spread and a bias: N numbers, or N rows of ``outputs``."""
    rng = np.random.default_rng(seed)
    shape = (N, outputs) if outputs else N
    truths = rng.normal(3, 20, shape)
    return truths, truths + rng.normal(1, 5, shape)


def regression(truths: np.ndarray, answers: np.ndarray, quantile: float = 0.5) -> Expected:
    """Metrics of the scorer regression. The RMSE of several outputs is the root of their mean squared error."""
    expected = {
        "mse": sk.mean_squared_error(truths, answers),
        "rmse": sk.root_mean_squared_error(truths.ravel(), answers.ravel()),
        "mae": sk.mean_absolute_error(truths, answers),
        "mape": sk.mean_absolute_percentage_error(truths, answers),
        "wmape": abs(answers - truths).sum() / abs(truths).sum(),
        "smape": (2 * abs(answers - truths) / (abs(answers) + abs(truths))).mean(),
        "quantile_loss": sk.mean_pinball_loss(truths, answers, alpha=quantile),
        "mean_error": (answers - truths).mean(),
    }
    if truths.ndim == 1:
        expected["r2"] = sk.r2_score(truths, answers)
    return expected


def ranking_pairs(items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains of 0 to 3, at least one of them above 0, and scores that know something of them."""
    rng = np.random.default_rng(seed)
    gains = rng.integers(0, 4, (N, items)) * (rng.random((N, items)) < 0.3)
    gains[np.arange(N), rng.integers(0, items, N)] = 2
    return gains, rng.random((N, items)) + 0.3 * gains


def ranking(gains: np.ndarray, scores: np.ndarray, k: int | None = None) -> Expected:
    """Metrics of the scorer ranking, cut at ``k``."""
    relevant = (gains > 0).astype(int)
    ordered = np.take_along_axis(relevant, np.argsort(-scores, axis=1), axis=1)
    first = ordered.argmax(axis=1) + 1
    cut = k or gains.shape[1]
    found = ordered[:, :cut].sum(axis=1)
    return {
        "ndcg": sk.ndcg_score(gains, scores, k=k),
        # By row, this is the average precision.
        "map": sk.label_ranking_average_precision_score(relevant, scores),
        "mrr": (1 / first).mean(),
        "precision_at_k": found.mean() / cut,
        "recall_at_k": (found / relevant.sum(axis=1)).mean(),
        **{f"hit_at_{n}": (first <= n).mean() for n in (1, 3, 5, 10)},
    }


def text_pairs(seed: int) -> tuple[list[str], list[str]]:
    """Short sentences, and the same with words changed, lost, added, or written otherwise."""
    rng = random.Random(seed)
    words = ["the", "a", "cat", "sat", "on", "mat", "Paris", "café", "42", "don't", "well-known", "naïve"]
    truths = [" ".join(rng.choices(words, k=rng.randint(1, 7))) for _ in range(N)]
    return truths, [_rewritten(truth, words, rng) for truth in truths]


def _rewritten(text: str, words: list[str], rng: random.Random) -> str:
    said = text.split()
    kind = rng.randrange(6)
    if kind == 1:
        said[rng.randrange(len(said))] = rng.choice(words)
    elif kind == 2:
        said.insert(rng.randint(0, len(said)), rng.choice(words))
    elif kind == 3 and len(said) > 1:
        del said[rng.randrange(len(said))]
    elif kind == 4:
        return f"{text.capitalize()}."
    elif kind == 5:
        rng.shuffle(said)
    return " ".join(said)


def text(truths: Sequence[str], answers: Sequence[str]) -> Expected:
    """Metrics of the scorer text with normalize: matches and words as SQuAD's, edits by the textbook's table."""
    pairs = list(zip(truths, answers, strict=True))
    matches = sk.accuracy_score([squad_normalize(y) or y for y in truths], [squad_normalize(p) or p for p in answers])
    distances = [table_distance(y, p) for y, p in pairs]
    lengths = [max(len(y), len(p), 1) for y, p in pairs]
    return {
        "accuracy": matches,
        "normalized_match": matches,
        "exact_match": sk.accuracy_score(truths, answers),
        "token_f1": np.mean([squad_f1(y, p) for y, p in pairs]),
        "edit_distance": np.mean(distances),
        "edit_similarity": 1 - np.mean(np.divide(distances, lengths)),
        "character_error_rate": sum(distances) / sum(map(len, truths)),
        "word_error_rate": sum(table_distance(y.split(), p.split()) for y, p in pairs)
        / sum(len(y.split()) for y in truths),
    }


def squad_normalize(answer: str) -> str:
    """Do as ``normalize_answer`` of SQuAD's evaluation script, version 1.1."""
    lower = "".join(letter for letter in answer.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lower).split())


def squad_f1(truth: str, prediction: str) -> float:
    """Do as ``f1_score`` of SQuAD's evaluation script, 2.0; a text of which nothing is left equals only itself."""
    known, said = squad_normalize(truth).split(), squad_normalize(prediction).split()
    if not known or not said or truth == prediction:
        return float(truth == prediction)
    same = sum((Counter(known) & Counter(said)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(said), same / len(known)
    return 2 * precision * recall / (precision + recall)


def table_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Fill the textbook table of Wagner and Fischer."""
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def reward(rewards: Iterable[float]) -> Expected:
    """Metrics of the scorer reward."""
    known = list(rewards)
    return {"mean_reward": math.fsum(known) / len(known), "reward_sum": math.fsum(known)}


def class_names(count: int) -> tuple[str, ...]:
    """Names of classes that nobody named."""
    return tuple(f"CLASS_{k}" for k in range(count))


def _single_label(truths: np.ndarray, answers: np.ndarray, names: Sequence[str], *parts: str) -> Expected:
    present = sorted({*truths.tolist(), *answers.tolist()})
    matrix = sk.confusion_matrix(truths, answers, labels=present)
    rows = {
        names[truth]: {names[answer]: int(n) for answer, n in zip(present, row, strict=True) if n}
        for truth, row in zip(present, matrix, strict=True)
    }
    expected = {
        "accuracy": sk.accuracy_score(truths, answers),
        "balanced_accuracy": sk.balanced_accuracy_score(truths, answers),
        "kappa": sk.cohen_kappa_score(truths, answers),
        "baseline_accuracy": np.bincount(truths).max() / len(truths),
        **_averages(truths, answers, *parts),
        "per_class": {names[k]: _class_row(truths == k, answers == k) for k in present},
        "confusion_matrix": {truth: row for truth, row in rows.items() if row},
    }
    # scikit-learn says 0 where it is 0/0: one side always names the same class.
    if len(set(truths.tolist())) > 1 and len(set(answers.tolist())) > 1:
        expected["mcc"] = sk.matthews_corrcoef(truths, answers)
    return expected


def _averages(truths: np.ndarray, answers: np.ndarray, *parts: str) -> Expected:
    expected = {
        f"{part}_{average}": _FUNCTIONS[part](truths, answers, average=average, zero_division=0)
        for part in parts
        for average in _AVERAGES
        if part != "specificity"
    }
    if "specificity" in parts:
        # The recall of "not this class"; weighted as the others are, by how often the class is the truth.
        present = np.array(sorted({*truths.tolist(), *answers.tolist()}))
        others, said = (side[:, None] != present for side in (truths, answers))
        by_class = sk.recall_score(others, said, average=None)
        expected["specificity_macro"] = sk.recall_score(others, said, average="macro")
        expected["specificity_micro"] = sk.recall_score(others, said, average="micro")
        expected["specificity_weighted"] = np.average(by_class, weights=(~others).sum(axis=0))
    return expected


def _class_row(truths: np.ndarray, answers: np.ndarray) -> Expected:
    """One class against all others: 1 is the class. What is 0/0 is left out."""
    (tn, fp), (fn, tp) = sk.confusion_matrix(truths, answers, labels=[0, 1]).tolist()
    scores = {
        "precision": sk.precision_score(truths, answers, zero_division=np.nan),
        "recall": sk.recall_score(truths, answers, zero_division=np.nan),
        "specificity": sk.recall_score(truths, answers, pos_label=0, zero_division=np.nan),
        "f1": sk.f1_score(truths, answers),
        "jaccard": sk.jaccard_score(truths, answers),
    }
    assert tp + fp + fn + tn == len(truths)
    return {
        **{name: value for name, value in scores.items() if not math.isnan(value)},
        "support": tp + fn,
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
    }


def _calibration_error(happened: np.ndarray, predicted: np.ndarray) -> float:
    """ECE of Guo et al. 2017: the mean gap between how often it happened and how often it was said, over bins."""
    bins = np.minimum((predicted * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [abs(happened[bins == b].mean() - predicted[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))
