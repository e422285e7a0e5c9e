"""`request-logger dead-letters`: list, export or retry documents that the search engine rejected."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.commands.engine_access import quiet_engine
from request_logger.common.join_keys import parse_join_keys
from request_logger.common.json import dumps, loads
from request_logger.documents.document import Document, degrade, same_owner
from request_logger.documents.key_document import is_key_document
from request_logger.errors import CommandError
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.write_plan import header_of, merging, parts_in
from request_logger.kafka.letter_content import INDEX, NoRecordError, record_of
from request_logger.kafka.retry import DeadLetterRetry
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import Settle, settler
from request_logger.scoring.stored_evidence import fixed_evidence
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import SCROLL_ORDER
from request_logger.store.errors import reason_of
from request_logger.store.writing.bulk_sender import find
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.writer import Writer

PAGE = 100
# How long the search engine keeps the scroll between two pages: every document of a page may wait for its timeout.
_SCROLL = "30m"
_SHOWN_REASON = 120


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. ``version`` is its (seq_no, primary_term) when it was read."""

    name: str
    version: tuple[int, int]
    source: Document

    @property
    def index(self) -> str:
        """The index that its document is for."""
        return str(self.source.get("index", ""))

    @property
    def id(self) -> str:
        """The id of its document in that index."""
        return str(self.source.get("id", ""))

    @property
    def is_record(self) -> bool:
        """Whether it is a Kafka record, not a document."""
        return self.index.startswith(INDEX)

    @property
    def document(self) -> Document | None:
        """The document, or the stored content of a record; None if it can't be read."""
        try:
            document = loads(self.source["document"])
        except (KeyError, TypeError, ValueError):
            return None
        return document if isinstance(document, dict) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action", choices=("list", "retry", "export"), help="list them, store them again, or print them as JSON lines"
    )
    parser.add_argument("--index", metavar="NAME", help="only dead letters of this index")
    parser.add_argument("--dry-run", action="store_true", help="retry: print what would be done, change nothing")


def run(arguments: argparse.Namespace) -> int:
    """Run the action. Status 0: done, 1: retry left some dead letters, 2: an invalid setting, or no search engine."""
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    letters = _letters(engine, arguments.index)
    if arguments.action == "list":
        return _list(letters)
    if arguments.action == "export":
        for letter in letters:
            exported = {**letter.source, "document": letter.document or letter.source.get("document")}
            print(dumps(exported).decode())
        return 0
    return _retry(engine, settings, letters, dry_run=arguments.dry_run)


def _letters(engine: SearchEngine, index: str | None) -> Iterator[Letter]:
    """Yield all current dead letters, the oldest first."""
    path = "/" + Limits().dead_letter_index
    status, answer = engine.request("POST", f"{path}/_refresh")
    if status == 404:
        return
    _check(status, answer, "_refresh")
    query = {
        "size": PAGE,
        "seq_no_primary_term": True,
        "sort": SCROLL_ORDER,
    }
    status, answer = engine.request("POST", f"{path}/_search", query, params={"scroll": _SCROLL})
    try:
        while True:
            _check(status, answer, "_search")
            hits = answer["hits"]["hits"]
            if not hits:
                return
            for hit in hits:
                letter = Letter(hit["_id"], (hit["_seq_no"], hit["_primary_term"]), hit["_source"])
                # Filtered here, since the mapping of the field depends on who created the index.
                if index in (None, letter.index):
                    yield letter
            more = {"scroll": _SCROLL, "scroll_id": answer["_scroll_id"]}
            status, answer = engine.request("POST", "/_search/scroll", more)
    finally:
        if isinstance(answer, dict) and "_scroll_id" in answer:
            engine.request("DELETE", "/_search/scroll", {"scroll_id": answer["_scroll_id"]})


def _check(status: int, answer: Any, what: str) -> None:
    if status >= 400 or not isinstance(answer, dict):
        raise CommandError(f"the engine answered {status} to {what} of the dead letters: {reason_of(answer)[:300]}")


def _list(letters: Iterator[Letter]) -> int:
    count = 0
    for letter in letters:
        count += 1
        reason = " ".join(str(letter.source.get("reason", "")).split())
        shown = reason if len(reason) <= _SHOWN_REASON else reason[: _SHOWN_REASON - 3] + "..."
        print(f"{letter.source.get('@timestamp', '')}  {letter.index}  {letter.id}  {shown}")
    print(f"{count} dead letters" if count else "No dead letters.")
    return 0


