"""The list of deployments: its counts, and figures that are those of each deployment's own report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from request_logger.analytics import deployments
from request_logger.analytics.deployment_text import HEADER, remarks, rows
from request_logger.analytics.deployments import MOST_LISTED, Deployment, Deployments, ListOptions, list_deployments
from request_logger.commands.deployments import _how_to_go_on, lines
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from tests.analytics.stored import START, document, engine_at, store

RNG = np.random.default_rng(26)
N = 120
INDICES = "inference-log-list-*"
Run = Callable[..., tuple[int, str, str]]


def made() -> dict[str, list[dict[str, Any]]]:
    """Deployments of several kinds, one index each."""
    said, scores = RNG.normal(50, 10, N), RNG.random(N)
    classes = RNG.integers(0, 3, (N, 2))
    binary, regression, multiclass = (
        build("binary", {"probabilities": True}),
        build("regression", {}),
        build("multiclass", {}),
    )
    found: dict[str, list[dict[str, Any]]] = {
        "binary": [
            document(binary, int(RNG.random() < p), float(p), deployment="l-binary", at=START + timedelta(hours=k))
            for k, p in enumerate(scores)
        ],
        "prices": [
            document(regression, float(s + RNG.normal()), float(s), deployment="l-prices", predictor=f"p{k % 2}")
            for k, s in enumerate(said[:60])
        ],
        # Rows of batches, ten per request.
        "rows": [
            document(
                multiclass,
                f"c{a}",
                f"c{b}",
                deployment="l-rows",
                request_id=f"rows-{k // 10}-{k % 10}",
                elements={"country": "DE"},
            )
            for k, (a, b) in enumerate(classes)
        ],
        "silent": [document(None, None, None, deployment="l-silent") for _ in range(5)],
        "other": [document(multiclass, "c1", "c1", deployment="l-binary") for _ in range(30)],
    }
    for k, each in enumerate(found["rows"]):
        each["feedback"]["items"], each["fold"] = 10, (k // 10) % 20
    for each in found["other"]:
        each["Ce-Namespace"] = "elsewhere"
    # Bare indices, which two scorers have read.
    found["two"] = [document(binary, 1, 0.75, deployment="l-two") for _ in range(40)]
    found["two"] += [document(multiclass, "2", "2", deployment="l-two") for _ in range(20)]
    found["nameless"] = [document(multiclass, "a", "b", deployment="") for _ in range(2)]
    for each in found["nameless"]:
        del each["Ce-Inferenceservicename"], each["Ce-Namespace"]
    return found


@pytest.fixture(scope="module")
def env(engine: Any) -> Iterator[dict[str, str]]:
    """The environment of a command, with all deployments stored."""
    client = engine_at(engine.url)
    for name, documents in made().items():
        store(client, INDICES.replace("*", name), documents)
    parts = urlsplit(engine.url)
    yield {"ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}
    for name in made():
        client.request("DELETE", f"/{INDICES.replace('*', name)}")


@pytest.fixture
def run(env: dict[str, str], command: Run) -> Run:
    """Run a command, with all deployments stored."""
    return command


def listed(run: Run, *argv: str) -> dict[str, Any]:
    """The list as JSON, by target."""
    status, out, err = run("deployments", *argv, "--json")
    assert (status, err) == (0, "")
    return {each["target"]: each for each in json.loads(out)["deployments"]}


@pytest.mark.engine
def test_counts_names_and_figures(run: Run) -> None:
    """Each deployment has its own; two of one name in two namespaces are two, and the largest is first."""
    found = listed(run, INDICES)
    assert list(found) == [
        "test/l-binary", "test/l-rows", "test/l-prices", "test/l-two", "elsewhere/l-binary", "test/l-silent", "",
    ]  # fmt: skip
    first = found["test/l-binary"]
    counts = {name: first[name] for name in ("predictions", "with_feedback", "scored", "scorers", "last_seen")}
    last = START + timedelta(hours=N - 1)
    assert counts == {
        "predictions": N, "with_feedback": N, "scored": N, "scorers": {"binary": N},
        "last_seen": last.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert found["test/l-prices"]["predictors"] == ["p0", "p1"]
    assert found["test/l-silent"]["headline"] == {"reason": "no feedback yet"}
    assert found[""]["where"] == ["namespace=", "deployment="]
    # Two scorers have read the documents of one model.
    two = found["test/l-two"]
    assert two["headline"] == {"reason": "scored by binary (40) and multiclass (20): each has a part"}
    (warning,) = two["warnings"]
    assert warning.startswith("test/l-two/default/classifier was scored by binary (40) and multiclass (20)")
    assert "request-logger rescore --namespace test --deployment l-two" in warning
    # The figures are those of the reports, also where rows of batches belong together.
    for target in ("test/l-rows", "test/l-prices"):
        headline = found[target]["headline"]
        status, out, _ = run("report", target, "--json")
        assert status == 0
        (task,) = json.loads(out)["tasks"]
        (same,) = [each for each in task["metrics"] if each["name"] == task["shown"][0]]
        same.pop("baseline", None)
        assert headline.pop("scorer") == task["scorer"]
        assert headline == {**same, "value": pytest.approx(same["value"], rel=1e-12)}


@pytest.mark.engine
def test_selection(run: Run, tmp_path: Path) -> None:
    """--where, --from and --to select documents; nothing found is status 1."""
    assert list(listed(run, INDICES, "--where", "country=DE")) == ["test/l-rows"]
    status, out, _ = run("deployments", INDICES, "--from", (START + timedelta(hours=1)).isoformat())
    assert (status, out.splitlines()[2].split()[0]) == (0, "test/l-binary")
    assert out.splitlines()[-1] == "The report of one: request-logger report test/l-binary"
    status, out, _ = run("deployments", INDICES, "--to", "2001-01-01")
    assert (status, out) == (1, f"{INDICES} in {INDICES}, to 2001-01-01 (UTC)\nNo predictions.\n")
    # A report of several deployments is their list; of one that the conditions leave, it is its own.
    status, out, _ = run("report", INDICES, "--by", "country")
    assert status == 0
    assert "A report is of one deployment, and there are 7: choose one as target, such as test/l-binary." in out
    assert re.search(r"^  test/l-rows .* accuracy +0\.\d+ ", out, re.MULTILINE)
    assert "best constant" not in out
    status, out, _ = run("report", INDICES, "--json")
    found = json.loads(out)
    assert (status, found["tasks"], len(found["deployments"])) == (0, [], 7)
    assert found["coverage"]["predictions"] == sum(each["predictions"] for each in found["deployments"])
    status, out, _ = run("report", INDICES, "--where", "country=DE", "--json")
    assert [task["documents"] for task in json.loads(out)["tasks"]] == [N]
    # So it is for the commands that look at figures in other ways, with a status that is no "nothing found".
    for words, what, status in (
        (("slices", INDICES), "Slices are", 1),
        (("thresholds", INDICES), "Thresholds are", 1),
        (("fairness", INDICES, "--by", "country"), "Fairness is", 1),
        (("drift", INDICES, "--against", "2001-01-01..2001-01-02"), "Drift is", 3),
    ):
        found_status, out, err = run(*words)
        assert (found_status, err) == (status, "")
        assert f"{what} of one deployment, and there are 7: choose one as target, such as test/l-binary." in out
        assert re.search(r"^  test/l-rows .* accuracy +0\.\d+ ", out, re.MULTILINE)
    error = "expected one deployment as target, found test/l-binary, test/l-rows, test/l-prices, test/l-two,"
    for command, option, *value in (
        ("slices", "--csv"),
        ("thresholds", "--textfile", "-"),
        ("drift", "--fail", "--against", "2001-01-01..2001-01-02"),
    ):
        status, out, err = run(command, INDICES, option, *value)
        assert (status, out) == (2, "")
        assert f"{option}: {error}" in err and len(err.splitlines()) == 1
    # One name in two namespaces is two deployments.
    status, out, _ = run("report", "l-binary", "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "test/l-binary" in page
    assert "elsewhere/l-binary" in page


@pytest.mark.engine
def test_few(env: dict[str, str], engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is counted alone, with the counts and the figures that many have at once."""
    client = engine_at(engine.url)
    many = list_deployments(client, Settings(), ListOptions(INDICES))
    assert len(many["deployments"]) > deployments._MOST_ALONE
    monkeypatch.setattr(deployments, "_MOST_ALONE", len(many["deployments"]))
    assert list_deployments(client, Settings(), ListOptions(INDICES)) == many


