"""Figures of evaluations equal pandas', scikit-learn's and the definitions', in whatever order these arrived."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from scipy import stats
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support

from request_logger.analytics.report import Options, make_report
from request_logger.analytics.shares import share_interval
from request_logger.cli import main
from request_logger.documents.folds import FOLDS, fold_of
from request_logger.settings import Settings
from tests.analytics.stored import engine_at, store
from tests.helpers import Index, Server

pytestmark = pytest.mark.engine

RATERS = {"alice": "human", "bob": "human", "gpt": "judge"}
LABELS = ["good", "fair", "bad"]
PREDICTIONS = 340
MODELS = ("model-a", "model-b")
KEY = ["request_id", "id"]
NDJSON = {"Content-Type": "application/x-ndjson"}


def made() -> pd.DataFrame:
    """Three raters' stars and labels of most predictions, with earlier ones that are overwritten; in order of time."""
    generator = np.random.default_rng(7)
    rows = []
    for number in range(PREDICTIONS):
        true = int(generator.integers(1, 6))
        for rater, source in RATERS.items():
            if generator.random() < 0.03:
                continue
            for version in range(1 + int(generator.random() < 0.3)):
                stars = int(np.clip(true + generator.integers(-1, 2), 1, 5))
                day = 2 + version + (rater == "gpt")
                rows.append(
                    {
                        "request_id": f"r{number}",
                        "model": MODELS[number % 2],
                        "id": rater,
                        "source": source,
                        "stars": stars,
                        "label": LABELS[0 if stars > 3 else 1 if stars == 3 else 2],
                        "time": f"2026-01-{day:02}T00:00:00.{version:03}Z",
                    }
                )
    return pd.DataFrame(rows)


FRAME = made()
# The last version of each rater's judgement of each prediction.
KEPT = FRAME.sort_values("time").groupby(KEY, as_index=False).last()


def entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    common = {name: row[name] for name in ("id", "source", "time")}
    return [{"name": "stars", "value": row["stars"], **common}, {"name": "verdict", "label": row["label"], **common}]


