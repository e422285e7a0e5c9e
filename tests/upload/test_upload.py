"""`request-logger feedback FILE`: every row's fate, and a continuation that leaves out nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from request_logger.cli import main
from request_logger.common.times import time_key
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from tests.helpers import free_port
from tests.upload.stub_logger import StubLogger, accept, running


def table(folder: Path, rows: int, name: str = "truth.csv") -> Path:
    path = folder / name
    path.write_text("request_id,truth\n" + "".join(f"r{k},{k % 3}\n" for k in range(rows)))
    return path


def judged(rows: list[dict[str, Any]]) -> tuple[int, Any, dict[str, str]]:
    """Reject each fifth row, and know no prediction of each third."""
    results: list[dict[str, Any]] = []
    for row in rows:
        number = int(row["request_id"][1:])
        if number % 5 == 0:
            results.append({"status": 400, "error": "truth: expected another"})
        else:
            results.append({"status": 200, "prediction": "not_found" if number % 3 == 0 else "found"})
    return 207, {"accepted": sum(each["status"] == 200 for each in results), "results": results}, {}


def rejects(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_has_a_fate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the counts, and in the file: line, result, reason, and what was sent."""
    path = table(tmp_path, 20)
    path.write_text(path.read_text() + "r20\nr21,1\n")
    logger = StubLogger(judged)
    with running(logger) as url:
        assert main(["feedback", str(path), "--url", url, "--deployment", "iris", "--rows", "7"]) == 1
    out = capsys.readouterr().out.splitlines()
    listed = tmp_path / "truth.csv.rejects.ndjson"
    assert out == [
        f"{path}: 22 rows: 17 accepted (of them 6 without a known prediction), 5 rejected",
        f"see {listed}",
    ]
    found = rejects(listed)
    assert [(row["line"], row["result"], row.get("error")) for row in found] == sorted(
        [
            *[(k + 2, "rejected", "truth: expected another") for k in range(0, 20, 5)],
            *[(k + 2, "no prediction", None) for k in range(22) if k % 3 == 0 and k % 5],
            (22, "rejected", "expected 2 cells, found 1"),
        ]
    )
    sent = {row["request_id"]: row for _, _, rows in logger.requests for row in rows}
    assert found[0]["feedback"] == sent["r0"]
    assert "feedback" not in found[-2]
    # The state has no use any more.
    assert sorted(file.name for file in tmp_path.iterdir()) == ["truth.csv", "truth.csv.rejects.ndjson"]


def test_evaluation_events(tmp_path: Path) -> None:
    """Those of OpenTelemetry are sent as they are, and accepted: as attributes, plain, and as OTLP's log record."""
    attributes = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.5, "gen_ai.response.id": "r1"}
    listed = [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items() if name[-1] != "e"]
    record = {"timeUnixNano": "1767323045000000000", "eventName": "gen_ai.evaluation.result", "attributes": listed}
    label = {"key": "gen_ai.evaluation.name", "value": {"stringValue": "tone"}}
    listed += [label, {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}}]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{**record, "body": {"stringValue": "x"}}]}]}]}
    rows = [{"name": "gen_ai.evaluation.result", "attributes": attributes}, attributes, record, logs]
    rows.append({**attributes, "traceId": ["x"], "request_id": "r2"})
    path = tmp_path / "events.ndjson"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in (*rows, {"request_id": "r3", "attributes": {"a": 1}})))
    logger = StubLogger(accept)
    with running(logger) as url:
        assert main(["feedback", str(path), "--url", url, "--deployment", "qwen"]) == 1
    ((_, _, sent),) = logger.requests
    assert [{name: value for name, value in row.items() if name != "time"} for row in sent] == rows
    for row, request_id in zip(sent, ["r1"] * 4 + ["r2"], strict=True):
        event = feedback_event(json.dumps(row).encode(), Settings(), {"deployment": "qwen", "namespace": "demo"})
        (evaluation,) = json.loads(event.body.raw or b"")["evaluations"]
        assert event.request_id == request_id
        assert (evaluation["name"], evaluation["value"]) == ("tone", 0.5)
    (refused,) = rejects(tmp_path / "events.ndjson.rejects.ndjson")
    assert (refused["line"], refused["error"]) == (6, "attributes: expected text or a whole number")


def test_later_rows_are_later(tmp_path: Path) -> None:
    """Of two rows for one prediction the second one counts; a row's own time is sent as it is."""
    path = tmp_path / "a.csv"
    path.write_text("order,label,when\n1,a,\n1,b,\n1,c,2026-01-02T03:04:05Z\n")
    logger = StubLogger(accept)
    with running(logger) as url:
        options = ["--id", "order", "--truth", "label", "--time", "when"]
        assert main(["feedback", str(path), "--url", url, *options]) == 0
    ((_, _, rows),) = logger.requests
    first, second = (time_key(row.pop("time")) for row in rows[:2])
    assert first is not None
    assert second is not None
    assert second - first == 1_000
    assert rows == [
        {"request_id": "1", "truth": "a"},
        {"request_id": "1", "truth": "b"},
        {"request_id": "1", "truth": "c", "time": "2026-01-02T03:04:05Z"},
    ]


