"""/v1/metrics beside Seldon's MetricsServer: its recorded cases, and what it could not do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.golden_metrics_differences import DIFFERENCES, NEVER_EMPTY, TABLE
from tests.helpers import DATA, Index, Sender, Server, event, free_port, index_of, ndarray

pytestmark = pytest.mark.engine

CASES = {path.stem: json.loads(path.read_text()) for path in sorted((DATA / "golden_metrics").glob("*.json"))}
# The indices of the cases: all of one deployment.
THEIRS = "inference-log-*g-ms*"
DOCS = Path(__file__).parent.parent / "docs" / "metrics-server.md"
ENVIRONMENT = CASES["binary_tp"]["env"]


class Replay(NamedTuple):
    """What became of a case."""

    answers: list[requests.Response]
    exposition: requests.Response
    metrics: list[Any]


def deliver(server: Server, message: dict[str, Any]) -> requests.Response:
    return requests.request(
        message.get("method", "POST"), server.url, headers=message["headers"], data=message["body"].encode(), timeout=60
    )


def scrape(server: Server, index: Index) -> requests.Response:
    index.refresh()
    return requests.get(f"{server.url}/v1/metrics", timeout=60)


def samples(text: str) -> list[Any]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def series_of(sample: Any) -> str:
    """Counter and class, without the labels that all have."""
    name = sample.name.removeprefix("seldon_metric_").removesuffix("_total")
    return f"{name} {sample.labels.get('class', '')}".strip()


def counters(text: str) -> dict[str, float]:
    """Series -> value."""
    found: dict[str, float] = {}
    for sample in samples(text):
        found[series_of(sample)] = found.get(series_of(sample), 0) + sample.value
    return found


def labels(text: str) -> dict[str, set[str]]:
    """Series -> its samples' labels; worker_id is the same everywhere."""
    found: dict[str, set[str]] = {}
    for sample in samples(text):
        shown = json.dumps({**sample.labels, "worker_id": "0"}, sort_keys=True)
        found.setdefault(series_of(sample), set()).add(shown)
    return found


def counters_of(server: Server, index: Index, deployment: str) -> dict[str, float]:
    lines = scrape(server, index).text.splitlines(keepends=True)
    mine = [line for line in lines if line.startswith("#") or f'deployment_name="{deployment}"' in line]
    return counters("".join(mine))


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    """A server that forgets nothing and shows at once what it counts."""
    return make_server(METRICS_CACHE_SECONDS="0", SCORER="multiclass")


@pytest.fixture(scope="module")
def replayed(make_server: Callable[..., Server], index: Index) -> Iterator[dict[str, Replay]]:
    """Send all cases, those of one scorer to one server."""
    result: dict[str, Replay] = {}
    for scorer in {case["scorer"]: None for case in CASES.values()}:
        # Without the cache, because the documents go away under the server.
        server = make_server(
            SCORER=scorer, METRICS_CACHE_SECONDS="0", CACHE_MAX_BYTES="0", REPLY_EVENTS="true", **ENVIRONMENT
        )
        for name, case in CASES.items():
            if case["scorer"] != scorer:
                continue
            assert case["env"] == ENVIRONMENT
            for where, id in index.documents(THEIRS):
                index.request("DELETE", f"/{where}/_doc/{id}")
            for message in case["setup_events"]:
                assert deliver(server, message).status_code == 200
            answers = [deliver(server, message) for message in case["events"]]
            exposition = scrape(server, index)
            metrics = [document.get("metrics", {}) for document in index.documents(THEIRS).values()]
            result[name] = Replay(answers, exposition, metrics)
        server.stop()
    yield result


@pytest.mark.parametrize("name", CASES)
def test_counters_are_those_of_the_original(name: str, replayed: dict[str, Replay]) -> None:
    """Each counter has the recorded value; those in the table differ, and no other does."""
    theirs, ours = counters(CASES[name]["metrics"]), counters(replayed[name].exposition.text)
    different = {series for series in theirs.keys() | ours.keys() if theirs.get(series) != ours.get(series)}
    assert different == DIFFERENCES.get(name, set())


@pytest.mark.parametrize("name", CASES)
def test_labels_and_content_type_are_those_of_the_original(name: str, replayed: dict[str, Replay]) -> None:
    """But for worker_id, which is the same everywhere."""
    answer = replayed[name].exposition
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, CASES[name]["metrics_headers"]["Content-Type"])
    theirs, ours = labels(CASES[name]["metrics"]), labels(answer.text)
    assert theirs.keys() ^ ours.keys() <= DIFFERENCES.get(name, set())
    if name not in NEVER_EMPTY:
        both = theirs.keys() & ours.keys()
        assert {series: ours[series] for series in both} == {series: theirs[series] for series in both}
    has_class = not CASES[name]["scorer"].endswith(".BinaryMetrics")
    assert all(("class" in sample.labels) == has_class for sample in samples(answer.text))


