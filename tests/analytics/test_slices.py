"""Reports and comparisons by tenant and model version: the figures are scikit-learn's on the same rows.

The traffic is KServe's, in any order and partly sent twice: V2 bodies, tenants in ``ce-metadata``, failed requests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.buckets import MISSING
from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.contrasts import Form
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import Options, make_report
from request_logger.cli import main
from request_logger.jobs.rescore import Selection
from request_logger.settings import Settings
from tests.analytics.stored import engine_at
from tests.helpers import Sender, Server

pytestmark = pytest.mark.engine

N = 240
DEPLOYMENT = "slices"
THREADS = 4
RETRIES = 10
RNG = np.random.default_rng(21)
TENANTS = RNG.choice(["acme", "bolt", ""], N, p=[0.5, 0.4, 0.1])
VERSIONS = RNG.choice(["3", "4"], N)
TRUTHS = RNG.integers(0, 3, N)
# Version 4 is the better one.
SHARPNESS = np.where(VERSIONS == "4", 3.0, 0.5)[:, None] * np.eye(3)[TRUTHS]
ROWS = np.round(RNG.dirichlet((1, 1, 1), N) + SHARPNESS, 6)
ROWS = np.round(ROWS / ROWS.sum(axis=1, keepdims=True), 6)
# Where KServe logs responses only, and where it is an older one, whose responses have no metadata.
NO_REQUEST = np.arange(N) % 5 == 0
NO_METADATA = (np.arange(N) % 3 == 0) & ~NO_REQUEST
FAILED = np.arange(N) % 11 == 0
ANSWERED = np.arange(N) % 4 != 0
SCORED = ANSWERED & ~FAILED


def headers(k: int, part: str, second: int, **more: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Ce-Specversion": "1.0",
        "Ce-Id": f"s{k}",
        "Ce-Type": f"org.kubeflow.serving.inference.{part}",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Time": f"2026-02-03T{k // 60:02}:{k % 60:02}:{second:02}Z",
        "Ce-Inferenceservicename": DEPLOYMENT,
        "Ce-Namespace": "test",
        "Ce-Component": "predictor",
        "Ce-Endpoint": "default",
        **{f"Ce-{name.capitalize()}": value for name, value in more.items()},
    }


def metadata(k: int) -> str:
    return json.dumps({"X-Tenant": [str(TENANTS[k])]} if TENANTS[k] else {})


def response(k: int) -> tuple[dict[str, str], bytes]:
    about = {"statuscode": "200"} if NO_METADATA[k] else {"metadata": metadata(k), "statuscode": "200"}
    if FAILED[k]:
        return headers(k, "response", 2, **{**about, "statuscode": "503"}), b'{"error": "no model"}'
    tensor = {"name": "p", "datatype": "FP64", "shape": [1, 3], "data": ROWS[k].tolist()}
    body = {"model_name": DEPLOYMENT, "model_version": str(VERSIONS[k]), "outputs": [tensor]}
    return headers(k, "response", 2, **about), json.dumps(body).encode()


def events() -> Iterator[tuple[dict[str, str], bytes]]:
    for k in range(N):
        if not NO_REQUEST[k]:
            tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [k, 0.5]}
            yield headers(k, "request", 1, metadata=metadata(k)), json.dumps({"inputs": [tensor]}).encode()
        yield response(k)
        if ANSWERED[k]:
            yield headers(k, "feedback", 9), json.dumps({"truth": {"data": {"ndarray": [int(TRUTHS[k])]}}}).encode()


def feedback_type(sent: tuple[dict[str, str], bytes]) -> tuple[dict[str, str], bytes]:
    about, body = sent
    return {**about, "Ce-Type": about["Ce-Type"].replace("inference.feedback", "feedback")}, body


@pytest.fixture(scope="module")
def engine_with_traffic(server: Server, engine: Any) -> Iterator[Any]:
    """Send all events shuffled, each fifth of them twice, from several connections."""
    every = list(map(feedback_type, events()))
    shuffled = [every[k] for k in RNG.permutation(len(every))]
    shuffled += shuffled[::5]

    def send(first: int) -> None:
        sender = Sender(server.url)
        for about, body in shuffled[first::THREADS]:
            # A retry, where a busy machine takes too long: each event is sent until it is stored.
            assert any(sender.send(about, body) == (200, b"") for _ in range(RETRIES)), about
        sender.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, range(THREADS)))
    client = engine_at(engine.url)
    client.request("POST", "/inference-log-*/_refresh")
    yield client
    client.request("DELETE", f"/inference-log-inferenceservice-test-{DEPLOYMENT}-default")


def by(client: Any, name: str) -> dict[str, Any]:
    report = make_report(client, Settings(), Options(target=f"test/{DEPLOYMENT}", by=name))
    (task,) = report["tasks"]
    assert task["scorer"] == "multiclass"
    parts: dict[str, Any] = task["by"]
    return parts


def agrees(part: dict[str, Any], chosen: Any) -> None:
    """Assert that a segment's metrics are scikit-learn's over the chosen rows."""
    truths, rows = TRUTHS[chosen], ROWS[chosen]
    said = rows.argmax(axis=1)
    values = {each["name"]: each["value"] for each in part["metrics"]}
    assert part["n"] == len(truths) > 0
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(truths, said), abs=1e-9)
    assert values["f1_macro"] == pytest.approx(sk.f1_score(truths, said, average="macro"), abs=1e-9)
    losses = -np.log(rows[np.arange(len(rows)), truths] / rows.sum(axis=1))
    assert values["log_loss"] == pytest.approx(losses.mean(), abs=1e-6)


@pytest.mark.parametrize("name", ["tenant", "x-tenant", "X-Tenant", "metadata.x-tenant"])
def test_report_by_tenant(engine_with_traffic: Any, name: str) -> None:
    """By the short name of a header, taken from the request, else from the response."""
    found = by(engine_with_traffic, name)
    assert {part["value"] for part in found["parts"]} == {"acme", "bolt", MISSING}
    for part in found["parts"]:
        agrees(part, SCORED & (("" if part["value"] == MISSING else part["value"]) == TENANTS))
    assert found["field"] == "request.metadata.x-tenant.keyword"


def test_report_by_one_side(engine_with_traffic: Any) -> None:
    """By the whole path of a field: only what that side has."""
    found = by(engine_with_traffic, "response.metadata.x-tenant")
    known = np.where(NO_METADATA, "", TENANTS)
    for part in found["parts"]:
        agrees(part, SCORED & (known == ("" if part["value"] == MISSING else part["value"])))


@pytest.mark.parametrize("name", ["version", "model_version", "response.model_version"])
def test_report_by_version(engine_with_traffic: Any, name: str) -> None:
    found = by(engine_with_traffic, name)
    assert {part["value"] for part in found["parts"]} == {"3", "4"}
    for part in found["parts"]:
        agrees(part, SCORED & (part["value"] == VERSIONS))


@pytest.mark.parametrize(
    ("field", "a", "b", "of"), [("version", "3", "4", VERSIONS), ("tenant", "acme", "bolt", TENANTS)]
)
def test_compare(engine_with_traffic: Any, field: str, a: str, b: str, of: Any) -> None:
    found = compare(engine_with_traffic, Settings(), Comparison(a, b, f"test/{DEPLOYMENT}", by=field, form=Form.FIXED))
    (accuracy,) = [row for row in found["metrics"] if row["name"] == "accuracy"]
    for side, name in (("a", a), ("b", b)):
        chosen = SCORED & (of == name)
        assert (found[side]["name"], found[side]["documents"]) == (name, int(chosen.sum()))
        assert found[side]["predictions"] == int(((of == name) & ~FAILED).sum())
        expected = sk.accuracy_score(TRUTHS[chosen], ROWS[chosen].argmax(axis=1))
        assert accuracy[side]["value"] == pytest.approx(expected, abs=1e-9)
    assert (found["verdict"].get("better") == "4") == (field == "version")


def test_a_name_means_what_the_documents_have(engine_with_traffic: Any) -> None:
    """Not what other deployments have under the same name: an element, or a header without its prefix."""
    index = "inference-log-seldon-test-slices-other-default"
    other = {"elements": {"version": "x"}, "metadata": {"tenant": "y"}}
    engine_with_traffic.request("PUT", f"/{index}/_doc/1?refresh=true", {"request": other})
    try:
        assert by(engine_with_traffic, "version")["field"] == "response.model_version.keyword"
        assert by(engine_with_traffic, "tenant")["field"] == "request.metadata.x-tenant.keyword"
    finally:
        engine_with_traffic.request("DELETE", f"/{index}")


def test_failed_requests_are_counted_on_their_own(
    engine_with_traffic: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither as predictions, nor as feedback, nor as feedback that can't be scored; the command says how many."""
    report = make_report(engine_with_traffic, Settings(), Options(target=f"test/{DEPLOYMENT}"))
    coverage = report["coverage"]
    failed = int(FAILED.sum())
    assert coverage == {
        "predictions": N - failed,
        "with_feedback": int(SCORED.sum()),
        "scored": int(SCORED.sum()),
        "by_truth": int(SCORED.sum()),
        "by_reward": 0,
        "unscorable": 0,
        "feedback_only": 0,
        "failed": failed,
        "share": SCORED.sum() / (N - failed),
    }
    assert "unscorable" not in report
    assert report["delay"]["n"] == SCORED.sum()
    host, _, port = engine.url.rpartition("//")[2].partition(":")
    monkeypatch.setenv("ELASTICSEARCH_HOST", host)
    monkeypatch.setenv("ELASTICSEARCH_PORT", port)
    assert main(["report", f"test/{DEPLOYMENT}"]) == 0
    assert f"{failed} failed requests, which are not counted as predictions" in capsys.readouterr().out.splitlines()


