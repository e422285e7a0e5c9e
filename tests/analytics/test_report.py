"""`request-logger report` on a real engine: the figures are scikit-learn's, the page needs nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from scipy import stats
from sklearn import metrics

from request_logger.analytics.report import Options, make_report
from request_logger.analytics.report_parts import Part
from request_logger.common.json import loads
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.page_check import check_page
from tests.analytics.stored import START, document, engine_at, store
from tests.helpers import Server

pytestmark = pytest.mark.engine

N = 600
RNG = np.random.default_rng(11)
SCORES = RNG.beta(1, 2, N)
FRAUD = (RNG.random(N) < SCORES).astype(int)
PRICES = RNG.normal(50, 10, N)
SAID = PRICES + RNG.normal(1, 3, N)
HOURS = np.sort(RNG.uniform(0, 240, N))
LATE = RNG.exponential(7200, N)
AREAS = RNG.choice(["north", "<b>south</b>", "west"], N)
SIZES = RNG.integers(0, 1000, N)
# What a sender could call a class to get markup or a script into the page.
HOSTILE = "<script>alert(1)</script>\"'&"
CLASSES = ("ant", "bee", HOSTILE)
TRUTHS = RNG.integers(0, 3, N)
ROWS = RNG.dirichlet((1, 1, 1), N)
INDICES = {name: f"inference-log-seldon-test-report-{name}-default" for name in ("binary", "regression", "multiclass")}


def stored(kind: str) -> list[dict[str, Any]]:
    made = []
    for k in range(N):
        what: tuple[Any, ...] = {
            "binary": (build("binary", {"probabilities": True}), int(FRAUD[k]), float(SCORES[k])),
            "regression": (build("regression", {}), float(PRICES[k]), float(SAID[k])),
            "multiclass": (build("multiclass", {}), CLASSES[TRUTHS[k]], ROWS[k].tolist()),
        }[kind]
        made.append(
            document(
                *what,
                names=CLASSES if kind == "multiclass" else (),
                at=START + timedelta(hours=float(HOURS[k])),
                late=timedelta(seconds=float(LATE[k])),
                deployment=f"report-{kind}",
                elements={"area": str(AREAS[k]), "size": float(SIZES[k])},
            )
        )
    made += [document(None, None, None, deployment=f"report-{kind}", at=START) for _ in range(200)]
    made[-1]["metrics"] = {"scorer": kind, "unscorable": "the truth is null & <void>"}
    return made


@pytest.fixture(scope="module")
def env(engine: Any) -> Iterator[dict[str, str]]:
    """The environment of a command, with the indices of all three tasks."""
    client = engine_at(engine.url)
    for kind, index in INDICES.items():
        store(client, index, stored(kind))
    parts = urlsplit(engine.url)
    yield {"ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}
    for index in INDICES.values():
        client.request("DELETE", f"/{index}")


@pytest.fixture
def run(env: dict[str, str], command: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Run a command, with all indices stored."""
    return command


def report_of(run: Callable[..., tuple[int, str, str]], *argv: str) -> dict[str, Any]:
    status, out, err = run("report", *argv, "--json")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def values(task: dict[str, Any]) -> dict[str, float]:
    return {found["name"]: found["value"] for found in task["metrics"]}


def test_binary(run: Callable[..., tuple[int, str, str]]) -> None:
    found = report_of(run, "test/report-binary")
    (task,) = found["tasks"]
    assert (task["scorer"], task["documents"]) == ("binary", N)
    assert found["coverage"]["predictions"] == N + 200
    assert found["coverage"]["with_feedback"] == N + 1
    assert found["unscorable"] == [{"reason": "the truth is null & <void>", "n": 1}]
    got, said = values(task), (SCORES >= 0.5).astype(int)
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(FRAUD, said), abs=1e-9)
    assert got["log_loss"] == pytest.approx(metrics.log_loss(FRAUD, SCORES), abs=1e-9)
    assert abs(got["auc"] - metrics.roc_auc_score(FRAUD, SCORES)) <= got["auc_bound"] + 1e-12
    curve = task["roc"]
    assert curve[0] == {"false_positive_rate": 0.0, "true_positive_rate": 0.0}
    assert curve[-1] == {"false_positive_rate": 1.0, "true_positive_rate": 1.0}
    area = np.trapezoid(*([point[name] for point in curve] for name in ("true_positive_rate", "false_positive_rate")))
    assert area == pytest.approx(got["auc"], abs=1e-9)
    for row in task["reliability"]:
        chosen = (row["from"] <= SCORES) & (row["to"] > SCORES)
        assert row["n"] == chosen.sum()
        assert row["said"] == pytest.approx(SCORES[chosen].mean(), abs=1e-9)
        assert row["happened"] == pytest.approx(FRAUD[chosen].mean(), abs=1e-9)
    assert found["delay"]["mean"] == pytest.approx(LATE.mean(), abs=2e-3)
    half = np.quantile(LATE, 0.5, method="inverted_cdf")
    assert found["delay"]["quantiles"]["0.5"] == pytest.approx(half, abs=2e-3)


