"""The demo, as a stranger runs it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from request_logger.demo.run import Figure
from request_logger.demo.story import PREDICTIONS, REWARDED, WITH_FEEDBACK, make_story, recorded
from tests.helpers import Index, Server


def environment(engine_url: str) -> dict[str, str]:
    parts = urlsplit(engine_url)
    return {**os.environ, "ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}


CLI = [sys.executable, "-m", "request_logger.cli"]
COMMAND = [*CLI, "demo"]
QUESTIONS = ["how good are both models?", "what has changed?", "where is model-a worst?", "which threshold pays?"]


def run(command: str) -> str:
    """Run a command as the demo prints it."""
    done = subprocess.run([*CLI, *shlex.split(command)], capture_output=True, text=True, timeout=120, check=False)
    # 1 of slices: there is a confirmed one.
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.engine
def test_demo_once(engine: Any) -> None:
    """It replays the recorded traffic and the story, its figures agree with scikit-learn's, and it ends with 0.

    Twice on one engine: what an earlier demo left there must not be counted.
    """
    for _ in range(2):
        done = subprocess.run(
            [*COMMAND, "--once"],
            env=environment(engine.url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        figures = {line[:24].strip(): line[24:].split() for line in done.stdout.splitlines()}
        assert figures["predictions"] == ["100", "100"]
        assert figures["with feedback"] == ["63", "63"]
        assert figures["sum of feedback.reward"] == ["46", "46"]
        assert figures["accuracy"] == ["0.730158730159", "0.730158730159"]
        assert "replayed 44 requests recorded from a Seldon executor" in done.stdout


@pytest.mark.engine
def test_demo_stays_until_it_is_stopped(engine: Any, index: Index, tmp_path: Path) -> None:
    """Without --once its URLs answer until a signal comes; then nothing of it is left running.

    The second deployment's story is true of what is stored: its report, its page, and the commands that it suggests.
    """
    output = tmp_path / "demo.log"
    with output.open("wb") as log:
        process = subprocess.Popen(COMMAND, env=environment(engine.url), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in output.read_text() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        text = output.read_text()
        assert "press Ctrl-C to stop" in text, text
        assert text.count("\n  curl ") == 3
        (page,) = re.findall(r"http\S+/ui\?target=demo/biopsies-\w+", text)
        assert "biopsies" in requests.get(page, timeout=60).text
        told = dict(re.findall(r"^  (.*\?) +\S+/request-logger (.*)$", text, re.MULTILINE))
        assert list(told) == QUESTIONS
        compared, drifted, worst, threshold = (run(command) for command in told.values())
        assert "\nmodel-b is better: accuracy" in compared
        assert re.findall(r"^  (\S.*?) +major ", drifted, re.MULTILINE) == ["request.elements.mean symmetry"]
        assert re.search(r"^  clinic = south .* yes$", worst, re.MULTILINE)
        assert "the best one gains" in threshold
        url = next(line.split()[2] for line in text.splitlines() if line.startswith("request logger  http"))
        assert requests.get(url + "/readyz", timeout=30).status_code == 200
        (feedback,) = [line for line in text.splitlines() if "io.seldon.serving.feedback" in line]
        done = subprocess.run(["bash", "-c", feedback], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith("HTTP/1.1 200")
        (figures,) = [line for line in text.splitlines() if '"with_feedback"' in line]
        name = figures.split("/")[3]
        assert index.count(name, {"exists": {"field": "feedback.reward"}}) == WITH_FEEDBACK + 1
        asked = subprocess.run(["bash", "-c", figures], capture_output=True, text=True, timeout=60, check=True)
        assert f'"doc_count" : {WITH_FEEDBACK + 1}' in asked.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/healthz", timeout=5)


def test_demo_without_the_engine_that_was_named() -> None:
    """An engine that does not answer is one line and status 2; no other is started instead."""
    done = subprocess.run(
        [*COMMAND, "--once"],
        env=environment("http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "request-logger: the engine at http://127.0.0.1:9 (ELASTICSEARCH_HOST) does not answer\n"


def test_demo_without_scikit_learn() -> None:
    """What is missing is said in one line, with what to install."""
    code = "import sys; sys.modules['sklearn'] = None; from request_logger.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("request-logger: the demo needs scikit-learn")
    assert line.endswith('run pip install "seldon-request-logger-scoring[demo]"')


def test_story_is_honest() -> None:
    """The totals are counted, not made: each reward says whether the model's greatest probability is the true class."""
    story = make_story()
    with_feedback = story.pairs[:WITH_FEEDBACK]
    assert len(story.pairs) == PREDICTIONS
    assert sum(story.predicted(pair) == pair.truth for pair in with_feedback) == REWARDED
    assert all(abs(sum(pair.probabilities) - 1) < 1e-9 for pair in story.pairs)
    assert {story.predicted(pair) for pair in with_feedback} == set(story.classes)


def test_recorded_traffic_is_whole() -> None:
    """The recorded requests come with their headers in order, odd bodies too."""
    messages = recorded()
    assert len(messages) == 44
    assert all(message.headers[0][0] == "Host" for message in messages)
    assert {message.body for message in messages} >= {b"", b'{"data":'}


@pytest.mark.parametrize(
    ("found", "expected", "agrees"),
    [
        (0.5, 0.5, True),
        (0.5, 0.5 + 1e-8, False),
        (45, 46, False),
        (float("nan"), float("nan"), True),
        (float("nan"), 0.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_a_figure_that_differs_is_seen(found: float, expected: float, agrees: bool) -> None:
    """Figures agree to 1e-9; one that isn't defined agrees with nothing that is."""
    assert Figure("any", found, expected).agrees is agrees


@pytest.mark.engine
def test_demo_through_a_server_that_runs(engine: Any, server: Server) -> None:
    """With --url it uses that server, and leaves it running; without one there, or without the engine, one line."""

    def run(url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "--once", "--url", url],
            env=environment(engine.url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = run(server.url)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert f"request logger ready at {server.url} " in done.stdout
    assert requests.get(server.url + "/readyz", timeout=5).status_code == 200
    for url, line in (("http://127.0.0.1:1", "no request logger is ready"), ("ftp://x", "--url: expected a URL")):
        done = run(url)
        assert done.returncode == 2
        assert done.stderr.startswith(f"request-logger: {line}")
        assert len(done.stderr.splitlines()) == 1
