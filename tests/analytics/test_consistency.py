"""What one pair doesn't show: a report judges all documents of a model, and its commands correct them; on an engine."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.consistency import judge
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.quality_gate import Condition, QualityError, check
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import Selection
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import document, engine_at, store

pytestmark = pytest.mark.engine

RNG = np.random.default_rng(5)
N = 400
Report = dict[str, Any]


@pytest.fixture(scope="module")
def client(engine: Any) -> SearchEngine:
    return engine_at(engine.url)


class Model:
    """A model's stored pairs."""

    def __init__(self, client: SearchEngine, name: str) -> None:
        self._client, self.name, self.index = client, name, f"inference-log-t-{name}"

    def store(self, scorer: str, pairs: Sequence[tuple[Any, Any]], names: Sequence[str] = (), start: int = 0) -> None:
        """Store pairs as the logger with this setting does."""
        settle = settler(Chooser(scorer, None))
        made = []
        for k, (truth, prediction) in enumerate(pairs, start=start):
            each = document(None, None, None, deployment=self.name, request_id=f"{self.name}-{k}")
            each["response"] |= {"instance": prediction, **({"names": list(names)} if names else {})}
            each["feedback"] = {"ce-time": each["@timestamp"], "truth": {"data": {"ndarray": [truth]}}}
            made.append(settle(each))
        store(self._client, self.index, made)

    def report(self) -> Report:
        self._client.request("POST", f"/{self.index}/_refresh")
        return make_report(self._client, Settings(), Options(self.index))

    def gate(self, metric: str) -> Any:
        selection, condition = Selection(index=self.index), Condition.of(f"{metric}=0", is_maximum=False)
        ((verdict,), _) = check(self._client, Settings(), selection, [condition], minimum=1)
        return verdict.value


@pytest.fixture
def model(client: SearchEngine, reach: Settings) -> Iterator[Model]:
    made = Model(client, f"m-{uuid.uuid4().hex[:8]}")
    yield made
    client.request("DELETE", f"/{made.index}")


def run(text: str, **options: str) -> None:
    """Run the command that a text names, with names in place of NAME."""
    (command,) = set(re.findall(r"request-logger (rescore .*?)[).]*(?:\s|$)*$", text))
    for name, value in options.items():
        command = command.replace(name, value)
    assert main(shlex.split(command)) == 0


def metric(report: Report, name: str) -> Any:
    return {each["name"]: each["value"] for task in report["tasks"] for each in task.get("metrics", [])}.get(name)


def scores() -> tuple[np.ndarray, np.ndarray]:
    """Truths with scores that know something of them, a quarter of them rounded to exactly 0 and 1."""
    truths = RNG.integers(0, 2, N)
    said = np.clip(RNG.normal(0.5 + 0.25 * (truths - 0.5), 0.35, N), 0, 1)
    assert 0.05 < np.mean((said == 0) | (said == 1)) < 0.5
    return truths, said


def test_scores_of_exactly_0_and_1(model: Model) -> None:
    """They are answers without an option, so the AUC and the losses would be of the others: they are refused."""
    truths, said = scores()
    model.store("binary", list(zip(truths.tolist(), said.tolist(), strict=True)))
    report = model.report()
    for name in ("auc", "brier", "log_loss", "ece"):
        assert metric(report, name) is None
        with pytest.raises(QualityError, match="probabilities=true"):
            model.gate(name)
    assert metric(report, "accuracy") == model.gate("accuracy") == pytest.approx(np.mean((said >= 0.5) == truths))
    (note,) = report["notes"]
    run(note)
    report = model.report()
    area = sk.roc_auc_score(truths, said)
    assert abs(metric(report, "auc") - area) <= metric(report, "auc_bound") + 1e-12
    assert metric(report, "brier") == pytest.approx(sk.brier_score_loss(truths, said), abs=1e-9)
    assert metric(report, "log_loss") == pytest.approx(sk.log_loss(truths, said), abs=1e-9)
    assert not report["notes"]


@pytest.mark.parametrize("labels", [(-1, 1), (1, 2)])
def test_labels_without_names(model: Model, labels: tuple[int, int]) -> None:
    """The pairs that can be scored are no random part: no figures but the reason; with the option all are right."""
    truths, said = (np.array(labels)[RNG.integers(0, 2, N)] for _ in range(2))
    model.store("binary", list(zip(truths.tolist(), said.tolist(), strict=True)))
    (task,) = model.report()["tasks"]
    assert "metrics" not in task
    with pytest.raises(QualityError, match="positive_label"):
        model.gate("precision")
    run(task["reason"], NAME=str(labels[1]))
    report = model.report()
    for name, function in (("precision", sk.precision_score), ("f1", sk.f1_score)):
        assert metric(report, name) == pytest.approx(function(truths, said, pos_label=labels[1]), abs=1e-9)


