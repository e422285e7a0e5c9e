"""Stored pairs as a table: what a notebook computes of them is what was sent."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn import metrics as sk

from request_logger.analytics.selection import Selection
from request_logger.cli import main
from request_logger.common.json import dumps
from request_logger.common.spreadsheets import without_formula
from request_logger.documents.folds import fold_of
from request_logger.jobs.export import PAGE, Export, frame
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.helpers import Index, Sender, event, index_of, ndarray
from tests.scorers import oracle

N = 240
NAMES = ["no", "yes"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(reach: Settings, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line; gives status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        status = main(["export", *arguments])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


@pytest.fixture
def stored(sender: Sender, deployment: str, index: Index) -> str:
    """A batch of pairs of a binary model, one prediction without feedback, one that can't be scored."""
    truths, scores = oracle.binary_pairs(0.4, seed=31)
    rows = np.column_stack([1 - scores, scores])[:N].tolist()
    features = {"data": {"names": ["age", "income"], "ndarray": [[k, k / 8] for k in range(N)]}}
    feedback = {"truth": {"data": {"ndarray": [NAMES[truth] for truth in truths[:N]]}}, "reward": 0.5}
    for part, body in (
        ("request", json.dumps(features).encode()),
        ("response", ndarray(rows, NAMES)),
        ("feedback", json.dumps(feedback).encode()),
    ):
        assert sender.send(event(part, "batch", deployment), body)[0] == 200
    later = {"Ce_Time": "2026-01-05T00:00:00.250Z"}
    for id in ("open", 'odd é, "x"'):
        headers = event("response", "", deployment, **later)
        sent = [*headers.items(), ("Ce-Requestid", id.encode().decode("latin-1"))]
        assert sender.send(sent, ndarray([[0.3, 0.7]], NAMES))[0] == 200
    headers = event("feedback", "", deployment, **later)
    sent = [*headers.items(), ("Ce-Requestid", 'odd é, "x"'.encode().decode("latin-1"))]
    odd = {"truth": {"data": {"ndarray": [["what", "=1+1"]]}}}
    assert sender.send(sent, json.dumps(odd).encode())[0] == 200
    index.refresh()
    return index_of(deployment)


@pytest.mark.engine
def test_a_frame_in_two_lines(reach: Settings, stored: str, deployment: str) -> None:
    """All of the data points, typed; what scikit-learn makes of them is what it makes of the pairs that were sent."""
    pairs = frame(deployment=deployment)
    assert len(pairs) == N + 1
    assert len(frame(deployment=deployment, everything=True)) == N + 2
    truths, scores = oracle.binary_pairs(0.4, seed=31)
    answers = [NAMES[int(score >= 0.5)] for score in scores[:N]]
    known = [NAMES[truth] for truth in truths[:N]]
    pairs = pairs[pairs["metrics.scorer"] == "binary"].sort_values("request.elements.age")
    assert pairs["truth"].tolist() == known
    assert pairs["metrics.predicted_label"].tolist() == answers
    assert pairs["metrics.correct"].mean() == pytest.approx(sk.accuracy_score(known, answers), abs=1e-12)
    assert pairs["metrics.log_loss"].mean() == pytest.approx(sk.log_loss(truths[:N], scores[:N]), rel=1e-9)
    assert [json.loads(text)[1] for text in pairs["prediction"]] == scores[:N].tolist()
    assert [json.loads(text) for text in pairs["request"]] == [[k, k / 8] for k in range(N)]
    assert pairs["request.elements.income"].tolist() == [k / 8 for k in range(N)]
    assert set(pairs["reward"]) == {0.5}
    assert set(pairs["names"]) == {'["no","yes"]'}
    assert set(pairs["deployment"]) == {deployment}
    assert pairs["fold"].tolist() == pairs["request_id"].map(fold_of).tolist()
    cells = pairs["metrics.true_positive"].notna().sum()
    assert cells == sk.confusion_matrix(known, answers, labels=NAMES)[1][1]
    assert pairs["time"].iloc[0] == pandas.Timestamp("2026-01-02T03:04:05.100Z")
    assert pairs["feedback_time"].iloc[0] == pandas.Timestamp("2026-01-03T00:00:00.000Z")
    (odd,) = frame(index=stored, since="2026-01-04").itertuples(index=False)
    assert odd.request_id == 'odd é, "x"'
    assert odd.truth == '["what","=1+1"]'