@pytest.fixture(scope="module")
def deployment(make_server: Callable[..., Server], index: Index) -> Iterator[str]:
    """Sent in a random order, a quarter of it twice, each judgement on its own or several together."""
    name = f"t-evaluations-{random.randrange(10**9)}"
    shuffler = random.Random(3)
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in FRAME.to_dict("records")]
    rows += shuffler.sample(rows, len(rows) // 4)
    shuffler.shuffle(rows)
    lines = []
    for row in rows:
        own = entries(row)
        for together in [own] if shuffler.random() < 0.5 else [[each] for each in own]:
            lines.append(
                {
                    "request_id": row["request_id"],
                    "deployment": name,
                    "namespace": "test",
                    "model": row["model"],
                    "predictor": "default",
                    "evaluations": together,
                }
            )
    # It waits for the engine as long as a busy machine needs.
    url = make_server(STORE_TIMEOUT_SECONDS="100", GUNICORN_WORKERS="1").url
    body = "\n".join(map(json.dumps, lines))
    answer = requests.post(f"{url}/v1/feedback", body, headers=NDJSON, timeout=300)
    assert (answer.status_code, answer.json()["accepted"]) == (200, len(lines))
    index.refresh()
    yield name
    index.drop(f"inference-log-*-{name}-*")


@pytest.fixture(scope="module")
def report(deployment: str, engine: Any) -> dict[str, Any]:
    return make_report(engine_at(engine.url), Settings(), Options(target=deployment, by="model"))


def section(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in report["evaluations"] if each["name"] == name)


def values(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found["metrics"]}


def table(field: str) -> pd.DataFrame:
    """One row per prediction, one column per rater."""
    return KEPT.pivot(index="request_id", columns="id", values=field)


def krippendorff(rows: list[list[Any]], distance: Any) -> float:
    """From the definition: observed disagreement within predictions, expected over all pairs of judgements."""
    units = [row for row in rows if len(row) > 1]
    pooled = [value for row in units for value in row]
    n = len(pooled)
    observed = sum(sum(distance(a, b) for a, b in permutations(row, 2)) / (len(row) - 1) for row in units) / n
    expected = sum(distance(a, b) for a, b in permutations(pooled, 2)) / (n * (n - 1))
    return float(1 - observed / expected)


def test_counts(report: dict[str, Any]) -> None:
    """At least a thousand, each counted once however often and in whatever order it came."""
    assert len(KEPT) * 2 > 1000
    for name in ("stars", "verdict"):
        found = section(report, name)
        assert found["ratings"] == len(KEPT)
        assert found["documents"] == KEPT["request_id"].nunique()


def test_means_equal_pandas(report: dict[str, Any]) -> None:
    """The mean over predictions of each prediction's mean, of all raters and of each source."""
    found = values(section(report, "stars"))
    assert found["mean"]["value"] == pytest.approx(KEPT.groupby("request_id")["stars"].mean().mean(), abs=1e-9)
    by_source = KEPT.groupby(["source", "request_id"])["stars"].mean()
    for source in ("human", "judge"):
        assert found[f"{source}_mean"]["value"] == pytest.approx(by_source[source].mean(), abs=1e-9)
    both = pd.concat([by_source["human"], by_source["judge"]], axis=1, keys=["human", "judge"]).dropna()
    assert found["judge_minus_human"]["value"] == pytest.approx((both["judge"] - both["human"]).mean(), abs=1e-9)
    assert found["mean"]["low"] < found["mean"]["value"] < found["mean"]["high"]


def majority(labels: pd.Series) -> str | None:
    counts = labels.value_counts()
    return str(counts.index[0]) if len(counts) == 1 or counts.iloc[0] > counts.iloc[1] else None


def test_shares_equal_pandas(report: dict[str, Any]) -> None:
    """Of the predictions with a majority."""
    labels = KEPT.groupby("request_id")["label"].agg(majority).dropna()
    found = values(section(report, "verdict"))
    for label, n in labels.value_counts().items():
        share = found[f"share[{label}]"]
        assert (share["value"], share["n"]) == (pytest.approx(n / len(labels), abs=1e-9), len(labels))
        interval = share_interval(n, len(labels))
        assert interval is not None
        assert (share["low"], share["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_agreement_of_raters(report: dict[str, Any]) -> None:
    """Krippendorff's alpha by its definition, Cohen's kappa of each two by scikit-learn."""
    stars = [list(group) for _, group in KEPT.groupby("request_id")["stars"]]
    labels = [list(group) for _, group in KEPT.groupby("request_id")["label"]]
    alpha = values(section(report, "stars"))["alpha_interval"]["value"]
    assert alpha == pytest.approx(krippendorff(stars, lambda a, b: (a - b) ** 2), abs=1e-9)
    nominal = values(section(report, "verdict"))["alpha_nominal"]["value"]
    assert nominal == pytest.approx(krippendorff(labels, lambda a, b: float(a != b)), abs=1e-9)
    wide = table("label")
    pairs = {tuple(each["raters"]): each for each in section(report, "verdict")["raters"]}
    assert set(pairs) == {("alice", "bob"), ("alice", "gpt"), ("bob", "gpt")}
    for (one, other), found in pairs.items():
        both = wide[[one, other]].dropna()
        assert found["n"] == len(both)
        assert found["kappa"] == pytest.approx(cohen_kappa_score(both[one], both[other]), abs=1e-9)
        assert found["agreement"] == pytest.approx((both[one] == both[other]).mean(), abs=1e-9)
        assert found["low"] < found["kappa"] < found["high"]


@pytest.mark.parametrize(
    ("name", "field", "figure", "distance"),
    [
        ("stars", "stars", "alpha_interval", lambda a, b: (a - b) ** 2),
        ("verdict", "label", "alpha_nominal", lambda a, b: float(a != b)),
    ],
)
def test_intervals_of_alpha(report: dict[str, Any], name: str, field: str, figure: str, distance: Any) -> None:
    """The jackknife over the folds of the predictions that have two judgements or more, on the scale log(1 - alpha)."""
    units = {request_id: list(group) for request_id, group in KEPT.groupby("request_id")[field] if len(group) > 1}
    found = values(section(report, name))[figure]
    assert (found["n"], found["method"]) == (len(units), "jackknife over folds")
    moved = [
        math.log(1 - krippendorff([unit for key, unit in units.items() if fold_of(str(key)) != fold], distance))
        for fold in range(FOLDS)
    ]
    half = stats.t.ppf(0.975, FOLDS - 1) * math.sqrt((FOLDS - 1) * np.var(moved))
    whole = math.log(1 - krippendorff(list(units.values()), distance))
    assert (found["low"], found["high"]) == pytest.approx(
        (1 - math.exp(whole + half), 1 - math.exp(whole - half)), rel=1e-9
    )


def test_the_judge_against_people(report: dict[str, Any]) -> None:
    """Precision, recall and kappa of the judge where both have judged, people by their majority."""
    people = KEPT[KEPT["source"] == "human"].groupby("request_id")["label"].agg(majority)
    judge = KEPT[KEPT["source"] == "judge"].set_index("request_id")["label"]
    both = pd.concat([people, judge], axis=1, keys=["human", "judge"]).dropna()
    found = section(report, "verdict")
    figures = values(found)
    assert figures["judge_kappa"]["value"] == pytest.approx(cohen_kappa_score(both["human"], both["judge"]), abs=1e-9)
    assert figures["judge_agreement"]["value"] == pytest.approx((both["human"] == both["judge"]).mean(), abs=1e-9)
    assert figures["judge_agreement"]["n"] == len(both)
    for each in (figures["judge_kappa"], figures["judge_agreement"]):
        assert each["low"] < each["value"] < each["high"] and "no_interval" not in each
    wanted = precision_recall_fscore_support(both["human"], both["judge"], labels=LABELS)
    for position, label in enumerate(LABELS):
        row = found["judge"]["by_label"][label]
        got = [row[name] for name in ("precision", "recall", "f1", "support")]
        assert got == pytest.approx([part[position] for part in wanted], abs=1e-9)


def test_by_model(report: dict[str, Any]) -> None:
    """Each model's mean and shares are those of its own predictions."""
    found = section(report, "stars")["by"]
    for part in found["parts"]:
        own = KEPT[KEPT["model"] == part["value"]].groupby("request_id")["stars"].mean()
        (mean,) = part["metrics"]
        assert (mean["value"], mean["n"], part["n"]) == (pytest.approx(own.mean(), abs=1e-9), len(own), len(own))
    assert {part["value"] for part in found["parts"]} == set(MODELS)
    assert section(report, "verdict")["by"]["parts"][0]["metrics"][0]["name"].startswith("share[")


def test_commands(deployment: str, reach: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    """Report as text and as a page, compare and check-quality know evaluations by their names."""
    assert main(["report", deployment]) == 0
    text = capsys.readouterr().out
    for expected in ("evaluation stars:", "alice and bob", "share of good", "alpha nominal"):
        assert expected in text
    page = tmp_path / "page.html"
    assert main(["report", deployment, "--html", str(page)]) == 0
    assert "The judge against people" in page.read_text(encoding="utf-8")
    capsys.readouterr()
    compared = ["compare", *MODELS, "--in", deployment, "--json", "--metric"]
    assert main([*compared, "evaluations.stars"]) in (0, 1)
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)["metrics"]}
    for side, model in zip("ab", MODELS, strict=True):
        own = KEPT[KEPT["model"] == model].groupby("request_id")["stars"].mean()
        assert found["evaluations.stars"][side]["value"] == pytest.approx(own.mean(), abs=1e-9)
    assert main([*compared, "evaluations.verdict[good]"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["verdict"]["metric"] == "evaluations.verdict[good]"
    assert main([*compared, "evaluations.nothing"]) == 2
    gate = ["check-quality", "--deployment", deployment]
    assert main([*gate, "--min", "evaluations.stars=1", "--max", "evaluations.stars=5"]) == 0
    assert main([*gate, "--min", "evaluations.verdict[good]=0.99"]) == 1
    assert main([*gate, "--min", "evaluations.verdict.judge_kappa=-1"]) == 0
    assert main([*gate, "--min", "evaluations.nothing=1"]) == 3
    assert main([*gate, "--min", "evaluations.stars.nothing=1"]) == 2
    assert "there are evaluations.stars," in capsys.readouterr().err


def test_rescore_computes_them_again(engine: Any, reach: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """From the evaluations in the feedback, also where an older version stored these as they came."""
    name = f"t-{random.randrange(10**9)}"
    client = engine_at(engine.url)
    document = {
        "@timestamp": "2026-01-05T00:00:00Z",
        "Ce-Inferenceservicename": name,
        "RequestId": "",
        "response": {"ce-time": "2026-01-05T00:00:00Z", "dataType": "text", "instance": "yes"},
        "feedback": {"ce-time": "2026-01-06T00:00:00Z", "evaluations": [{"name": "helpful", "value": "up"}]},
    }
    try:
        store(client, name, [document])
        assert main(["rescore", "--index", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["changed"] == 1
        client.request("POST", f"/{name}/_refresh")
        assert main(["check-quality", "--index", name, "--min", "evaluations.helpful=1"]) == 0
        assert main(["rescore", "--index", name, "--dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["changed"] == 0
    finally:
        client.request("DELETE", f"/{name}")
