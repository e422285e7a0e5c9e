"""Keeps the evidence of deployments in the search engine: one small document each, in an index of the logger.

A write is conditional on the version that was read, and is joined with what another process has written meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from request_logger.common.chunks import chunks
from request_logger.common.json import as_object, dumps
from request_logger.scoring.evidence import NOTHING, Evidence, Origin, as_json, from_json, join
from request_logger.scoring.known_evidence import FixedEvidence
from request_logger.store.errors import reason_of
from request_logger.store.ports import EngineReader

INDEX = "request-logger-evidence"
_NAMES = ("namespace", "deployment", "predictor", "model")
_MAPPING = {
    "mappings": {
        "dynamic": False,
        "properties": {
            **{name: {"type": "keyword", "ignore_above": 8000} for name in _NAMES},
            "evidence": {"type": "object", "enabled": False},
        },
    }
}
# Documents of at most 5 kB each per request.
_AT_ONCE = 200
_MOST_CONFLICTS = 5
_NO_INDEX = "index_not_found_exception"


class EvidenceError(RuntimeError):
    """The search engine refuses to read or to write evidence; the text has its reason in one line."""


class StoredEvidence:
    """The stored evidence of all deployments. Raises EvidenceError, and StoreUnavailableError without an answer."""

    def __init__(self, engine: EngineReader) -> None:
        self._engine = engine

    def all(self, most: int = 1000) -> dict[Origin, Evidence]:
        """Return the evidence of the deployments, of at most so many."""
        status, answer = self._engine.request("POST", f"/{INDEX}/_search", {"size": most})
        if status == 404:
            return {}
        hits = answer.get("hits") if status == 200 and isinstance(answer, dict) else None
        listed = hits.get("hits") if isinstance(hits, dict) else None
        if not isinstance(listed, list):
            raise EvidenceError(f"{status}: {reason_of(answer)}")
        sources = [hit.get("_source") for hit in listed if isinstance(hit, dict)]
        return {_origin(source): from_json(source.get("evidence")) for source in sources if isinstance(source, dict)}

    def merge(self, known: Mapping[Origin, Evidence]) -> dict[Origin, Evidence]:
        """Join evidence with what is stored, store what grows by it, and return all of these origins."""
        merged: dict[Origin, Evidence] = {}
        for origins in chunks(list(known), _AT_ONCE):
            merged |= self._merge(dict.fromkeys(origins), known)
        return merged

    def _merge(self, waiting: dict[Origin, None], known: Mapping[Origin, Evidence]) -> dict[Origin, Evidence]:
        merged: dict[Origin, Evidence] = {}
        for _ in range(_MOST_CONFLICTS):
            asked = list(waiting)
            stored, exists = self._read(asked)
            lines = []
            for origin, (evidence, version) in zip(asked, stored, strict=True):
                merged[origin] = join(evidence, known[origin])
                if merged[origin] == evidence:
                    del waiting[origin]
                else:
                    action = "index" if version else "create"
                    lines += [dumps({action: {"_index": INDEX, "_id": _id(origin), **version}})]
                    lines += [dumps(_document(origin, merged[origin]))]
            if not waiting:
                break
            if not exists:
                self._create_index()
            written = list(waiting)
            for origin, is_done in zip(written, self._write(lines, len(written)), strict=True):
                if is_done:
                    del waiting[origin]
            if not waiting:
                break
        # What still conflicts is joined the next time.
        return merged

    def _read(self, origins: Sequence[Origin]) -> tuple[list[tuple[Evidence, dict[str, Any]]], bool]:
        """Return each origin's evidence with its version, empty if there is none, and whether the index exists."""
        docs = [{"_id": _id(origin)} for origin in origins]
        status, answer = self._engine.request("POST", f"/{INDEX}/_mget", {"docs": docs})
        if status == 404:
            return [(NOTHING, {})] * len(origins), False
        found = answer.get("docs") if status == 200 and isinstance(answer, dict) else None
        if not isinstance(found, list) or len(found) != len(origins):
            raise EvidenceError(f"{status}: {reason_of(answer)}")
        read: list[tuple[Evidence, dict[str, Any]]] = []
        exists = True
        for each in map(as_object, found):
            error = as_object(each.get("error"))
            if error.get("type") == _NO_INDEX:
                exists = False
            elif error:
                raise EvidenceError(reason_of(each))
            if each.get("found") is True:
                version = {"if_seq_no": each.get("_seq_no"), "if_primary_term": each.get("_primary_term")}
                read.append((from_json(as_object(each.get("_source")).get("evidence")), version))
            else:
                read.append((NOTHING, {}))
        return read, exists

    def _create_index(self) -> None:
        # 400: another process has created it.
        status, answer = self._engine.request("PUT", f"/{INDEX}", _MAPPING)
        if status not in (200, 400):
            raise EvidenceError(f"{status}: {reason_of(answer)}")

    def _write(self, lines: Sequence[bytes], documents: int) -> list[bool]:
        """Return for each document whether it was written; false if another process has written it meanwhile."""
        status, answer = self._engine.request("POST", "/_bulk", b"\n".join(lines) + b"\n")
        items = answer.get("items") if status == 200 and isinstance(answer, dict) else None
        if not isinstance(items, list) or len(items) != documents:
            raise EvidenceError(f"{status}: {reason_of(answer)}")
        results = [next(iter(as_object(item).values()), None) for item in items]
        for result in map(as_object, results):
            if result.get("status") not in (200, 201, 409):
                raise EvidenceError(f"{result.get('status')}: {reason_of(result)}")
        return [as_object(result).get("status") != 409 for result in results]


def fixed_evidence(engine: EngineReader) -> FixedEvidence:
    """Return the evidence of all deployments as it is now; none if it can't be read. Raises StoreUnavailableError."""
    try:
        return FixedEvidence(StoredEvidence(engine).all())
    except EvidenceError:
        return FixedEvidence({})


def _document(origin: Origin, evidence: Evidence) -> dict[str, Any]:
    return {**dict(zip(_NAMES, origin, strict=True)), "evidence": as_json(evidence)}


def _origin(source: Mapping[str, Any]) -> Origin:
    namespace, deployment, predictor, model = (str(source.get(name, "")) for name in _NAMES)
    return namespace, deployment, predictor, model


def _id(origin: Origin) -> str:
    return hashlib.sha256(dumps(list(origin))).hexdigest()