@pytest.mark.engine
def test_many(env: dict[str, str], engine: Any) -> None:
    """All are counted, over several pages; the largest are listed, and what is left out is said."""
    client, index = engine_at(engine.url), "inference-log-many-test"
    documents = [document(None, None, None, deployment=f"many-{k:03}") for k in range(203)]
    store(client, index, [*documents, documents[202]])
    try:
        found = list_deployments(client, Settings(), ListOptions(index))
    finally:
        client.request("DELETE", f"/{index}")
    assert [each["target"] for each in found["deployments"]][:2] == ["test/many-202", "test/many-000"]
    assert (len(found["deployments"]), found["deployments_left_out"]) == (MOST_LISTED, 203 - MOST_LISTED)
    assert found["notes"][0].startswith("153 more deployments with 153 predictions are not listed")


def deployment(namespace: str, name: str) -> Deployment:
    """A deployment of which only the names matter."""
    return Deployment(namespace, name, (), 1, 0, 0, 0, {}, "", None)


@pytest.mark.parametrize(
    ("names", "several"),
    [
        ([], False),
        ([("a", "x")], False),
        ([("", "")], False),
        ([("a", "x"), ("", "x")], False),
        ([("a", "x"), ("b", "x")], True),
        ([("a", "x"), ("a", "y")], True),
        ([("a", "x"), ("", "")], True),
    ],
)
def test_when_they_are_several(names: list[tuple[str, str]], several: bool) -> None:
    """Documents without a namespace belong to the only deployment of that name."""
    assert Deployments([deployment(*each) for each in names]).are_several is several


def test_text_without_figures() -> None:
    """A reason is said once for all deployments that have it, and a name may be missing."""
    each = {
        "predictions": 1234,
        "with_feedback": 0,
        "scored": 0,
        "scorers": {},
        "headline": {"reason": "no feedback yet"},
    }
    report: dict[str, Any] = {
        "indices": "i",
        "deployments": [
            {**each, "target": "a/x", "namespace": "a"},
            {**each, "target": "", "namespace": "a", "where": ["namespace=a", "deployment="]},
        ],
        "notes": [],
    }
    found = list(rows(report))
    assert all(len(row) == len(HEADER) for row in found)
    assert found[0] == ["a/x", "1,234", "0", "0", "-", "-", "-", "-", "-"]
    assert list(remarks(report)) == ["No figure of a/x, a/(without a name): no feedback yet."]
    many = {**report, "deployments": [{**report["deployments"][0], "target": f"a/{k}"} for k in range(7)]}
    assert list(remarks(many)) == ["No figure of a/0, a/1, a/2, a/3, a/4 and 2 more: no feedback yet."]
    report["deployments"].reverse()
    report["deployments"][0]["warnings"] = ["two scorers."]
    assert next(iter(lines(report))) == "WARNING: two scorers."
    assert list(_how_to_go_on(report)) == [
        "The report of one: request-logger report --where namespace=a --where deployment="
    ]
