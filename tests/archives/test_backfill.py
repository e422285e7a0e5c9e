"""`request-logger backfill`: an archive read back gives the documents of the live run, also twice, and after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from request_logger.cli import main
from tests.contract.events import ENV, as_record, as_structured, read, traffic
from tests.contract.events import Answer as Unstored
from tests.contract.events import settings_of as settings
from tests.helpers import Index, Server
from tests.model import without_times

_BATCH = 40
_HASH = re.compile(r"~[0-9a-f]{16}$")
EVENTS = traffic()
SETTINGS = settings("x")


@dataclass(frozen=True)
class Live:
    """A live run: its documents, and the archives that were answered."""

    documents: dict[tuple[str, str], Any]
    folder: Path


def name() -> str:
    return f"a{uuid.uuid4().hex[:8]}"


def documents(index: Index, environment: str) -> dict[tuple[str, str], Any]:
    """Return the documents of an environment, under the names that the indices have without it."""
    found = without_times(index.documents(f"*-log-{environment}-*"))
    # A name that is no legal one ends in a hash of itself.
    return {(_HASH.sub("", key.replace(f"{environment}-", "")), id): source for (key, id), source in found.items()}


@pytest.fixture(scope="module")
def live(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Send the contract's events to the marshaller, each batch once as NDJSON and once as Parquet."""
    folder, environment, index = tmp_path_factory.mktemp("live"), name(), Index(engine.url)
    server = Server(engine.url, folder / "server.log", **ENV, SELDON_ENVIRONMENT=environment).wait()
    try:
        for form in ("ndjson", "parquet"):
            (folder / form).mkdir()
            for start in range(0, len(EVENTS), _BATCH):
                batch = b"[%b]" % b",".join(map(as_record, EVENTS[start : start + _BATCH]))
                answer = requests.post(f"{server.url}/v1/marshal?format={form}", batch, timeout=120)
                assert answer.status_code == 200, answer.text
                extension = answer.headers["X-Log-Marshal-Extension"]
                (folder / form / f"{start:04}-request.{extension}").write_bytes(answer.content)
    finally:
        server.stop()
    yield Live(documents(index, environment), folder)
    index.drop(f"*-log-{environment}-*")


@pytest.fixture
def environment(engine: Any, index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An environment without documents, which the command stores into."""
    made = name()
    for variable, value in settings_of(engine.url, made).items():
        monkeypatch.setenv(variable, value)
    yield made
    index.drop(f"*-log-{made}-*")


def settings_of(engine_url: str, environment: str) -> dict[str, str]:
    parts = urlsplit(engine_url)
    reach = {"ELASTICSEARCH_HOST": str(parts.hostname), "ELASTICSEARCH_PORT": str(parts.port)}
    return {**ENV, **reach, "SELDON_ENVIRONMENT": environment}


@pytest.mark.engine
@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_the_same_documents_as_the_live_run(
    live: Live, form: str, environment: str, index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, field by field; and after a second run the same."""
    command = ["backfill", str(live.folder / form), "--state", str(tmp_path / "state.json")]
    for _ in range(2):
        assert main(command) == 0
        assert documents(index, environment) == live.documents
    stored = sum(not isinstance(read(sent, SETTINGS), Unstored) for sent in EVENTS)
    assert capsys.readouterr().out.splitlines() == [f"{stored} events: {stored} stored, 0 left out, 0 rejected"] * 2
    assert not (tmp_path / "state.json").exists()


@pytest.mark.engine
def test_a_dump_of_cloud_events(environment: str, index: Index, live: Live, tmp_path: Path) -> None:
    """In structured mode, with what is not stored in between: one line for each of the bad ones, and status 1."""
    path = tmp_path / "dump.ndjson"
    # Bodies with line breaks are one line here.
    path.write_bytes(b"\n".join(as_structured(sent).replace(b"\r", b" ").replace(b"\n", b" ") for sent in EVENTS))
    found = run([str(path)], tmp_path)
    rejected = [number for number, sent in enumerate(EVENTS, 1) if getattr(read(sent, SETTINGS), "error", "")]
    lines = [line for line in found.stderr.splitlines() if line.startswith(str(path))]
    assert [int(line.split()[2].rstrip(":")) for line in lines] == rejected
    assert found.returncode == 1
    assert documents(index, environment) == live.documents


def run(arguments: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "request_logger.cli",
        "backfill",
        *arguments,
        "--state",
        str(folder / "state.json"),
    ]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False)