class _RejectionObserver(NullObserver):
    """Observer of the writer that remembers why a document became a dead letter again."""

    def __init__(self) -> None:
        self.reason = ""

    def happened(self, what: str, index: str, reason: str) -> None:
        """Remember why the document was rejected again."""
        if what == "dead_letter":
            self.reason = reason


def _retry(engine: SearchEngine, settings: Settings, letters: Iterator[Letter], *, dry_run: bool) -> int:
    chooser = Chooser(settings.scorer, settings.scorers_config or None, fixed_evidence(engine))
    settle = settler(chooser, settings.fold_key)
    observer = _RejectionObserver()
    records = _Records(settings)
    plans = KeyPlans(parse_join_keys(settings.join_keys))

    limits = Limits(timeout_seconds=settings.store_timeout_seconds)
    writer = Writer(engine, degrade, observer, limits, locator=Locator(settings.index_period, merging(settle)))
    stored = left = 0
    try:
        # One at a time, so that a rejection can be attributed to its dead letter.
        for letter in letters:
            if letter.is_record:
                verdict = records.store(letter, dry_run=dry_run) or ("" if dry_run else _remove(engine, letter))
            elif dry_run:
                verdict = _foreseen(engine, letter)
            else:
                verdict = _store(writer, observer, letter, plans, settle) or _remove(engine, letter)
            stored, left = (stored, left + 1) if verdict else (stored + 1, left)
            would = "would be stored" if dry_run else "stored"
            print(f"{letter.index}  {letter.id}  {f'left: {verdict}' if verdict else would}")
    finally:
        records.close()
        writer.close(settings.store_timeout_seconds)
    print(f"{stored} {'would be stored' if dry_run else 'stored'}, {left} left")
    return int(left > 0)


class _Records:
    """Stores dead letters that are Kafka records, as the consumer would; builds its parts at the first of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._retry: DeadLetterRetry | None = None

    def store(self, letter: Letter, *, dry_run: bool) -> str:
        """Store one; return why it could not be stored, else an empty text. Raises StoreUnavailableError."""
        try:
            record = record_of(letter.document)
        except NoRecordError as error:
            return str(error)
        if self._retry is None:
            self._retry = DeadLetterRetry(self._settings)
        return self._retry.store(record, dry_run=dry_run)

    def close(self) -> None:
        """Finish events in progress."""
        if self._retry is not None:
            self._retry.close()


def _store(writer: Writer, observer: _RejectionObserver, letter: Letter, plans: KeyPlans, settle: Settle) -> str:
    """Store a dead letter's document; return why it could not be, else an empty text. Raises StoreUnavailableError."""
    document = letter.document
    if document is None or not _can_be_stored(document):
        return "it has no document"
    observer.reason = ""
    try:
        plan = plans.restore(letter.index, letter.id, document, settle)
        stored = writer.submit(plan, len(letter.source["document"])).result()
    except RejectedError as error:
        return str(error)
    return observer.reason or _problem(stored, document)


def _problem(stored: Document | None, document: Document) -> str:
    if stored is not None and not same_owner(stored, header_of(document)):
        return "another deployment's document has its id"
    return ""


def _can_be_stored(document: Document) -> bool:
    return "@timestamp" in document and bool(is_key_document(document) or parts_in(document))


def _foreseen(engine: SearchEngine, letter: Letter) -> str:
    """Return why a dead letter's document would not be stored, as far as that is known without storing it."""
    document = letter.document
    if document is None or not _can_be_stored(document):
        return "it has no document"
    known = find(engine, letter.index, letter.id)
    return _problem(loads(known.source) if known else None, document)


def _remove(engine: SearchEngine, letter: Letter) -> str:
    """Remove a dead letter whose document is stored, unless a newer dead letter has replaced it."""
    seq_no, term = letter.version
    path = f"/{Limits().dead_letter_index}/_doc/{quote(letter.name, safe='')}"
    status, answer = engine.request("DELETE", path, params={"if_seq_no": str(seq_no), "if_primary_term": str(term)})
    if status in (200, 404):
        return ""
    if status == 409:
        return "stored; a newer dead letter of the same document has replaced this one"
    return f"stored; removing the dead letter was answered {status}: {reason_of(answer)[:300]}"
