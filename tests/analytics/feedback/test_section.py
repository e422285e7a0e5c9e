"""The report's section on the selection of feedback, on a real engine: the figures of the same documents by numpy."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.feedback.audit_list import COLUMNS
from request_logger.analytics.feedback.prediction_powered import prediction_powered
from request_logger.analytics.feedback.section import selection_report
from request_logger.analytics.page import page
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.scope import find_scope
from request_logger.analytics.tasks import tasks_of
from request_logger.cli import main
from request_logger.commands.report_text import lines
from request_logger.documents.audit import is_audited
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from scorers.probabilities import calibration_bin, score_bin
from tests.analytics.feedback.made import sums
from tests.analytics.stored import START, document, engine_at, stamp, store
from tests.helpers import Index, Sender, Server, event, ndarray

pytestmark = pytest.mark.engine

INDEX = "inference-log-seldon-test-selection-default"
N = 1500
RATE = 0.2
STATE = np.random.RandomState(17)
P = np.round(STATE.random_sample(N), 3)
SAID = P >= 0.5
TRUE = STATE.random_sample(N) < 0.8 * P + 0.05
IDS = [f"r{k}" for k in range(N)]
AUDITED = np.array([is_audited(id, RATE) for id in IDS])
# Low confidence is reviewed more often; of the audit one in five is still missing.
VOLUNTEERED = STATE.random_sample(N) < np.where(np.abs(P - 0.5) < 0.2, 0.4, 0.1)
KNOWN = np.where(AUDITED, np.arange(N) % 5 != 0, VOLUNTEERED)
CONFIDENCE = np.where(SAID, P, 1 - P)
# A regression, whose errors grow with its values; large values get feedback more often.
VALUES = np.round(STATE.random_sample(N) * 100, 2)
ERRORS = STATE.normal(0, 1, N) * VALUES / 20
VALUES_KNOWN = STATE.random_sample(N) < VALUES / 200
Json = dict[str, Any]


def binary(k: int, deployment: str = "binary", **more: Any) -> Json:
    """Prediction k, with its truth where it is known."""
    scorer = build("binary", {})
    row, names = [round(1 - P[k], 3), P[k]], ("no", "yes")
    known = more.pop("known", KNOWN[k])
    made = document(
        scorer if known else None, names[int(TRUE[k])], row, names=names, deployment=deployment, request_id=IDS[k],
        at=START + timedelta(minutes=k),
    )  # fmt: skip
    block = {
        "label": names[int(SAID[k])], "probability": CONFIDENCE[k], "positive_probability": P[k],
        "score_bin": score_bin(P[k]), "calibration_bin": calibration_bin(P[k]),
    }  # fmt: skip
    return {**made, "prediction": block, "fold": k % 20, **more}


def regression(k: int) -> Json:
    made = document(
        build("regression", {}) if VALUES_KNOWN[k] else None, VALUES[k] - ERRORS[k], VALUES[k], deployment="regression",
        request_id=f"v{k}",
    )  # fmt: skip
    return {**made, "prediction": {"value": VALUES[k]}, "fold": k % 20}


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[SearchEngine]:
    found = engine_at(engine.url)
    store(found, INDEX, [binary(k, audit=bool(AUDITED[k])) for k in range(N)])
    store(found, INDEX, map(regression, range(N)))
    unlabelled = [{**binary(k, "unlabelled", known=k < 30), "RequestId": f"u{k}"} for k in range(300)]
    store(found, INDEX, unlabelled)
    # Before AUDIT_RATE was set: whoever gave feedback is not in the audit by chance.
    before = [
        {**binary(k, "switched", **({"audit": bool(AUDITED[k])} if k >= 200 or KNOWN[k] else {})), "RequestId": f"s{k}"}
        for k in range(800)
    ]
    store(found, INDEX, before)
    yield found
    found.request("DELETE", f"/{INDEX}")


@pytest.fixture(scope="module")
def reports(client: SearchEngine) -> Callable[[str], Json]:
    """The report of a deployment, made once."""
    made: dict[str, Json] = {}

    def report(deployment: str) -> Json:
        if deployment not in made:
            made[deployment] = make_report(client, Settings(), Options(target=deployment))
        return made[deployment]

    return report


def test_coverage(reports: Callable[[str], Json]) -> None:
    found = reports("binary")["selection"]
    assert (found["predictions"], found["with_truth"]) == (N, int(KNOWN.sum()))
    assert found["share"] == pytest.approx(KNOWN.mean())
    strata = found["strata"]
    assert sum(each["predictions"] for each in strata) == N
    for each in strata:
        own = (np.where(SAID, "yes", "no") == each["label"]) & (each["from"] - 1e-9 <= P) & (each["to"] + 1e-9 > P)
        assert each["predictions"] == pytest.approx(own.sum(), abs=2), "a probability at an edge may be in either bin"
    assert found["test"]["warning"] is True
    assert found["test"]["p_value"] < 1e-6
    hits = int((SAID == TRUE)[KNOWN].sum())
    assert found["bounds"] == {"low": hits / N, "high": pytest.approx((hits + N - KNOWN.sum()) / N)}


def test_weighted_figures(reports: Callable[[str], Json]) -> None:
    """Those of scikit-learn with the weights of the strata that the report names; the naive ones beside them."""
    report = reports("binary")
    found = report["selection"]
    said = np.where(SAID, "yes", "no")
    bins = np.array([score_bin(p) for p in P])
    weights = np.zeros(N)
    for each in found["strata"]:
        first, last = score_bin(each["from"] + 1e-9), score_bin(min(each["to"] - 1e-9, 1.0))
        own = (said == each["label"]) & (bins >= first) & (bins <= last)
        assert (own.sum(), (own & KNOWN).sum()) == (each["predictions"], each["with_truth"])
        weights[own] = own.sum() / (own & KNOWN).sum()
    known = {"sample_weight": weights[KNOWN]}
    truth, answer = TRUE[KNOWN], SAID[KNOWN]
    oracle = {
        "accuracy": sk.accuracy_score(truth, answer, **known),
        "precision": sk.precision_score(truth, answer, **known),
        "recall": sk.recall_score(truth, answer, **known),
        "f1": sk.f1_score(truth, answer, **known),
    }
    assert {each["name"]: each["value"] for each in found["weighted"]} == pytest.approx(oracle, rel=1e-9)
    naive = {each["name"]: each for each in report["tasks"][0]["metrics"]}
    assert all(each["over_feedback"] == naive[each["name"]] for each in found["weighted"])
    assert all(each["low"] < each["value"] < each["high"] for each in found["weighted"])
    w = weights[KNOWN]
    assert found["effective_n"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-9)
    assert found["cut"] == 0


def test_audit(reports: Callable[[str], Json]) -> None:
    """Over the audited predictions alone; PPI++ adds the probabilities of all others."""
    audit = reports("binary")["selection"]["audit"]
    answered = AUDITED & KNOWN
    assert (audit["selected"], audit["with_truth"]) == (AUDITED.sum(), answered.sum())
    (task,) = audit["tasks"]
    metrics = {each["name"]: each for each in task["metrics"]}
    assert metrics["accuracy"]["value"] == pytest.approx((SAID == TRUE)[answered].mean(), rel=1e-9)
    assert metrics["recall"]["value"] == pytest.approx(sk.recall_score(TRUE[answered], SAID[answered]), rel=1e-9)
    assert metrics["accuracy"]["low"] < metrics["accuracy"]["value"] < metrics["accuracy"]["high"]
    correct = answered & (SAID == TRUE)
    oracle = prediction_powered(sums(CONFIDENCE[answered]), sums(CONFIDENCE[correct]), sums(CONFIDENCE[~answered]))
    powered = audit["powered_accuracy"]
    assert oracle is not None
    assert (powered["value"], powered["power"]) == pytest.approx((oracle.value, oracle.power), rel=1e-9)
    lacking = int(AUDITED.sum() - answered.sum())
    assert audit["bounds"]["high"] - audit["bounds"]["low"] == pytest.approx(lacking / AUDITED.sum())
    assert audit["warning"].startswith(f"{lacking} of {AUDITED.sum()} audited predictions lack a truth")


def test_an_audit_that_began_later(reports: Callable[[str], Json]) -> None:
    """Feedback doesn't bring earlier predictions into it."""
    audit = reports("switched")["selection"]["audit"]
    since = max(k for k in range(200) if not KNOWN[k])
    assert audit["since"] == stamp(START + timedelta(minutes=since))
    later = np.arange(N) > since
    assert audit["selected"] == (AUDITED & later)[:800].sum()
    assert audit["with_truth"] == (AUDITED & KNOWN & later)[:800].sum()


