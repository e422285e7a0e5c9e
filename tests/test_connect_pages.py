"""The pages on connecting senders: every shell and Python block runs, and gives what its page says."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from request_logger.ingest.access import MARSHAL_PATH
from tests.helpers import Index, Server
from tests.stub_platform import Platform, running

DOCS = Path(__file__).parent.parent / "docs"
NAMES = ("connect-kserve", "connect-seldon", "connect-http", "connect-llm")
ANSWER = {"role": "assistant", "content": "Paris, of course"}
CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "model": "qwen",
        "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}}  # fmt: skip


def blocks(name: str, *languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page in these languages, each with its language, in order."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(language, block) for language, block in found if language in languages]


def shown(name: str) -> Any:
    """The page's only JSON block."""
    ((_, block),) = blocks(name, "json")
    return json.loads(block)


class Reader:
    """Runs a page's blocks one after the other, with this test's addresses and a deployment of its own."""

    def __init__(self, server: Server, index: Index, folder: Path, platform: str = "") -> None:
        self._unique = uuid.uuid4().hex[:8]
        self._index = index
        self._addresses = {"localhost:8080": server.url.removeprefix("http://")}
        self._addresses["localhost:9200"] = index.url.removeprefix("http://")
        if platform:
            self._addresses["localhost:8081"] = platform.removeprefix("http://")
        parts = urlsplit(index.url)
        command = folder / "request-logger"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m request_logger.cli "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        self._env = {
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "ELASTICSEARCH_HOST": parts.hostname or "",
            "ELASTICSEARCH_PORT": str(parts.port),
        }

    def name(self, deployment: str) -> str:
        """This test's name of a page's deployment."""
        return f"{deployment}-{self._unique}"

    def read(self, name: str, *deployments: str, folder: Path = DOCS.parent) -> list[str]:
        """Run the blocks of a page in a folder; return what each prints. A block that fails fails the test."""
        outputs = []
        for language, block in blocks(name, "sh", "python"):
            text = block
            for old, new in self._addresses.items():
                text = text.replace(old, new)
            for deployment in deployments:
                text = re.sub(rf'(demo/|["\s:]){deployment}(?=["\s\'/])', rf"\g<1>{self.name(deployment)}", text)
            self._index.refresh()
            command = ["bash", "-e", "-c", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(
                command, env=self._env, cwd=folder, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)
            outputs.append(done.stdout)
        return outputs


def metrics_of(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output)["metrics"]
    return found


def rows_by(output: str, heading: str) -> dict[str, list[str]]:
    """The table of a printed report under a column: the first cell of each row, with the others."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == [heading])
    rows: dict[str, list[str]] = {}
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        first, *others = line.split()
        rows[first] = others
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_every_page_starts_with_the_id(name: str) -> None:
    """Before anything else: without it, no feedback finds its prediction. A page's own text, not a link."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    first = text.split("\n## ")[0] if name != "connect-http" else text.split("```")[0]
    assert re.search(r"\bid\b", first)


def test_the_manifests_are_whole() -> None:
    """The resources have the fields that the sections name, in the places where the operators read them."""
    (_, text), (_, archived) = blocks("connect-kserve", "yaml")
    service = yaml.safe_load(text)
    logger = service["spec"]["predictor"]["logger"]
    assert (service["kind"], logger["mode"]) == ("InferenceService", "all")
    # As Go's canonical form of a header is made: the agent compares these texts.
    assert logger["metadataHeaders"] == ["-".join(map(str.capitalize, h.split("-"))) for h in logger["metadataHeaders"]]
    assert set(logger["metadataAnnotations"]) <= set(service["metadata"]["annotations"])
    # The fields of KServe's LoggerSpec that archives need, in its spelling.
    archive = yaml.safe_load(archived)["logger"]
    assert set(archive) == {"mode", "url", "storage", "marshallerUrl", "batchSize", "batchInterval"}
    assert archive["marshallerUrl"] == logger["url"] + MARSHAL_PATH
    ((_, text),) = blocks("connect-seldon", "yaml")
    deployment = yaml.safe_load(text)
    (predictor,) = deployment["spec"]["predictors"]
    assert (deployment["kind"], predictor["graph"]["logger"]["mode"]) == ("SeldonDeployment", "all")
    assert predictor["graph"]["logger"]["url"] == logger["url"]


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the rules of the page on language models, that waits for the engine as long as it takes."""
    ((_, rules),) = blocks("connect-llm", "yaml")
    path = tmp_path_factory.mktemp("connect") / "scorers.yaml"
    path.write_text(rules.replace("qwen", "qwen-*"))
    server = make_server(SCORERS_CONFIG=str(path), STORE_TIMEOUT_SECONDS="60")
    yield server
    server.stop()


@pytest.fixture
def reader(server: Server, index: Index, tmp_path: Path) -> Callable[..., Reader]:
    """Make a reader, with the address of a platform's stub."""
    return lambda platform="": Reader(server, index, tmp_path, platform)


@pytest.mark.engine
def test_kserve(reader: Callable[..., Reader], server: Server) -> None:
    """The prediction is stored under the client's id, and its tenant and version split the report."""
    (_, manifest), _ = blocks("connect-kserve", "yaml")
    headers = tuple(yaml.safe_load(manifest)["spec"]["predictor"]["logger"]["metadataHeaders"])
    platform = Platform(server.url, "", shown("connect-kserve"), headers)
    with running(platform) as url:
        page = reader(url)
        platform.deployment = page.name("iris")
        answer, feedback, reports = page.read("connect-kserve", "iris")
    assert json.loads(answer) == shown("connect-kserve")
    metrics = metrics_of(feedback)
    assert (metrics["correct"], metrics["truth_label"]) == (0, "CLASS_1")
    assert rows_by(reports, "tenant").keys() == {"acme"}
    assert rows_by(reports, "version").keys() == {"3"}


@pytest.mark.engine
def test_seldon(reader: Callable[..., Reader], server: Server, index: Index) -> None:
    """Feedback through the executor and directly is of the same prediction."""
    platform = Platform(server.url, "", shown("connect-seldon"))
    with running(platform) as url:
        page = reader(url)
        platform.deployment = page.name("iris")
        answer, _, feedback, reports = page.read("connect-seldon", "iris")
    assert json.loads(answer) == shown("connect-seldon")
    metrics = metrics_of(feedback)
    assert (metrics["correct"], metrics["truth_label"]) == (0, "versicolor")
    assert "1 predictions, 1 with feedback" in reports
    assert rows_by(reports, "predictor").keys() == {"default"}
    documents = index.documents(f"inference-log-seldon-demo-{platform.deployment}-*")
    assert [id for _, id in documents] == ["order-4711"]


@pytest.mark.engine
def test_any_program(reader: Callable[..., Reader], index: Index) -> None:
    """Four predictions in four ways: in the feedback, as events, from Python, in a batch."""
    page = reader()
    alone, events, feedback, python, batch, reports = page.read("connect-http", "iris", "prices")
    metrics = metrics_of(alone)
    assert (metrics["error"], metrics["squared_error"]) == (-1.5, 2.25)
    assert events == python == batch == ""
    assert metrics_of(feedback)["truth_label"] == "versicolor"
    documents = index.documents(f"inference-log-seldon-demo-{page.name('iris')}-*")
    assert {id for _, id in documents} == {"order-2", "order-3", "order-4"}
    tenants = {id: source["response"]["metadata"]["tenant"] for (_, id), source in documents.items()}
    assert tenants == {"order-2": "acme", "order-3": "bolt", "order-4": "bolt"}
    # order-3 has no feedback.
    assert rows_by(reports, "tenant").keys() == {"acme", "bolt"}
    assert rows_by(reports, "metadata.version").keys() == {"3", "4"}


@pytest.mark.engine
def test_language_models(reader: Callable[..., Reader], server: Server, index: Index) -> None:
    """A thumb is a reward, a reference answer is compared with the stored one; tokens can be summed up."""
    platform = Platform(server.url, "", CHAT, ("X-Tenant", "X-Request-Id"))
    with running(platform) as url:
        page = reader(url)
        platform.deployment = page.name("qwen")
        answer, thumb, reference, report, tokens = page.read("connect-llm", "qwen")
    assert json.loads(answer) == CHAT
    assert metrics_of(thumb)["reward"] == 1
    metrics = metrics_of(reference)
    assert (metrics["scorer"], metrics["exact_match"]) == ("text", 0)
    assert rows_by(report, "tenant").keys() == {"acme"}
    ((_, document),) = index.documents(f"inference-log-*-demo-{platform.deployment}-*").items()
    assert document["response"]["payload"]["choices"] == CHAT["choices"]
    assert document["response"]["instance"] == "Paris, of course"
    assert document["request"]["instance"] == "The capital of France?"
    assert document["response"]["elements"]["finish_reason"] == "stop"
    found = json.loads(tokens)["aggregations"]["models"]["buckets"]
    assert [(bucket["key"], bucket["tokens"]["value"]) for bucket in found] == [("qwen", 9)]
