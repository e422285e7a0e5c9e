"""Each scorer over real HTTP and a real engine: what aggregations alone give is what scikit-learn computes.

Every deployment gets 2,000 random pairs, as batches and as single predictions, some with the feedback first and some
events twice. The metrics that come from the engine's sums are compared with those of `tests.scorers.oracle`, which
knows nothing of documents.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import yaml

from request_logger.analytics.rollups import aggregations, compute, per_class
from request_logger.scoring.registry import build
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.scorers import oracle

pytestmark = pytest.mark.engine

SINGLES = 100
BATCH = 50
CLASSES = ("ant", "bee", "cow", "dog", "eel")
TAGS = tuple(f"tag {k}" for k in range(6))


@dataclass(frozen=True)
class Case:
    """The pairs of one deployment as they are sent, row by row, and the metrics that they must give."""

    scorer: str
    predictions: list[Any]
    truths: list[Any] | None
    expected: Callable[[], oracle.Expected]
    names: tuple[str, ...] = ()
    rewards: list[Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def binary_scores() -> Case:
    """One probability a row; truths are integers."""
    truths, scores = oracle.binary_pairs(0.3, seed=1)
    return Case("binary", scores.tolist(), truths.tolist(), lambda: oracle.binary(truths, scores))


def binary_columns() -> Case:
    """Two named columns; truths are the names."""
    truths, scores = oracle.binary_pairs(0.1, seed=2)
    rows, names = np.column_stack([1 - scores, scores]).tolist(), ("no", "yes")
    known = [names[truth] for truth in truths]
    return Case("binary", rows, known, lambda: oracle.binary(truths, scores, names), names)


def binary_answers() -> Case:
    """Integers on both sides: no probabilities, and so none of their metrics."""
    truths, scores = oracle.binary_pairs(0.4, seed=3)
    answers = (scores >= 0.5).astype(int)

    def expected() -> oracle.Expected:
        wanted = oracle.binary(truths, scores)
        return {name: wanted[name] for name in wanted if name not in ("log_loss", "brier", "auc", "ece")}

    return Case("binary", answers.tolist(), truths.tolist(), expected)


def multiclass_probabilities() -> Case:
    """Five named columns; truths are one-hot rows of integers. A reward says whether the answer was right."""
    truths, logits = oracle.multiclass_pairs(len(CLASSES), seed=4)
    rows = oracle.softmax(logits)
    rewards = (rows.argmax(axis=1) == truths).astype(int).tolist()
    known = np.eye(len(CLASSES), dtype=int)[truths].tolist()
    return Case("multiclass", rows.tolist(), known, lambda: oracle.multiclass(truths, rows, CLASSES), CLASSES, rewards)


def multiclass_logits() -> Case:
    """Five columns of logits without names; truths are indexes."""
    truths, logits = oracle.multiclass_pairs(len(CLASSES), seed=5)
    options = {"logits": True}
    return Case(
        "multiclass",
        logits.tolist(),
        truths.tolist(),
        lambda: oracle.multiclass(truths, oracle.softmax(logits)),
        options=options,
    )


def multiclass_labels() -> Case:
    """Text on both sides."""
    truths, logits = oracle.multiclass_pairs(len(CLASSES), seed=6)
    answers = logits.argmax(axis=1)
    predictions, known = ([CLASSES[k] for k in side] for side in (answers, truths))
    return Case("multiclass", predictions, known, lambda: oracle.multiclass_answers(truths, answers, CLASSES))


def multilabel() -> Case:
    """Six named columns of probabilities; truths are rows of 0 and 1."""
    truths, logits = oracle.multilabel_pairs(len(TAGS), seed=7)
    scores = 1 / (1 + np.exp(-logits))
    return Case("multilabel", scores.tolist(), truths.tolist(), lambda: oracle.multilabel(truths, scores, TAGS), TAGS)


def ordinal() -> Case:
    """Ratings of 0 to 4, integers on both sides."""
    truths, answers = oracle.ordinal_pairs(seed=8)
    return Case("ordinal", answers.tolist(), truths.tolist(), lambda: oracle.ordinal(truths, answers))


def regression() -> Case:
    """Numbers, judged at the quantile 0.9."""
    truths, answers = oracle.regression_pairs(seed=9)
    options = {"quantile": 0.9}
    return Case(
        "regression",
        answers.tolist(),
        truths.tolist(),
        lambda: oracle.regression(truths, answers, quantile=0.9),
        options=options,
    )


def regression_outputs() -> Case:
    """Three named numbers a row."""
    truths, answers = oracle.regression_pairs(seed=10, outputs=3)
    names = ("length", "width", "height")
    return Case("regression", answers.tolist(), truths.tolist(), lambda: oracle.regression(truths, answers), names)


def ranking() -> Case:
    """A score an item; truths are the gains, cut at 5."""
    gains, scores = oracle.ranking_pairs(12, seed=11)
    return Case(
        "ranking", scores.tolist(), gains.tolist(), lambda: oracle.ranking(gains, scores, k=5), options={"k": 5}
    )


def text() -> Case:
    """Sentences."""
    truths, answers = oracle.text_pairs(seed=12)
    return Case("text", answers, truths, lambda: oracle.text(truths, answers), options={"normalize": True})


def reward() -> Case:
    """Numbers, fractions, booleans and numeric text as rewards, and no truth."""
    rng = np.random.default_rng(13)
    forms: list[Any] = [1, 0, True, False, 0.5, "0.25", -2]
    rewards = [forms[k] for k in rng.integers(0, len(forms), oracle.N)]
    predictions = rng.random(oracle.N).tolist()
    return Case("reward", predictions, None, lambda: oracle.reward(map(float, rewards)), rewards=rewards)


CASES: tuple[Callable[[], Case], ...] = (
    binary_scores,
    binary_columns,
    binary_answers,
    multiclass_probabilities,
    multiclass_logits,
    multiclass_labels,
    multilabel,
    ordinal,
    regression,
    regression_outputs,
    ranking,
    text,
    reward,
)


def deployment_prefix(make: Callable[[], Case]) -> str:
    return f"o-{make.__name__.replace('_', '-')}"


@pytest.fixture(scope="module")
def oracle_server(make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server with a rule for each case."""
    rules = []
    for make in CASES:
        case = make()
        rule: dict[str, Any] = {"deployment": f"{deployment_prefix(make)}-t-*", "scorer": case.scorer}
        rules.append(rule | ({"options": case.options} if case.options else {}))
    path = tmp_path_factory.mktemp("oracle") / "scorers.yaml"
    path.write_text(yaml.safe_dump({"rules": rules}))
    return make_server(SCORERS_CONFIG=str(path))


