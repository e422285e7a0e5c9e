"""`request-logger drift` on a real engine: its figures are those of numpy and scipy over the same documents."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from scipy import stats

from request_logger.analytics.drift.stored_baselines import INDEX, StoredBaselines
from request_logger.cli import main
from request_logger.settings import Settings
from tests.analytics.stored import document, engine_at, store
from tests.helpers import Index, Sender, Server, event, ndarray

pytestmark = pytest.mark.engine

N = 700
BEFORE, AFTER = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 2, 5, tzinfo=UTC)
PERIOD, FROM = "2026-01-01..2026-02-01", "2026-02-01"
PREDICTED = ("label", "positive_probability")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(reach: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; gives status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["drift", *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


def columns(seed: int, *, shifted: bool) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    colors = ["red", "green", "blue", "pink"] if shifted else ["red", "green", "blue"]
    return {
        "age": generator.normal(50 if shifted else 40, 10, N).round(2),
        "same": generator.lognormal(3, 1, N),
        "color": generator.choice(colors, N),
        "flag": generator.integers(0, 2, N).astype(float),
        "label": generator.choice(["yes", "no"], N),
        "positive_probability": generator.beta(5, 2, N) if shifted else generator.beta(2, 5, N),
        "user": np.array([f"u{seed}-{k}" for k in range(N)]),
    }


def documents(table: dict[str, np.ndarray], at: datetime, deployment: str) -> Any:
    for k in range(N):
        elements = {name: values[k].item() for name, values in table.items() if name not in PREDICTED}
        if at == AFTER and k % 10 == 0:
            del elements["color"]
        made = document(
            None, None, None, at=at + timedelta(minutes=k), deployment=deployment, elements=elements,
            request_id=f"{deployment}-{at:%m}-{k}",
        )  # fmt: skip
        yield {**made, "prediction": {"probability": 0.9, **{name: table[name][k].item() for name in PREDICTED}}}


def two_months(engine: Any, deployment: str) -> Any:
    """Two months: an age that rises, a new color, colors that are missing; the rest is as it was."""
    tables = columns(1, shifted=False), columns(2, shifted=True)
    for table, at in zip(tables, (BEFORE, AFTER), strict=True):
        store(engine_at(engine.url), f"inference-log-seldon-test-{deployment}", documents(table, at, deployment))
    return deployment, *tables


@pytest.fixture(scope="module")
def stored(engine: Any) -> Iterator[Any]:
    """Two months of a deployment that no test changes."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    yield two_months(engine, name)
    Index(engine.url).drop(f"inference-log-seldon-test-{name}")


def test_figures_are_those_of_scipy(command: Run, stored: Any, engine: Any) -> None:
    deployment, before, after = stored
    status, out, err = command(deployment, "--against", PERIOD, "--from", FROM, "--json", "--fail")
    assert err == ""
    report = json.loads(out)
    assert (status, report["level"], report["documents"], report["reference"]["documents"]) == (1, "major", N, N)
    fields = {each["name"].rpartition(".")[2]: each for each in report["fields"]}
    assert {each["role"] for each in report["fields"] if each["name"].startswith("prediction.")} == {"prediction"}
    assert {name: each["level"] for name, each in fields.items()} == {
        "age": "major", "same": "none", "flag": "none", "color": "major", "user": "unknown",
        "label": "none", "positive_probability": "major",
    }  # fmt: skip
    assert fields["user"]["reason"] == "most of its values are rare: an id?"
    known = StoredBaselines(engine_at(engine.url), f"inference-log-* {deployment}", PERIOD)
    baselines = known.read([f"request.elements.{name}" for name in ("age", "same", "flag")])
    p_values = []
    for name in ("age", "same", "flag"):
        edges = baselines[f"request.elements.{name}"].cells.edges
        a, b = (np.bincount(np.digitize(table[name], edges), minlength=len(edges) + 1) for table in (before, after))
        found = fields[name]
        assert [cell["reference"] for cell in found["cells"]] == pytest.approx(list(a / N), abs=1e-12)
        assert [cell["current"] for cell in found["cells"]] == pytest.approx(list(b / N), abs=1e-12)
        p, q = (np.where(each, each / N, 0.0001) for each in (a, b))
        assert found["psi"] == pytest.approx(((p - q) * np.log(p / q)).sum(), abs=1e-12)
        floor = stats.chi2.ppf(0.95, len(a) - 1) * 2 / N
        assert found["noise_floor"] == pytest.approx(floor, rel=1e-9)
        assert found["threshold"] == pytest.approx(max(0.1, floor), rel=1e-9)
        assert found["ks"] <= stats.ks_2samp(before[name], after[name]).statistic + 1e-12
        p_values.append(stats.chi2_contingency([a, b], correction=False).pvalue)
        assert found["p_value"] == pytest.approx(p_values[-1], rel=1e-7)
    assert len(fields["age"]["cells"]) == 10 and len(fields["flag"]["cells"]) == 2
    told = {each["check"]: each for each in fields["color"]["problems"]}
    there = after["color"][np.arange(N) % 10 > 0]
    assert told["missing"]["current"] == pytest.approx(0.1, abs=1e-12)
    assert told["new values"]["current"] == pytest.approx((there == "pink").mean(), abs=1e-12)
    assert told["new values"]["detail"] == "pink"
    assert report["levels"] == {"major": 3, "moderate": 0, "unknown": 1, "none": 3}