def test_each_prediction_is_stored_once(engine_with_traffic: Any) -> None:
    """Whatever was sent twice: each document has the tenant of its request, or of its response."""
    selection = Selection(deployment=DEPLOYMENT)
    body = {"size": 1000, "query": {"bool": {"filter": selection.filters()}}}
    _, answer = engine_with_traffic.request("POST", f"/{selection.indices(Settings())}/_search", body)
    found = {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}
    assert found.keys() == {f"s{k}" for k in range(N)}
    tenants: Counter[str] = Counter()
    for k in range(N):
        source = found[f"s{k}"]
        sides = [
            source[part].get("metadata", {}).get("x-tenant", "") for part in ("request", "response") if part in source
        ]
        assert sides[0] == TENANTS[k]
        tenants[sides[0]] += 1
        assert source["response"]["ce-statuscode"] == (503 if FAILED[k] else 200)
    assert tenants == Counter(TENANTS.tolist())


@pytest.mark.parametrize(
    ("name", "similar"),
    [("tennant", ["x-tenant"]), ("X-Tenent", ["x-tenant"]), ("versoin", ["version"]), ("modle", ["model"])],
)
def test_an_unknown_name_lists_similar_ones(engine_with_traffic: Any, name: str, similar: list[str]) -> None:
    run: list[Callable[[], Any]] = [
        lambda: by(engine_with_traffic, name),
        lambda: compare(engine_with_traffic, Settings(), Comparison("a", "b", by=name)),
    ]
    for each in run:
        with pytest.raises(BadQueryError) as raised:
            each()
        listed = str(raised.value).partition("; similar: ")[2].partition(";")[0].split(", ")
        # Other deployments of the engine may have more of them.
        assert set(similar) <= set(listed)


@pytest.mark.parametrize("name", ["qqqq", "q" * 1500])
def test_a_name_like_no_other_lists_none(engine_with_traffic: Any, name: str) -> None:
    """However long it is."""
    with pytest.raises(BadQueryError, match=f"found '{name}'($|; there are also: )"):
        by(engine_with_traffic, name)
