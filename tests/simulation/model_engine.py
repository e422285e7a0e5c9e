"""In-memory model of Elasticsearch and OpenSearch at the level of HTTP, for simulations. Deterministic and fast.

    engine = ModelEngine("opensearch", now=clock.time)  # or "elasticsearch7-oss", "elasticsearch9"
    status, answer = engine.request("POST", "/_bulk", lines, {})   # lines: bytes; the path as the program encodes it
    engine.documents()   # {(index, id): source}: what is stored, for invariants
    engine.wipe()        # loses everything: indices, templates, settings
    engine.restart()     # keeps all data and increments all primary terms
    engine.request("POST", "/a/_close", None, {})  # and _open, DELETE /a, PUT /_index_template/t, POST /_aliases ...
    engine.counts        # requests by kind; engine.writes: documents stored or removed
    engine.pipeline_order = shuffle  # orders a list of indices: OpenSearch runs pipelines index by index
    engine.max_content_length = 10_000  # http.max_content_length: 413 for a longer body

Every answer is a new object (but see `shared`). UnreadableAnswer is raised for an answer that the program's JSON parser
refuses (a number beyond a double); it has the status and the answer as an unbounded parser reads it. No threads or I/O.
Recorded conversations hold the model to real engines: see `tests.simulation.test_model`.

Not modelled: searches; several shards (`_seq_no` is per index); duplicate keys in JSON, which engines refuse and the
program never sends; processors other than `drop` and `fail`; component and legacy templates.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from tests.simulation import model_admin as admin
from tests.simulation import model_bulk, model_templates
from tests.simulation.conversation import parsed
from tests.simulation.model_flavour import FLAVOURS, NoHandler, Refusal
from tests.simulation.model_json import ParseError, parse
from tests.simulation.model_state import State

Json = dict[str, Any]

DEFAULT_MAX_CONTENT_LENGTH = 100 * 2**20


class UnreadableAnswer(Exception):  # noqa: N818  # an answer, not a defect
    """An answer that the program's JSON parser refuses. ``answer`` is the result of an unbounded parser."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(f"the answer {status} has a number that is beyond a double")
        self.status = status
        self.answer = answer


