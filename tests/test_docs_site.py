"""The pages of docs/: they build, what is made from the code is up to date, and what a reader would try works."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from request_logger.commands.reference import commands_page, fields_page, mapped_fields
from request_logger.commands.reference_telemetry import telemetry_page
from request_logger.commands.reference_writer import writer_page
from request_logger.commands.scorers import _fields_of
from request_logger.scoring.registry import registered, scorer_class
from tests.helpers import Index, Server

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def read(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_site_builds(tmp_path: Path) -> None:
    """Strictly: a page that the navigation lacks, a link or an anchor that leads nowhere are errors."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '<pre class="mermaid">' in (tmp_path / "architecture" / "index.html").read_text(encoding="utf-8")


PAGES = {"commands": commands_page, "fields": fields_page, "telemetry": telemetry_page, "writer": writer_page}


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_pages_made_from_the_code(name: str, page: Any) -> None:
    """`make docs` writes them; every command, argument and field is there, and no other."""
    assert read(name) == page() + "\n"


def constants() -> str:
    """All text of the program's sources, as it is put together."""
    texts = []
    for source in [*(ROOT / "request_logger").glob("**/*.py"), *(ROOT / "scorers").glob("**/*.py")]:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_messages_exist() -> None:
    """Each message of the troubleshooting page is one that the program can say."""
    messages = re.findall(r"^\| (?:\d+ \| )?`([^`]+)` \|", read("troubleshooting"), re.MULTILINE)
    said = constants()
    assert len(messages) > 20
    assert [message for message in messages if message not in said] == []


def test_alerts_are_in_the_operations_page() -> None:
    """Every alert, and no other."""
    rules = yaml.safe_load((ROOT / "k8s" / "common" / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    assert set(re.findall(r"^\| (RequestLogger\w+) \|", read("operations"), re.MULTILINE)) == alerts


def test_recipes_name_fields_that_exist() -> None:
    """Each field of a recipe is mapped, or written by a scorer, or an element."""
    known = {path for path, _ in mapped_fields()}
    for name in registered():
        for metric in scorer_class(name).metrics:
            known |= {f"metrics.{field}" for need in metric.needs.values() for field in _fields_of(need)}
    recipes = read("recipes")
    prose = re.sub(r"^```json.*?^```", "", recipes, flags=re.MULTILINE | re.DOTALL)
    code = "\n".join([*blocks(recipes, "json"), *re.findall(r"`([^`]+)`", prose)])
    named = set(re.findall(r"\b(?:metrics|request|response|feedback|Ce)[.-][\w.-]*\w", code))
    wrong = {name for name in named if name.removesuffix(".keyword") not in known and ".elements." not in name}
    assert wrong == set()
    assert len(named) > 20


@pytest.mark.engine
def test_the_quick_start_and_the_recipes_run(server: Server, index: Index, tmp_path: Path) -> None:
    """The shell blocks, with these ports and a name of their own, give what the page says; each query is taken."""
    name = f"iris-{uuid.uuid4().hex[:8]}"

    def mine(text: str) -> str:
        for old, new in (
            ("localhost:8080", server.url),
            ("localhost:9200", index.url),
            ("Ce-Inferenceservicename: iris", f"Ce-Inferenceservicename: {name}"),
            ("demo-iris-default", f"demo-{name}-default"),
        ):
            text = text.replace(old, new)
        return text

    page = read("index")
    outputs = [
        subprocess.run(["bash", "-e", "-c", mine(block)], capture_output=True, text=True, timeout=60, check=True).stdout
        for block in blocks(page, "sh")
    ]
    assert outputs[:3] == ["", "", ""]
    (shown,) = blocks(page, "json")
    assert json.loads(outputs[3])["_source"] == json.loads(shown)
    # Behind the answer to the refresh.
    figures = json.loads(outputs[4][outputs[4].rindex('{"aggregations"') :])
    assert figures["aggregations"]["accuracy"]["value"] == 0

    recipes = read("recipes")
    where = f"inference-log-seldon-demo-{name}-default"
    bodies = [json.loads(block) for block in blocks(recipes, "json")]
    table = re.findall(r"^\| [^|]+ \| `([^`]+)` \|", recipes, re.MULTILINE)
    assert (len(bodies), len(table)) == (9, 9)
    for body in [*bodies, *({"query": {"query_string": {"query": query}}} for query in table)]:
        answer = index.request("POST", f"/{where}/_search", body, size="0")
        assert answer["_shards"]["failed"] == 0, answer
    found = {query: index.count(where, {"query_string": {"query": query}}) for query in table}
    assert [query for query, count in found.items() if count] == [
        "metrics.correct:0",
        "metrics.false_positive:virginica",
        'RequestId:"quick-1"',
    ]
