"""The README: what it shows is what the program stores, prints and answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.helpers import Index, Server, event, ndarray

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = [sys.executable, "-m", "request_logger.cli"]


def block(language: str) -> str:
    """Return the README's only fenced block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(found)


def test_it_is_short_and_shows_the_two_commands() -> None:
    """Under 120 lines, with the commands that start the demo and the tests."""
    assert len(README.splitlines()) < 120
    assert "make demo" in README
    assert "make test" in README


def test_the_shown_document_has_the_scores_of_its_pair(tmp_path: Path) -> None:
    """`request-logger try` scores the shown response and feedback as the shown `metrics`, which have two decimals."""
    document = json.loads(block("json"))
    response = document["response"]
    message = {"data": {"names": response["names"], "ndarray": [response["instance"]]}}
    (tmp_path / "feedback.json").write_text(json.dumps(document["feedback"]))
    (tmp_path / "response.json").write_text(json.dumps(message))
    command = [*COMMAND, "try", str(tmp_path / "feedback.json"), str(tmp_path / "response.json")]
    metrics = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    scored = {name: round(value, 2) if isinstance(value, float) else value for name, value in metrics.items()}
    shown = document["metrics"]
    assert shown == {name: scored.get(name) for name in shown}


def test_anchors_lead_to_a_heading() -> None:
    """A link to a section of a page has the anchor of one of its headings."""
    links = re.findall(r"\]\(([^)#]+\.md)#([^)]+)\)", README)
    assert len(links) > 0
    for page, anchor in links:
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.engine
def test_the_report_prints_what_is_shown(engine: Any, index: Index) -> None:
    """After the demo, `request-logger report` prints every line that the README quotes of it."""
    parts = urlsplit(engine.url)
    env = {**os.environ, "ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}

    def run(*arguments: str) -> str:
        done = subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout

    def demos() -> set[str]:
        return set(index.request("GET", "/inference-log-seldon-demo-iris-*"))

    before = demos()
    run("demo", "--once")
    (name,) = demos() - before
    # On an engine that runs already, the demo adds a random suffix to the deployment's name.
    deployment = name.removeprefix("inference-log-seldon-demo-").removesuffix("-default")
    printed = run("report", f"demo/{deployment}").splitlines()
    shown = [line.replace("demo/iris ", f"demo/{deployment} ") for line in block("text").splitlines()]
    quoted = [line for line in shown if line.strip() not in ("", "...")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in printed] == []


@pytest.mark.engine
def test_the_shown_feedback_is_scored(server: Server) -> None:
    """The curl command answers with the metrics of a prediction that was stored before."""
    name = f"iris-{uuid.uuid4().hex[:8]}"
    (command,) = re.findall(r"^    (curl .*\n(?:      .*\n)*)", README, re.MULTILINE)
    command = command.replace("localhost:8080", server.url).replace('"iris"', f'"{name}"')
    (request_id,) = re.findall(r'"request_id": "([^"]+)"', command)
    headers = event("response", request_id, name, Ce_Namespace="demo")
    answer = requests.post(server.url, ndarray([[0.1, 0.9]], ["setosa", "versicolor"]), headers=headers, timeout=60)
    assert answer.status_code == 200
    done = subprocess.run(
        ["bash", "-e", "-c", command.replace("curl ", "curl -sf ", 1)], capture_output=True, check=True, timeout=60
    )
    metrics = json.loads(done.stdout)["metrics"]
    assert (metrics["correct"], metrics["truth_label"]) == (1, "versicolor")
