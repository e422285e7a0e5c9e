"""METADATA_FILE: rules, messages about mistakes, and reloading."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from request_logger.metadata import MetadataError
from request_logger.metadata.file import CHECK_SECONDS, MetadataFile

RULES = """
rules:
  - namespace: prod-*
    deployment: loan
    predictor: canary
    prediction_schema:
      requests: [{name: Canary, type: REAL}]
  - namespace: prod-*
    deployment: loan*
    prediction_schema:
      requests:
        - {name: Years, type: REAL}
        - {name: Job, type: CATEGORICAL, category_map: {0: none, 1: clerk}}
      responses:
        - {name: Repays, type: PROBA, schema: [{name: "no"}, {name: "yes"}]}
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def first(file: MetadataFile, *origin: str) -> str | None:
    schema = file.schema_for(*origin)
    return schema.requests[0].name if schema else None


def test_the_first_rule_that_matches_is_used(tmp_path: Path) -> None:
    path = tmp_path / "metadata.yaml"
    path.write_text(RULES)
    file = MetadataFile(str(path))
    assert first(file, "prod-a", "loan", "canary") == "Canary"
    assert first(file, "prod-a", "loan", "default") == "Years"
    assert first(file, "prod-b", "loan-kf", "") == "Years"
    assert first(file, "test", "loan", "default") is None
    assert first(file, "PROD-a", "loan", "default") is None
    schema = file.schema_for("prod-a", "loan", "default")
    assert schema is not None
    assert schema.elements_of("request", [3.0, 1.0]) == {"Years": 3.0, "Job": "clerk"}
    assert schema.elements_of("response", [0.1, 0.9]) == {"Repays": {"no": 0.1, "yes": 0.9}}


def test_json_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"rules": [{"prediction_schema": {"requests": [{"name": "a"}]}}]}))
    assert first(MetadataFile(str(path)), "any", "thing", "") == "a"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rules: [", "{path}: is neither YAML nor JSON: "),
        ("- a", "{path}: rules: expected an object with a list of rules under the key rules"),
        ("rules: {a: b}", "{path}: rules: expected an object with a list of rules under the key rules"),
        ("rules: []\nrule: 1", "{path}: rule: unknown key, expected only rules"),
        ("rules: [3]", "{path}: rule 1: expected an object, found 3"),
        (
            "rules: [{name: x, prediction_schema: {requests: [{name: a}]}}]",
            "{path}: rule 1: name: unknown key, expected namespace, deployment, predictor, prediction_schema",
        ),
        (
            "rules: [{deployment: 7, prediction_schema: {requests: [{name: a}]}}]",
            "{path}: rule 1: deployment: expected text (put it in quotes), found 7",
        ),
        (
            "rules: [{deployment: x}]",
            "{path}: rule 1: prediction_schema: expected an object with requests and responses, found nothing",
        ),
        (
            "rules: [{prediction_schema: {requests: [{name: a, type: DECIMAL}]}}]",
            "{path}: rule 1: prediction_schema: requests: feature 1: type: expected one of PROBA, ONE_HOT, "
            "CATEGORICAL, REAL, INT, TEXT, TENSOR, found 'DECIMAL'",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_with_file_rule_and_key(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "metadata.yaml"
    path.write_text(content)
    with pytest.raises(MetadataError) as caught:
        MetadataFile(str(path))
    assert str(caught.value).startswith(expected.format(path=path))
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metadata.yaml"
    path.write_text("rules: [3, {deployment: x}]\nmore: 1")
    with pytest.raises(MetadataError) as caught:
        MetadataFile(str(path))
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_and_binary_are_told(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"missing.yaml: can't be read: No such file"):
        MetadataFile(str(tmp_path / "missing.yaml"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00rules")
    with pytest.raises(MetadataError, match="is neither YAML nor JSON"):
        MetadataFile(str(tmp_path / "binary"))


def test_a_changed_file_is_read_again_and_a_wrong_one_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def write(name: str, then: float) -> None:
        path.write_text(f"rules: [{{prediction_schema: {{requests: [{{name: {name}}}]}}}}]")
        os.utime(path, (then, then))
        clock.now += CHECK_SECONDS

    path, clock = tmp_path / "metadata.yaml", Clock()
    write("one", 1)
    file = MetadataFile(str(path), clock)
    assert first(file, "", "x", "") == "one"
    write("two", 2)
    assert first(file, "", "x", "") == "two"
    with caplog.at_level(logging.ERROR):
        write("[", 3)
        assert first(file, "", "x", "") == "two"
        clock.now += CHECK_SECONDS
        assert first(file, "", "x", "") == "two"
    assert [record.message.count("METADATA_FILE is wrong") for record in caplog.records] == [1]
    path.unlink()
    clock.now += CHECK_SECONDS
    assert first(file, "", "x", "") == "two"
    write("three", 4)
    assert first(file, "", "x", "") == "three"


def test_the_file_is_not_looked_at_for_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "metadata.yaml", Clock()
    path.write_text(RULES)
    file = MetadataFile(str(path), clock)
    looks: list[Any] = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **more: looks.append(self) or stat(self, **more))
    for _ in range(1000):
        file.schema_for("prod-a", "loan", "default")
    assert looks == []
    clock.now += CHECK_SECONDS
    file.schema_for("prod-a", "loan", "default")
    assert looks == [path]
