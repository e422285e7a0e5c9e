"""Copies an index of an earlier version to one with the current types, which then takes its name, as an alias.

Loggers go on writing to the old index meanwhile. It is read in the order of its changes (`_seq_no`), so that each
further round has only what has changed since. Then writes to it are blocked for the last changes, a second or so in
which loggers wait, and one request replaces the index by the alias. It needs neither `_reindex` nor delete-by-query.
Loggers lift a block that a killed run has left: see `upgrade_lock`.

The new index is hidden until then, so that no query over all indices counts a prediction twice. Its primary terms are
higher than the old one's: a version that a logger remembers of the old index can't be one of the new index by chance.
A run that was interrupted continues: the new index says of which index it is a copy, and how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from request_logger.common.json import dumps
from request_logger.documents.document import degrade
from request_logger.errors import CommandError
from request_logger.jobs.upgrade_block import WriteBlock
from request_logger.jobs.upgraded_documents import converted
from request_logger.store.changes import RefusedRequestError, StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.errors import reason_of
from request_logger.store.indices.upgrade_lock import (
    COPY,
    COPYING,
    DONE,
    MADE_BY,
    OPEN,
    copies_pattern,
    lock_name,
    state_of,
)

Hit = dict[str, Any]
Answer = TypeVar("Answer")

# Documents per read: the first ones, before their size is known, and the most; a read has about so many bytes.
_FIRST_PAGE, _MOST_PAGE, _PAGE_BYTES = 20, 500, 10 * 2**20
_BULK_BYTES = 5 * 2**20
# A round with fewer changes takes less than a second: what is left is copied while writes are blocked.
_FEW = 200
# With a constant stream of changes, rounds stop getting shorter.
_MOST_ROUNDS = 20
# Deletions are rare, and found by comparing all documents: outside of the block, except for the last attempt.
_MOST_ATTEMPTS = 5
# Each node restart raises a primary term by one or two, and so does each attempt.
_MOST_TERMS = 200
# Outages of the search engine up to this long don't end the run.
_PATIENCE_SECONDS = 120.0
_SAVE_SECONDS = 5.0
_FINAL = (200, 201, 404, 409)
# A document that isn't a prediction: a part that waits for the rows of its batch, and is deleted when they have come.
_WAITING = {"bool": {"must_not": [{"exists": {"field": f"{part}.dataType"}} for part in ("request", "response")]}}


def copy_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return the name of an index's copy: a copy that was begun, else the first free ``<name>.v2``, ``.v3``, ..."""
    for index, about in taken.items():
        if _source_of(about) == name:
            return index
    stem = COPY.sub("", name)
    numbers = [int(found[1]) for index in [*taken, name] if (found := COPY.search(index))]
    return f"{stem}.v{max([1, *numbers]) + 1}"


def begun_copies(engine: SearchEngine, pattern: str) -> dict[str, tuple[str, bool]]:
    """Return copies that an interrupted run has left: their sources, and whether they have replaced these already."""
    path = "/" + ",".join(f"{quote(name, safe='*')}.v*" for name in pattern.split(","))
    status, answer = engine.request("GET", path, params=OPEN)
    if status != 200 or not isinstance(answer, dict):
        raise StoreUnavailableError(f"the engine answered {status} to a request for the copies of indices")
    found = {}
    for index, about in answer.items():
        source = _source_of(about)
        if source:
            found[index] = (source, bool(about.get("aliases")))
    return found


def _source_of(about: Any) -> str:
    """Return the name of the index of which an index (its mapping) is a copy that has not replaced it yet."""
    return str(state_of(about.get("mappings", {})).get("of", ""))


