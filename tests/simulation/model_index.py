"""One index of the model engine: documents, settings, mapping, and the actions of a bulk on a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because
from tests.simulation.model_json import ParseError, dumped, parse, too_nested
from tests.simulation.model_mapping import DEFAULT_LIMIT, ModelMapping

Json = dict[str, Any]

LIMIT = "index.mapping.total_fields.limit"
PIPELINES = ("index.default_pipeline", "index.final_pipeline")
_ON = ("true", "True")


@dataclass(slots=True)
class Stored:
    """A document, or the tombstone of a deleted one (``source`` is None)."""

    source: bytes | None
    seq_no: int
    term: int
    version: int


class ModelIndex:
    """An index of one shard."""

    def __init__(
        self, name: str, flavour: Flavour, settings: dict[str, str], mapping: ModelMapping | None = None
    ) -> None:
        self.name = name
        self.flavour = flavour
        self.settings = {"index.number_of_shards": "1", "index.number_of_replicas": "1", **settings}
        self.settings["index.provided_name"] = name
        self.mapping = ModelMapping(flavour) if mapping is None else mapping.copy()
        self.aliases: dict[str, Json] = {}
        self.documents: dict[str, Stored] = {}
        self.closed = False
        self.data_stream = ""
        self.term = 1
        self._next = 0
        self.settings_changed()

    def settings_changed(self) -> None:
        """Update the values that depend on settings."""
        self.mapping.limit = int(self.settings.get(LIMIT, DEFAULT_LIMIT))
        self.pipelines = [name for key in PIPELINES if (name := self.settings.get(key, "_none")) != "_none"]
        self.shards = {"total": 1 + int(self.settings["index.number_of_replicas"]), "successful": 1, "failed": 0}
        self.frozen = self.block("metadata")
        self.blocked = any(self.has_block(name) for name in ("write", "read_only", "read_only_allow_delete"))

    def has_block(self, name: str) -> bool:
        """Say whether a block is set."""
        return self.settings.get(f"index.blocks.{name}") in _ON

    def block(self, *names: str) -> Refusal | None:
        """Return the refusal of the first of these blocks that is set, or None."""
        for name in names:
            if self.has_block(name):
                if name == "read_only_allow_delete":
                    text = f"index [{self.name}] blocked by: [TOO_MANY_REQUESTS/12/read-only-allow-delete block];"
                    return Refusal(429, "cluster_block_exception", text)
                text = f"index [{self.name}] blocked by: [FORBIDDEN/8/index {name} (api)];"
                return Refusal(403, "cluster_block_exception", text)
        return None

    def get(self, id: str) -> Stored | None:
        """Return the document, or None."""
        found = self.documents.get(id)
        return found if found is not None and found.source is not None else None

    def reopen(self) -> None:
        """Start a new primary: its term is higher, and versions of deleted documents are forgotten."""
        self.term += 1
        self.documents = {id: stored for id, stored in self.documents.items() if stored.source is not None}

    # Actions. Each returns the item of the answer without index and id, or raises Refusal.

    def create(self, id: str, source: bytes) -> Json:
        """Store a document that must not exist."""
        if self.get(id) is not None:
            self._check(source)
            raise self._conflict(id, "document already exists")
        return self._store(id, source)

    def index(self, id: str, source: bytes, at: tuple[int, int] | None) -> Json:
        """Store a document; ``at`` is the required current version (seq_no, primary_term)."""
        if at is not None:
            self._check(source)
            self._require(id, at)
        return self._store(id, source, is_checked=at is not None)

    def update(self, id: str, body: Json, at: tuple[int, int] | None) -> Json:
        """Merge ``doc`` into a document, or store ``upsert``."""
        found = self.get(id)
        if found is None:
            source = body.get("doc") if body.get("doc_as_upsert") else body.get("upsert")
            if source is None:
                raise self._missing(id)
            if at is not None:
                raise self._missing(id)
            answer = self._store(id, source if isinstance(source, bytes) else dumped(source))
        else:
            if at is not None:
                self._require(id, at)
            answer = self._merge(id, found, body["doc"])
        if body.get("_source") is True:
            self._attach(id, answer)
        return answer

    def delete(self, id: str, at: tuple[int, int] | None) -> Json:
        """Remove a document."""
        if self.flavour.has_types:
            # A deletion, too, introduces the type, and so a mapping.
            self.mapping.need(self.frozen)
        if at is not None:
            self._require(id, at)
        found = self.documents.get(id)
        there = found is not None and found.source is not None
        stored = self._note(id, None)
        return self._answer(stored, "deleted" if there else "not_found", 200 if there else 404)

    def _merge(self, id: str, found: Stored, doc: Json) -> Json:
        if doc:
            assert found.source is not None
            merged = parse(found.source, self.flavour)
            if _merged(merged, doc):
                return self._store(id, dumped(merged))
        return self._answer(found, "noop", 200)

    def _attach(self, id: str, answer: Json) -> None:
        stored = self.documents[id]
        status = answer.pop("status")
        answer["get"] = {
            "_seq_no": stored.seq_no,
            "_primary_term": stored.term,
            "found": True,
            "_source": stored.source,
        }
        answer["status"] = status

    def _store(self, id: str, source: bytes, *, is_checked: bool = False) -> Json:
        if not id:
            raise bad_argument("if _id is specified it must not be empty")
        try:
            if not is_checked:
                self._check(source)
        except Refusal as refusal:
            self._next += refusal.numbered
            raise
        there = self.get(id) is not None
        stored = self._note(id, source)
        return self._answer(stored, "updated" if there else "created", 200 if there else 201)

    def _check(self, source: bytes) -> None:
        try:
            document = parse(source, self.flavour)
        except ParseError:
            raise self._unreadable() from None
        if document.__class__ is not dict:
            raise self._unreadable(not self.flavour.is_elastic)
        deepest = self.flavour.deepest_arrays
        if deepest is not None and source.count(b"[") > deepest and too_nested(document, deepest):
            raise self._unreadable()
        if self.data_stream and "@timestamp" not in document:
            text = "data stream timestamp field [@timestamp] is missing"
            raise Refusal(400, self.flavour.parsing, "failed to parse", **because("illegal_argument_exception", text))
        self.mapping.take(document, self.frozen)

    def _unreadable(self, has_cause: bool = True) -> Refusal:
        cause = because("x_content_parse_exception", "not JSON") if has_cause else {}
        return Refusal(400, self.flavour.parsing, "failed to parse", **cause)

    def _note(self, id: str, source: bytes | None) -> Stored:
        before = self.documents.get(id)
        stored = Stored(source, self._next, self.term, 1 if before is None else before.version + 1)
        self._next += 1
        self.documents[id] = stored
        return stored

    def _answer(self, stored: Stored, result: str, status: int) -> Json:
        return {
            "_version": stored.version,
            "result": result,
            "_shards": self.shards.copy(),
            "_seq_no": stored.seq_no,
            "_primary_term": stored.term,
            "status": status,
        }

    def _require(self, id: str, at: tuple[int, int]) -> None:
        found = self.get(id)
        if found is None or (found.seq_no, found.term) != at:
            raise self._conflict(id, f"required seqNo [{at[0]}], primary term [{at[1]}]")

    def _conflict(self, id: str, why: str) -> Refusal:
        text = f"[{id[:50]}]: version conflict, {why}"
        return Refusal(409, "version_conflict_engine_exception", text, index=self.name, shard="0")

    def _missing(self, id: str) -> Refusal:
        text = f"[{id[:50]}]: document missing"
        return Refusal(404, "document_missing_exception", text, index=self.name, shard="0")


def _merged(there: Json, doc: Json) -> bool:
    """Merge ``doc`` into ``there``; return whether it changed."""
    changed = False
    for name, value in doc.items():
        old = there.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            changed = _merged(old, value) or changed
        elif name not in there or old != value or old.__class__ is not value.__class__:
            there[name] = value
            changed = True
    return changed