def test_a_comparison_of_them(model: Model) -> None:
    """Two models are not compared by a part of one of them."""
    other = Model(model._client, f"{model.name}-b")
    other.index = model.index
    model.store("binary", [(k % 2, 1) for k in range(60)])
    other.store("binary", [(1 + k % 2, 1) for k in range(60)])
    with pytest.raises(BadQueryError, match="positive_label"):
        compare(model._client, Settings(), Comparison(model.name, other.name, model.index))


def test_indexes_from_1(model: Model) -> None:
    """Truths of 1 to 5 for five columns that nothing names: not an accuracy of 0."""
    rows = RNG.dirichlet(np.ones(5), N)
    model.store("multiclass", [(int(row.argmax()) + 1, row.tolist()) for row in rows])
    (task,) = model.report()["tasks"]
    assert "metrics" not in task
    run(task["reason"], **{"NAME|NAME": "1|2|3|4|5"})
    assert metric(model.report(), "accuracy") == 1.0


def test_a_slip_is_left_out_and_noted(model: Model) -> None:
    """One wrong index among hundreds doesn't take the figures away."""
    rows = RNG.dirichlet(np.ones(3), N)
    model.store("multiclass", [(7 if k == 0 else k % 3, row.tolist()) for k, row in enumerate(rows)])
    report = model.report()
    truths = np.arange(N) % 3
    assert metric(report, "accuracy") == pytest.approx(np.mean(truths[1:] == rows.argmax(axis=1)[1:]))
    (note,) = report["notes"]
    assert note.startswith(f"1 of {N} pairs can't be scored by multiclass")


def test_names_on_some_responses(model: Model) -> None:
    """A class is two in the figures: the report says so, and the command makes it one."""
    rows = RNG.dirichlet(np.ones(2), N)
    pairs = [(k % 2, row.tolist()) for k, row in enumerate(rows)]
    model.store("multiclass", pairs[: N // 2], names=("cat", "dog"))
    model.store("multiclass", pairs[N // 2 :], start=N // 2)
    report = model.report()
    (note,) = report["notes"]
    assert len(report["tasks"][0]["per_class"]) == 4
    run(note, **{"NAME|NAME": "cat|dog"})
    report = model.report()
    assert set(report["tasks"][0]["per_class"]) == {"cat", "dog"}
    wanted = sk.f1_score(np.arange(N) % 2, rows.argmax(axis=1), average="macro")
    assert metric(report, "f1_macro") == pytest.approx(wanted, abs=1e-9)
    assert not report["notes"]


def test_two_scorers_of_one_model(model: Model) -> None:
    """Under auto, ratings of 0 and 1 look binary, and whole ones like classes: the note names the command."""
    truths = RNG.integers(0, 6, N)
    said = np.clip(truths + RNG.normal(0, 0.8, N), 0, 5).round(1)
    model.store("auto", list(zip(truths.tolist(), said.tolist(), strict=True)))
    report = model.report()
    assert len(report["tasks"]) > 1
    (warning,) = report["warnings"]
    assert "was scored by" in warning
    run(warning)
    report = model.report()
    assert metric(report, "mse") == pytest.approx(sk.mean_squared_error(truths, said), abs=1e-9)
    assert (len(report["tasks"]), report["notes"], "warnings" in report) == (1, [], False)


def test_models_that_are_scored_alike_have_no_notes(model: Model) -> None:
    """A model of answers, one of probabilities, named classes and classes by column: each by itself."""
    rows = RNG.dirichlet(np.ones(2), 20).tolist()
    other = Model(model._client, f"{model.name}-b")
    other.index = model.index
    model.store("multiclass", [(0, row) for row in rows], names=("cat", "dog"))
    other.store("multiclass", [(0, 1)] * 20)
    model.report()
    judgement = judge(QueryRunner(model._client), Scope(model.index))
    assert (judgement.notes, judgement.warnings, judgement.reasons) == ([], [], {})
    kept = judgement.kept("multiclass", build("multiclass", {}).metrics)
    assert "log_loss" in {each.name for each in kept}