def test_regression(run: Callable[..., tuple[int, str, str]]) -> None:
    (task,) = report_of(run, "report-regression", "--by", "size", "--window", "1d")["tasks"]
    got = values(task)
    assert got["r2"] == pytest.approx(metrics.r2_score(PRICES, SAID), abs=1e-9)
    assert got["rmse"] == pytest.approx(metrics.root_mean_squared_error(PRICES, SAID), abs=1e-9)
    errors = SAID - PRICES
    assert sum(row["n"] for row in task["residuals"]) == N
    middle = task["residuals"][12]
    assert middle["n"] == ((errors >= middle["from"]) & (errors < middle["to"])).sum()
    assert sum(row["n"] for row in task["errors_by_prediction"]) == N
    points = task["over_time"]["points"]
    for k, point in enumerate(points):
        chosen = (24 * k <= HOURS) & (24 * (k + 1) > HOURS)
        assert point["n"] == chosen.sum()
        rmse = metrics.root_mean_squared_error(PRICES[chosen], SAID[chosen])
        assert point["value"] == pytest.approx(rmse, abs=1e-9)
    assert len(points) == 10
    assert task["by"]["ranges"] is True
    assert sum(part["n"] for part in task["by"]["parts"]) == N


def test_by_value_and_time(run: Callable[..., tuple[int, str, str]], env: dict[str, str]) -> None:
    """As scikit-learn's and scipy's; a page, which shows no classes of a part, has the same values."""
    end = START + timedelta(days=4)
    span = ("--from", START.isoformat(), "--to", end.date().isoformat())
    (task,) = report_of(run, INDICES["multiclass"], "--by", "area", *span)["tasks"]
    said = ROWS.argmax(axis=1)
    assert {part["value"] for part in task["by"]["parts"]} == set(AREAS)
    for part in task["by"]["parts"]:
        chosen = (part["value"] == AREAS) & (HOURS < 96)
        assert part["n"] == chosen.sum()
        got = {found["name"]: found for found in part["metrics"]}
        hits = int((said == TRUTHS)[chosen].sum())
        expected = stats.binomtest(hits, int(chosen.sum())).proportion_ci(method="wilson")
        assert got["accuracy"]["value"] == pytest.approx(hits / chosen.sum(), abs=1e-9)
        assert (got["accuracy"]["low"], got["accuracy"]["high"]) == pytest.approx((expected.low, expected.high))
        f1 = metrics.f1_score(TRUTHS[chosen], said[chosen], average="macro")
        assert got["f1_macro"]["value"] == pytest.approx(f1, abs=1e-9)
    settings = Settings.from_env(env)
    parts = frozenset({Part.METRICS, Part.CURVES})
    options = Options(INDICES["multiclass"], START.isoformat(), end.date().isoformat(), by="area", parts=parts)
    (shown,) = make_report(SearchEngine(settings), settings, options)["tasks"]
    for short, whole in zip(shown["by"]["parts"], task["by"]["parts"], strict=True):
        assert "per_class" in whole and "per_class" not in short
        assert values(short) == pytest.approx(values(whole), abs=1e-12)
        limits = [[found["metrics"][0][end] for end in ("low", "high")] for found in (short, whole)]
        assert limits[0] == limits[1]


def keys(value: Any) -> set[str]:
    """All names in a report, without those that are classes or shares."""
    if isinstance(value, list):
        return {name for each in value for name in keys(each)}
    if not isinstance(value, dict):
        return set()
    free = ("per_class", "confusion_matrix", "quantiles", "within")
    return set(value) | {name for key, each in value.items() if key not in free for name in keys(each)}


