"""Erases the stored data of some predictions, wherever it is: one look counts it, a pass removes it.

A pass first stores the hashes of the ids, so that nothing is stored again, and removes the documents of the predictions
last: an interrupted run finds them again. A second pass, after the loggers have read the hashes, removes what was on
its way meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from request_logger.analytics.drift.stored_baselines import INDEX as DRIFT_INDEX
from request_logger.analytics.selection import Selection, having
from request_logger.common.chunks import chunks
from request_logger.common.erasures import MOST_BLOCKED, erased_digest
from request_logger.common.join_keys import KEYS_INDEX, key_text, parse_join_keys
from request_logger.common.periods import pattern, with_periods, without_period
from request_logger.documents.document import Document, part_in
from request_logger.documents.key_document import key_id, target_of
from request_logger.documents.payload_removal import without_payloads
from request_logger.erasure.audit import Audit
from request_logger.erasure.baselines import shown, stored_baselines
from request_logger.erasure.disk import erase_from_disk
from request_logger.erasure.letters import letters_of, remove_letters
from request_logger.erasure.subjects import Subject, documents_of, found, ids_of, matching, named_by, subject_of
from request_logger.errors import CommandError
from request_logger.ingest.erased import ErasedIds
from request_logger.ingest.write_plan import is_prediction
from request_logger.settings import Settings
from request_logger.store.changes import Change, Plan, RejectedError, StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit
from request_logger.store.errors import reason_of
from request_logger.store.indices.templates import DEAD_LETTER_INDEX, INDEX_PATTERNS
from request_logger.store.writing.writer import Writer

# The memory (bytes) that one pending change is assumed to hold, as for rescore.
_WEIGHT = 4096
_AT_ONCE = 200


@dataclass(slots=True)
class Found:
    """What there is, or what was done, per index or place on disk."""

    removed: Counter[str] = field(default_factory=Counter)
    """Documents, dead letters and records that are removed as a whole."""
    changed: Counter[str] = field(default_factory=Counter)
    """Other rows of a batch of which a row is erased: they lose the batch's payloads, which have that row, too."""
    left: list[str] = field(default_factory=list)
    """What could not be removed, or not be searched, and why."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.removed.total() + self.changed.total()


class Erasure:
    """The erasure of the predictions with some ids, and of those that a selection finds."""

    def __init__(self, engine: SearchEngine, settings: Settings, ids: Sequence[str], chosen: Selection | None) -> None:
        self._engine = engine
        self._settings = settings
        self._ids = ids
        self._chosen = chosen
        self._keys = parse_join_keys(settings.join_keys)
        self._pattern = all_indices(settings)
        self._keys_pattern = f"{KEYS_INDEX},{pattern(KEYS_INDEX)}"
        self._subjects: dict[Subject, None] = {}
        self._key_ids: dict[str, None] = {}
        self._baselines: dict[str, None] = {}
        self._left_out: dict[str, str] = {}

    @property
    def ids(self) -> list[str]:
        """The request ids that are erased, as far as they are known."""
        return ids_of(self._subjects)

    def look(self) -> Found:
        """Find everything, and count it.

        Raises CommandError, ScanError, StoreUnavailableError, SettingsError, sqlite3.Error and OSError.
        """
        everything = f"{self._pattern},{self._keys_pattern},{DEAD_LETTER_INDEX}"
        path = f"/{quote(everything, safe='*,')}/_refresh"
        # Without it documents of the last seconds would be missed.
        self._ask("POST", path)
        self._choose()
        counted = Found()
        baselines = stored_baselines(self._engine)
        for hit, subject in documents_of(self._engine, self._pattern, list(self._subjects), self._left_out):
            self._key_ids.update(dict.fromkeys(self._keys_in(hit)))
            if _is_removed(subject_of(hit), subject, hit.source):
                counted.removed[hit.index] += 1
                self._baselines.update(dict.fromkeys(shown(baselines, hit.source)))
            elif without_payloads(hit.source, "", of_batch=True) is not hit.source:
                counted.changed[hit.index] += 1
        counted.removed.update(hit.index for hit in self._key_documents())
        counted.removed.update(hit.index for hit in self._letters())
        counted.removed.update({DRIFT_INDEX: len(self._baselines)} if self._baselines else {})
        counted.removed.update(erase_from_disk(self._settings, self._blocked(), dry_run=True))
        counted.left += [f"{index}: {reason}" for index, reason in self._left_out.items()]
        return counted

    def remove(self, writer: Writer, audit: Audit, at: str) -> Found:
        """Remove what the latest `look` found. Raises what it raises; what is done stays done."""
        done = Found()
        audit.block([*self.ids, *self._key_ids])
        done.removed.update(erase_from_disk(self._settings, self._blocked(), dry_run=False))
        self._remove_letters(done)
        self._apply(writer, ((hit, None) for hit in self._key_documents()), at, done)
        self._apply(writer, ((Hit(DRIFT_INDEX, id, {}, None), None) for id in self._baselines), at, done)
        self._baselines = {}
        self._apply(
            writer,
            documents_of(self._engine, self._pattern, list(self._subjects), self._left_out, ["RequestId"]),
            at,
            done,
        )
        done.left += [f"{index}: {reason}" for index, reason in self._left_out.items()]
        return done

    def _choose(self) -> None:
        """Find what the ids name and what the selection finds; what an earlier look has found stays."""
        for id in self._ids:
            self._subjects.update(dict.fromkeys(named_by(id)))
            self._key_ids.update(dict.fromkeys(self._keys_named(id)))
        if self._ids:
            for hit in self._key_documents():
                target = target_of(hit.source)
                if target is not None:
                    self._subjects[Subject(target.id, target.row)] = None
        if self._chosen is not None:
            path, query = self._chosen.path(self._settings), having(*self._chosen.filters())
            for subject in matching(self._engine, path, query, self._left_out):
                self._subjects[subject] = None
                if len(self._subjects) > MOST_BLOCKED:
                    raise CommandError(f"--where: expected at most {MOST_BLOCKED:,} predictions, found more")

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        """Send a request for indices that may be missing; return the answer. Raises CommandError if it is refused."""
        tolerant = {"ignore_unavailable": "true", "allow_no_indices": "true"}
        status, answer = self._engine.request(method, path, params=tolerant)
        if status == 404:
            return {}
        if status >= 500 or status == 429:
            raise StoreUnavailableError(f"the engine answered {status} to {method} {path}: {reason_of(answer)}")
        if status != 200 or not isinstance(answer, dict):
            raise CommandError(f"the engine answered {status} to {method} {path}: {reason_of(answer)}")
        return answer

    def _keys_named(self, id: str) -> list[str]:
        """Return the ids of the join keys' documents that an id may be the value of, in any index."""
        text = key_text(id)
        if not self._keys or text is None:
            return []
        known = self._ask("GET", f"/{quote(self._pattern, safe='*,')}/_alias")
        names = {without_period(name) for index, about in known.items() for name in (index, *about.get("aliases", {}))}
        return [key_id(name, key.path, text) for name in sorted(names) for key in self._keys]

    def _keys_in(self, hit: Hit) -> list[str]:
        """Return the ids of the documents of the join keys whose values a document has."""
        index = self._settings.index_name or without_period(hit.index)
        values = ((key, key.value_in(part_in(hit.source, key.part))) for key in self._keys)
        return [key_id(index, key.path, value) for key, value in values if value is not None]

    def _key_documents(self) -> Iterator[Hit]:
        for ids in chunks(list(self._key_ids), _AT_ONCE):
            query = {"ids": {"values": ids}}
            yield from found(self._engine, self._keys_pattern, query, self._left_out)

    def _letters(self) -> Iterator[Hit]:
        return letters_of(self._engine, list(self._subjects), frozenset(self._key_ids))

    def _remove_letters(self, done: Found) -> None:
        for ids in chunks([hit.id for hit in self._letters()], _AT_ONCE):
            removed = remove_letters(self._engine, ids)
            done.removed.update({DEAD_LETTER_INDEX: removed} if removed else {})

    def _blocked(self) -> ErasedIds:
        erased = ErasedIds(self._keys)
        erased.replace(dict.fromkeys(map(erased_digest, (*self.ids, *self._key_ids)), float("inf")))
        return erased

    def _apply(self, writer: Writer, hits: Iterator[tuple[Hit, Subject | None]], at: str, done: Found) -> None:
        waiting: list[tuple[Hit, Any]] = []
        for hit, subject in hits:
            waiting.append((hit, writer.submit(_plan(hit, subject, at, done), _WEIGHT)))
            if len(waiting) == _AT_ONCE:
                _await(waiting, done)
                waiting = []
        _await(waiting, done)


