"""The dashboards' figures are scikit-learn's: every panel's queries, as the programs send them, to a real engine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn import metrics as sk

from request_logger.analytics.selection import PREDICTIONS
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.dashboards.grafana import ALL, EXPRESSION
from request_logger.dashboards.panels import LINES, NUMBER, Panel
from request_logger.scoring.registry import registered
from tests import dashboard_queries as asked
from tests.dashboard_traffic import CLASSES, DAYS, HALVES, RANGE, REWARDS, TAGS, cases, labels_of, wanted
from tests.helpers import Index, Sender, Server, event, ndarray
from tests.test_dashboards import GRAFANA, KIBANA, PANELS


@pytest.fixture(scope="module")
def traffic(
    make_server: Callable[..., Server], index: Index, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Batches of every scorer, rewards, predictions without feedback, unscorable, failed; their deployments."""
    unique = uuid.uuid4().hex[:12]
    names = {name: f"dash-{name}-{unique}" for name in [*registered(), "open"]}
    rules: list[Any] = [{"deployment": names[name], "scorer": name} for name in cases()]
    options = {"ranking": {"k": 5}, "text": {"normalize": True}}
    for rule in rules:
        rule["options"] = options.get(rule["scorer"], {})
    path = tmp_path_factory.mktemp("dashboards") / "scorers.yaml"
    path.write_text(yaml.safe_dump({"rules": rules}))
    sender = Sender(make_server(SCORERS_CONFIG=str(path), AUDIT_RATE="1").url)

    def send(part: str, id: str, name: str, day: str, body: bytes, **more: str) -> None:
        headers = event(part, id, names[name], Ce_Time=f"{day}T10:00:00Z", **more)
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
            thumb = json.dumps({"evaluations": [{"name": "helpful", "thumb": 1 - number % 2}]}).encode()
            send("feedback", f"{day}-{number}", "reward", day, thumb)
    send("response", "open", "open", DAYS[0], ndarray([[0.1, 0.9]]))
    send("response", "bad", "open", DAYS[0], ndarray([[0.1, 0.9]]))
    send("feedback", "bad", "open", DAYS[0], b"{}")
    # No panel but its own counts a failed request, whatever feedback it has.
    send("response", "failed", "open", DAYS[0], ndarray([[0.1, 0.9]]), Ce_Statuscode="503")
    send("feedback", "failed", "open", DAYS[0], b'{"reward": 7}')
    sender.close()
    index.refresh()
    return names


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
    variables = dict.fromkeys(ORIGIN_KEYWORDS, ALL) | {
        "class": ALL,
        "window": "1d",
        "evaluation": "helpful",
        "deployment": list(traffic.values()),
    }
    shown = {title: panel for title, panel in panels.items() if not PANELS[title].each_class}
    for title, found in grafana_tables(index, shown, variables).items():
        panel = PANELS[title]
        if panel.formula:
            (joined,) = found
            if panel.shape == NUMBER:
                joined = [((), values) for _, values in joined]
        elif panel.shape == LINES:
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


def grafana_tables(index: Index, panels: dict[str, Any], variables: dict[str, Any]) -> dict[str, list[asked.Rows]]:
    """What each panel is given to show: a table a query that is not hidden."""
    targets = [(title, target) for title, panel in panels.items() for target in panel["targets"]]
    queries = [(title, target) for title, target in targets if target["datasource"]["uid"] != EXPRESSION]
    answers = ask(index, [asked.grafana_body(target, variables, *RANGE) for _, target in queries])
    tables: dict[str, dict[str, asked.Rows]] = {title: {} for title in panels}
    for (title, target), answer in zip(queries, answers, strict=True):
        tables[title][target["refId"]] = asked.grafana_rows(target, answer["aggregations"])
    for title, target in targets:
        if target["datasource"]["uid"] == EXPRESSION:
            known = {name: table for name, table in tables[title].items() if f"${name}" in target["expression"]}
            tables[title][target["refId"]] = asked.grafana_math(target["expression"], known)
    hidden = {(title, target["refId"]) for title, target in targets if target.get("hide")}
    return {
        title: [table for name, table in found.items() if (title, name) not in hidden]
        for title, found in tables.items()
    }


@pytest.mark.engine
@pytest.mark.parametrize("scorer", ["multiclass", "multilabel", "ordinal"])
def test_f1_of_each_class(scorer: str, traffic: dict[str, str], index: Index) -> None:
    """The panel that is repeated for each class shows scikit-learn's F1 of it, and nothing of a class that isn't."""
    title = f"{scorer}: F1 of $class"
    panel = asked.grafana_panels(GRAFANA["elasticsearch"])[title]
    assert panel["repeat"] == "class"
    case = cases()[scorer]
    if scorer == "multilabel":
        known, said = np.array(case.truths), (np.array(case.predictions) >= 0.5).astype(int)
        right = dict(zip(TAGS, sk.f1_score(known, said, average=None), strict=True))
    else:
        labels = labels_of(scorer, case)
        classes = sorted({*labels[0], *labels[1]})
        right = dict(zip(classes, sk.f1_score(*labels, labels=classes, average=None), strict=True))
    for label in [*right, "no such: class"]:
        variables = {
            **dict.fromkeys(ORIGIN_KEYWORDS, ALL), "class": asked.grafana_quoted(label), "window": "1d",
            "deployment": [traffic[scorer]],
        }  # fmt: skip
        ((row,),) = grafana_tables(index, {title: panel}, variables)[title]
        assert row[1] == (pytest.approx(right[label], abs=1e-9) if label in right else None,), label


@pytest.mark.engine
def test_grafanas_variables_choose(traffic: dict[str, str], index: Index) -> None:
    """A deployment, a class and a predictor that is not there restrict as they say; lists come from the engine."""
    made = GRAFANA["elasticsearch"]
    (target,) = asked.grafana_panels(made)["multiclass: recall by class"]["targets"]
    everything: dict[str, Any] = dict.fromkeys(ORIGIN_KEYWORDS, ALL) | {"class": ALL, "window": "1d"}
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
    # Where nothing can be calculated, what needs it is not shown.
    plain = {title: panel for title, panel in PANELS.items() if panel.is_plain}
    assert set(shown) == set(plain)
    phrases = [{"match_phrase": {ORIGIN_KEYWORDS["deployment"]: name}} for name in traffic.values()]
    chosen = [{"bool": {"should": phrases, "minimum_should_match": 1}}]
    answers = ask(index, [asked.kibana_body(each, chosen, *RANGE) for each in shown.values()])
    for (title, each), answer in zip(shown.items(), answers, strict=True):
        agree(asked.kibana_rows(each, answer), PANELS[title], traffic, "Kibana")
    (controls,) = (each for each in KIBANA if each["id"] == "request-logger-controls")
    fields = {c["fieldName"] for c in json.loads(controls["attributes"]["visState"])["params"]["controls"]}
    assert fields == {*ORIGIN_KEYWORDS.values(), "metrics.truth_label"}