def test_cells_are_chosen_once(command: Run, deployment: str, index: Index, engine: Any) -> None:
    """The reference may go: another look has the same cells and shares, until --reset."""
    two_months(engine, deployment)
    look = (deployment, "--against", PERIOD, "--from", FROM, "--json")
    first, second = (json.loads(command(*look)[1]) for _ in range(2))
    assert first["fields"] == second["fields"]
    assert index.count(INDEX, {"wildcard": {"target": f"*{deployment}"}}) == len(first["fields"])
    name = f"inference-log-seldon-test-{deployment}"
    # One of the engines here has no delete-by-query.
    old = index.documents(name, {"range": {"@timestamp": {"lt": FROM}}})
    removals = [json.dumps({"delete": {"_index": name, "_id": id}}) for _, id in old]
    assert not engine_at(engine.url).bulk(("\n".join(removals) + "\n").encode())["errors"]
    index.refresh()
    later = json.loads(command(*look)[1])
    assert later["fields"] == first["fields"]
    assert later["reference"]["documents"] == N
    assert "The reference has no predictions any more: its stored counts are used." in later["notes"]
    status, out, err = command(*look[:-1], "--reset")
    assert (status, err) == (3, "") and "Not enough data to judge any field." in out


def test_all_forms(command: Run, stored: Any, tmp_path: Path) -> None:
    """Text, page and gauges show the same; one field alone can be asked for."""
    deployment = stored[0]
    look = (deployment, "--against", PERIOD, "--from", FROM)
    status, out, err = command(*look, "--fields", "age,same")
    assert (status, err) == (0, "") and "Drift: 1 major, 0 moderate, of 2 fields." in out
    assert "Values of request.elements.age" in out and "color" not in out
    page = tmp_path / "drift.html"
    assert command(*look, "--html", str(page))[0] == 0
    text = page.read_text()
    assert "request.elements.age" in text and "<script" not in text
    file = tmp_path / "drift.prom"
    assert command(*look, "--textfile", str(file), "--fail")[0] == 1
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    families = {each.name: each for each in text_string_to_metric_families(file.read_text())}
    levels = {each.labels["field"]: each.value for each in families["request_logger_drift_level"].samples}
    assert levels["request.elements.age"] == 2 and levels["request.elements.same"] == 0
    assert "request.elements.user" not in levels
    assert families["request_logger_drift_documents"].samples[0].value == N
    assert command(*look, "--textfile", "-")[1].startswith("# HELP request_logger_drift_level")


def test_texts_of_the_original_logger(command: Run, deployment: str, index: Index, engine: Any) -> None:
    """In its indices a text can be counted by its subfield only, which newer indices have, too."""
    text = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    mapping = {"properties": {"request": {"properties": {"elements": {"properties": {"color": text}}}}}}
    name = f"inference-log-seldon-test-{deployment}"
    index.request("PUT", f"/{name}-old", {"mappings": mapping})
    for suffix, shifted, at in (("-old", False, BEFORE), ("", True, AFTER)):
        store(engine_at(engine.url), name + suffix, documents(columns(1, shifted=shifted), at, deployment))
    report = json.loads(command(deployment, "--against", PERIOD, "--fields", "color", "--json")[1])
    assert [(each["name"], each["level"]) for each in report["fields"]] == [("request.elements.color", "major")]
    assert "left_out" not in report and report["reference"]["documents"] == N
    index.drop(f"{name}*")