def all_indices(settings: Settings) -> str:
    """Return the pattern of all indices that have documents of predictions, references, outliers and drift."""
    return ",".join((*INDEX_PATTERNS, *with_periods(settings.index_name, settings.index_period)))


def _is_removed(about: Subject, subject: Subject | None, document: Document) -> bool:
    """Return whether a document goes as a whole: that of a prediction or its row, or parts that wait for rows."""
    if subject is None or subject.row is None or about.row == subject.row:
        return True
    return about.row is None and not is_prediction(document)


def _plan(hit: Hit, subject: Subject | None, at: str, done: Found) -> Plan:
    """Return the plan that removes a document, or the payloads of another row; its end is counted."""
    seen: list[Document] = []

    def apply(stored: Document | None) -> Document | None:
        seen[:] = [] if stored is None else [stored]
        if stored is None or _is_removed(subject_of(hit), subject, stored):
            return None
        return without_payloads(stored, at, of_batch=True)

    (result,) = yield [Change(hit.index, hit.id, apply)]
    if seen and result is None:
        done.removed[hit.index] += 1
    elif seen and result is not seen[0]:
        done.changed[hit.index] += 1


def _await(waiting: Sequence[tuple[Hit, Any]], done: Found) -> None:
    for hit, future in waiting:
        try:
            future.result()
        except RejectedError:
            # The reason may quote the document.
            done.left.append(f"{hit.index}: the engine rejects a change of a document")
