"""Compares what the engine has at the end of a schedule with what the pure functions make of the events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from typing import Any

from request_logger.documents.document import expand
from request_logger.documents.parts import RECEIVED
from request_logger.settings import Settings
from tests.model import in_order
from tests.simulation.process import SETTLE
from tests.simulation.traffic import Message, is_poison

# Each costs as much as storing the events again.
_MOST_ORACLES = 100
# The fields of a document that are computed from its parts.
_DERIVED = {"metrics", "prediction", "fold", "audit"}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What is known of the events of a schedule.

    ``interrupted`` are predictions of which an event was not answered in time, ``late`` the ids of documents whose
    requests reached the engine when nobody waited any more. ``arrivals`` are the times of all deliveries of the events
    without a time of their own, ``refused`` the events of which a delivery was refused for good. ``items_refused``:
    single documents were refused, so any may be degraded.
    """

    settings: Settings
    messages: Collection[Message]
    acknowledged: Collection[Message]
    interrupted: Collection[str]
    late: Collection[str]
    arrivals: Mapping[Message, list[str]]
    refused: Collection[Message] = ()
    items_refused: bool = True

    def problems(self, stored: Mapping[tuple[str, str], Any]) -> list[str]:
        """Return what is wrong with what is stored: (index, id) -> source."""
        by_id: dict[str, str] = {}
        for index, id in stored:
            if id in by_id and id not in self.late and not self._has_doubts(id.partition("-item-")[0]):
                return [f"{id} is in {by_id[id]} and in {index}"]
            by_id[id] = index
        found = {id: source for (_, id), source in stored.items()}
        problems = self._degraded_without_reason(found)
        for request_id in sorted({message.request_id for message in self.messages}):
            # A join of two copies that was given up leaves both.
            if self.settings.index_period != "none" and (request_id in self.late or self._has_doubts(request_id)):
                continue
            problems += self._of_prediction(request_id, found)
        return problems

    def _degraded_without_reason(self, found: Mapping[str, Any]) -> list[str]:
        """Say which documents are degraded though nothing in them was refused: a gateway refuses without a reason."""
        if self.items_refused:
            return []
        # A name in one document may make the mapping of its index refuse that of others.
        poisoned = {message.deployment for message in self.messages if is_poison(message)}
        return [
            f"{id} is degraded, and nothing in it was refused"
            for id, source in found.items()
            if _is_degraded(source) and source["Ce-Inferenceservicename"] not in poisoned
        ]

    def _is_sure(self, message: Message) -> bool:
        """Return whether a message must be in its prediction."""
        return message in self.acknowledged and (message.named_by == "id" or self.is_claimed(message.request_id))

    def is_claimed(self, request_id: str) -> bool:
        """Return whether an event that has the join key of its prediction was acknowledged."""
        return any(
            each.request_id == request_id and each.has_key and each in self.acknowledged for each in self.messages
        )

    def _has_doubts(self, request_id: str) -> bool:
        return request_id in self.interrupted or any(
            each.request_id == request_id and each not in self.acknowledged for each in self.messages
        )

    def _of_prediction(self, request_id: str, found: dict[str, Any]) -> list[str]:
        mine = {
            id: _plain(source)
            for id, source in found.items()
            if id == request_id or id.startswith(f"{request_id}-item-")
        }
        sent = list(dict.fromkeys(message for message in self.messages if message.request_id == request_id))
        sure = [message for message in sent if self._is_sure(message)]
        doubtful = [message for message in sent if message not in sure]
        if any(
            self._may_be(mine, [*sure, *extra])
            for count in range(len(doubtful) + 1)
            for extra in combinations(doubtful, count)
        ):
            return []
        if not doubtful:
            return self._of_stored(request_id, mine, found, sure)
        # Of an event that was not acknowledged some rows may be stored, and what was waits for the rest of them.
        for message in sure:
            if not any(message.part in source for source in mine.values()):
                return [f"{request_id}, with events that were given up: no {message.part} is stored"]
        return []

    def _of_stored(
        self, request_id: str, mine: dict[str, Any], found: dict[str, Any], sure: list[Message]
    ) -> list[str]:
        """Compare a prediction of which every event was acknowledged."""
        # The last form of a refused document has no metrics and no fold: they can be had again.
        degraded = {id for id in mine if not mine[id].keys() >= _DERIVED and _is_degraded(found[id])}
        rows = {id: source for id, source in mine.items() if id != request_id}
        # A feedback that reached the engine late, when another replica had handed it to the rows already.
        # Or a second delivery of it that was refused, or given up, on its way to the rows.
        is_left = request_id in {*self.late, *self.interrupted} or any(message in self.refused for message in sure)
        is_stray = is_left and not {"request", "response"} & mine.get(request_id, {}).keys()
        if self._may_be(mine, sure, degraded) or (is_stray and self._may_be(rows, sure, degraded)):
            return []
        return [f"{request_id}: {_difference(mine, next(self._oracles(sure, _times(mine))))}"]

    def _may_be(self, mine: dict[str, Any], chosen: list[Message], degraded: Collection[str] = ()) -> bool:
        """Return whether events may lead to these documents."""
        possible = list(islice(self._oracles(chosen, _times(mine)), _MOST_ORACLES))
        for each in possible:
            for id in mine.keys() & set(degraded):
                for name in _DERIVED - mine[id].keys():
                    each.get(id, {}).pop(name, None)
        if len(possible) == 1:
            return mine == possible[0]
        # Of the rows of a batch each may have been stored by another delivery.
        ids = {*mine, *possible[0]}
        return len(possible) == _MOST_ORACLES or all(
            any(mine.get(id) == each.get(id) for each in possible) for id in ids
        )

    def _oracles(self, chosen: list[Message], times: Collection[str]) -> Iterator[dict[str, Any]]:
        """Yield all that may be stored of events: which delivery of one without a time came first is not known."""
        possible = []
        for message in chosen:
            arrivals = self._arrivals_of(message) or [""]
            # What is stored says which, but of a version that another has replaced.
            possible.append([time for time in dict.fromkeys(arrivals) if time in times] or [min(arrivals)])
        for each in product(*possible):
            for kept in self._winners(chosen):
                events = [
                    replace(message, named_by="id").event(self.settings, arrival)
                    for message, arrival in zip(chosen, each, strict=True)
                    if message in kept
                ]
                yield {id: _plain(source) for (_, id), source in in_order(events, SETTLE).items()}

    def _arrivals_of(self, message: Message) -> list[str]:
        """Return the times of all deliveries of an event; of two that are equal, nothing says which is which."""
        if not self.arrivals:
            return []
        same = replace(message, sure=True)
        return [time for each, times in self.arrivals.items() if replace(each, sure=True) == same for time in times]

    def _winners(self, chosen: list[Message]) -> Iterator[Collection[Message]]:
        """Yield the events of which one version of each part stays.

        One without a time that arrived before and after another version may win or lose: its first arrival counts, but
        where the other has replaced it by then nobody knows of that.
        """
        choices = []
        for part in dict.fromkeys(message.part for message in chosen):
            versions = [message for message in chosen if message.part == part]
            is_open = len(versions) > 1 and any(len(self._arrivals_of(one)) > 1 for one in versions)
            choices.append([versions, *([one] for one in versions if is_open)])
        for each in product(*choices):
            yield {message for versions in each for message in versions}


def _times(documents: Mapping[str, Any]) -> set[str]:
    """Return the times of arrival that documents have."""
    found = {document.get("@timestamp", "") for document in documents.values()}
    parts = (part for document in documents.values() for part in document.values() if isinstance(part, dict))
    return found | {part[RECEIVED] for part in parts if RECEIVED in part}


def _is_degraded(source: Any) -> bool:
    return any(isinstance(part, dict) and "unindexed" in part for part in source.values())


def _difference(stored: Any, expected: Any) -> str:
    """Say where two trees part."""
    if isinstance(stored, dict) and isinstance(expected, dict):
        for name in sorted(stored.keys() | expected.keys()):
            if name not in stored:
                return f"{name} is missing"
            if name not in expected:
                return f"{name} is there and should not be"
            if stored[name] != expected[name]:
                return f"{name}: {_difference(stored[name], expected[name])}"
    return f"stored {str(stored)[:200]}, expected {str(expected)[:200]}"


def _plain(source: Any) -> Any:
    """Undo the forms that a refusal has led to: they are in what was stored on the way, and stay."""
    whole = {name: expand(value) if isinstance(value, dict) else value for name, value in source.items()}
    whole.get("metrics", {}).pop("scored_at", None)
    return whole
