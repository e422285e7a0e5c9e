"""Dashboards and alerts as code: up to date, valid, and their figures are scikit-learn's."""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import elasticsearch as grafana_elasticsearch
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry
from sklearn import metrics as sk

from request_logger.cli import main
from request_logger.dashboards import files
from request_logger.dashboards.grafana import ALL
from request_logger.dashboards.panels import BARS, LINES, MATRIX, NUMBER, TABLE, Panel, means, rows
from request_logger.exporter import CELLS
from request_logger.scorer_registry import build, registered
from request_logger.selection import FIELDS, PREDICTIONS
from request_logger.telemetry import Telemetry
from tests import dashboard_queries as asked
from tests.helpers import Index, Sender, Server, event, ndarray
from tests.k8s.manifests import problems
from tests.scorers import oracle

FOLDER = Path(__file__).parent.parent / "k8s" / "dashboards"
GRAFANA = {
    kind: json.loads((FOLDER / "grafana" / kind / "prediction-quality.json").read_text())
    for kind in ("elasticsearch", "opensearch")
}
KIBANA = [json.loads(line) for line in (FOLDER / "kibana" / "prediction-quality.ndjson").read_text().splitlines()]
PANELS = {panel.title: panel for row in rows() for panel in row.panels}
DAYS = ("2026-03-02", "2026-03-04")
STARTS = (1772409600000, 1772582400000)  # of these days (ms)
RANGE = (1772323200000, 1772755200000)  # 2026-03-01 to 2026-03-06
CLASSES = ("ant", "bee", "cow", "dog")
TAGS = ("t0", "t1", "t2")