Message = tuple[dict[str, str], bytes]


def conversations(case: Case, deployment: str) -> Iterator[list[Message]]:
    """The events of each batch and of each single prediction, in the order in which they are sent."""
    starts = [*range(0, oracle.N - SINGLES, BATCH), *range(oracle.N - SINGLES, oracle.N)]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], oracle.N], strict=True)):
        response = ndarray(case.predictions[start:end], list(case.names) or None)
        feedback: dict[str, Any] = {}
        if case.truths is not None:
            feedback["truth"] = {"data": {"ndarray": case.truths[start:end]}}
        if case.rewards is not None:
            rewards = case.rewards[start:end]
            feedback["reward"] = rewards if len(rewards) > 1 else rewards[0]
        request_id = f"r{number}"
        messages = [
            (event("response", request_id, deployment), response),
            (event("feedback", request_id, deployment), json.dumps(feedback).encode()),
        ]
        if number % 3 == 0:
            messages.reverse()
        # Every fifth event is delivered again, after all others of its prediction.
        again = [message for position, message in enumerate(messages) if (2 * number + position) % 5 == 0]
        yield [*messages, *again]


def send_all(server: Server, case: Case, deployment: str) -> None:
    """Send all conversations over four connections; each waits for the answer of one event before the next."""
    local = threading.local()
    senders: list[Sender] = []

    def converse(messages: list[Message]) -> None:
        if not hasattr(local, "sender"):
            local.sender = Sender(server.url)
            senders.append(local.sender)
        for headers, body in messages:
            assert local.sender.send(headers, body) == (200, b"")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(converse, conversations(case, deployment)))
    for sender in senders:
        sender.close()


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_aggregations_equal_scikit_learn(
    make: Callable[[], Case], oracle_server: Server, index: Index, deployment: str
) -> None:
    """2,000 pairs are 2,000 scored documents, and every metric of the scorer is scikit-learn's to 1e-9."""
    case, name = make(), f"{deployment_prefix(make)}-{deployment}"
    send_all(oracle_server, case, name)
    pattern, scorer = index_of(name), build(case.scorer, case.options)
    query = {"term": {"metrics.scorer": case.scorer}}
    assert index.count(pattern) == oracle.N
    assert index.count(pattern, query) == oracle.N
    # A pair that can't be scored has the scorer's name and none of its fields.
    scored = {"regression": "squared_error", "reward": "reward"}.get(case.scorer, "correct")
    assert index.count(pattern, {"exists": {"field": f"metrics.{scored}"}}) == oracle.N
    for problem in ("unscorable", "warning", "response_disagrees"):
        assert index.count(pattern, {"exists": {"field": f"metrics.{problem}"}}) == 0, problem
    answer = index.aggregate(pattern, aggregations(scorer), query)
    found, expected = compute(scorer, answer), case.expected()
    oracle.assert_equal(found, expected)
    assert set(found) <= {metric.name for metric in scorer.metrics}
    assert per_class(scorer, answer) == found.get("per_class", {})
    if case.rewards is not None:
        answer = index.aggregate(pattern, {"rewards": {"stats": {"field": "metrics.reward"}}})["rewards"]
        assert answer["count"] == oracle.N
        assert answer["sum"] == pytest.approx(sum(map(float, case.rewards)), abs=1e-9)
    if case.rewards is not None and case.truths is not None:
        assert index.count(pattern, {"term": {"metrics.reward_agrees": True}}) == oracle.N


def test_every_scorer_is_compared() -> None:
    """All eight scorers have a case, and together the cases have every metric that they declare."""
    made = [make() for make in CASES]
    scorers = {case.scorer: build(case.scorer, {}) for case in made}
    assert sorted(scorers) == [
        "binary", "multiclass", "multilabel", "ordinal", "ranking", "regression", "reward", "text",
    ]  # fmt: skip
    declared = {(name, metric.name) for name, scorer in scorers.items() for metric in scorer.metrics}
    compared = {(case.scorer, metric) for case in made for metric in case.expected()}
    assert declared - compared == {("binary", "auc_bound"), ("ordinal", "ranked_probability_score")}
