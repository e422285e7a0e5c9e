"""Compares the documents in the engine with the events that were acknowledged to a sender."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.engines import Client
from bench.faults.traffic import Traffic, content, is_poison
from bench.first import index_of, is_right
from request_logger.documents.document import expand

_PAGE = 2000
_LETTERS = "request-logger-dead-letters"


@dataclass(slots=True)
class Count:
    """One row of the table; ``problems`` has one line per violated expectation."""

    events: int = 0
    acknowledged: int = 0
    again: int = 0
    stored: int = 0
    duplicated: int = 0
    missing: int = 0
    longest: float = 0.0
    memory: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Remarks on the figures."""


def count(engine: Client, senders: Sequence[Traffic]) -> Count:
    """Count the senders' events and compare them with the documents in the engine."""
    total = Count()
    for sender in senders:
        total.events += len(sender.sent - sender.gone)
        total.acknowledged += len(sender.acknowledged - sender.gone)
        total.again += sender.again
        total.longest = max(total.longest, sender.longest)
        _compare(engine, sender, total)
    if total.missing:
        total.problems.append(f"{total.missing} acknowledged events are not in the engine")
    if total.duplicated:
        total.problems.append(f"{total.duplicated} duplicate documents")
    if total.acknowledged < total.events:
        total.problems.append(f"{total.events - total.acknowledged} events were never acknowledged")
    return total


def _compare(engine: Client, sender: Traffic, total: Count) -> None:
    index = index_of(sender.deployment)
    engine.ask("POST", f"/{index}/_refresh?ignore_unavailable=true")
    documents: dict[str, list[dict[str, Any]]] = {}
    for hit in _all(engine, index):
        documents.setdefault(hit["_source"]["RequestId"], []).append(hit["_source"])
    ids = {f"{sender.deployment}-{number}": number for number, _ in sender.sent}
    total.duplicated += sum(len(found) - (id in ids) for id, found in documents.items())
    for key in sender.acknowledged - sender.gone:
        found = documents.get(f"{sender.deployment}-{key[0]}", [])
        total.stored += any(_has(document, key, sender) for document in found)
        total.missing += not any(_has(document, key, sender) for document in found)
    unscored = unexpected = 0
    for id, found in documents.items():
        for document in found:
            if {"response", "feedback"} <= set(document) and id in ids:
                unscored += not _is_scored_rightly(document.get("metrics", {}), ids[id], scored=sender.scored)
            refused = any("unindexed" in part for part in document.values() if isinstance(part, dict))
            unexpected += refused != (sender.poison and is_poison(ids.get(id, 0)))
    if unscored:
        total.problems.append(f"{unscored} documents without metrics, or with wrong metrics")
    if unexpected:
        total.problems.append(
            f"{unexpected} documents have unindexed parts without need, or have none although a value was rejected"
        )
    letters = _letters(engine, index)
    if letters:
        total.problems.append(f"{letters} dead letters")
    if sender.refused:
        total.problems.append(f"events were rejected with {dict(sender.refused)}")


def _is_scored_rightly(metrics: dict[str, Any], number: int, *, scored: bool | None) -> bool:
    right = metrics.get("correct") == int(is_right(number))
    says_why = bool(metrics.get("unscorable"))
    return bool(metrics) if scored is None else right if scored else says_why


def _has(document: dict[str, Any], key: tuple[int, str], sender: Traffic) -> bool:
    part = expand(document.get(key[1], {}))
    kept = part if key[1] == "feedback" else part.get("payload", {})
    return {name: plain(value) for name, value in content(key, poison=sender.poison).items()}.items() <= kept.items()


def plain(value: Any) -> Any:
    """Return a value as in JSON, where a tuple is an array."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _all(engine: Client, index: str) -> Iterator[dict[str, Any]]:
    page = engine.ask("POST", f"/{index}/_search?scroll=1m&ignore_unavailable=true", {"size": _PAGE, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        yield from page["hits"]["hits"]
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


def _letters(engine: Client, index: str) -> int:
    engine.ask("POST", f"/{_LETTERS}/_refresh?ignore_unavailable=true")
    query = {"query": {"term": {"index": index}}}
    return int(engine.ask("POST", f"/{_LETTERS}/_count?ignore_unavailable=true", query)["count"])