def records(path: Path, count: int, deployment: str = "killed") -> None:
    entry = {
        "reqType": "org.kubeflow.serving.inference.request",
        "inferenceService": deployment,
        "namespace": "test",
        "endpoint": "default",
        "contentType": "application/json",
        "bytes": "eyJpbnN0YW5jZXMiOltbMSwyXV19",
        "occurrenceTime": "2026-01-02T03:04:05Z",
    }
    path.write_text("".join(json.dumps({**entry, "id": f"r{k}"}) + "\n" for k in range(count)))


@pytest.mark.engine
def test_killed_and_continued(environment: str, index: Index, tmp_path: Path) -> None:
    """It continues after what its state says, whatever signal ended it; nothing is missing, nothing twice."""
    folder, state = tmp_path / "archive", tmp_path / "state.json"
    folder.mkdir()
    for k in range(3):
        records(folder / f"{k}.ndjson", 2_000, f"killed-{k}")
    command = [sys.executable, "-m", "request_logger.cli", "backfill", str(folder), "--state", str(state)]
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = known(state)
        while process.poll() is None and known(state) <= before:
            time.sleep(0.01)
        process.send_signal(number)
        process.wait(60)
    done = known(state)
    assert done >= 1_000
    found = run([str(folder)], tmp_path)
    assert found.returncode == 0, found.stderr
    assert f"continuing after {done:,} events" in found.stderr
    assert found.stdout == "6,000 events: 6,000 stored, 0 left out, 0 rejected\n"
    assert index.count(f"*-log-{environment}-*") == 6_000
    assert not state.exists()


def known(state: Path) -> int:
    try:
        return int(json.loads(state.read_bytes())["entries"]["stored"])
    except (FileNotFoundError, ValueError):
        return 0


@pytest.mark.engine
def test_no_engine(tmp_path: Path) -> None:
    """It gives up after its patience, and says how to continue; nothing counts as stored."""
    records(tmp_path / "a.ndjson", 10)
    found = run(
        [str(tmp_path / "a.ndjson"), "--patience", "0"], tmp_path,
        ELASTICSEARCH_HOST="127.0.0.1", ELASTICSEARCH_PORT="9", STORE_TIMEOUT_SECONDS="0.1",
    )  # fmt: skip
    assert found.returncode == 2
    assert "given up after 0 s, run the command again later" in found.stderr.splitlines()[-1]
    assert known(tmp_path / "state.json") == 0


@pytest.mark.engine
def test_files_that_are_cut_off(environment: str, tmp_path: Path) -> None:
    """What is whole in them is stored, the files after them too, and the status says so."""
    records(tmp_path / "b.ndjson", 3)
    (tmp_path / "a.json").write_text("[{")
    (tmp_path / "c.parquet").write_text("PAR1")
    (tmp_path / "d.ndjson").write_text((tmp_path / "b.ndjson").read_text() + '{"id"')
    found = run([str(tmp_path)], tmp_path.parent)
    assert found.returncode == 1
    assert found.stdout == "7 events: 6 stored, 0 left out, 1 rejected; 2 files could not be read to their end\n"
    assert f"{tmp_path / 'd.ndjson'}: line 4: expected a JSON object" in found.stderr


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ('{"about": ["other"]}', "is the state of another backfill"),
        ("[]", "expected the state of a backfill"),
        ('{"about": ["PATH", "127.0.0.1"], "file": 1}', "expected the state of a backfill"),
    ],
)
def test_other_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, error: str) -> None:
    """Nothing is stored by a state that is of something else."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", "127.0.0.1")
    path = tmp_path / "a.ndjson"
    records(path, 1)
    (tmp_path / "state.json").write_text(state.replace("PATH", str(path)))
    found = run([str(path)], tmp_path)
    assert found.returncode == 2
    assert error in found.stderr


def test_a_missing_path(tmp_path: Path) -> None:
    found = run([str(tmp_path / "missing")], tmp_path)
    assert (found.returncode, found.stderr) == (2, f"request-logger: {tmp_path}/missing: no such file or directory\n")
