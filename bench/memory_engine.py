"""A search engine in memory, in a process of its own: for profiles of the logger, not for tests of how it stores.

It answers what the logger asks in ordinary operation (_bulk with versions, _mget, _alias, index templates and mappings,
which it doesn't keep), so that a profile has the logger's real client and sockets, and none of an engine's CPU time.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import orjson

_ROOT = {"version": {"distribution": "opensearch", "number": "3.0.0"}}


class Documents:
    """The stored documents by (index, id), each with its sequence number and its source."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._next = 0

    def bulk(self, body: bytes) -> bytes:
        """Carry out the items of a _bulk body, and return the answer."""
        lines = iter(body.split(b"\n"))
        items: list[bytes] = []
        for line in lines:
            if line:
                ((verb, address),) = orjson.loads(line).items()
                source = next(lines) if verb != "delete" else b""
                items.append(self._item(verb, address, source))
        return b'{"took":1,"errors":false,"items":[%b]}' % b",".join(items)

    def get(self, address: dict[str, Any]) -> bytes:
        """Return an entry of the answer to _mget."""
        key = (address["_index"], address["_id"])
        if key not in self._stored:
            return b'{"found":false}'
        seq_no, source = self._stored[key]
        return b'{"found":true,"_seq_no":%d,"_primary_term":1,"_source":%b}' % (seq_no, source)

    def digest(self) -> dict[str, Any]:
        """Return the number of documents, and a SHA-256 of all of them in their order of fields.

        The time of scoring, which differs from run to run, is left out.
        """
        digest = hashlib.sha256()
        for key, source in sorted(self._stored.items()):
            digest.update(orjson.dumps((key, _comparable(source[1]))))
        return {"documents": len(self._stored), "sha256": digest.hexdigest()}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each document by its index and id, whatever the order of its fields."""
        return {
            "/".join(key): hashlib.sha256(orjson.dumps(_comparable(source), option=orjson.OPT_SORT_KEYS)).hexdigest()
            for key, (_, source) in sorted(self._stored.items())
        }

    def _item(self, verb: str, address: dict[str, Any], body: bytes) -> bytes:
        key = (address["_index"], address["_id"])
        kept = self._stored.get(key)
        status, extra = 200, b""
        if verb == "update" and kept is not None:
            extra = b',"result":"noop","get":{"_source":%b}' % kept[1]
            return self._answer(verb, key, 200, kept[0], extra)
        if verb == "update":
            _, _, source = body.partition(b'"upsert":')
            if not source:
                return self._answer(verb, key, 404, 0, b',"error":{"type":"document_missing_exception"}')
            body = source[:-1]
        expected = address.get("if_seq_no", kept[0] if kept else None)
        if (verb == "create" and kept is not None) or expected != (kept[0] if kept else None):
            return self._answer(verb, key, 409, 0, b',"error":{"type":"version_conflict_engine_exception"}')
        self._next += 1
        if verb == "delete":
            self._stored.pop(key, None)
        else:
            self._stored[key] = (self._next, body)
        return self._answer(verb, key, status, self._next, extra)

    def _answer(self, verb: str, key: tuple[str, str], status: int, seq_no: int, extra: bytes) -> bytes:
        return b'{"%b":{"_index":%b,"_id":%b,"_seq_no":%d,"_primary_term":1,"status":%d%b}}' % (
            verb.encode(),
            orjson.dumps(key[0]),
            orjson.dumps(key[1]),
            seq_no,
            status,
            extra,
        )


def _comparable(source: bytes) -> Any:
    document = orjson.loads(source)
    if "scored_at" in document.get("metrics", {}):
        document["metrics"]["scored_at"] = ""
    return document


@contextmanager
def memory_engine() -> Iterator[str]:
    """Run the engine in a process of its own, and yield its URL.

    ``GET /_digest`` answers with Documents.digest, ``GET /_digests`` with Documents.digests.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection) -> None:
    documents = Documents()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        parent.send(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_converse, args=(documents, connection), daemon=True).start()


def _converse(documents: Documents, connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as reader:
        while line := reader.readline():
            method, path, _ = line.decode().split(" ")
            length = 0
            while (header := reader.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = _answer_to(documents, method, path.partition("?")[0], reader.read(length))
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)


def _answer_to(documents: Documents, method: str, path: str, body: bytes) -> bytes:
    answers: dict[str, Callable[[], bytes]] = {
        "/": lambda: orjson.dumps(_ROOT),
        "/_bulk": lambda: documents.bulk(body),
        "/_mget": lambda: b'{"docs":[%b]}' % b",".join(map(documents.get, orjson.loads(body)["docs"])),
        "/_digest": lambda: orjson.dumps(documents.digest()),
        "/_digests": lambda: orjson.dumps(documents.digests()),
        "/_cluster/health": lambda: b'{"status":"green","cluster_name":"memory","number_of_nodes":1}',
    }
    if path in answers:
        return answers[path]()
    return orjson.dumps(_about_indices(method, *path.split("/")[1:]))


def _about_indices(method: str, index: str, what: str = "", *_: str) -> dict[str, Any]:
    """Return the answer to a request about indices or templates: each index exists, and has no fields."""
    if method != "GET":
        return {"acknowledged": True, "_shards": {"failed": 0}, "hits": {}}
    if index == "_index_template":
        return {"index_templates": []}
    kinds = {"_mapping": {"mappings": {}}, "_settings": {"settings": {}}}
    return {index: kinds[what]} if what in kinds else {}