def test_the_json_is_documented(run: Callable[..., tuple[int, str, str]]) -> None:
    """docs/report.md has every name that is in a report."""
    page = (Path(__file__).parent.parent.parent / "docs" / "report.md").read_text(encoding="utf-8")
    table = page.split("\n### The JSON\n")[1].split("\n## ")[0]
    found = {name for kind in INDICES for name in keys(report_of(run, f"report-{kind}", "--by", "area"))}
    assert found - set(re.findall(r"`(\w+)`", table)) == set()


def test_in_the_terminal(run: Callable[..., tuple[int, str, str]]) -> None:
    status, short, err = run("report", "report-multiclass", "--by", "area")
    assert (status, err) == (0, "")
    accuracy = metrics.accuracy_score(TRUTHS, ROWS.argmax(axis=1))
    assert re.search(rf"^  accuracy +{accuracy:.4g} ", short, re.MULTILINE)
    assert "truth \\ prediction" not in short
    assert "--all adds more metrics, the confusion matrix" in short
    status, out, err = run("report", "report-multiclass", "--by", "area", "--all")
    assert {line for line in short.splitlines() if "area" in line or "north" in line} <= set(out.splitlines())
    assert "800 predictions, 601 with feedback (75.1 %), 600 scored" in out
    for text in ("best constant", "truth \\ prediction", "north", "can't be scored: the truth is null"):
        assert text in out
    assert max(map(len, out.splitlines())) < 160


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (
            ["--by", "taste"],
            "--by: expected a field that the documents have, such as model or an element, found 'taste'",
        ),
        (["--from", "monday"], "--from: expected a date"),
        (["--window", "2 moons"], "--window: expected a length"),
        (["--html", "/no/such/folder/report.html"], "--html: /no/such/folder/report.html can't be written"),
    ],
)
def test_wrong_use(run: Callable[..., tuple[int, str, str]], argv: list[str], problem: str) -> None:
    status, out, err = run("report", "report-binary", *argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"request-logger: {problem}")
    assert err.count("\n") == 1


def test_nothing_to_report(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("report", "nobody")
    assert (status, out) == (
        1,
        "nobody in inference-log-*\nNo predictions. `request-logger deployments` lists what there is.\n",
    )


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        (
            "binary",
            {
                *("Accuracy over time", "Confusion matrix", "Recall by class over time", "Reliability", "ROC curve"),
                *("Scores by truth", "Precision and recall", "By threshold", "Value by threshold"),
                *("Accuracy by area", "Accuracy by area over time"),
                *(f"{rate} by area" for rate in ("Selection rate", "True positive rate", "False positive rate")),
                "Precision by area",
            },
        ),
        (
            "regression",
            {
                *("RMSE over time", "Residuals", "Error by prediction", "Predicted against actual"),
                *("RMSE by area", "RMSE by area over time"),
            },
        ),
        (
            "multiclass",
            {
                *("Accuracy over time", "Confusion matrix", "Recall by class over time", "Reliability"),
                *("Accuracy by area", "Accuracy by area over time"),
            },
        ),
    ],
)
def test_page(run: Callable[..., tuple[int, str, str]], tmp_path: Path, kind: str, titles: set[str]) -> None:
    path = tmp_path / "report.html"
    argv = ("report", f"report-{kind}", "--by", "area", "--cost", "fp=-1,fn=-5", "--html", str(path))
    assert run(*argv) == (0, f"{path} written\n", "")
    text = path.read_text(encoding="utf-8")
    page = check_page(text)
    assert {html.unescape(data) for data in re.findall(r'<title id="[^"]*">([^<]*)</title>', text)} == {
        "Coverage", "Coverage over time", "Feedback delay", *titles
    }  # fmt: skip
    assert "<script" not in text
    cells = [data for tag, data in page.texts if tag in ("th", "td")]
    assert "<b>south</b>" in cells
    if kind == "multiclass":
        assert cells.count(HOSTILE) >= 3
        matrix = metrics.confusion_matrix(TRUTHS, ROWS.argmax(axis=1))
        shown = [data for tag, data in page.texts if tag in ("td",)]
        assert all(str(count) in shown for count in matrix.flatten())


