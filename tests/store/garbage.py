"""Answers that no engine gives, as parsed bodies: pages, other JSON, half answers, wrong types."""

from __future__ import annotations

from typing import Any

PAGES: list[Any] = ["<html><body>It works</body></html>", "", None, [], [1], 0, 7, 1.5, True, "ok", {}]
"""What is an answer to nothing."""

DEEP: dict[str, Any] = {}
_inner = DEEP
for _ in range(900):
    _inner["properties"] = {"a": {}}
    _inner = _inner["properties"]["a"]


def mappings(index: str) -> list[Any]:
    """Answers to a question for a mapping that are none; an empty one is one."""
    whole = [PAGES[0], None, [], 7, {"properties": []}, {"properties": {"a": "keyword"}}, {"properties": {"a": None}}]
    whole += [{"properties": {"a": {"type": 7}}}, {"properties": {"a": {"fields": [1]}}}, DEEP]
    halves = [{index: {}}, {index: None}, {index: []}, {index: "mappings"}, {"error": "x"}, {"acknowledged": True}]
    return [*(page for page in PAGES if page != {}), *halves, *({index: {"mappings": each}} for each in whole)]


def settings(index: str) -> list[Any]:
    """Answers to a question for settings that are none."""
    halves = [{index: {}}, {index: None}, {index: {"settings": None}}, {index: {"settings": []}}, {index: "x"}]
    return [*PAGES, *halves, {"another": {"settings": {}}}]


def templates() -> list[Any]:
    """Answers to a question for a template that are none."""
    wrong = [None, [], 7, {}, {"index_patterns": None}, {"index_patterns": "a*"}, {"index_patterns": [1]}]
    wrong += [{"index_patterns": ["a*"], "version": each} for each in ("2", True, [], 1.5)]
    wrong += [{"index_patterns": ["a*"], "template": each} for each in (None, [], {"settings": []}, {"settings": None})]
    wrong += [{"index_patterns": ["a*"], "template": {"settings": {"index": 1}}}]
    lists = [None, {}, 7, "x", [None], [[]], [{}], *([{"index_template": each}] for each in wrong)]
    return [*PAGES, *({"index_templates": each} for each in lists)]


def aliases(index: str) -> list[Any]:
    """Answers to a question for aliases that are none; an empty one is one."""
    halves = [{index: {}}, {index: None}, {index: []}, {index: {"aliases": None}}, {index: {"aliases": ["a"]}}]
    return [*(page for page in PAGES if page != {}), *halves, {"error": "x", "status": 404}]


def acknowledgements() -> list[Any]:
    """Answers to a change that are none."""
    return [*PAGES, *({"acknowledged": each} for each in (False, None, 1, "true", [])), {"error": "x"}]


def searches() -> list[Any]:
    """Answers to a search that are none, or not of all shards."""
    shards = {"total": 1, "successful": 1, "failed": 0}
    halves = [{"hits": {}}, {"_shards": shards}, {"_shards": shards, "hits": []}, {"_shards": 1, "hits": {}}]
    return [*PAGES, *halves, {"_shards": {**shards, "failed": 1}, "hits": {}}, {"_shards": {}, "hits": {}}]


def health() -> list[Any]:
    """Answers to a question for the health that are none."""
    return [*PAGES, {"cluster_name": "x"}, *({"status": each} for each in (None, 200, [], "ok", {"a": 1}))]
