"""Roll-ups: one plain body for all metrics, and the values from the engine's answer."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from request_logger.analytics.rollups import NotExactError, aggregations, compute, per_class
from request_logger.scoring.registry import build
from scorers.base import Row, Scorer
from tests.scorers.aggregate import engine_answer, roll_up

RNG = random.Random(0)


def documents(scorer: Scorer) -> list[dict[str, Any]]:
    """Fifty documents of a scorer."""
    makers = {
        "binary": lambda: (RNG.randint(0, 1), RNG.random()),
        "multiclass": lambda: (RNG.randint(0, 2), [RNG.gauss(0, 1) for _ in range(3)]),
        "multilabel": lambda: (RNG.sample("abcd", 2), RNG.sample("abcd", 2)),
        "ordinal": lambda: (RNG.randint(1, 5), RNG.randint(1, 5)),
        "ranking": lambda: (RNG.choice("abc"), RNG.sample("abcdef", 6)),
        "regression": lambda: (RNG.gauss(0, 1), RNG.gauss(0, 1)),
        "reward": lambda: (RNG.random(), None),
        "text": lambda: ("a b c", RNG.choice(["a b c", "a c", "x"])),
    }
    return [scorer.score(*map(Row, makers[scorer.name]())) for _ in range(50)]


NAMES = ["binary", "multiclass", "multilabel", "ordinal", "ranking", "regression", "reward", "text"]


@pytest.mark.parametrize("name", NAMES)
def test_the_body_answers_every_metric(name: str) -> None:
    """The values from an engine's answer are those of the sums; every metric is within its bounds."""
    scorer = build(name, {})
    scored = documents(scorer)
    body = aggregations(scorer)
    found = compute(scorer, json.loads(json.dumps(engine_answer(body, scored))))
    assert _numbers(found) == pytest.approx(_numbers(roll_up(scorer, scored)))
    optional = {"log_loss", "brier", "hamming_loss", "ranked_probability_score"}
    assert {metric.name for metric in scorer.metrics} - optional <= set(found)
    for metric in scorer.metrics:
        value = found.get(metric.name)
        if isinstance(value, float):
            assert metric.bounds[0] - 1e-12 <= value <= metric.bounds[1] + 1e-12


def _numbers(found: Any, path: str = "") -> dict[str, float]:
    if not isinstance(found, dict):
        return {path: found}
    return {key: value for name, inner in found.items() for key, value in _numbers(inner, f"{path}/{name}").items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_body_is_plain(name: str) -> None:
    """No scripts, and every field is one of the metrics object."""
    body = aggregations(build(name, {}))
    text = json.dumps(body)
    assert "script" not in text
    assert set(_fields(body)) == {field for field in _fields(body) if field.startswith("metrics.")}


def _fields(body: Any) -> list[str]:
    if not isinstance(body, dict):
        return []
    own = [body["field"]] if isinstance(body.get("field"), str) else []
    return own + [field for value in body.values() for field in _fields(value)]


def test_only_what_is_asked_for() -> None:
    """A subset of the metrics needs a subset of the aggregations."""
    scorer = build("multiclass", {})
    body = aggregations(scorer, {"accuracy", "top_3_accuracy"})
    assert body == {
        "sum_correct": {"sum": {"field": "metrics.correct"}},
        "count_correct": {"value_count": {"field": "metrics.correct"}},
        "at_most_truth_rank_3": {"filter": {"range": {"metrics.truth_rank": {"lte": 3}}}},
        "count_reciprocal_rank": {"value_count": {"field": "metrics.reciprocal_rank"}},
    }
    answer = engine_answer(body, documents(scorer))
    assert set(compute(scorer, answer, {"accuracy", "top_3_accuracy"})) == {"accuracy", "top_3_accuracy"}


def test_per_class() -> None:
    """The table by class, empty for a scorer that has none."""
    scorer = build("multiclass", {})
    scored = [scorer.score(Row(y), Row(p)) for y, p in [("a", "a"), ("a", "b"), ("b", "b"), ("c", "b")]]
    table = per_class(scorer, engine_answer(aggregations(scorer), scored))
    assert table["a"] == pytest.approx(
        {"precision": 1.0, "recall": 0.5, "specificity": 1.0, "f1": 2 / 3, "jaccard": 0.5, "support": 2,
         "true_positive": 1, "false_positive": 0, "false_negative": 1}
    )  # fmt: skip
    assert "precision" not in table["c"]
    regression = build("regression", {})
    assert per_class(regression, engine_answer(aggregations(regression), [])) == {}


@pytest.mark.parametrize("flaw", ["sum_other_doc_count", "doc_count_error_upper_bound"])
def test_approximate_counts_are_refused(flaw: str) -> None:
    """Also deep in the confusion matrix: a metric is exact or it is not given."""
    scorer = build("multiclass", {})
    answer = engine_answer(aggregations(scorer), documents(scorer))
    answer["terms_true_positive"][flaw] = 3
    with pytest.raises(NotExactError, match="terms_true_positive: more than 10000"):
        compute(scorer, answer)
    assert compute(scorer, answer, {"accuracy"})
    answer = engine_answer(aggregations(scorer), documents(scorer))
    answer["terms_predicted_label_by_truth_label"]["buckets"][0]["values"][flaw] = 1
    with pytest.raises(NotExactError):
        compute(scorer, answer)


def test_an_engine_without_documents() -> None:
    """Sums that are null, no buckets: no metric but the empty tables and the sums."""
    body = aggregations(build("binary", {}))
    answer = {key: {"value": None if "sum" in need else 0, "doc_count": 0, "buckets": []} for key, need in body.items()}
    assert compute(build("binary", {}), answer) == {"per_class": {}, "confusion_matrix": {}}