def test_estimates_without_labels(reports: Callable[[str], Json]) -> None:
    """Named as such, with the number of truths that show whether the probabilities are calibrated."""
    found = reports("unlabelled")["selection"]["estimated"]
    p = P[:300]
    assert found["metrics"]["estimated_accuracy"] == pytest.approx(np.maximum(p, 1 - p).mean(), rel=1e-9)
    assert found["metrics"]["estimated_precision"] == pytest.approx(p[p >= 0.5].mean(), rel=1e-9)
    assert found["calibrated_on"] == 30
    hits = (SAID == TRUE)[:30].mean()
    assert found["calibration_gap"] == pytest.approx(CONFIDENCE[:30].mean() - hits, abs=1e-9)
    assert "estimated" not in reports("binary")["selection"], "there are labels enough"


def test_regression(reports: Callable[[str], Json]) -> None:
    """Means of errors, each range of predicted values weighted by its number of predictions."""
    found = reports("regression")["selection"]
    assert (found["predictions"], found["with_truth"]) == (N, VALUES_KNOWN.sum())
    values: dict[str, float] = dict.fromkeys(("mae", "mse", "mean_error"), 0.0)
    variance = 0.0
    for each in found["strata"]:
        own = (each.get("from", -np.inf) <= VALUES) & (each.get("to", np.inf) > VALUES)
        assert own.sum() == each["predictions"]
        errors = ERRORS[own & VALUES_KNOWN]
        share = own.sum() / N
        for name, error in (("mae", np.abs(errors)), ("mse", errors**2), ("mean_error", errors)):
            values[name] += share * error.mean()
        variance += share**2 * np.abs(errors).var(ddof=1) / len(errors)
    weighted = {each["name"]: each for each in found["weighted"]}
    assert {name: each["value"] for name, each in weighted.items()} == pytest.approx(values, rel=1e-8, abs=1e-9)
    half = (weighted["mae"]["high"] - weighted["mae"]["low"]) / 2
    assert half == pytest.approx(1.96 * np.sqrt(variance), rel=0.01)
    truth = np.abs(ERRORS).mean()
    assert abs(weighted["mae"]["value"] - truth) < abs(weighted["mae"]["over_feedback"]["value"] - truth)