def test_previous_window(command: Run, stored: Any, index: Index) -> None:
    """The span before, of the same length; its cells are not stored."""
    deployment = stored[0]
    status, out, _ = command(
        deployment, "--against", "previous", "--from", "2026-02-04", "--to", "2026-03-06", "--json"
    )
    report = json.loads(out)
    assert (status, report["level"], report["against"]) == (
        0, "major", "previous: 2026-01-05T00:00:00.000Z..2026-02-04T00:00:00.000Z",
    )  # fmt: skip
    assert report["documents"] == report["reference"]["documents"] == N
    moving = {"bool": {"filter": [{"wildcard": {"target": f"*{deployment}"}}, {"prefix": {"reference": "prev"}}]}}
    assert index.count(INDEX, moving) == 0


def test_reference_data(command: Run, server: Server, sender: Sender, deployment: str, index: Index) -> None:
    """What reference events have stored is what the deployment's predictions are compared with."""
    generator = np.random.default_rng(3)
    for part, shift in (("reference.request", 0.0), ("request", 3.0)):
        rows = generator.normal(shift, 1, (200, 2)).tolist()
        kind = f"io.seldon.serving.{'inference.' if part == 'request' else ''}{part}"
        headers = event("request", f"{part}-1", deployment, Ce_Type=kind)
        assert sender.send(headers, ndarray(rows, ["a", "b"]))[0] == 200
    index.refresh()
    status, out, err = command(deployment, "--json", "--fail")
    assert (status, err) == (1, "")
    report = json.loads(out)
    assert {each["name"]: each["level"] for each in report["fields"]} == {
        "request.elements.a": "major", "request.elements.b": "major",
    }  # fmt: skip
    assert report["documents"] == report["reference"]["documents"] == 200
    assert any("rows of batches" in note for note in report["notes"])
    answer = requests.get(f"{server.url}/v1/report", {"target": deployment, "against": "reference"}, timeout=60)
    assert answer.json()["drift"]["fields"] == report["fields"]
    page = {"target": deployment, "against": "someday"}
    assert "against: expected reference" in requests.get(f"{server.url}/v1/report", page, timeout=60).text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "someday"), "--against: expected reference, previous, same-weekday or DATE..DATE"),
        (("--against", "previous"), "--against previous: expected --from"),
        (("--from", "yesterday"), "--from: expected a date"),
    ],
)
def test_wrong_usage(command: Run, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = command("nothing", *arguments)
    assert (status, out) == (2, "") and message in err and len(err.splitlines()) == 1


def test_nothing_to_compare(command: Run, stored: Any) -> None:
    """Unknown deployments and fields: status 3, or one line that names the field."""
    status, out, err = command("t-unknown-deployment")
    assert (status, err) == (3, "") and "There are no predictions in the reference." in out
    status, _, err = command(stored[0], "--against", PERIOD, "--fields", "weight")
    assert status == 2 and "--fields: expected elements, tags, headers or prediction fields, found 'weight'" in err


def test_in_the_report(stored: Any, reach: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`report --against` adds the same figures, in all forms; the dates are those of predictions."""
    look = ["report", stored[0], "--from", FROM, "--against", PERIOD]
    main([*look, "--json"])
    found = json.loads(capsys.readouterr().out)["drift"]
    assert found["levels"] == {"major": 3, "moderate": 0, "unknown": 1, "none": 3}
    main(look)
    assert "Drift: 3 major, 0 moderate, of 7 fields." in capsys.readouterr().out
    main([*look, "--html", str(tmp_path / "report.html")])
    text = (tmp_path / "report.html").read_text()
    assert "Drift: 3 major" in text and "Values of request.elements.age" in text
    capsys.readouterr()
    assert main([*look, "--by-date", "feedback"]) == 2
    assert "--against: expected the dates of predictions" in capsys.readouterr().err
