"""One index that can't be asked, on a real engine: every answer is that of the others, and names it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from request_logger.cli import main
from request_logger.metrics_server.exporter import Exporter
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import mapping
from tests.analytics.stored import document, engine_at, store

pytestmark = pytest.mark.engine

NAMES = ("no", "yes")
SCORER = build("multiclass", {})
# 1,100 columns are more than the clauses that an engine allows a query; the logger's own limit is 2,000 fields.
COLUMNS = [f"gene_{number}" for number in range(1100)]
ONE_SHARD = {"number_of_shards": 1, "number_of_replicas": 0}
Run = Callable[..., tuple[int, str, str]]


def scored(count: int, right: int, model: str, **elements: Any) -> list[dict[str, Any]]:
    return [
        document(
            SCORER,
            "yes",
            [0.2, 0.8] if number < right else [0.7, 0.3],
            names=NAMES,
            deployment="left-out",
            model=model,
            elements=elements,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def client(engine: Any) -> SearchEngine:
    return engine_at(engine.url)


@pytest.fixture
def indices(client: SearchEngine) -> Iterator[str]:
    """The start of the names of some indices, of which one holds eight pairs of two models, six of them right."""
    # Not among the indices that the logger writes: others ask those meanwhile.
    start = f"t-{uuid.uuid4().hex[:10]}"
    store(client, f"{start}-good", scored(4, 2, "a"), "a")
    store(client, f"{start}-good", scored(4, 4, "b"), "b")
    yield start
    for name in ("good", "bad"):
        client.request("DELETE", f"/{start}-{name}")


def make_bad(client: SearchEngine, name: str, kind: str) -> None:
    """Make an index that can't be asked, with a document where it takes one."""
    body: dict[str, Any] = {"settings": dict(ONE_SHARD), "mappings": mapping()}
    params = {"wait_for_active_shards": "0"} if kind == "without a shard" else {}
    if kind == "without a shard":
        body["settings"]["index.routing.allocation.require.no_such"] = "node"
    elif kind == "text":
        # As an engine maps what comes to an index without the template.
        del body["mappings"]
    elif kind == "number":
        body["mappings"]["properties"]["metrics"]["properties"]["scorer"] = {"type": "long"}
    status, answer = client.request("PUT", f"/{name}", body, params=params)
    assert status == 200, answer
    if kind in ("text", "number"):
        (made,) = scored(1, 1, "a")
        made["metrics"]["scorer"] = 5 if kind == "number" else "multiclass"
        made["RequestId"] = "r"
        assert client.request("PUT", f"/{name}/_doc/r", made, params={"refresh": "true"})[0] in (200, 201)
    if kind == "closed":
        assert client.request("POST", f"/{name}/_close")[0] == 200


