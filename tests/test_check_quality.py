"""`request-logger check-quality`: its verdicts are those that scikit-learn's figures give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.quality_gate import Condition
from request_logger.cli import main
from tests.helpers import Index, Sender, event, ndarray
from tests.scorers import oracle

NAMES = ("ant", "bee", "cow")
N = 80
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(engine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; gives status, standard output and standard error."""
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["check-quality", *arguments])
        except SystemExit as end:
            # argparse ends like this where an argument can't be read.
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


def pairs() -> tuple[np.ndarray, np.ndarray]:
    truths, logits = oracle.multiclass_pairs(len(NAMES), seed=41)
    return truths[:N], oracle.softmax(logits)[:N]


@pytest.fixture
def stored(sender: Sender, deployment: str, index: Index) -> str:
    """80 pairs of three classes, and two of numbers; gives the deployment."""
    truths, rows = pairs()
    feedback = {"truth": {"data": {"ndarray": [NAMES[k] for k in truths]}}}
    assert sender.send(event("response", "a", deployment), ndarray(rows.tolist(), list(NAMES)))[0] == 200
    assert sender.send(event("feedback", "a", deployment), json.dumps(feedback).encode())[0] == 200
    for k, (truth, answer) in enumerate(((10.5, 11.0), (3.25, 3.0))):
        numbers = {"truth": {"data": {"ndarray": [truth]}}}
        assert sender.send(event("response", f"n{k}", deployment), ndarray([answer]))[0] == 200
        assert sender.send(event("feedback", f"n{k}", deployment), json.dumps(numbers).encode())[0] == 200
    index.refresh()
    return deployment


@pytest.mark.engine
def test_limits_on_either_side(command: Run, stored: str) -> None:
    """Just below and just above the figure of scikit-learn: 0 and 1."""
    truths, rows = pairs()
    answers = rows.argmax(axis=1)
    labels = range(len(NAMES))
    figures = {
        "accuracy": sk.accuracy_score(truths, answers),
        "f1_macro": sk.f1_score(truths, answers, average="macro"),
        "log_loss": sk.log_loss(truths, rows, labels=labels),
        "recall[bee]": sk.recall_score(truths, answers, labels=labels, average=None)[1],
        "mae": 0.375,
    }
    of = ("--deployment", stored)
    for name, value in figures.items():
        for option, near, status in (
            ("--min", value - 1e-9, 0),
            ("--min", value + 1e-9, 1),
            ("--max", value + 1e-9, 0),
            ("--max", value - 1e-9, 1),
        ):
            assert command(*of, option, f"{name}={float(near)!r}")[0] == status, (option, name, near, value)
    status, out, err = command(*of, "--min", "accuracy=0.1", "--max", "log_loss=0.000001", "--json")
    told = json.loads(out)
    assert (status, told["status"], err) == (1, 1, "")
    assert [condition["holds"] for condition in told["conditions"]] == [True, False]
    assert told["conditions"][0]["value"] == pytest.approx(figures["accuracy"], abs=1e-12)
    assert command(*of, "--max", "log_loss=0.000001")[1].startswith("VIOLATED: log_loss ")


@pytest.mark.engine
def test_too_little_to_judge(command: Run, stored: str) -> None:
    """Fewer pairs than asked for, none at all, or a class that none has: 3, unless something else is violated."""
    of = ("--deployment", stored)
    assert command(*of, "--min", "accuracy=0.99", "--min-pairs", str(N + 1)) == (
        3,
        f"not enough data: accuracy - (expected >= 0.99) over {N} pairs by multiclass\n",
        "",
    )
    assert command(*of, "--min", "accuracy=0", "--min-pairs", str(N))[0] == 0
    assert command(*of, "--min", "recall[wolf]=0.1")[0] == 3
    assert command(*of, "--min", "recall[wolf]=0.1", "--max", "accuracy=0.01")[0] == 1
    assert command(*of, "--from", "2027-01-01", "--min", "accuracy=0.1")[:2] == (
        3,
        "not enough data: no scored pairs\n",
    )
    assert command("--index", "inference-log-nothing", "--min", "accuracy=0.1")[0] == 3
    assert command(*of, "--scorer", "regression", "--max", "rmse=1", "--min-pairs", "2")[0] == 0


@pytest.mark.engine
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected at least one --min METRIC=NUMBER"),
        (("--min", "accuracy"), "expected metric=number or metric[class]=number, found 'accuracy'"),
        (("--min", "accuracy=high"), "expected a number after =, found 'high'"),
        (("--max", "accuracy=nan"), "expected a number after =, found 'nan'"),
        (("--min", "acuracy=0.9"), "no metric acuracy of the scorers multiclass, regression: there are accuracy, "),
        (("--min", "hits[ant]=1"), "no figure hits by class: there are f1, "),
        (("--min", "confusion_matrix=1"), "expected a metric that is one number, found a table"),
        (("--min", "accuracy=1", "--scorer", "multi"), "unknown scorer 'multi'"),
        (("--min", "accuracy=1", "--min-pairs", "few"), "expected a whole number of at least 0, found 'few'"),
        (("--min", "accuracy=1", "--from", "yesteryear"), "the search engine rejects the query"),
    ],
)
def test_wrong_use(command: Run, stored: str, arguments: tuple[str, ...], said: str) -> None:
    """A typing error is never taken for a violation, nor for success."""
    status, out, err = command("--deployment", stored, *arguments)
    assert (status, out) == (2, "")
    assert said in err


def test_conditions_are_read_as_they_are_written() -> None:
    """Class names may have any characters."""
    assert Condition.of(" recall[a = b.c]=0.5", is_maximum=False) == Condition("recall", "a = b.c", 0.5, False)
    assert Condition.of("mean_error=-1e-3", is_maximum=True) == Condition("mean_error", "", -0.001, True)
