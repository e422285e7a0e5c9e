"""No query asks whether an object exists: an engine makes one clause of it for each column below, and allows 1,024."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.common.json import loads
from request_logger.store.indices.templates import mapping
from tests.store.engine_double import Answer, EngineDouble
from tests.store.test_shapes import ask_everything

ROOT = Path(__file__).parents[1]
FOLDERS = ("request_logger", "docs", "examples", "k8s", "chart", "bench")
# As a query, escaped or not, or as Lucene's syntax; a name in braces is filled in at run time.
ASKED = re.compile(
    r"""["']exists\\*["']\s*:\s*\{\s*\\*["']field\\*["']\s*:\s*f?\\*["']([^"'\\]+)|_exists_:([^\s)"'\\`|]+)"""
    r"""|\bexists\(f?"([^"]+)"\)"""
)
# What a name that is filled in stands for.
FILLED = {
    "{PREFIX}": "metrics.",
    "{_PREFIX}": "metrics.",
    "{how.measure}": "log_loss",
    "{REWARD}": "feedback.reward",
    "{SCORER}": "metrics.scorer",
    "{UNSCORABLE}": "metrics.unscorable",
    "{EVALUATED}": "metrics.evaluated",
    "{EVALUATION_LABELS}": "metrics.evaluation_labels",
    "{VALUE}": "metrics.evaluations.helpful.value",
    "{part}": "request",
    "{leaf}": "dataType",
    "{cell}": "true_positive",
    "{scored}": "correct",
    "{problem}": "unscorable",
    "{field.path}": "Ce-Modelid.keyword",
    "{_AT}": "prediction.",
    "{SCORE_BIN}": "score_bin",
    "{CALIBRATION_BIN}": "calibration_bin",
}


def is_leaf(path: str) -> bool:
    """Return whether a field has values, by the mapping in which scorers add fields of one value."""
    if re.fullmatch(r"metrics\.evaluations\.[^.]+\.value", path):
        return True
    found: Any = mapping()
    for name in path.removesuffix(".keyword").split("."):
        if found.get("properties") is None:
            return False
        inner = found["properties"].get(name)
        if inner is None:
            return path.startswith("metrics.") and path.count(".") == 1
        found = inner
    return "properties" not in found and found["type"] not in ("object", "nested")


@pytest.mark.parametrize(
    ("path", "leaf"),
    [
        ("response", False),
        ("feedback", False),
        ("metrics", False),
        ("request.elements", False),
        ("request.meta", False),
        ("request.payload", False),
        ("request.payload_dropped", False),
        ("request.payload_dropped.bytes", True),
        ("response.dataType", True),
        ("metrics.log_loss", True),
        ("metrics.evaluations", False),
        ("metrics.evaluations.helpful", False),
        ("metrics.evaluations.helpful.value", True),
        ("Ce-Modelid.keyword", True),
        ("@timestamp", True),
    ],
)
def test_what_a_leaf_is(path: str, leaf: bool) -> None:
    """The rule that the other tests here go by."""
    assert is_leaf(path) is leaf


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".json", ".ndjson", ".yaml", ".yml", ".ipynb", ".jinja"):
                yield path
    yield ROOT / "README.md"


def test_no_file_asks_for_an_object() -> None:
    """In the code, the dashboards, the docs' hints and recipes, the notebook."""
    asked = []
    for path in files():
        for match in ASKED.finditer(path.read_text(encoding="utf-8")):
            field = next(filter(None, match.groups()))
            for name, value in FILLED.items():
                field = field.replace(name, value)
            asked.append((str(path.relative_to(ROOT)), field))
    assert len({path.partition("/")[0] for path, _ in asked}) >= 5, "the expression finds too little"
    assert [(path, field) for path, field in asked if not is_leaf(field)] == []


def without_indices(path: str, body: Any) -> Answer:
    """Answer as an engine without an index does."""
    none = {"hits": {"hits": [], "total": {"value": 0}}, "_shards": {"total": 0, "successful": 0}}
    if path.endswith("_msearch"):
        return 200, {"responses": [none] * (len(body.splitlines()) // 2)}
    return 200, {**none, "fields": {"Ce-Modelid.keyword": {"keyword": {"aggregatable": True}}}}


def existing(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for name, value in body.items():
            if name == "exists":
                yield value["field"]
            else:
                yield from existing(value)
    elif isinstance(body, list):
        for value in body:
            yield from existing(value)


def test_no_question_asks_for_an_object() -> None:
    """As the questions are put: report, compare, check-quality, export, rescore and the counters."""
    engine = EngineDouble(without_indices)
    ask_everything(engine)
    bodies = [body if isinstance(body, dict) else list(map(loads, body.splitlines())) for body in engine.bodies if body]
    asked = {field for body in bodies for field in existing(body)}
    assert {"request.dataType", "feedback.reward", "metrics.scorer", "metrics.series"} <= asked
    assert [field for field in asked if not is_leaf(field)] == []