@pytest.mark.parametrize(
    ("scorer", "truth", "prediction"),
    [("binary", 1, 0.75), ("regression", 2.5, 2.0), ("regression", [1.0, 2.0], [1.5, 2.0]), ("reward", 0.5, 1.0)],
)
def test_a_single_document(
    run: Callable[..., tuple[int, str, str]], engine: Any, tmp_path: Path, scorer: str, truth: Any, prediction: Any
) -> None:
    """One prediction has no spread and no second point; of a scorer that nobody knows here there is a count."""
    client, index = engine_at(engine.url), "inference-log-seldon-test-report-single-default"
    known = document(build(scorer, {}), truth, prediction, elements={"area": "north"})
    foreign = document(build("reward", {}), 1, None, elements={"area": "south"})
    foreign["metrics"] = {"scorer": "theirs", "glory": 3.0}
    store(client, index, [known, foreign])
    try:
        found = report_of(run, index, "--by", "area")
        assert {task["scorer"]: task["documents"] for task in found["tasks"]} == {scorer: 1, "theirs": 1}
        assert "The scorer theirs is unknown here" in found["notes"][-1]
        path = tmp_path / "report.html"
        assert run("report", index, "--by", "area", "--html", str(path))[0] == 0
        check_page(path.read_text(encoding="utf-8"))
        assert run("report", index, "--by", "area")[0] == 0
    finally:
        client.request("DELETE", f"/{index}")


def test_over_http(env: dict[str, str], make_server: Callable[..., Server]) -> None:
    """GET /v1/report is the command's JSON, /ui its page with a form; both want the reader's password."""
    server = make_server(UI="true", READ_USER="reader", READ_PASSWORD="secret")
    query = {"target": "report-binary", "by": "area", "from": "2026-01-05", "window": "1w", "cost": "fp=-1,fn=-5"}
    for path in ("/v1/report", "/ui"):
        assert requests.get(server.url + path, params=query, timeout=30).status_code == 401
    session = requests.Session()
    session.auth = ("reader", "secret")
    answer = session.get(server.url + "/v1/report", params=query, timeout=30)
    assert answer.headers["Content-Type"] == "application/json"
    (task,) = loads(answer.content)["tasks"]
    assert values(task)["accuracy"] == pytest.approx(metrics.accuracy_score(FRAUD, SCORES >= 0.5), abs=1e-9)
    assert task["over_time"]["window"] == "1w"
    best = task["thresholds"]["best"]
    is_said = best["threshold"] <= SCORES
    value = np.where(FRAUD == 1, np.where(is_said, 0.0, -5.0), np.where(is_said, -1.0, 0.0))
    assert (best["by"], best["value"]) == ("value", pytest.approx(value.mean(), abs=1e-9))
    assert task["by"]["name"] == "area"
    answer = session.get(server.url + "/ui", params=query, timeout=30)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = check_page(answer.text, ("ui", "v1/document?"))
    assert {a["name"]: a["value"] for a in page.all("input")} == {
        "target": "report-binary", "from": "2026-01-05", "to": "", "by": "area", "window": "1w",
        "against": "", "cost": "fp=-1,fn=-5",
    }  # fmt: skip
    url, query = server.url + "/v1/deployments", {"target": "inference-log-seldon-test-report-*", "where": "area=north"}
    assert requests.get(url, params=query, timeout=30).status_code == 401
    listed = session.get(url, params=query, timeout=30).json()["deployments"]
    assert {each["target"] for each in listed} == {f"test/report-{kind}" for kind in INDICES}
    assert session.get(url, params={"target": "secrets-*"}, timeout=30).status_code == 400
    assert session.get(url, params={"by": "area"}, timeout=30).status_code == 400
    assert session.post(url, timeout=30).status_code == 405
    for path in ("/v1/report", "/ui"):
        answer = session.get(server.url + path, params={"target": "report-binary", "window": "<i>"}, timeout=30)
        assert answer.status_code == 400
        assert "window: expected a length" in answer.text
        assert "--window" not in answer.text
        assert "<i>" not in answer.text
        assert session.get(server.url + path, params={"horizon": "1"}, timeout=30).status_code == 400
        answer = session.get(server.url + path, params={"cost": "fp=much"}, timeout=30)
        assert (answer.status_code, "cost: expected values such as" in answer.text) == (400, True)
        assert session.post(server.url + path, timeout=30).status_code == 405


def test_the_page_is_off_by_default(server: Server) -> None:
    assert requests.get(server.url + "/ui", timeout=30).status_code == 404
    assert requests.get(server.url + "/v1/report", params={"target": "nobody"}, timeout=30).json()["tasks"] == []
