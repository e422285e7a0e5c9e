"""`request-logger compare`: the A/B test of two ElasticNet models on real data, as scipy judges it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.metrics import f1_score, mean_squared_error

from request_logger.analytics.formatting import percent
from request_logger.cli import main
from request_logger.documents.folds import fold_of
from request_logger.scoring.registry import build
from tests.analytics.stored import document, engine_at, store
from tests.helpers import Sender, Server, event, ndarray

pytestmark = pytest.mark.engine

DATA, TARGETS = load_diabetes(return_X_y=True)
TRAIN = slice(0, 202)
ROWS, TRUTHS = DATA[202:], TARGETS[202:]
N = len(TRUTHS)
BATCH = 20
THREADS = 8
# model-b is regularized less: the better one here.
MODELS = {"model-a": ElasticNet(alpha=0.1, l1_ratio=0.5), "model-b": ElasticNet(alpha=0.001, l1_ratio=0.5)}
SAID = {name: model.fit(DATA[TRAIN], TARGETS[TRAIN]).predict(ROWS) for name, model in MODELS.items()}
ROUTES = np.where(np.random.default_rng(3).random(N) < 0.5, "model-a", "model-b")


def reward(truth: float, prediction: float) -> float:
    """The reward of the notebook that this test follows: 1 / (y - p)^2, or 500 for a hit."""
    return 500.0 if truth == prediction else 1 / (truth - prediction) ** 2


def converse(sender: Sender, deployment: str, name: str, request_id: str, rows: slice) -> None:
    truths, said = TRUTHS[rows].tolist(), SAID[name][rows].tolist()
    rewards = [reward(t, p) for t, p in zip(truths, said, strict=True)]
    feedback = {"reward": rewards if len(rewards) > 1 else rewards[0], "truth": {"data": {"ndarray": truths}}}
    bodies = {
        "request": ndarray(ROWS[rows].tolist()),
        "response": ndarray(said),
        "feedback": json.dumps(feedback).encode(),
    }
    for part, body in bodies.items():
        headers = event(part, request_id, deployment, Ce_Endpoint=name, Ce_Modelid="wine")
        assert sender.send(headers, body)[0] == 200


@pytest.fixture(scope="module")
def traffic(server: Server, engine: Any) -> Iterator[Any]:
    """Two deployments: one whose requests are routed to either model, one with a shadow, in batches."""

    def talk(first: int) -> None:
        sender = Sender(server.url)
        for k in range(first, N, THREADS):
            converse(sender, "c-routed", str(ROUTES[k]), f"r{k}", slice(k, k + 1))
        for start in range(BATCH * first, N, BATCH * THREADS):
            for name in MODELS:
                converse(sender, "c-shadow", name, f"b{start}", slice(start, min(start + BATCH, N)))
        sender.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(talk, range(THREADS)))
    client = engine_at(engine.url)
    client.request("POST", "/inference-log-*/_refresh")
    yield client
    client.request("DELETE", "/inference-log-seldon-test-c-routed-*")
    client.request("DELETE", "/inference-log-seldon-test-c-shadow-*")


@pytest.fixture
def run(
    engine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    parts = urlsplit(engine.url)

    def command(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
        monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))
        status = main(["compare", *argv])
        out, err = capsys.readouterr()
        return status, out, err

    return command


Run = Callable[..., tuple[int, str, str]]


def compared(run: Run, *argv: str) -> dict[str, Any]:
    status, out, err = run(*argv, "--json")
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    assert status == int(not found["verdict"]["differ"])
    return found


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["metrics"] if each["name"] == name)


def errors(name: str, chosen: Any = slice(None)) -> Any:
    return (SAID[name] - TRUTHS)[chosen]


def test_routed(run: Run, traffic: Any) -> None:
    """Welch's test of the squared errors and of the rewards is scipy's on the same pairs."""
    found = compared(run, "model-a", "model-b", "--in", "test/c-routed", "--by", "predictor", "--fixed-n")
    chosen = {name: name == ROUTES for name in MODELS}
    assert [found[side]["documents"] for side in "ab"] == [int(mask.sum()) for mask in chosen.values()]
    squares = {name: errors(name, mask) ** 2 for name, mask in chosen.items()}
    rewards = {
        name: np.array([reward(t, p) for t, p in zip(TRUTHS[mask], SAID[name][mask], strict=True)])
        for name, mask in chosen.items()
    }
    absolute = {name: np.abs(errors(name, mask)) for name, mask in chosen.items()}
    for metric, values in (("mse", squares), ("mean_reward", rewards), ("mae", absolute)):
        a, b = values.values()
        expected = stats.ttest_ind(b, a, equal_var=False)
        limits = expected.confidence_interval()
        got = row(found, metric)
        assert got["a"]["value"] == pytest.approx(a.mean(), rel=1e-9)
        assert got["difference"] == pytest.approx(b.mean() - a.mean(), rel=1e-9)
        assert (got["low"], got["high"]) == pytest.approx((limits.low, limits.high), rel=1e-9)
        assert got["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert "paired" not in found
    assert found["verdict"]["better"] == "model-b"
    assert mean_squared_error(TRUTHS, SAID["model-b"]) < mean_squared_error(TRUTHS, SAID["model-a"])
    assert found["traffic"]["sample_ratio"]["p_value"] == pytest.approx(
        stats.chisquare([mask.sum() for mask in chosen.values()]).pvalue, rel=1e-9
    )
    assert found["traffic"]["feedback"] == {"a": 1.0, "b": 1.0, "p_value": 1.0}
    assert "warnings" not in found
    status, out, _ = run("model-b", "model-a", "--in", "c-routed", "--fixed-n")
    assert status == 0
    assert out.splitlines()[-1].startswith("model-b is better: MSE, p ")
    assert "for one look" in out


def test_every_day(run: Run, traffic: Any, tmp_path: Path) -> None:
    """By default the interval is the confidence sequence: the formula of GrowthBook's, from scipy's variances."""
    found = compared(run, "model-a", "model-b", "--in", "c-routed", "--detect", "100", "--split", "99:1")
    squares = [errors(name, name == ROUTES) ** 2 for name in MODELS]
    error = np.sqrt(sum(x.var(ddof=1) / len(x) for x in squares))
    rho = (2 * np.log(20) + np.log(2 * np.log(20) + 1)) / 5000
    half = error * np.sqrt(2 * (N * rho + 1) / (N * rho) * np.log(np.sqrt(N * rho + 1) / 0.05))
    got = row(found, "mse")
    assert (got["low"], got["high"]) == pytest.approx((got["difference"] - half, got["difference"] + half), rel=1e-9)
    assert (found["form"], found["verdict"]["form"]) == ("sequential", "sequential")
    verdict = found["verdict"]
    assert verdict["differ"] == (abs(got["difference"]) > half)
    assert [need > size for need, size in zip(verdict["needed"], map(len, squares), strict=True)] == [
        bool(more) for more in verdict["more"]
    ]
    (warning,) = found["warnings"]
    assert warning.startswith("the traffic is not split 99:1, but ")
    assert row(found, "rmse")["same_question"] == "mse"
    _, out, _ = run("model-a", "model-b", "--in", "c-routed", "--split", "99:1")
    assert f"WARNING: {warning}." in out and "for a look every day" in out
    share = np.mean(ROUTES == "model-a")
    assert f"Traffic: {percent(share)} to {percent(1 - share)} (expected 99 % to 1 %, p < 0.0001); feedback: " in out
    by_feedback = compared(run, "model-a", "model-b", "--in", "c-routed", "--split", "99:1", "--by-date", "feedback")
    assert not {"traffic", "warnings"} & by_feedback.keys()
    page = tmp_path / "c.html"
    run("model-a", "model-b", "--in", "c-routed", "--split", "99:1", "--html", str(page))
    text = html.unescape(re.sub(r"<[^>]*>", "\n", page.read_text(encoding="utf-8")))
    # All that the terminal shows; the verdict is the title.
    head, *lines = out.splitlines()
    assert set(" ".join(lines).lower().split()) <= set(text.lower().split()) and head in text
    assert f"<h1>{html.escape(lines[-1])}</h1>" in page.read_text(encoding="utf-8")
    assert run("model-a", "model-b", "--in", "c-routed", "--html", str(tmp_path)) == (
        2, "", f"request-logger: --html: {tmp_path} can't be written: Is a directory\n",
    )  # fmt: skip


def test_shadow(run: Run, traffic: Any) -> None:
    """The same requests went to both: the paired test is scipy's."""
    found = compared(run, "model-a", "model-b", "--in", "c-shadow", "--fixed-n")
    a, b = errors("model-a") ** 2, errors("model-b") ** 2
    # The rows of a batch belong together: the sample is one of batches, all of the same size here.
    batches = [x.reshape(-1, BATCH).mean(axis=1) for x in (a, b)]
    expected = stats.ttest_rel(batches[1], batches[0])
    limits = expected.confidence_interval()
    pairs = found["paired"]
    assert (pairs["pairs"], pairs["way"], pairs["cut"]) == (N, "request", False)
    assert pairs["difference"] == pytest.approx((b - a).mean(), rel=1e-9)
    assert (pairs["low"], pairs["high"]) == pytest.approx((limits.low, limits.high), rel=1e-9)
    assert pairs["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert found["together"] is True
    differs = expected.pvalue < 0.05
    assert found["verdict"].get("better") == ("model-b" if differs else None)
    assert (found["verdict"]["by"], found["verdict"]["p_value"]) == ("pairs", pairs["p_value"])
    expected = stats.ttest_rel(b, a)
    by_row = compared(run, "model-a", "model-b", "--in", "c-shadow", "--pair", "row", "--fixed-n")["paired"]
    assert by_row["pairs"] == N
    assert by_row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert "paired" not in compared(run, "model-a", "model-b", "--in", "c-shadow", "--pair", "none")


def test_not_enough_yet(run: Run, engine: Any) -> None:
    """Of two good classifiers on a few rows nothing can be told yet; how many detect a difference is by the formula."""
    data, classes = load_breast_cancer(return_X_y=True)
    models = {"a": LogisticRegression(max_iter=10_000, C=1e-4), "b": LogisticRegression(max_iter=10_000, C=1e-3)}
    scorer, client, index = build("binary", {}), engine_at(engine.url), "inference-log-seldon-test-c-few-x"
    right, scores, documents = {}, {}, []
    for name, model in models.items():
        rows = slice(400, 480) if name == "a" else slice(480, 569)
        model.fit(data[:400, :4], classes[:400])
        scores[name] = model.predict_proba(data[rows, :4])[:, 1]
        right[name] = (scores[name] >= 0.5) == classes[rows]
        documents += [
            document(scorer, int(truth), float(score), deployment="c-few", model=name)
            for truth, score in zip(classes[rows], scores[name], strict=True)
        ]
        if name == "a":
            f1 = f1_score(classes[rows], scores[name] >= 0.5, average="macro")
    store(client, index, documents)
    found = compared(run, "a", "b", "--in", "c-few", "--fixed-n", "--detect", "0.05")
    assert found["by"] == "Ce-Modelid.keyword"
    n, hits = [len(x) for x in right.values()], [int(x.sum()) for x in right.values()]
    got = row(found, "accuracy")
    table = [[h, m - h] for h, m in zip(hits, n, strict=True)]
    p_value = stats.chi2_contingency(table, correction=False).pvalue
    assert got["p_value"] == pytest.approx(p_value, rel=1e-9)
    shares = np.divide(hits, n)
    variances = shares * (1 - shares)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    first = z**2 * (variances[0] + variances[1] * n[0] / n[1]) / 0.05**2
    needed = np.ceil([first, first * n[1] / n[0]]).astype(int)
    assert found["verdict"] == {
        "metric": "accuracy", "by": "groups", "form": "fixed-n", "p_value": got["p_value"], "differ": False,
        "detectable": pytest.approx(z * np.sqrt((variances / n).sum()), rel=1e-9),
        "detect": 0.05, "needed": needed.tolist(), "more": np.maximum(needed - n, 0).tolist(),
    }  # fmt: skip
    status, out, _ = run("a", "b", "--in", "c-few", "--metric", "f1_macro", "--fixed-n")
    assert status == 1
    assert out.splitlines()[-1].startswith("Not enough data to tell: F1 macro, p ")
    assert row(found, "f1_macro")["a"]["value"] == pytest.approx(f1, abs=1e-9)
    assert {each["test"] for each in found["metrics"] if "test" in each} <= {
        "chi-squared", "Fisher", "Welch t", "DeLong", "permutation",
    }  # fmt: skip
    every_day = compared(run, "a", "b", "--in", "c-few")["verdict"]
    assert every_day["reason"] == f"the test needs at least 100 documents in each of the two, found {min(n)}"
    client.request("DELETE", f"/{index}")


def test_folds_of_a_shadow(run: Run, engine: Any) -> None:
    """F1 of two models that answered the same requests: scikit-learn's without each fold, and no document is read."""
    generator = np.random.default_rng(4)
    ids = [f"request {k}" for k in range(260)]
    folds = np.array([fold_of(id) for id in ids])
    truths = (generator.random(len(ids)) < 0.4).astype(int)
    # B makes A's errors, and some of its own.
    a = np.where(generator.random(len(ids)) < 0.8, truths, 1 - truths)
    b = np.where(generator.random(len(ids)) < 0.9, a, 1 - a)
    scorer, client = build("binary", {}), engine_at(engine.url)
    for name, answers in (("a", a), ("b", b)):
        documents = [
            document(scorer, int(truth), int(said), deployment="c-folds", model=name, request_id=id)
            | {"fold": int(fold)}
            for id, fold, truth, said in zip(ids, folds, truths, answers, strict=True)
        ]
        store(client, f"inference-log-seldon-test-c-folds-{name}", documents)
    found = compared(run, "a", "b", "--in", "c-folds", "--metric", "f1", "--fixed-n")
    without = [
        f1_score(truths[folds != k], b[folds != k]) - f1_score(truths[folds != k], a[folds != k]) for k in range(20)
    ]
    value, error = f1_score(truths, b) - f1_score(truths, a), np.sqrt(19 * np.var(without))
    half = stats.t.isf(0.025, 19) * error
    got = found["folds"]
    assert got["difference"] == pytest.approx(value, abs=1e-9)
    assert (got["low"], got["high"]) == pytest.approx((value - half, value + half), abs=1e-9)
    assert found["verdict"]["by"] == "folds"
    assert (found["verdict"].get("better") == "a") == (value + half < 0)
    assert found["traffic"]["sample_ratio"]["split"] == [0.5, 0.5]
    _, out, _ = run("a", "b", "--in", "c-folds", "--metric", "f1", "--fixed-n")
    assert "Over folds of documents that belong together: F1 differs by " in out
    # One document of an older release.
    store(client, "inference-log-seldon-test-c-folds-b", [{**documents[0], "fold": None}])
    verdict = compared(run, "a", "b", "--in", "c-folds", "--metric", "f1")["verdict"]
    assert "request-logger rescore" in verdict["reason"]
    assert compared(run, "a", "b", "--in", "c-folds", "--metric", "f1", "--pair", "none")["verdict"]["by"] == "groups"
    client.request("DELETE", "/inference-log-seldon-test-c-folds-*")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["model-a", "model-z"], "no prediction has 'model-z' as a predictor, model or deployment"),
        (["model-a", "model-a"], "expected two different names, found 'model-a' twice"),
        (["model-a", "model-b", "--metric", "beauty"], "--metric: expected one of mse, rmse, mae"),
        (["model-a", "model-b", "--metric", "r2"], "--metric: expected one that can be tested with these documents"),
        (["model-a", "model-b", "--split", "1"], "--split: expected two positive numbers such as 90:10, found '1'"),
        (["model-a", "model-b", "--pair", "request"], "--pair: no two documents of 'model-a' and 'model-b' have"),
    ],
)
def test_wrong_use(run: Run, traffic: Any, argv: list[str], problem: str) -> None:
    status, out, err = run(*argv, "--in", "c-routed")
    assert (status, out) == (2, "")
    assert err.startswith(f"request-logger: {problem}")
    assert err.count("\n") == 1