def test_files_are_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`k8s/dashboards` is what the command writes, no more and no less; --check tells what isn't."""
    there = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    assert there == files(), "run request-logger dashboards"
    assert main(["dashboards", "--check", "--dir", str(FOLDER)]) == 0
    assert main(["dashboards", "--check", "--dir", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()
    assert main(["dashboards", "--dir", str(tmp_path)]) == 0
    (tmp_path / "prometheus" / "rules.yaml").write_text("groups: []\n")
    capsys.readouterr()
    assert main(["dashboards", "--check", "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path / 'prometheus' / 'rules.yaml'}: not up to date\n"


@pytest.mark.parametrize("kind", GRAFANA)
def test_grafana_knows_every_field(kind: str) -> None:
    """Grafana's own types read the dashboard and its queries, and write the same: nothing is misspelt."""
    made = GRAFANA[kind]
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(made)))
    assert lost(made, read, skip=("targets",)) == []
    for panel in asked.grafana_panels(made).values():
        for target in panel["targets"]:
            known = {name: value for name, value in target.items() if name not in ("datasource", "queryType")}
            query = json.loads(JSONEncoder(sort_keys=True).encode(grafana_elasticsearch.Dataquery.from_json(known)))
            assert lost(known, query) == []
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


def lost(made: Any, read: Any, path: str = "", skip: tuple[str, ...] = ()) -> list[str]:
    """What of one JSON value is not in the other."""
    if isinstance(made, dict) and isinstance(read, dict):
        return [
            each
            for name, value in made.items()
            if name not in skip
            for each in (lost(value, read[name], f"{path}.{name}", skip) if name in read else [f"{path}.{name}"])
        ]
    if isinstance(made, list) and isinstance(read, list) and len(made) == len(read):
        return [e for k, pair in enumerate(zip(made, read, strict=True)) for e in lost(*pair, f"{path}[{k}]", skip)]
    return [] if made == read else [f"{path}: {made!r} became {read!r}"]


@pytest.mark.parametrize("kind", GRAFANA)
def test_grafana_panels_have_places_and_variables(kind: str) -> None:
    """Ids are unique, nothing overlaps, and every variable that is used exists."""
    made = GRAFANA[kind]
    panels = list(asked.grafana_panels(made).values())
    ids = [panel["id"] for panel in [*panels, *(p for p in made["panels"] if p["type"] == "row")]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    names = {variable["name"] for variable in made["templating"]["list"]}
    assert names == {"datasource", *FIELDS, "class", "window"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(made))) - {"__all"} == names
    assert {panel["title"] for panel in panels} == set(PANELS)


def test_saved_objects_belong_together() -> None:
    """Every reference leads to an object of its type, every name in the texts to a reference."""
    known = {(each["type"], each["id"]) for each in KIBANA}
    assert len(known) == len(KIBANA)
    for each in KIBANA:
        references = {reference["name"] for reference in each["references"]}
        assert {(reference["type"], reference["id"]) for reference in each["references"]} <= known
        assert set(re.findall(r'RefName\\*":\\*"([\w.]+)', json.dumps(each))) == references
        for name in ("visState", "panelsJSON", "optionsJSON", "uiStateJSON"):
            if name in each["attributes"]:
                json.loads(each["attributes"][name])
    (dashboard,) = (each for each in KIBANA if each["type"] == "dashboard")
    shown = {reference["id"] for reference in dashboard["references"]}
    assert shown == {each["id"] for each in KIBANA if each["type"] == "visualization"}
    places = [panel["gridData"] for panel in json.loads(dashboard["attributes"]["panelsJSON"])]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert {each["attributes"]["title"] for each in KIBANA if each["type"] == "index-pattern"} == {PREDICTIONS}


def test_provisioning_names_the_same() -> None:
    """The data sources are of the dashboards' types and find the logger's indices."""
    for kind, made in GRAFANA.items():
        folder = FOLDER / "grafana" / kind
        (source,) = yaml.safe_load((folder / "datasource.yaml").read_text())["datasources"]
        (variable,) = (each for each in made["templating"]["list"] if each["type"] == "datasource")
        assert source["type"] == variable["query"]
        assert PREDICTIONS in (source["jsonData"].get("index"), source["jsonData"].get("database"))
        (provider,) = yaml.safe_load((folder / "provider.yaml").read_text())["providers"]
        assert provider["type"] == "file"


def test_alerts_are_of_metrics_that_exist() -> None:
    """PromQL that parses, over names that the server shows or a rule before records; both files have the same."""
    rules = yaml.safe_load((FOLDER / "prometheus" / "rules.yaml").read_text())
    operator = yaml.safe_load((FOLDER / "prometheus" / "prometheusrule.yaml").read_text())
    assert problems(operator) == []
    assert operator["spec"] == rules
    registry = CollectorRegistry()
    Telemetry(registry)
    known = {f"seldon_metric_{cell}_total" for cell in CELLS}
    for metric in registry.collect():
        known |= {metric.name + suffix for suffix in {"counter": ("_total",), "gauge": ("",)}.get(metric.type, ())}
    names = []
    for group in rules["groups"]:
        for rule in group["rules"]:
            promql_parser.parse(rule["expr"])
            used = set(re.findall(r"\b((?:seldon_metric|request_logger)[\w:]+)", rule["expr"]))
            assert used
            assert used <= known, rule
            if "record" in rule:
                known.add(rule["record"])
            else:
                names.append(rule["alert"])
                assert rule["annotations"]["summary"]
    page = (Path(__file__).parent.parent / "docs" / "alerts.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_what_is_an_average_is_found_by_what_it_computes() -> None:
    """A root of a mean is no mean; every scorer has at least one figure."""
    names = {metric.name: field for metric, field in means(build("regression", {}).metrics)}
    assert names["mse"] == "metrics.squared_error"
    assert "rmse" not in names
    assert all(means(build(name, {}).metrics) for name in registered())


@dataclass(frozen=True)
class Case:
    """What is sent of one scorer, and the metrics of some of the pairs."""

    predictions: list[Any]
    truths: list[Any]
    expected: Callable[[slice], dict[str, Any]]
    names: tuple[str, ...] = ()


@functools.cache
def cases() -> dict[str, Case]:
    """60 pairs a scorer: 40 on one day, 20 on another."""
    n, first = 60, slice(0, 60)
    known, scores = (values[first] for values in oracle.binary_pairs(0.4, seed=1))
    truths, logits = (values[first] for values in oracle.multiclass_pairs(4, seed=2))
    chances = oracle.softmax(logits)
    labels, tag_logits = (values[first] for values in oracle.multilabel_pairs(3, seed=3))
    tag_scores = 1 / (1 + np.exp(-tag_logits))
    levels, answers = (values[first] for values in oracle.ordinal_pairs(seed=4))
    numbers, guesses = (values[first] for values in oracle.regression_pairs(seed=5))
    gains, order = (values[first] for values in oracle.ranking_pairs(8, seed=6))
    texts, written = (values[:n] for values in oracle.text_pairs(seed=7))
    return {
        "binary": Case(scores.tolist(), known.tolist(), lambda s: oracle.binary(known[s], scores[s])),
        "multiclass": Case(
            chances.tolist(),
            [CLASSES[k] for k in truths],
            lambda s: oracle.multiclass(truths[s], chances[s], CLASSES),
            CLASSES,
        ),
        "multilabel": Case(
            tag_scores.tolist(), labels.tolist(), lambda s: oracle.multilabel(labels[s], tag_scores[s], TAGS), TAGS
        ),
        "ordinal": Case(answers.tolist(), levels.tolist(), lambda s: oracle.ordinal(levels[s], answers[s])),
        "regression": Case(guesses.tolist(), numbers.tolist(), lambda s: oracle.regression(numbers[s], guesses[s])),
        "ranking": Case(order.tolist(), gains.tolist(), lambda s: oracle.ranking(gains[s], order[s], k=5)),
        "text": Case(written, texts, lambda s: oracle.text(texts[s], written[s])),
    }


HALVES = (slice(0, 40), slice(40, 60))
REWARDS = ([1.0, 0.0, 0.5, 1.0], [0.25, 1.0])


@pytest.fixture(scope="module")
def traffic(
    make_server: Callable[..., Server], index: Index, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Batches of every scorer, rewards, a prediction without feedback, one that can't be scored; their deployments."""
    unique = uuid.uuid4().hex[:12]
    names = {name: f"dash-{name}-{unique}" for name in [*registered(), "open"]}
    rules: list[Any] = [{"deployment": names[name], "scorer": name} for name in cases()]
    for rule in rules:
        if rule["scorer"] == "ranking":
            rule["options"] = {"k": 5}
    path = tmp_path_factory.mktemp("dashboards") / "scorers.yaml"
    path.write_text(yaml.safe_dump({"rules": rules}))
    sender = Sender(make_server(SCORERS_CONFIG=str(path)).url)

    def send(part: str, id: str, name: str, day: str, body: bytes) -> None:
        headers = event(part, id, names[name], Ce_Time=f"{day}T10:00:00Z")
        assert sender.send(headers, body)[0] == 200

    for name, case in cases().items():
        for day, half in zip(DAYS, HALVES, strict=True):
            truth = {"truth": {"data": {"ndarray": case.truths[half]}}}
            send("response", f"{name}-{day}", name, day, ndarray(case.predictions[half], list(case.names) or None))
            send("feedback", f"{name}-{day}", name, day, json.dumps(truth).encode())
    for day, rewards in zip(DAYS, REWARDS, strict=True):
        for number, reward in enumerate(rewards):
            send("response", f"{day}-{number}", "reward", day, ndarray([[0.5, 0.5]]))
            send("feedback", f"{day}-{number}", "reward", day, json.dumps({"reward": reward}).encode())
    send("response", "open", "open", DAYS[0], ndarray([[0.1, 0.9]]))
    send("response", "bad", "open", DAYS[0], ndarray([[0.1, 0.9]]))
    send("feedback", "bad", "open", DAYS[0], b"{}")
    sender.close()
    index.refresh()
    return names


def wanted(panel: Panel, names: dict[str, str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What a panel must show: the values of its figures by the keys of its splits, computed from what was sent."""
    scorer = panel.title.partition(":")[0]
    if scorer not in registered():
        return wanted_of_all(panel, names)
    case = cases()[scorer]
    whole, origin = slice(0, 60), (names[scorer], "default", "classifier")

    def figures(part: slice) -> tuple[Any, ...]:
        values = {**expected(scorer, part.start, part.stop), "documents": part.stop - part.start}
        # Numbers have no ranked probability score: there is nothing to show then.
        return tuple(values.get(figure.label) for figure in panel.figures)

    if panel.shape == NUMBER:
        return {(): figures(whole)}
    if panel.shape == LINES:
        return {(start,): figures(half) for start, half in zip(STARTS, HALVES, strict=True)}
    if panel.shape == TABLE:
        return {origin: figures(whole)}
    if scorer == "multilabel":
        known, found = np.array(case.truths), np.array(case.predictions) >= 0.5
        matrices = sk.multilabel_confusion_matrix(known, found)
        cell = {"true positives": (1, 1), "false positives": (0, 1), "false negatives": (1, 0)}
        place = cell[panel.title.partition(": ")[2].removesuffix(" by label")]
        return {(tag,): (int(m[place]),) for tag, m in zip(TAGS, matrices, strict=True) if m[place]}
    known, found = labels_of(scorer, case)
    classes = sorted({*known, *found})
    if panel.shape == MATRIX:
        matrix = sk.confusion_matrix(known, found, labels=classes)
        return {
            (truth, answer): (int(matrix[row][column]),)
            for row, truth in enumerate(classes)
            for column, answer in enumerate(classes)
            if matrix[row][column]
        }
    assert panel.shape == BARS
    score = sk.precision_score if panel.figures[0].label == "precision" else sk.recall_score
    values = score(known, found, labels=classes, average=None, zero_division=np.nan)
    return {(label,): (value,) for label, value in zip(classes, values, strict=True) if not np.isnan(value)}


@functools.cache
def expected(scorer: str, start: int, stop: int) -> dict[str, Any]:
    return cases()[scorer].expected(slice(start, stop))


def labels_of(scorer: str, case: Case) -> tuple[list[str], list[str]]:
    """Truths and answers as class names."""
    if scorer == "multiclass":
        return case.truths, [CLASSES[int(np.argmax(row))] for row in case.predictions]
    if scorer == "binary":
        return [f"CLASS_{k}" for k in case.truths], [f"CLASS_{int(p >= 0.5)}" for p in case.predictions]
    return [f"CLASS_{k}" for k in case.truths], [f"CLASS_{k}" for k in case.predictions]


def wanted_of_all(panel: Panel, names: dict[str, str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The panels that are about no scorer."""
    flat = [*REWARDS[0], *REWARDS[1]]
    scored = 7 * 60 + len(flat)
    numbers: dict[str, Any] = {
        "Predictions": scored + 2,
        "With a reward": len(flat),
        "Sum of rewards": sum(flat),
        "Mean reward": sum(flat) / len(flat),
        "Scored": scored,
        "Not scorable": 1,
    }
    if panel.title in numbers:
        return {(): (numbers[panel.title],)}
    if panel.title == "Predictions over time":
        return {(STARTS[0],): (7 * 40 + 4 + 2,), (STARTS[1],): (7 * 20 + 2,)}
    if panel.title == "Rewards over time":
        return {(start,): (sum(each), len(each)) for start, each in zip(STARTS, REWARDS, strict=True)}
    if panel.title == "Rewards by model":
        return {(names["reward"], "default", "classifier"): (len(flat), sum(flat) / len(flat), sum(flat))}
    if panel.title == "Scorers":
        return {(name,): (60,) for name in cases()} | {("reward",): (len(flat),)}
    assert panel.title == "Why not scorable"
    return {("the feedback has neither a truth nor a reward",): (1,)}


def agree(found: asked.Rows, panel: Panel, names: dict[str, str], program: str) -> None:
    right = wanted(panel, names)
    # Days without documents are empty buckets; they show nothing.
    shown = {keys: values for keys, values in found if any(values)}
    assert shown == {
        keys: tuple(
            value if value is None or isinstance(value, int) else pytest.approx(value, rel=1e-9, abs=1e-9)
            for value in values
        )
        for keys, values in right.items()
        if any(values)
    }, f"{program}: {panel.title}"


def ask(index: Index, bodies: list[Any]) -> list[Any]:
    """Send many searches as one, to all of the logger's indices."""
    lines = "".join(f'{{"index": "{PREDICTIONS}"}}\n{json.dumps(body)}\n' for body in bodies)
    answer = index._session.post(
        f"{index.url}/_msearch", data=lines, headers={"Content-Type": "application/x-ndjson"}, timeout=60
    ).json()
    for body, found in zip(bodies, answer["responses"], strict=True):
        assert "error" not in found, (body, found)
    return list(answer["responses"])


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("kind", GRAFANA)
def test_grafanas_figures_are_scikit_learns(kind: str, traffic: dict[str, str], index: Index) -> None:
    """Each panel's queries, over all scorers' traffic, give what was sent; "All" leaves nothing out."""
    panels = asked.grafana_panels(GRAFANA[kind])
    assert set(panels) == set(PANELS)
    variables = dict.fromkeys(FIELDS, ALL) | {"class": ALL, "window": "1d", "deployment": list(traffic.values())}
    targets = [(title, target) for title, panel in panels.items() for target in panel["targets"]]
    answers = ask(index, [asked.grafana_body(target, variables, *RANGE) for _, target in targets])
    tables: dict[str, list[asked.Rows]] = {}
    for (title, target), answer in zip(targets, answers, strict=True):
        tables.setdefault(title, []).append(asked.grafana_rows(target, answer["aggregations"]))
    for title, found in tables.items():
        panel = PANELS[title]
        if panel.shape == LINES:
            # One query a curve: side by side they are one table.
            joined = [(row[0][0], tuple(value for _, (value,) in row)) for row in zip(*found, strict=True)]
        elif panel.shape == NUMBER:
            values = [row[1][0] or 0 for row in found[0]]
            calculation = panels[title]["options"]["reduceOptions"]["calcs"]
            assert calculation == (["sum"] if panel.figures[0].kind != "avg" else ["lastNotNull"])
            joined = [((), (sum(values) if calculation == ["sum"] else values[-1],))]
        else:
            (joined,) = found
        agree(joined, panel, traffic, kind)


@pytest.mark.engine
def test_grafanas_variables_choose(traffic: dict[str, str], index: Index) -> None:
    """A deployment, a class and a predictor that is not there restrict as they say; lists come from the engine."""
    made = GRAFANA["elasticsearch"]
    (target,) = asked.grafana_panels(made)["multiclass: recall by class"]["targets"]
    everything: dict[str, Any] = dict.fromkeys(FIELDS, ALL) | {"class": ALL, "window": "1d"}
    chosen = {
        "class": {**everything, "deployment": [traffic["multiclass"]], "class": ["bee", "dog"]},
        "other": {**everything, "deployment": [traffic["binary"]]},
        "none": {**everything, "predictor": ["canary"]},
    }
    answers = ask(index, [asked.grafana_body(target, each, *RANGE) for each in chosen.values()])
    shown = [sorted(key for (key,), _ in asked.grafana_rows(target, answer["aggregations"])) for answer in answers]
    assert shown == [["bee", "dog"], [], []]
    for variable in made["templating"]["list"]:
        if variable["type"] == "query":
            find = json.loads(variable["query"])
            query = {"query_string": {"query": asked.grafana_text(find.get("query", "*"), everything)}}
            terms = {"terms": {"field": find["field"], "size": find["size"]}}
            (answer,) = ask(index, [{"size": 0, "query": query, "aggs": {"1": terms}}])
            found = {bucket["key"] for bucket in answer["aggregations"]["1"]["buckets"]}
            assert found >= {"class": set(CLASSES), "deployment": set(traffic.values())}.get(variable["name"], set())
            assert found


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_kibanas_figures_are_scikit_learns(traffic: dict[str, str], index: Index) -> None:
    """The same for every visualization, with the deployments chosen in the controls."""
    shown = {
        each["attributes"]["title"]: each
        for each in KIBANA
        if each["type"] == "visualization" and each["id"] != "request-logger-controls"
    }
    assert set(shown) == set(PANELS)
    phrases = [{"match_phrase": {FIELDS["deployment"]: name}} for name in traffic.values()]
    chosen = [{"bool": {"should": phrases, "minimum_should_match": 1}}]
    answers = ask(index, [asked.kibana_body(each, chosen, *RANGE) for each in shown.values()])
    for (title, each), answer in zip(shown.items(), answers, strict=True):
        agree(asked.kibana_rows(each, answer), PANELS[title], traffic, "Kibana")
    (controls,) = (each for each in KIBANA if each["id"] == "request-logger-controls")
    fields = {c["fieldName"] for c in json.loads(controls["attributes"]["visState"])["params"]["controls"]}
    assert fields == {*FIELDS.values(), "metrics.truth_label"}