def command(path: Path, url: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "request_logger.cli", "feedback", str(path), "--url", url, "--rows", "10", *more]


def interrupted(path: Path, how: signal.Signals, port: int) -> tuple[StubLogger, subprocess.CompletedProcess[bytes]]:
    """Upload to a logger that hangs after 5 requests, and end the process then."""
    hangs, goes_on, count = threading.Event(), threading.Event(), 0
    lock = threading.Lock()

    def script(rows: list[dict[str, Any]]) -> tuple[int, Any, dict[str, str]]:
        nonlocal count
        with lock:
            count += 1
            answers = count <= 5
        if not answers:
            hangs.set()
            goes_on.wait(20)
        return judged(rows)

    logger = StubLogger(script)
    with running(logger, port) as url:
        process = subprocess.Popen(command(path, url), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert hangs.wait(60)
        saved = path.with_name(path.name + ".state.json")
        # The fates of the requests that were answered; the order of two that are under way is open.
        while json.loads(saved.read_bytes())["rows"]["accepted"] < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(how)
        if how != signal.SIGKILL:
            goes_on.set()
        out, err = process.communicate(timeout=60)
        goes_on.set()
    return logger, subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_upload_continues(tmp_path: Path, how: signal.Signals) -> None:
    """Saved rows are not sent again; what is sent again is the same; in the end each row has one fate."""
    path = table(tmp_path, 100)
    port = free_port()
    first, done = interrupted(path, how, port)
    assert done.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    state = tmp_path / "truth.csv.state.json"
    kept = json.loads(state.read_bytes())
    known = sum(kept["rows"].values())
    assert 30 <= known < 100
    listed = tmp_path / "truth.csv.rejects.ndjson"
    # Rows that were listed, but not saved.
    with listed.open("ab") as out:
        out.write(b'{"line": 99')
    second = StubLogger(judged)
    with running(second, port) as url:
        done = subprocess.run(command(path, url), capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"continuing after {known} rows, according to {state}" in done.stderr.decode()
    assert second.ids == [f"r{k}" for k in range(known, 100)]
    sent = {row["request_id"]: row for _, _, rows in first.requests for row in rows}
    again = {row["request_id"]: row for _, _, rows in second.requests for row in rows}
    assert sent.keys() | again.keys() == {f"r{k}" for k in range(100)}
    assert {id: row for id, row in again.items() if id in sent} == {id: sent[id] for id in again if id in sent}
    assert done.stdout.decode().startswith(f"{path}: 100 rows: 80 accepted (of them 27 without a known prediction), 20")
    assert [row["line"] for row in rejects(listed)] == [k + 2 for k in range(100) if k % 5 == 0 or k % 3 == 0]
    assert not state.exists()


def continued(path: Path, port: int, *more: str) -> int:
    """Upload as far as the logger goes, which is a request of 10 rows; return the status."""
    with running(StubLogger(accept, lambda rows: (404, b"", {})), port) as url:
        return main([*command(path, url, *more)[3:]])


def test_a_state_is_of_one_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of these rows, columns and names, and of this logger: rows that it did not acknowledge are never left out."""
    path, port = table(tmp_path, 50), free_port()
    other = f"{path}.state.json: is the state of another upload, or {path} has changed: remove it to start over"
    assert continued(path, port) == 2
    assert capsys.readouterr().out == f"{path}: 10 rows: 10 accepted, 0 rejected\n"
    whole = path.read_text()
    for text, more in (
        (whole.replace("r3,0", "r3,1"), ()),
        (whole[:60], ()),
        (whole, ("--deployment", "other")),
        (whole, ("--truth", "truth")),
        (whole, ("--url", "http://127.0.0.1:9")),
    ):
        path.write_text(text)
        assert continued(path, port, *more) == 2
        assert other in capsys.readouterr().err
    # Rows that were added, and a changed row that isn't sent yet.
    path.write_text(whole.replace("r40,1", "r40,2") + "r50,1\n")
    logger = StubLogger(accept)
    with running(logger, port) as url:
        assert main(command(path, url)[3:]) == 0
    assert logger.ids == [f"r{k}" for k in range(10, 51)]
    assert [row["truth"] for _, _, rows in logger.requests for row in rows if row["request_id"] == "r40"] == [2]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"rows": {"accepted": -1, "no prediction": 0, "shared key": 0, "rejected": 0}}']
)
def test_no_state(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, state = table(tmp_path, 1), tmp_path / "s"
    state.write_text(content)
    assert main(["feedback", str(path), "--state", str(state)]) == 2
    assert capsys.readouterr().err == (
        f"request-logger: {state}: expected the state of an upload: remove it to start over\n"
    )


def test_the_rest_of_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows before a line that can't be read are sent; when it is fixed, the upload continues there."""
    path, port = table(tmp_path, 25), free_port()
    whole = path.read_text()
    path.write_text(whole.replace("r17,2", 'r17,"2'))
    with running(StubLogger(accept), port) as url:
        assert main(command(path, url)[3:]) == 2
    printed = capsys.readouterr()
    assert printed.out == f"{path}: 17 rows: 17 accepted, 0 rejected\n"
    assert f"{path}: line 19: expected CSV (" in printed.err
    path.write_text(whole)
    logger = StubLogger(accept)
    with running(logger, port) as url:
        assert main(command(path, url)[3:]) == 0
    assert logger.ids == [f"r{k}" for k in range(17, 25)]


def test_nothing_is_left_behind_where_nothing_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No logger, or wrong options: one line, and no files."""
    path = table(tmp_path, 3)
    for more, error in (
        (["--patience", "0"], "http://127.0.0.1:9/v1/feedback: can't be reached; given up after 0 s"),
        (["--truth", "label"], f"{path}: no column is named label: there are request_id, truth"),
        (["--key", "label"], "--key: expected name=COLUMN, such as response.id=order"),
        (["--state", str(path)], f"{path}: expected other files as --state and --rejects"),
        (["--state", str(tmp_path / "no" / "s")], "can't be written: No such file or directory; name another"),
    ):
        assert main(["feedback", str(path), "--url", "http://127.0.0.1:9", *more]) == 2
        assert error in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row is checked as the logger checks it; columns are named in errors; nothing is sent or written."""
    path = tmp_path / "a.csv"
    path.write_text("order,label,when\n1,a,yesterday\n,b,\n3,,\n4,c,2026-01-02\n" + "x\n" * 12)
    options = ["--id", "order", "--truth", "label", "--time", "when", "--deployment", "iris"]
    assert main(["feedback", str(path), "--dry-run", "--url", "http://127.0.0.1:9", *options]) == 1
    printed = capsys.readouterr()
    sent = {"deployment": "iris", "request_id": "4", "truth": "c", "time": "2026-01-02"}
    assert printed.out.splitlines() == [
        f"line 5 would be sent as {json.dumps(sent, separators=(',', ':'))}",
        f"{path}: 16 rows: 1 would be sent, 15 rejected",
    ]
    assert printed.err.splitlines() == [
        "line 2: when (time): expected a time such as 2026-01-02T03:04:05Z",
        "line 3: order (request_id): expected text, found nothing",
        "line 4: truth, truths, reward, metrics, evaluations, thumb: expected one of them",
        *[f"line {k}: expected 3 cells, found 1" for k in range(6, 13)],
        "5 more rows have errors",
    ]
    assert list(tmp_path.iterdir()) == [path]


def test_a_deep_row_is_rejected_alone(tmp_path: Path) -> None:
    """Whatever a row has, the others are sent."""
    path = tmp_path / "a.ndjson"
    deep = ["[" * depth + "]" * depth for depth in (100, 300, 600, 900, 2_000)]
    path.write_text("".join(f'{{"request_id": "r{k}", "truth": {text}}}\n' for k, text in enumerate([*deep, "1"])))
    logger = StubLogger(accept)
    with running(logger) as url:
        assert main(["feedback", str(path), "--url", url]) == 1
    assert {"r0", "r1", "r5"} <= set(logger.ids)
    assert {row["line"] for row in rejects(tmp_path / "a.ndjson.rejects.ndjson")} == {
        k + 1 for k in range(6) if f"r{k}" not in logger.ids
    }


def test_standard_input(tmp_path: Path) -> None:
    """From a pipe, with the token of the environment; rows that need attention are listed in the current folder."""
    logger = StubLogger(judged)
    with running(logger) as url:
        done = subprocess.run(
            command(Path("-"), url),
            input=table(tmp_path, 30).read_bytes(),
            cwd=tmp_path,
            env={**os.environ, "INGEST_TOKEN": "s3cret", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stdout.decode().startswith("-: 30 rows: 24 accepted (of them 8 without a known prediction), 6 rejected")
    assert {headers["Authorization"] for _, headers, _ in logger.requests} == {"Bearer s3cret"}
    assert len(rejects(tmp_path / "stdin.rejects.ndjson")) == 14
    assert b"s3cret" not in done.stdout + done.stderr
