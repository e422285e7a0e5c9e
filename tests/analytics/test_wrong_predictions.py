"""Wrong predictions are those that scikit-learn's confusion matrix counts, each once over all pages, and bounded."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.wrong_predictions import Options, Order, wrong_predictions
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import START, document, engine_at, store

pytestmark = pytest.mark.engine

RNG = np.random.default_rng(3)
N = 90
CLASSES = ("ant", "bee", "=cow")
TRUTHS = RNG.integers(0, 3, N)
# Of equal rows, so that equal losses meet at the ends of pages.
ROWS = np.round(RNG.dirichlet((1, 1, 1), N), 1)
SAID = [CLASSES[int(np.argmax(row))] for row in ROWS]
TRUE = [CLASSES[truth] for truth in TRUTHS]
PRICES = RNG.normal(50, 10, N)
ASKED = PRICES + RNG.normal(0, 5, N)
INDICES = [f"inference-log-seldon-test-wrong-{kind}-default" for kind in ("classes", "prices", "labels")]


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[SearchEngine]:
    found = engine_at(engine.url)
    classes, prices = build("multiclass", {}), build("regression", {})
    made: list[list[dict[str, Any]]] = [[], [], []]
    for k in range(N):
        # A third at the same time.
        at = START + timedelta(minutes=k // 3)
        common = {"at": at, "elements": {"area": "x" * 500, **{f"e{j}": j for j in range(30)}}}
        # Some have no probabilities, and so no log loss.
        answer: Any = SAID[k] if k % 5 == 0 else ROWS[k].tolist()
        names = () if k % 5 == 0 else CLASSES
        made[0].append(document(classes, TRUE[k], answer, deployment="wrong-classes", names=names, **common))
        made[1].append(document(prices, float(PRICES[k]), float(ASKED[k]), deployment="wrong-prices", **common))
    several = build("multilabel", {})
    for truth, answer in ((["a", "b"], ["a", "b"]), (["a", "b"], ["b"]), (["c"], ["a", "c"])):
        made[2].append(document(several, truth, answer, deployment="wrong-labels"))
    for index, documents in zip(INDICES, made, strict=True):
        store(found, index, documents)
    yield found
    for index in INDICES:
        found.request("DELETE", f"/{index}")


def every(client: SearchEngine, options: Options, limit: int = 7) -> list[dict[str, Any]]:
    """Return the predictions of all pages."""
    found, after = [], ""
    while True:
        page = wrong_predictions(
            client, Settings(), Options(**{**_fields(options), "after": after, "limit": limit}), only_own=True
        )
        found += page["documents"]
        after = page.get("next", "")
        if not after:
            assert page["total"] == len(found)
            return found


def _fields(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Options.__dataclass_fields__}


@pytest.mark.parametrize("order", list(Order))
def test_all_of_a_classifier(client: SearchEngine, order: Order) -> None:
    """Each wrong prediction is on one page, whatever is equal at the ends of pages or has no probability."""
    found = every(client, Options("test/wrong-classes", order=order))
    assert len({each["id"] for each in found}) == len(found)
    wrong = [k for k in range(N) if TRUE[k] != SAID[k]]
    assert sorted(int(each["id"]) for each in found) == wrong
    assert all((each["truth"], each["answer"]) == (TRUE[int(each["id"])], SAID[int(each["id"])]) for each in found)
    if order is Order.NEWEST:
        assert [each["time"] for each in found] == sorted((each["time"] for each in found), reverse=True)
    else:
        losses = [each.get("log_loss", -1.0) for each in found]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] == -1.0


def test_cells_are_those_of_scikit_learn(client: SearchEngine) -> None:
    """As many documents as each cell counts; of a class as many as its false positives and false negatives."""
    matrix = metrics.confusion_matrix(TRUE, SAID, labels=CLASSES)
    for i, truth in enumerate(CLASSES):
        for j, answer in enumerate(CLASSES):
            options = Options("test/wrong-classes", truth=truth, answer=answer, limit=1)
            assert wrong_predictions(client, Settings(), options)["total"] == matrix[i][j]
        options = Options("test/wrong-classes", label=truth, limit=1)
        total = wrong_predictions(client, Settings(), options)["total"]
        assert total == matrix[i].sum() + matrix[:, i].sum() - 2 * matrix[i][i]


def test_largest_errors_of_numbers(client: SearchEngine) -> None:
    found = every(client, Options("test/wrong-prices"), limit=50)
    order = np.argsort(-np.abs(ASKED - PRICES), kind="stable")
    assert [int(each["id"]) for each in found] == order.tolist()
    assert [each["error"] for each in found] == pytest.approx((ASKED - PRICES)[order].tolist(), abs=1e-9)
    with pytest.raises(BadQueryError, match=r"^--truth, --answer, --class: expected none of them"):
        wrong_predictions(client, Settings(), Options("test/wrong-prices", truth="1"))


def test_sets_of_labels(client: SearchEngine) -> None:
    found = every(client, Options("test/wrong-labels"))
    assert Counter((each["truth"], each["answer"]) for each in found) == Counter(
        [('["a", "b"]', '["b"]'), ('["c"]', '["a", "c"]')]
    )
    assert [len(every(client, Options("test/wrong-labels", label=label))) for label in "abc"] == [2, 1, 1]


def test_rows_are_bounded(client: SearchEngine) -> None:
    """A request with 31 elements, one of 500 characters."""
    (row,) = wrong_predictions(client, Settings(), Options("test/wrong-prices", limit=1))["documents"]
    assert len(row["request"]) == 20
    assert max(len(str(value)) for value in row["request"].values()) <= 201


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limit": 0}, "--limit: expected a number from 1 to 50, found 0"),
        ({"limit": 51}, "--limit: expected a number from 1 to 50, found 51"),
        ({"after": "[1"}, "--after: expected the value of next of the page before"),
        ({"after": '[{"a": 1}, 2, 3]'}, "--after: expected the value of next of the page before"),
        ({"scorer": "none"}, "--scorer: expected one of multiclass, found 'none'"),
    ],
)
def test_wrong_options(client: SearchEngine, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadQueryError) as error:
        wrong_predictions(client, Settings(), Options("test/wrong-classes", **options))
    assert str(error.value) == problem


def test_of_nothing(client: SearchEngine) -> None:
    found = wrong_predictions(client, Settings(), Options("test/no-such"))
    assert (found["total"], found["documents"]) == (0, [])


@pytest.fixture
def run(client: SearchEngine, command: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Run a command, with all documents stored."""
    return command


def test_command(run: Callable[..., tuple[int, str, str]]) -> None:
    """More than one page of 50; CSV that no spreadsheet runs; a table; nothing."""
    status, out, err = run("errors", "test/wrong-prices", "--json", "--limit", "75")
    found = json.loads(out)
    assert (status, err, len(found["documents"]), found["total"]) == (0, "", 75, N)
    assert len({each["id"] for each in found["documents"]}) == 75
    assert "next" in found
    _, out, _ = run("errors", "test/wrong-classes", "--csv", "--truth", "=cow", "--answer", "ant")
    header, *rows = list(csv.reader(io.StringIO(out)))
    assert header[:5] == ["index", "id", "time (UTC)", "truth", "prediction"]
    assert {tuple(row[3:5]) for row in rows} == {("'=cow", "ant")}
    _, out, _ = run("errors", "test/wrong-classes", "--limit", "1")
    total = sum(truth != said for truth, said in zip(TRUE, SAID, strict=True))
    assert out.startswith(f"Wrong predictions: {total}\n")
    assert f"and {total - 1} more: --limit" in out
    assert run("errors", "test/no-such")[0] == 1