@pytest.mark.engine
def test_parquet_and_csv_have_the_same(command: Run, stored: str, tmp_path: Path) -> None:
    """Both files have the rows of the frame; nothing stays beside them."""
    wanted = frame(index=stored)
    parquet, text = tmp_path / "pairs.parquet", tmp_path / "pairs.csv"
    for path in (parquet, text):
        assert command(str(path), "--index", stored) == (0, f"{path}: {N + 1:,} rows\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.csv", "pairs.parquet"]
    pandas.testing.assert_frame_equal(
        pandas.read_parquet(parquet).sort_values("id"), wanted.sort_values("id"), check_index_type=False
    )
    with text.open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {id: row["truth"] for id, row in rows.items()} == dict(zip(wanted["id"], wanted["truth"], strict=True))
    losses = {row["id"]: row["metrics.log_loss"] for row in rows.values() if row["metrics.log_loss"]}
    known = wanted[wanted["metrics.log_loss"].notna()]
    assert {id: float(loss) for id, loss in losses.items()} == dict(
        zip(known["id"], known["metrics.log_loss"], strict=True)
    )


@pytest.mark.engine
def test_chosen_columns(command: Run, stored: str) -> None:
    """To standard output: a header and nothing but the columns that were asked for."""
    status, out, err = command("-", "--index", stored, "--columns", "id, metrics.*label,reward", "--all")
    assert (status, err) == (0, "")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["id", "reward", "metrics.predicted_label", "metrics.truth_label"]
    assert len(rows) == N + 3
    only = frame(index=stored, columns=["metrics.correct"])
    assert list(only.columns) == ["metrics.correct"]


@pytest.mark.engine
def test_wrong_use_is_said_in_a_line(command: Run, stored: str, tmp_path: Path) -> None:
    """Names that are none, places that can't be written, times that are none."""
    for arguments, said in (
        (("-", "--columns", "metrics.corect"), "no column is named metrics.corect: there are index, id, time"),
        ((str(tmp_path / "pairs.xls"),), "expected a name that ends in .parquet or .csv, or --format"),
        ((str(tmp_path / "no" / "pairs.csv"),), "can't be written: No such file or directory"),
        (("-", "--format", "parquet"), "Parquet can't go to standard output"),
        (("-", "--from", "yesteryear"), "failed to parse date field [yesteryear]"),
    ):
        status, _, err = command(*arguments, "--index", stored)
        assert status == 2, arguments
        assert said in err, arguments
        assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engine
def test_nothing_there(reach: Settings, deployment: str) -> None:
    """No index: no rows, and the columns that every document has."""
    assert len(frame(index=f"inference-log-{deployment}-*")) == 0


@pytest.mark.engine
def test_memory_is_that_of_a_page(reach: Settings, deployment: str, index: Index) -> None:
    """Twelve pages take no more than the first three: nothing piles up on the way."""
    engine, name = SearchEngine(reach), index_of(deployment)
    engine.prepare(name)
    text = "x" * 3000
    for start in range(0, 12 * PAGE, PAGE):
        lines = [
            dumps({"index": {"_index": name, "_id": str(k)}})
            + b"\n"
            + dumps(
                {"@timestamp": k, "response": {"instance": f"{text}{k}", "dataType": "text"}, "feedback": {"reward": 1}}
            )
            for k in range(start, start + PAGE)
        ]
        assert not engine.bulk(b"\n".join(lines) + b"\n")["errors"]
    index.refresh()
    schema, batches = Export(engine, reach, Selection(index=name)).batches()
    assert "metrics.correct" in schema.names
    peaks, rows = [], 0
    tracemalloc.start()
    for batch in batches:
        rows += batch.num_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
    tracemalloc.stop()
    assert rows == 12 * PAGE
    assert max(peaks[3:]) < 1.2 * max(peaks[:3])


