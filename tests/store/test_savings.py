"""What a new index would save, said of an existing one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.cli import main
from request_logger.settings import Settings
from request_logger.store.indices import templates
from request_logger.store.indices.lean_template import without_points
from request_logger.store.indices.savings import savings
from tests.helpers import Index, Sender, event, index_of, ndarray

NEW = templates.wanted(Settings(index_codec="best_compression"))[templates.TEMPLATE_NAME]
LEAN = without_points(NEW)["template"]
BEST = {"index.codec": "best_compression"}


def told(mapping: dict[str, Any], settings: dict[str, Any], new: dict[str, Any] = LEAN) -> dict[str, str]:
    """Field -> what was found."""
    found = savings(mapping, settings, new)
    assert not any(finding.needs_action for finding in found)
    return {finding.field: finding.found for finding in found}


@pytest.mark.parametrize("new", [NEW["template"], LEAN], ids=["points", "no points"])
def test_a_new_index_saves_nothing(new: dict[str, Any]) -> None:
    assert told(new["mappings"], BEST, new) == {}


def test_each_thing_that_a_new_index_saves() -> None:
    """Subfields that no dashboard groups by, names that are indexed, points, the codec."""
    text = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    old: dict[str, Any] = {
        "properties": {
            "RequestId": text,
            "request": {
                "properties": {
                    "ce-source": text,
                    "dataType": text,
                    "names": text,
                    "payload": {"properties": {"x": {"type": "long"}}},
                    "elements": {"properties": {"age": {"type": "double"}, "job": text}},
                }
            },
            "feedback": {"properties": {"reward": {"type": "double"}}},
        }
    }
    assert told(old, {}) == {
        "index.codec": "default",
        "{request.ce-source, request.names}.keyword": "indexed",
        "{request.names, request.payload}": "indexed",
        "{feedback.reward, request.elements.age, request.payload.x}": "points",
    }
    assert "{feedback.reward, request.elements.age, request.payload.x}" not in told(old, {}, NEW["template"])
    assert "index.codec" not in told(old, BEST)


def test_other_parts_of_an_object_are_indexed_in_a_new_index_too() -> None:
    """The template's object of which it knows only parts that are stored takes any other name."""
    stored = {"type": "object", "enabled": False}
    part = {"properties": {"meta": {"properties": {"routing": stored, "puid": {"type": "keyword"}}}}}
    new = {"mappings": {"properties": {"request": {"properties": {"meta": {"properties": {"routing": stored}}}}}}}
    assert told({"properties": {"request": part}}, {}, new) == {}
    new["mappings"]["properties"]["request"]["properties"]["meta"] = stored
    assert list(told({"properties": {"request": part}}, {}, new)) == ["request.meta"]


def test_settings_of_an_installed_template_are_nested() -> None:
    """As the engine shows them."""
    new = {**LEAN, "settings": {"index": {"codec": "zstd"}}}
    (finding,) = savings(LEAN["mappings"], {"index.codec": "lz4"}, new)
    assert finding.happens == "takes more disk than zstd, which a new index has"
    assert savings(LEAN["mappings"], {}, {**LEAN, "settings": {"index": {"codec": "default"}}}) == []


@pytest.mark.engine
def test_check_tells_and_copies(
    sender: Sender, index: Index, deployment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index of an older template: nothing to do, unless it shall be smaller; then the commands make it so."""
    assert sender.send(event("request", "first", f"{deployment}-other"), ndarray([[1]])) == (200, b"")
    name = index_of(deployment)
    old = json.loads(json.dumps(templates.mapping()))
    old["properties"]["request"]["properties"]["names"] = {"type": "keyword"}
    index.request("PUT", f"/{name}", {"mappings": old, "settings": {"index.codec": "default"}})
    assert sender.send(event("request", "r1", deployment), ndarray([[1, 2]], ["a", "b"])) == (200, b"")
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    capsys.readouterr()
    assert main(["check", "--json", name]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["commands"] == []
    assert "request.names" in {saving["field"] for saving in report["savings"]}
    assert main(["check", name]) == 0
    assert "  - request.names (indexed): " in capsys.readouterr().out
    assert main(["check", "--json", "--copy", name]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert any("_reindex" in command for command in report["commands"])