class UpgradeIndex:
    """One index's upgrade. ``tell`` is called with lines about its progress."""

    def __init__(self, engine: SearchEngine, name: str, tell: Callable[[str], None]) -> None:
        self._engine = engine
        self._name = name
        self._tell = tell
        self._target = self._uuid = ""
        self._state = COPYING
        self._page = _FIRST_PAGE
        self._read_up_to: dict[str, int] = {}
        self._saved_at = time.monotonic()

    def run(self) -> str:
        """Copy the index and replace it; return the name of the new one. Raises CommandError, StoreUnavailableError."""
        self._prepare()
        copied = self._catch_up()
        self._tell(f"{self._name}: {copied:,} changes copied to {self._target}")
        for attempt in range(_MOST_ATTEMPTS):
            if self._replace(is_last=attempt == _MOST_ATTEMPTS - 1):
                break
            self._remove_deleted({"match_all": {}})
            self._catch_up()
        self._finish()
        return self._target

    def finish(self, target: str) -> None:
        """Finish a run that ended just after it had replaced the index. Raises CommandError, StoreUnavailableError."""
        self._target = target
        self._finish()

    def _finish(self) -> None:
        self._ask("PUT", f"{_path(self._target)}/_settings", {"index.hidden": False})
        self._note(DONE)

    # The new index

    def _prepare(self) -> None:
        settings = self._ask("GET", f"{_path(self._name)}/_settings", params={"flat_settings": "true"})
        self._uuid = str(settings[self._name]["settings"]["index.uuid"])
        taken = self._ask("GET", f"{copies_pattern(self._name)}/_mapping", params=OPEN, missing={})
        self._target = copy_name(self._name, taken)
        if self._target in taken:
            kept = taken[self._target]["mappings"]["_meta"][MADE_BY]
            if kept.get("uuid") != self._uuid:
                raise CommandError(
                    f"{self._target}: is a copy of another {self._name}, which was deleted: delete it, too"
                )
            self._read_up_to = {str(shard): int(number) for shard, number in kept.get("read", {}).items()}
            self._tell(f"{self._name}: continuing with {self._target}")
        else:
            body = {"settings": {"index.hidden": True}, "mappings": {"_meta": self._meta()}}
            self._ask("PUT", _path(self._target), body)
        self._raise_terms()

    def _meta(self) -> dict[str, Any]:
        about = {"of": self._name, "uuid": self._uuid, "state": self._state}
        return {MADE_BY: {**about, "read": self._read_up_to}}

    def _note(self, state: str) -> None:
        self._state = state
        self._ask("PUT", f"{_path(self._target)}/_mapping", {"_meta": self._meta()})

    def _raise_terms(self) -> None:
        """Close and open the new index until its primary terms are higher than those of the old one."""
        for _ in range(_MOST_TERMS):
            if min(self._terms(self._target)) > max(self._terms(self._name)):
                return
            self._ask("POST", f"{_path(self._target)}/_close")
            self._ask("POST", f"{_path(self._target)}/_open", params={"wait_for_active_shards": "1"})
        raise CommandError(f"{self._target}: its primary terms don't exceed those of {self._name}")

    def _terms(self, index: str) -> list[int]:
        answer = self._ask("GET", f"/_cluster/state/metadata{_path(index)}")
        return [int(term) for term in answer["metadata"]["indices"][index]["primary_terms"].values()]

    # Copying

    def _catch_up(self) -> int:
        """Copy changes until few are left; return their number."""
        copied = 0
        for _ in range(_MOST_ROUNDS):
            changes = self._round()
            copied += changes
            if changes <= _FEW:
                break
        return copied

    def _round(self) -> int:
        """Copy what has changed since the last round; return the number of changes."""
        # Known before the refresh: a change with a lower number is complete, and so can be searched after it.
        complete = self._checkpoints()
        self._ask("POST", f"{_path(self._name)}/_refresh")
        copied = 0
        for shard, checkpoint in complete.items():
            after = self._read_up_to.get(shard, -1)
            for hits in self._changes(self._name, shard, after):
                self._write(hits)
                copied += len(hits)
                self._read_up_to[shard] = min(hits[-1]["_seq_no"], checkpoint)
                if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
                    self._note(self._state)
                    self._saved_at = time.monotonic()
                    self._tell(f"{self._name}: {copied:,} copied")
            self._read_up_to[shard] = max(checkpoint, after)
        return copied

    def _checkpoints(self) -> dict[str, int]:
        """Return the number per shard up to which all changes are complete."""
        answer = self._ask("GET", f"{_path(self._name)}/_stats/docs", params={"level": "shards"})
        shards = answer["indices"][self._name]["shards"]
        found = {
            shard: int(copy["seq_no"]["local_checkpoint"])
            for shard, copies in shards.items()
            for copy in copies
            if copy["routing"]["primary"]
        }
        if len(found) != len(self._terms(self._name)):
            raise StoreUnavailableError(f"{self._name}: not all of its primary shards are available")
        return found

    def _changes(
        self, index: str, shard: str, after: int, query: Any = None, *, source: bool = True
    ) -> Iterator[list[Hit]]:
        """Yield the documents of a shard that were changed after a number, in the order of their changes."""
        while True:
            clauses = [{"range": {"_seq_no": {"gt": after}}}, *([query] if query else [])]
            body = {
                "size": self._page if source else _MOST_PAGE,
                "query": {"bool": {"filter": clauses}},
                "sort": [{"_seq_no": "asc"}],
                "seq_no_primary_term": True,
                "version": True,
                "_source": source,
            }
            answer = self._ask("POST", f"{_path(index)}/_search", body, params={"preference": f"_shards:{shard}"})
            if answer["_shards"]["failed"] or answer.get("timed_out"):
                raise StoreUnavailableError(f"the engine left documents of {index} out")
            hits: list[Hit] = answer["hits"]["hits"]
            if not hits:
                return
            yield hits
            after = hits[-1]["_seq_no"]

    def _write(self, hits: list[Hit]) -> None:
        """Write documents to the new index; a newer version that is there stays."""
        todo = [(hit, converted(hit["_source"]), list[str]()) for hit in hits]
        size = 0
        while todo:
            refused = []
            for some in _in_pieces(todo, self._target):
                size += sum(len(lines) for lines, _ in some)
                body, documents = b"".join(lines for lines, _ in some), [entry for _, entry in some]
                for entry, item in zip(documents, self._bulk(body), strict=True):
                    if item.get("status") in _FINAL:
                        continue
                    hit, whole, reasons = entry
                    refused.append((hit, whole, [*reasons, reason_of(item)]))
            todo = [each for each in refused if degrade(each[1], each[2]) is not None]
            if len(todo) < len(refused):
                raise CommandError(f"{self._target}: the engine rejects a document in every form; {self._name} stays")
        self._page = max(1, min(_MOST_PAGE, _PAGE_BYTES * len(hits) // max(size, 1)))

    def _bulk(self, body: bytes) -> list[dict[str, Any]]:
        """Send a _bulk until each item has a final answer; return their results."""

        def send() -> list[dict[str, Any]]:
            items = [next(iter(item.values())) for item in self._engine.bulk(body)["items"]]
            if any(item.get("status") == 429 or item.get("status", 500) >= 500 for item in items):
                raise StoreUnavailableError(f"the engine takes no documents for {self._target}")
            return items

        return _until_available(send)

    # The end

    def _replace(self, *, is_last: bool) -> bool:
        """Block writes, copy the last changes, and put the alias in place of the index; False: it has to be retried."""
        block = WriteBlock(self._ask, self._note, self._name, self._target)
        is_replaced = False
        try:
            block.set()
            is_replaced = self._copy_rest(is_last=is_last) and self._switch()
        finally:
            if not is_replaced:
                block.lift()
        if is_last and not is_replaced:
            raise CommandError(f"{self._name}: its write block was lifted {_MOST_ATTEMPTS} times: run this again")
        return is_replaced

    def _copy_rest(self, *, is_last: bool) -> bool:
        """Copy the changes that were made before the block; return whether both indices have the same documents."""
        self._round()
        self._remove_deleted({"match_all": {}} if is_last else _WAITING)
        self._ask("POST", f"{_path(self._target)}/_refresh")
        counts = [self._ask("POST", f"{_path(index)}/_count")["count"] for index in (self._name, self._target)]
        if counts[0] != counts[1]:
            if is_last:
                raise CommandError(f"{self._target}: has {counts[1]:,} documents, {self._name} {counts[0]:,}")
            return False
        self._raise_terms()
        self._tell(f"{self._name}: {counts[1]:,} documents are complete in {self._target}")
        return True

    def _remove_deleted(self, query: Any) -> None:
        """Remove documents that match a query from the new index if the old one doesn't have them any more."""
        self._ask("POST", f"{_path(self._target)}/_refresh")
        for shard in range(len(self._terms(self._target))):
            for hits in self._changes(self._target, str(shard), -1, query, source=False):
                docs = [{"_id": hit["_id"], "_source": False} for hit in hits]
                found = self._ask("POST", f"{_path(self._name)}/_mget", {"docs": docs})["docs"]
                gone = [hit for hit, each in zip(hits, found, strict=True) if not each["found"]]
                # With the version of the copy: a document that is created again is a later change.
                lines = [dumps({"delete": _head(self._target, hit["_id"], hit["_version"])}) + b"\n" for hit in gone]
                if lines:
                    self._bulk(b"".join(lines))

    def _switch(self) -> bool:
        """Replace the index by the alias in one request; False: a logger has removed the lock, nothing is replaced."""
        aliases = self._ask("GET", f"{_path(self._name)}/_alias")[self._name]["aliases"]
        # Without the lock the request fails as a whole.
        removed = (lock_name(self._target), self._name)
        actions: list[dict[str, Any]] = [{"remove_index": {"index": index}} for index in removed]
        actions += [{"add": {**about, "index": self._target, "alias": alias}} for alias, about in aliases.items()]
        if not COPY.search(self._name):
            actions.append({"add": {"index": self._target, "alias": self._name}})
        if not self._ask("POST", "/_aliases", {"actions": actions}, missing={}):
            # Or the answer to an attempt before was lost: the new index has the name already.
            there = self._ask("GET", f"{_path(self._name)}/_mapping", missing={})
            if self._name in there:
                return False
        self._tell(f"{self._name}: replaced by {self._target}")
        return True

    def _ask(
        self, method: str, path: str, body: Any = None, *, params: dict[str, str] | None = None, missing: Any = None
    ) -> Any:
        """Send a request until the search engine answers; return the answer's body, or ``missing`` for status 404."""

        def send() -> Any:
            status, answer = self._engine.request(method, path, body, params=params)
            if status == 200 and isinstance(answer, dict):
                return answer
            if status == 404 and missing is not None:
                return missing
            problem = f"the engine answered {status} to {method} {path}: {reason_of(answer)}"
            if 400 <= status < 500 and status != 429:
                raise CommandError(problem[:400])
            raise StoreUnavailableError(problem)

        return _until_available(send)


def _until_available(send: Callable[[], Answer]) -> Answer:
    """Return what ``send`` returns, repeated while the search engine is unavailable, for _PATIENCE_SECONDS at most."""
    until, pause = time.monotonic() + _PATIENCE_SECONDS, 0.1
    while True:
        try:
            return send()
        except RefusedRequestError:
            raise
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


Entry = tuple[Hit, dict[str, Any], list[str]]


def _in_pieces(todo: list[Entry], target: str) -> Iterator[list[tuple[bytes, Entry]]]:
    """Yield documents with their lines of a _bulk, in pieces of bounded size."""
    piece: list[tuple[bytes, Entry]] = []
    size = 0
    for hit, whole, reasons in todo:
        form = degrade(whole, reasons) if reasons else whole
        head = {"index": _head(target, hit["_id"], hit["_seq_no"] + 1)}
        lines = dumps(head) + b"\n" + dumps(form) + b"\n"
        if piece and size + len(lines) > _BULK_BYTES:
            yield piece
            piece, size = [], 0
        piece.append((lines, (hit, whole, reasons)))
        size += len(lines)
    if piece:
        yield piece


def _head(index: str, id: str, version: int) -> dict[str, Any]:
    return {"_index": index, "_id": id, "version": version, "version_type": "external_gte"}


def _path(index: str) -> str:
    return "/" + quote(index, safe="")