def test_most_cases_have_labels_to_compare(replayed: dict[str, Replay]) -> None:
    """The original counted nothing in some cases, and some counters differ; in the others its labels are ours."""
    both = [name for name in CASES if labels(CASES[name]["metrics"]).keys() & labels(replayed[name].exposition.text)]
    assert len(both) >= 40


@pytest.mark.parametrize("name", CASES)
def test_replies_are_those_of_the_original(name: str, replayed: dict[str, Replay]) -> None:
    """What the original answered with an event is answered with the same event; its body has the metrics."""
    answers, _, metrics = replayed[name]
    for recorded, answer in zip(CASES[name]["responses"], answers, strict=True):
        if recorded["status"] != 200:
            continue
        assert answer.status_code == 200
        theirs = {
            key.lower(): value for key, value in recorded["headers"].items() if key.startswith(("Ce-", "Content-T"))
        }
        ours = {key.lower(): value for key, value in answer.headers.items()}
        if name in NEVER_EMPTY:
            theirs |= {"ce-type": "io.seldon.serving.feedback.metrics", "ce-source": "io.seldon.serving.feedback"}
        assert {key: ours.get(key) for key in theirs} == theirs
    if answers[-1].status_code == 200:
        found = answers[-1].json()
        assert all(entry in metrics for entry in (found if isinstance(found, list) else [found])) or not metrics


def test_expositions_are_valid(replayed: dict[str, Replay]) -> None:
    """Each family is announced once; the original's answer for two classes was invalid."""
    for replay in replayed.values():
        announced = [line for line in replay.exposition.text.splitlines() if line.startswith("# TYPE")]
        assert len(announced) == len(set(announced))


def test_the_table_is_of_cases_that_exist() -> None:
    """A case that is gone leaves nothing in the table."""
    assert set(DIFFERENCES) | NEVER_EMPTY <= set(CASES)


def test_users_are_told_of_every_difference() -> None:
    """docs/metrics-server.md has each reason, and no other."""
    section = DOCS.read_text(encoding="utf-8").split("\n## Differences\n")[1].split("\n## ")[0]
    items = re.findall(r"^- (.+?)\.$", section, re.MULTILINE | re.DOTALL)
    assert sorted(" ".join(item.split()) for item in items) == sorted(TABLE)
    assert f"replay {len(CASES)} recorded cases" in section


def test_feedbacks_under_ids_of_their_own_all_count(server: Server, index: Index, deployment: str) -> None:
    """The five pairs of a recorded case, each of another prediction, give the original's counters."""
    case = CASES["onehot_many"]
    for number, message in enumerate(case["events"]):
        headers = message["headers"] | {"Ce-Requestid": f"r{number}", "Ce-Inferenceservicename": deployment}
        assert deliver(server, message | {"headers": headers}).status_code == 200
    assert counters_of(server, index, deployment) == counters(case["metrics"])


def send_pairs(sender: Sender, deployment: str) -> dict[str, float]:
    for number, (answer, truth) in enumerate([(0, 0), (0, 1), (2, 2), (1, 1), (1, 1)]):
        body = json.dumps({"truth": {"data": {"ndarray": [truth]}}}).encode()
        for part, content in (("response", ndarray([answer])), ("feedback", body)):
            assert sender.send(event(part, f"r{number}", deployment), content)[0] == 200
    right = {"CLASS_0": 1.0, "CLASS_1": 2.0, "CLASS_2": 1.0}
    expected = {f"{cell} {label}": n for label, n in right.items() for cell in ("true_positive", "true_negative")}
    return expected | {"false_negative CLASS_1": 1.0, "false_positive CLASS_0": 1.0}


def test_same_after_restart_on_every_replica_and_after_repetition(
    make_server: Callable[..., Server], server: Server, index: Index, deployment: str
) -> None:
    """The engine has the figures: a new server, another one and a second delivery change nothing."""
    first = make_server(METRICS_CACHE_SECONDS="0", SCORER="multiclass")
    for url in (first.url, first.url, server.url):
        sender = Sender(url)
        expected = send_pairs(sender, deployment)
        sender.close()
        assert counters_of(first, index, deployment) == expected
        assert counters_of(server, index, deployment) == expected
    first.kill()
    again = make_server(METRICS_CACHE_SECONDS="0", SCORER="multiclass")
    assert scrape(again, index).text == scrape(server, index).text


