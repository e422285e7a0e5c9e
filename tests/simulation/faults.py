"""What goes wrong between a program and its engine: one decision per request, by the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from request_logger.common.json import dumps, loads
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError, UnreadableAnswerError
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.admin import IndexAdmin
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.simulation.model_engine import ModelEngine, UnreadableAnswer

Answer = tuple[int, Any]

# Whole answers that no engine gives to what it was asked, and refusals of what stands before it.
_GARBAGE: tuple[Any, ...] = ("<html>busy</html>", [], None, {}, 7, {"items": None}, {"docs": 1}, {"error": "no"})
# Not 413: that is said of a document's size, and ends its events. `World` has engines that take little.
_STATUSES = (400, 401, 403, 404, 408, 429, 500, 502, 503, 504)
_ITEM_REFUSALS: tuple[tuple[int, str], ...] = (
    (429, "es_rejected_execution_exception"),
    (503, "unavailable_shards_exception"),
    (500, "engine_failed_exception"),
    (400, "mapper_parsing_exception"),
    (400, "index_closed_exception"),
    (403, "cluster_block_exception"),
    (404, "index_not_found_exception"),
    (409, "version_conflict_engine_exception"),
)
_REFUSAL = {"error": {"type": "simulated", "reason": "no"}}
_FORM_REFUSED = ((400, "mapper_parsing_exception"),)
# As often a gateway may refuse a document alone: the writer sends it again, and its form is that of its events.
_MOST_REFUSED_ALONE = 2
_VERBS = ("create", "index", "update", "delete")
Way = TypeVar("Way")


def _some(rng: random.Random, ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """Return all of them, or some in any order."""
    return ways if rng.random() < 0.3 else tuple(rng.sample(ways, rng.randint(1, len(ways))))


@dataclass(slots=True)
class Plan:
    """How often a request has which fault (0 to 1). All are 0 once the faults end."""

    unreachable: float = 0.0
    lost_answer: float = 0.0
    status: float = 0.0
    garbage: float = 0.0
    items: float = 0.0
    broken_items: float = 0.0
    too_large: float = 0.0
    """Of a _bulk: what stands before the engine takes none of its size."""
    statuses: tuple[int, ...] = _STATUSES
    item_refusals: tuple[tuple[int, str], ...] = _ITEM_REFUSALS
    verbs: tuple[str, ...] = _VERBS
    """The kinds of requests of which items are refused."""
    refuses_letters: bool = False
    """The index of dead letters refuses some of them, as one with another's mapping does."""
    items_refused: bool = False
    """Single items of a _bulk may be refused."""
    template_refused: bool = False
    """A template was refused as an engine does for good: it is installed again only after a while."""

    @classmethod
    def of(cls, rng: random.Random, *, takes_little: bool) -> Plan:
        """Draw one: some kinds not at all, some often; of each only a part of its ways.

        A few ways at a time lead further than all of them together (swarm testing): a document reaches the end of a
        long course only where nothing else stops it. ``takes_little``: events may be refused for good.
        """
        chances = [rng.choice((0.0, 0.0, 0.05, 0.2)) for _ in range(6)]
        plan = cls(*chances)
        plan.statuses = _some(rng, _STATUSES)
        plan.item_refusals = _some(rng, _ITEM_REFUSALS)
        plan.verbs = _some(rng, _VERBS)
        if rng.random() < 0.3:
            # Nearly all of one kind of request are refused, in one way.
            plan.items, plan.item_refusals, plan.verbs = 0.8, plan.item_refusals[:1], plan.verbs[:1]
        if takes_little:
            plan.too_large = rng.choice((0.0, 0.05, 0.3, 0.7))
            plan.refuses_letters = rng.random() < 0.4
        if plan.refuses_letters:
            # A letter follows only where every form of a document was refused.
            plan.items, plan.item_refusals, plan.verbs = 0.8, _FORM_REFUSED, _VERBS
        plan.items_refused = plan.items > 0
        return plan

    def end(self) -> None:
        """Let nothing go wrong any more."""
        self.unreachable = self.lost_answer = self.status = self.garbage = self.items = self.broken_items = 0.0
        self.too_large = 0.0