@pytest.mark.engine
def test_an_index_that_the_original_made(reach: Settings, deployment: str, index: Index) -> None:
    """Whole numbers in one index and fractions in the next are numbers; a type that varies otherwise is text."""
    first, second = (f"inference-log-x-{deployment}-{k}" for k in (1, 2))
    one = {
        "@timestamp": "2026-01-01T00:00:00Z",
        "request": {"dataType": "tabular", "elements": {"a": 1, "b": 2, "c": True}},
    }
    two = {
        "@timestamp": "2026-01-02T00:00:00Z",
        "request": {"dataType": "tabular", "elements": {"a": 1.5, "b": "two", "c": False}},
    }
    for name, document in ((first, one), (second, two)):
        index.request("PUT", f"/{name}/_doc/1", {**document, "feedback": {"reward": 1}})
    index.refresh()
    found = frame(index=f"{first},{second}", columns=["request.elements.*", "time"])
    assert found["request.elements.a"].tolist() == [1.0, 1.5]
    assert found["request.elements.b"].tolist() == ["2", "two"]
    assert found["time"].tolist() == [pandas.Timestamp(datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2)]


def test_without_the_packages_it_says_what_to_install() -> None:
    """The rest of the program needs neither pyarrow nor pandas."""
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import request_logger.cli\n"
        "sys.exit(request_logger.cli.main(['export', 'x.csv']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'pip install "seldon-request-logger-scoring[export]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_selection_is_refused() -> None:
    """A typing error in a name of frame's is not taken for "all"."""
    with pytest.raises(TypeError, match="deploymnt"):
        frame(deploymnt="iris")


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=", "-", "\uff1d1", "-1e5x", "=5"]
)
def test_formulas(text: str) -> None:
    """What a spreadsheet would run is text in it."""
    assert without_formula(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "cat", "-5", "+5", "-5.5e-3", "-.5", "5", "a=1", "'=1", '["=1"]', "\u00e9", " =1"]
)
def test_no_formulas(text: str) -> None:
    """Numbers and all other text stay as they are."""
    assert without_formula(text) == text


@pytest.mark.engine
def test_formulas_in_a_file(command: Run, sender: Sender, deployment: str, index: Index, tmp_path: Path) -> None:
    """In every text column of the CSV, ids and names of columns too; Parquet has them as they were stored."""
    names = ["=cmd|'/C calc'!A0", "age"]
    assert sender.send(event("request", "@r1", deployment), ndarray([["-2+3", -7]], names))[0] == 200
    assert sender.send(event("response", "@r1", deployment), ndarray(["=1+1"]))[0] == 200
    body = json.dumps({"truth": {"data": {"ndarray": ["+x"]}}}).encode()
    assert sender.send(event("feedback", "@r1", deployment), body)[0] == 200
    index.refresh()
    text, parquet = tmp_path / "pairs.csv", tmp_path / "pairs.parquet"
    for path in (text, parquet):
        assert command(str(path), "--index", index_of(deployment))[0] == 0
    with text.open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    [stored] = pandas.read_parquet(parquet).to_dict("records")
    for column, cell in (("request_id", "@r1"), ("prediction", "=1+1"), ("truth", "+x")):
        assert row[column] == f"'{cell}"
    column = f"request.elements.{names[0]}"
    assert (row[column], stored[column]) == ("'-2+3", "-2+3")
    assert float(row["request.elements.age"]) == -7
    assert stored["truth"] == "+x"