def test_labels_come_from_the_documents(server: Server, index: Index, deployment: str) -> None:
    """Without an environment each deployment, predictor and model has separate series."""
    sender = Sender(server.url)
    body = json.dumps({"truth": 1, "response": 1}).encode()
    for number, (endpoint, model) in enumerate([("default", "a"), ("canary", "a"), ("canary", "b"), ("", "")]):
        headers = event("feedback", f"r{number}", deployment, Ce_Endpoint=endpoint, Ce_Modelid=model)
        assert sender.send(headers, body)[0] == 200
    sender.close()
    found = [sample for sample in samples(scrape(server, index).text) if sample.labels["deployment_name"] == deployment]
    unknown = "NOT_IMPLEMENTED"
    assert sorted((sample.labels["predictor_name"], sample.labels["model_name"]) for sample in found) == sorted(
        [("default", "a"), ("canary", "a"), ("canary", "b"), (unknown, unknown)] * 2
    )
    assert {sample.labels["seldon_deployment_namespace"] for sample in found} == {"test"}
    assert {sample.labels["image_name"] for sample in found} == {unknown}


def test_environment_restricts(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """Only the deployment that the environment names is shown, under its labels."""
    server = make_server(
        METRICS_CACHE_SECONDS="0",
        SELDON_DEPLOYMENT_ID=deployment,
        PREDICTOR_ID="default",
        PREDICTIVE_UNIT_IMAGE="registry:5000/team/model",
        PREDICTOR_LABELS='{"version": "v7"}',
    )
    sender = Sender(server.url)
    body = json.dumps({"truth": 3, "response": 3}).encode()
    for number, (name, endpoint) in enumerate([(deployment, "default"), (deployment, "canary"), ("other", "default")]):
        assert sender.send(event("feedback", f"r{number}", name, Ce_Endpoint=endpoint), body)[0] == 200
    sender.close()
    found = samples(scrape(server, index).text)
    assert [sample.value for sample in found] == [1.0, 1.0]
    labels = found[0].labels
    assert (labels["image_name"], labels["image_version"]) == ("registry:5000/team/model", "NOT_IMPLEMENTED")
    assert (labels["predictor_version"], labels["deployment_name"]) == ("v7", deployment)


def test_more_classes_than_a_page(server: Server, index: Index, deployment: str) -> None:
    """2,500 classes are all there: nothing is approximate."""
    send_pairs(Sender(server.url), deployment)
    name = index_of(deployment)
    lines = []
    for number in range(2500):
        metrics = {"scorer": "multiclass", "true_positive": [f"CLASS_{number}"]}
        lines += [{"index": {}}, {"Ce-Inferenceservicename": deployment, "Ce-Namespace": "test", "metrics": metrics}]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    headers = {"Content-Type": "application/x-ndjson"}
    assert not requests.post(f"{index.url}/{name}/_bulk", body, headers=headers, timeout=60).json()["errors"]
    found = counters_of(server, index, deployment)
    assert sum(series.startswith("true_positive") for series in found) == 2500
    assert sum(series.startswith("true_negative") for series in found) == 2500


def test_engine_down(make_server: Callable[..., Server]) -> None:
    """503, and one line that says why."""
    server = make_server(f"http://127.0.0.1:{free_port()}", ready=False)
    answer = requests.get(f"{server.url}/v1/metrics", timeout=60)
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["error"]
    assert answer.text.count("\n") == 1


def test_gauges_of_the_audit(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """Audited predictions, those with a truth, those that are correct: per model; without an audit there are none."""
    server = make_server(METRICS_CACHE_SECONDS="0", SCORER="multiclass", AUDIT_RATE="1")
    sender = Sender(server.url)
    for number, truth in enumerate((0, 0, 1, None)):
        sender.send(event("response", f"a{number}", deployment), ndarray([[0.9, 0.1]]))
        if truth is not None:
            body = json.dumps({"truth": {"data": {"ndarray": [truth]}}}).encode()
            sender.send(event("feedback", f"a{number}", deployment), body)
    sender.close()
    mine = {
        sample.name: sample.value
        for sample in samples(scrape(server, index).text)
        if sample.labels["deployment_name"] == deployment and sample.name.startswith("request_logger_audit")
    }
    server.stop()
    assert mine == {
        "request_logger_audit_predictions": 4,
        "request_logger_audit_labelled": 3,
        "request_logger_audit_correct": 2,
    }