class ModelEngine:
    """One engine of a single node.

    ``flavour`` is a kind of `FLAVOURS`, ``now`` gives seconds since 1970, ``reader`` is the parser of answers: by
    default the program's, which refuses numbers beyond a double.
    """

    def __init__(
        self,
        flavour: str = "opensearch",
        now: Callable[[], float] = time.time,
        reader: Callable[[bytes], Any] = orjson.loads,
    ) -> None:
        self.flavour = FLAVOURS[flavour]
        self._reader = reader
        self._now = now
        self.max_content_length = DEFAULT_MAX_CONTENT_LENGTH
        self.counts: Counter[str] = Counter()
        self.writes = 0
        self.pipeline_order: Callable[[list[str]], list[str]] = list
        self.state = State(self.flavour, self._now)

    def request(
        self, method: str, path: str, body: bytes | None = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the parsed body of the answer. Raises UnreadableAnswer."""
        if body is not None and len(body) > self.max_content_length:
            self.counts["too large"] += 1
            return 413, ""
        try:
            if path == "/_bulk":
                self._allow(method, "POST", "PUT")
                self.counts["bulk"] += 1
                return 200, self._bulk(body)
            status, answer = self._answer(method, path, body, params or {})
        except (Refusal, NoHandler) as refusal:
            return refusal.answer()
        return status, answer

    # For the simulation

    def documents(self) -> dict[tuple[str, str], Any]:
        """Return all stored documents, (index, id) -> source, but those of hidden indices, which no glob finds either.

        A replica that is killed while it asks on a trial index leaves one.
        """
        return {
            (index.name, id): self._read(stored.source)[0]
            for index in self.state.indices.values()
            if index.settings.get("index.hidden") != "true"
            for id, stored in index.documents.items()
            if stored.source is not None
        }

    def wipe(self) -> None:
        """Lose all state, like an engine that was replaced by an empty one."""
        self.state = State(self.flavour, self._now)

    def restart(self) -> None:
        """Restart with all data, which increments every primary term."""
        for index in self.state.indices.values():
            index.reopen()

    # Answers

    def _read(self, source: bytes) -> tuple[Any, bool]:
        """Return a parsed source, and whether the reader of answers accepts it."""
        try:
            return self._reader(source), True
        except ValueError:
            return parsed(source), False

    def _allow(self, method: str, *allowed: str) -> None:
        if method not in allowed:
            raise NoHandler(405, f"Incorrect HTTP method for this uri and method [{method}], allowed: {list(allowed)}")

    def _bulk(self, body: bytes | None) -> Json:
        answer = model_bulk.run(self.state, model_bulk.read_lines(body, self.flavour), self.pipeline_order)
        unreadable = False
        for item in answer["items"]:
            for result in item.values():
                self.writes += result.get("result") in ("created", "updated", "deleted")
                got = result.get("get")
                if got is not None:
                    got["_source"], read = self._read(got["_source"])
                    unreadable = unreadable or not read
        if unreadable:
            raise UnreadableAnswer(200, answer)
        return answer

    def _mget(self, body: Json) -> Json:
        if not isinstance(body, dict) or not body.get("docs"):
            raise Refusal(400, "action_request_validation_exception", "Validation Failed: 1: no documents to get;")
        answer = admin.mget(self.state, body)
        unreadable = False
        for doc in answer["docs"]:
            if "_source" in doc:
                doc["_source"], read = self._read(doc["_source"])
                unreadable = unreadable or not read
        if unreadable:
            raise UnreadableAnswer(200, answer)
        return answer

    def _answer(self, method: str, path: str, body: bytes | None, params: Mapping[str, str]) -> tuple[int, Any]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        first = parts[0]
        last = parts[-1] if len(parts) > 1 else ""
        self.counts[f"{method} {last if last.startswith('_') else first if first.startswith('_') else 'index'}"] += 1
        if first.startswith("_") and len(first) > 1:
            return self._of_cluster(method, parts, body)
        if not first:
            return 200, self._root()
        return self._of_index(method, parts, self._json(body), params)

    def _of_cluster(self, method: str, parts: list[str], raw: bytes | None) -> tuple[int, Any]:
        state = self.state
        match method, parts:
            case (("GET" | "POST"), ["_mget"]):
                if raw is None:
                    raise Refusal(400, "parse_exception", "request body or source parameter is required")
                return 200, self._mget(self._json(raw))
            case "POST", ["_aliases"]:
                return 200, admin.change_aliases(state, self._json(raw))
            case _, ["_cluster", "health"]:
                self._allow(method, "GET", "HEAD")
                return 200, admin.health(state)
            case "PUT", ["_cluster", "settings"]:
                return 200, admin.put_cluster_settings(state, self._json(raw))
            case "GET", ["_index_template", name]:
                return 200, model_templates.get_template(state.templates, name)
            case (("PUT" | "POST"), ["_index_template", name]):
                return 200, model_templates.put_template(state.templates, self.flavour.name, name, raw or b"{}")
            case "DELETE", ["_index_template", name]:
                return 200, model_templates.delete_template(state.templates, name)
            case "PUT", ["_ingest", "pipeline", name]:
                return 200, admin.put_pipeline(state, name, self._json(raw))
            case "PUT", [name]:
                return 200, admin.put_index(state, name, self._json(raw))
        raise _no_handler(method, "/".join(parts))

    def _of_index(self, method: str, parts: list[str], body: Json, params: Mapping[str, str]) -> tuple[int, Any]:
        state = self.state
        match method, parts:
            case "PUT", [name]:
                return 200, admin.put_index(state, name, body)
            case "DELETE", [name]:
                return 200, admin.delete_index(state, name, params)
            case "GET", [name, "_mapping"]:
                return 200, admin.get_mapping(state, name, params)
            case (("PUT" | "POST"), [name, "_mapping"]):
                return 200, admin.put_mapping(state, name, body, params)
            case "GET", [name, "_settings"]:
                return 200, admin.get_settings(state, name, params)
            case "PUT", [name, "_settings"]:
                return 200, admin.put_settings(state, name, body, params)
            case "GET", [name, "_alias"]:
                return admin.get_alias(state, name, params)
            case (("PUT" | "POST"), [name, "_alias", alias]):
                return 200, admin.change_aliases(state, {"actions": [{"add": {"index": name, "alias": alias}}]})
            case "DELETE", [name, "_alias", alias]:
                return 200, admin.change_aliases(state, {"actions": [{"remove": {"index": name, "alias": alias}}]})
            case "PUT", [name, "_doc", id]:
                return model_bulk.put_document(state, name, id, body, refresh=params.get("refresh") == "true")
            case (("GET" | "POST"), [name, "_search"]):
                return 200, admin.search(state, name, body)
            case "POST", [name, ("_close" | "_open") as change]:
                return 200, (admin.close_index if change == "_close" else admin.open_index)(state, name, params)
        raise _no_handler(method, "/".join(parts))

    def _json(self, body: bytes | None) -> Any:
        if not body:
            return {}
        try:
            return parse(body, self.flavour)
        except ParseError:
            raise Refusal(400, "parse_exception", "the body is not JSON") from None

    def _root(self) -> Json:
        version = {"number": self.flavour.number}
        if self.flavour.distribution:
            version["distribution"] = self.flavour.distribution
        return {"name": "model", "cluster_name": "model", "version": version, "tagline": ""}


def _no_handler(method: str, path: str) -> NoHandler:
    return NoHandler(400, f"no handler found for uri [/{path}] and method [{method}]")