class FaultyEngine(SearchEngine):
    """The program's own client over the model, with faults. ``tell`` gets a line for each request."""

    def __init__(
        self,
        model: ModelEngine,
        settings: Settings,
        faults: Plan,
        rng: random.Random,
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(settings, warn=False)
        self._admin = IndexAdmin(self.request, settings, clock, f"{rng.getrandbits(32):08x}")
        self._model = model
        self._refused_alone: Counter[str] = Counter()
        self._faults = faults
        self._rng = rng
        self._tell = tell

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Answer as the model does, or as the faults have it."""
        raw = body if isinstance(body, bytes) or body is None else dumps(body)
        faults, rng = self._faults, self._rng
        if rng.random() < faults.unreachable:
            self._tell(f"{method} {path}: the engine is unreachable")
            raise StoreUnavailableError("the engine does not answer: simulated")
        if rng.random() < faults.status:
            status = rng.choice(faults.statuses)
            self._tell(f"{method} {path}: {status} of a proxy")
            faults.template_refused = faults.template_refused or (method == "PUT" and "/_index_template/" in path)
            page = rng.choice(("", "<html>no</html>", _REFUSAL))
            if (path, status, page) == ("/_bulk", 400, _REFUSAL) and not self._refuses_alone(raw or b""):
                page = ""
            return status, page
        if path == "/_bulk" and rng.random() < faults.too_large:
            self._tell(f"{method} {path}: 413 of a proxy")
            return 413, ""
        answer = self._bulk(raw or b"") if path == "/_bulk" else self._ask(method, path, raw, params)
        if rng.random() < faults.lost_answer:
            self._tell(f"{method} {path}: the answer is lost")
            raise StoreUnavailableError("the engine does not answer: the answer was lost")
        if rng.random() < faults.garbage:
            self._tell(f"{method} {path}: an answer that is none")
            if rng.random() < 0.3:
                raise UnreadableAnswerError("the engine's answer can't be read: simulated")
            garbage = rng.choice(_GARBAGE)
            # To a list of indices that would be an answer: that there is none. No engine says so of what is there.
            return 200, [] if path.endswith("/_alias") and garbage == {} else garbage
        return answer

    def _refuses_alone(self, body: bytes) -> bool:
        """Return whether a gateway may refuse a whole _bulk as an engine does: a document alone, only some times."""
        (verb, lines), *others = _groups(body)
        if others:
            return True
        id = _id_of(verb, lines)
        self._refused_alone[id] += 1
        return self._refused_alone[id] <= _MOST_REFUSED_ALONE

    def _ask(self, method: str, path: str, raw: bytes | None, params: Mapping[str, str] | None) -> Answer:
        try:
            status, answer = self._model.request(method, path, raw, params or {})
        except UnreadableAnswer:
            raise UnreadableAnswerError("the engine's answer can't be read: a number") from None
        self._tell(f"{method} {path}: {status}")
        if path == "/_mget" and status == 200 and self._rng.random() < self._faults.items:
            number = self._rng.randrange(len(answer["docs"]))
            kind = self._rng.choice(("no_shard_available_action_exception", "circuit_breaking_exception"))
            self._tell(f"  get {number} is refused: {kind}")
            one = {name: answer["docs"][number][name] for name in ("_index", "_id")}
            answer["docs"][number] = {**one, "error": {"type": kind, "reason": "simulated"}}
        return status, answer

    def _bulk(self, body: bytes) -> Answer:
        """Send a _bulk of which some items may be refused before the model sees them."""
        faults, rng = self._faults, self._rng
        if rng.random() >= faults.items:
            status, answer = self._ask("POST", "/_bulk", body, None)
        else:
            status, answer = self._refuse_some(body)
        if status == 200 and rng.random() < faults.broken_items:
            self._tell("POST /_bulk: an answer with broken items")
            answer = _broken(answer, rng)
        return status, answer

    def _refuse_some(self, body: bytes) -> Answer:
        groups = _groups(body)
        faults = self._faults
        refused = {
            number: self._rng.choice(faults.item_refusals)
            for number, (verb, _) in enumerate(groups)
            if verb in faults.verbs and self._rng.random() < max(0.5, faults.items)
        }
        for number in list(refused):
            verb, lines = groups[number]
            is_letter = DEAD_LETTER_INDEX.encode() in lines
            if refused[number][1] == "mapper_parsing_exception" and is_letter and not faults.refuses_letters:
                # Our mapping refuses nothing: that it does is answered 422, and nothing can be said of the event.
                del refused[number]
            elif refused[number][0] == 404 and (verb == "delete" or (verb == "update" and b'"upsert"' not in lines)):
                # No engine says that what is there is not there.
                del refused[number]
        sent = b"".join(lines for number, (_, lines) in enumerate(groups) if number not in refused)
        status, answer = self._ask("POST", "/_bulk", sent, None) if sent else (200, {"items": []})
        if status != 200:
            return status, answer
        answered = iter(answer["items"])
        items = []
        for number, (verb, lines) in enumerate(groups):
            id = _id_of(verb, lines)
            if number in refused:
                code, kind = refused[number]
                items.append({verb: {"_id": id, "status": code, "error": {"type": kind, "reason": "simulated"}}})
                self._tell(f"  item {number} ({verb}) is refused: {code} {kind}")
            else:
                items.append(next(answered))
        return 200, {"took": 1, "errors": True, "items": items}


def _groups(body: bytes) -> list[tuple[str, bytes]]:
    """Take a _bulk body apart: the verb and the lines of each request."""
    lines = body.split(b"\n")[:-1]
    groups = []
    while lines:
        verb = lines[0][2 : lines[0].index(b'"', 2)].decode()
        count = 1 if verb == "delete" else 2
        groups.append((verb, b"".join(line + b"\n" for line in lines[:count])))
        lines = lines[count:]
    return groups


def _id_of(verb: str, lines: bytes) -> str:
    id: str = loads(lines.split(b"\n", 1)[0])[verb]["_id"]
    return id


def _broken(answer: Any, rng: random.Random) -> Any:
    """Break the items of an answer, as a proxy or a cut connection might."""
    items = list(answer["items"])
    way = rng.randrange(5)
    if way == 0:
        return {**answer, "items": items[:-1]}
    if way == 1:
        return {**answer, "items": [None, *items[1:]]}
    ((verb, result),) = items[0].items()
    if way == 2:
        items[0] = {verb: {name: value for name, value in result.items() if name != "status"}}
    elif way == 3:
        items[0] = {verb: {name: value for name, value in result.items() if name != "_seq_no"}}
    else:
        items[0] = {verb: {name: value for name, value in result.items() if name != "get"}}
    return {**answer, "items": items}