def test_words(reports: Callable[[str], Json]) -> None:
    """The text and the page have the audit first, the warning, and both figures."""
    report = reports("binary")
    text = "\n".join(lines(report))
    assert (
        text.index("  audited ")
        < text.index("accuracy (PPI++)")
        < text.index("over the feedback")
        < text.index("binary: ")
    )
    assert "randomly chosen predictions have a truth" in text
    assert "Warning: feedback is not a random part" in text
    shown = page(report)
    assert shown.index("accuracy of the audit") < shown.index("<h2>Selection of feedback")
    assert "randomly chosen predictions have a truth" in shown
    assert "Estimated figures hold only if" in "\n".join(lines(reports("unlabelled")))
    assert "What the probabilities promise" in page(reports("unlabelled"))


def test_several_scorers(client: SearchEngine) -> None:
    """Unlabelled predictions can't be told apart, so there are no figures, but a reason."""
    runner, scope = QueryRunner(client), find_scope(client, Settings(), INDEX)
    found = selection_report(runner, scope, tasks_of(runner, scope, Settings()), [], are_together=False)
    assert "more than one scorer" in found["reason"]
    assert "weighted" not in found


def test_the_list_of_what_lacks_a_truth(
    client: SearchEngine, reach: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, as CSV and as JSON, a page or all of it."""
    assert main(["audit", "binary", "--json", "--limit", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = [id for id, audited, known in zip(IDS, AUDITED, KNOWN, strict=True) if audited and not known]
    assert found["lacking"] == len(wanted)
    assert [row["request_id"] for row in found["predictions"]] == wanted[:5]
    assert found["predictions"][0]["label"] == ("yes" if SAID[int(wanted[0][1:])] else "no")
    assert main(["audit", "binary", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["request_id"] for row in rows] == wanted
    assert tuple(rows[0]) == COLUMNS
    assert main(["audit", "binary", "--limit", "2"]) == 0
    out, err = capsys.readouterr()
    assert wanted[0] in out
    assert f"and {len(wanted) - 2} more" in err
    assert main(["audit", "unlabelled"]) == 1
    assert "AUDIT_RATE" in capsys.readouterr().err


def test_as_the_server_stores_them(
    make_server: Callable[..., Server], client: SearchEngine, index: Index, deployment: str
) -> None:
    """Predictions with and without feedback, all from events: the section is about each of them."""
    server = make_server(SCORER="binary", AUDIT_RATE="0.5", GUNICORN_WORKERS="1")
    sender = Sender(server.url)
    rows = [[round(1 - p, 3), p] for p in P[:80].tolist()]
    assert sender.send(event("response", "batch", deployment), ndarray(rows[:40])) == (200, b"")
    for k in range(40, 80):
        assert sender.send(event("response", f"single-{k}", deployment), ndarray([rows[k]])) == (200, b"")
        if k % 2:
            truth = json.dumps({"truth": {"data": {"ndarray": [int(TRUE[k])]}}}).encode()
            assert sender.send(event("feedback", f"single-{k}", deployment), truth) == (200, b"")
    sender.close()
    server.stop()
    index.refresh()
    found = make_report(client, Settings(), Options(target=deployment))["selection"]
    assert (found["predictions"], found["with_truth"]) == (80, 20)
    assert [each["name"] for each in found["weighted"]] == ["accuracy", "precision", "recall", "f1"]
    assert found["estimated"]["metrics"]["estimated_accuracy"] == pytest.approx(CONFIDENCE[:80].mean(), rel=1e-9)
    audited = [id for id in ["batch"] * 40 + [f"single-{k}" for k in range(40, 80)] if is_audited(id, 0.5)]
    assert found["audit"]["selected"] == len(audited)
    assert "fewer than 30" in found["audit"]["reason"]
