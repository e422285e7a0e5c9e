"""`request-logger dead-letters`: nothing that was refused stays lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.helpers import Index, Sender, event, index_of, ndarray

pytestmark = pytest.mark.engine

LETTERS = "request-logger-dead-letters"


@pytest.fixture
def command(engine: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line against the session's engine."""
    parts = urlsplit(engine.url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "request_logger.cli", "dead-letters", *arguments],
            env={"ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port), **_python()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _python() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.fixture
def refused(index: Index, sender: Sender, deployment: str, refusing: Callable[[str], None]) -> str:
    """An index that has refused two responses; gives its name."""
    name = index_of(deployment)
    index.drop(LETTERS)
    refusing(name)
    for request_id in ("r1", "r/2 é"):
        headers = event("response", "", deployment)
        sent = [*headers.items(), ("Ce-Requestid", request_id.encode().decode("latin-1"))]
        assert sender.send(sent, ndarray([[0.1, 0.9]]))[0] == 200
    assert index.count(LETTERS) == 2
    assert index.count(name) == 0
    return name


def test_list_and_export(refused: str, command: Callable[..., Any]) -> None:
    """One line a letter: when, where, and why; as JSON lines with the document in them."""
    listed = command("list")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines[-1] == "2 dead letters"
    assert f"  {refused}  r1  " in lines[0]
    assert "@timestamp" in lines[0]
    exported = [json.loads(line) for line in command("export").stdout.splitlines()]
    assert [letter["id"] for letter in exported] == ["r1", "r/2 é"]
    assert exported[0]["document"]["response"]["instance"] == [0.1, 0.9]
    assert command("list", "--index", "another").stdout == "No dead letters.\n"


def test_retry(refused: str, command: Callable[..., Any], index: Index, sender: Sender, deployment: str) -> None:
    """Refused again, a letter stays; once the index takes it, it is joined to what has come meanwhile, and scored."""
    again = command("retry")
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1] == "0 stored, 2 left"
    assert index.count(LETTERS) == 2
    index.request("DELETE", f"/{refused}")
    truth = b'{"truth": {"data": {"ndarray": [[0, 1]]}}}'
    # A server that has known the index prepares it anew.
    newer = event("response", "r1", deployment, Ce_Time="2026-01-02T03:04:09Z")
    assert sender.send(newer, ndarray([[0.6, 0.4]]))[0] == 200
    assert sender.send(event("feedback", "r1", deployment), truth)[0] == 200
    dry = command("retry", "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[-1]) == (0, "2 would be stored, 0 left")
    assert index.count(LETTERS) == 2
    done = command("retry")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 stored, 0 left")
    documents = index.documents(refused)
    first = documents[refused, "r1"]
    assert first["response"]["instance"] == [0.6, 0.4]
    assert first["metrics"]["correct"] == 0
    assert documents[refused, "r/2 é"]["response"]["instance"] == [0.1, 0.9]
    assert command("list").stdout == "No dead letters.\n"
    assert command("retry").returncode == 0


def test_retry_keeps_what_it_can_not_store(
    index: Index, command: Callable[..., Any], deployment: str, sender: Sender
) -> None:
    """Another deployment's document under the id, and a letter that can't be read, are left alone and said."""
    name = index_of(deployment)
    index.drop(LETTERS)
    assert sender.send(event("response", "r1", deployment), ndarray([[1.0]]))[0] == 200
    index.refresh()
    source = index.documents(name)[name, "r1"]
    foreign = {**source, "Ce-Namespace": "another"}
    common = {"@timestamp": "2026-01-01T00:00:00Z", "index": name, "id": "r1", "reason": "x"}
    for document in (json.dumps(foreign), "{", "[]"):
        index.request("POST", f"/{LETTERS}/_doc", {**common, "document": document})
    result = command("retry")
    assert result.returncode == 1
    assert result.stdout.count("left: it has no document") == 2
    assert result.stdout.count("left: another deployment's document has its id") == 1
    assert index.documents(name)[name, "r1"] == source
    assert index.count(LETTERS) == 3
    index.drop(LETTERS)


def test_engine_down(tmp_path: Path) -> None:
    """One line and status 2."""
    result = subprocess.run(
        [sys.executable, "-m", "request_logger.cli", "dead-letters", "list"],
        env={"ELASTICSEARCH_HOST": "127.0.0.1", "ELASTICSEARCH_PORT": "1", **_python()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("request-logger: the engine does not answer")
    assert result.stderr.count("\n") == 1