@pytest.fixture
def run(engine: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))

    def command(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(argv))
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def of_all_commands(
    run: Run, engine: Any, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Check each command's figures, which are those of the good index; return the indices that each leaves out."""
    glob, named = f"{start}-*", {}
    status, out, err = run("report", glob, "--json", "--by", "model")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["coverage"]["predictions"], report["coverage"]["with_feedback"]) == (8, 8)
    values = {metric["name"]: metric["value"] for metric in report["tasks"][0]["metrics"]}
    assert values["accuracy"] == 0.75
    named["report"] = [each["index"] for each in report.get("left_out", [])]
    assert all(any(index in note for note in report["notes"]) for index in named["report"])

    status, out, err = run("compare", "a", "b", "--in", glob, "--json")
    assert status in (0, 1), err
    compared = json.loads(out)
    assert [compared[side]["documents"] for side in "ab"] == [4, 4]
    named["compare"] = [each["index"] for each in compared.get("left_out", [])]

    status, out, err = run(
        "check-quality", "--index", glob, "--min", "accuracy=0.75", "--max", "accuracy=0.75", "--json"
    )
    assert status == 0, err
    assert [each["pairs"] for each in json.loads(out)["conditions"]] == [8, 8]
    named["check-quality"] = [each["index"] for each in json.loads(out)["left_out"]]

    file = tmp_path / "pairs.csv"
    status, out, err = run("export", str(file), "--index", glob)
    assert status == 0, err
    assert sum(f"{start}-good" in line for line in file.read_text().splitlines()) == 8
    named["export"] = [f"{start}-bad"] if f"{start}-bad" in err else []

    status, out, err = run("rescore", "--index", glob, "--dry-run", "--scorer", "multiclass", "--json")
    assert status == 0, err
    named["rescore"] = [each["index"] for each in json.loads(out)["left_out"]]

    monkeypatch.setattr(Exporter, "_indices", lambda _self: [glob])
    parts = urlsplit(engine.url)
    settings = Settings(elasticsearch_host=parts.hostname or "", elasticsearch_port=parts.port or 0)
    text = Exporter(SearchEngine(settings), settings).exposition().decode()
    counted = [line for line in text.splitlines() if line.startswith("seldon_metric_true_positive_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == 6
    named["/v1/metrics"] = [f"{start}-bad"] if f"# left out: {start}-bad: " in text else []
    return named


@pytest.mark.parametrize("kind", ["text", "number", "closed"])
def test_bad_index(
    kind: str,
    run: Run,
    client: SearchEngine,
    engine: Any,
    indices: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command answers for the good index, and names the bad one where it could not be asked."""
    bad = f"{indices}-bad"
    make_bad(client, bad, kind)
    named = of_all_commands(run, engine, indices, tmp_path, monkeypatch)
    # Documents can be read whatever the types of their fields; there is nothing to count in a closed index.
    silent = {"closed": {"/v1/metrics"}}.get(kind, {"export", "rescore"})
    assert named == {command: [] if command in silent else [bad] for command in named}


def test_index_without_a_shard(run: Run, client: SearchEngine, indices: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine may leave it out without a word; the report names it, and the counters of Prometheus do not fall."""
    bad = f"{indices}-bad"
    make_bad(client, bad, "without a shard")
    try:
        status, out, err = run("report", f"{indices}-*", "--json")
    finally:
        # The health of the whole engine is red as long as it is there.
        client.request("DELETE", f"/{bad}")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["coverage"]["predictions"] == 8
    assert report["left_out"] == [{"index": bad, "reason": "a shard of it is on no node"}]


def test_wide_index_is_no_bad_one(
    run: Run, client: SearchEngine, engine: Any, indices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of 1,100 columns is searched like any other (elastic/elasticsearch#46928), and so are the others."""
    wide = f"{indices}-bad"
    body = {"settings": {**ONE_SHARD, "index.mapping.total_fields.limit": 2500}, "mappings": mapping()}
    assert client.request("PUT", f"/{wide}", body)[0] == 200
    (made,) = scored(1, 1, "a", **dict.fromkeys(COLUMNS, 0.5))
    store(client, wide, [made])
    for target, predictions in ((f"{indices}-*", 9), (wide, 1), (f"{indices}-good", 8)):
        status, out, err = run("report", target, "--json")
        assert (status, err) == (0, "")
        report = json.loads(out)
        assert (report["coverage"]["predictions"], report["coverage"]["with_feedback"]) == (predictions,) * 2
        assert "left_out" not in report
    assert run("check-quality", "--index", f"{indices}-*", "--min", "accuracy=0.7", "--min-pairs", "9")[0] == 0
    assert run("export", str(tmp_path / "x.csv"), "--index", f"{indices}-*")[:2][0] == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 10
    status, out, _ = run("rescore", "--index", f"{indices}-*", "--dry-run", "--scorer", "multiclass", "--json")
    assert (status, json.loads(out)["read"], json.loads(out)["left_out"]) == (0, 9, [])


def test_alias_of_a_bad_index(run: Run, client: SearchEngine, indices: str) -> None:
    """What an alias leads to can't be excluded from it by name: its indices are asked by theirs."""
    make_bad(client, f"{indices}-bad", "text")
    actions = [{"add": {"index": f"{indices}-{name}", "alias": f"{indices}-all"}} for name in ("good", "bad")]
    assert client.request("POST", "/_aliases", {"actions": actions})[0] == 200
    status, out, err = run("report", f"{indices}-all", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["coverage"]["predictions"] == 8
    assert [each["index"] for each in json.loads(out)["left_out"]] == [f"{indices}-bad"]


def test_nothing_but_bad_indices(run: Run, client: SearchEngine, indices: str) -> None:
    """An engine that came back empty, and made its indices anew without the template: the report says so."""
    client.request("DELETE", f"/{indices}-good")
    make_bad(client, f"{indices}-bad", "text")
    status, out, err = run("report", f"{indices}-*", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out)["coverage"]["predictions"] == 0
    assert [each["index"] for each in json.loads(out)["left_out"]] == [f"{indices}-bad"]
