"""Which events are of erased predictions, and how a process knows: without a search engine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from request_logger.common.erasures import erased_digest
from request_logger.common.join_keys import parse_join_keys
from request_logger.documents.event import Body, Event, IgnoredEventError, from_headers, with_join_key
from request_logger.documents.key_document import key_id
from request_logger.erasure.disk import damaged_databases, erase_from_disk
from request_logger.forward.disk_outbox import FOLDER
from request_logger.forward.message import Message, from_record, to_record
from request_logger.ingest.erased import ErasedIds, ErasedIdsReader
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.spool.observer import NullObserver
from request_logger.store.changes import StoreUnavailableError
from tests.erasing import spooled, text_in
from tests.helpers import event

KEYS = parse_join_keys("request.elements.customer")


def made(id: str, part: str = "request") -> Event:
    """An event of a prediction."""
    headers = {name.lower(): value for name, value in event(part, id, "iris").items()}
    return from_headers(headers, Body(b"{}", "application/json", 2), Settings())


def erased(*ids: str, until: float = float("inf")) -> ErasedIds:
    """Those ids."""
    found = ErasedIds(KEYS)
    found.replace({erased_digest(id): until for id in ids})
    return found


def test_events_of_an_erased_id_are_refused() -> None:
    """Its rows, too, and nothing else; not after the time is over."""
    refused = erased("gone")
    for id in ("gone", "gone-item-0", "gone-item-12"):
        for part in ("request", "response", "feedback"):
            with pytest.raises(IgnoredEventError):
                refused.check(made(id, part))
    for id in ("kept", "gone2", "gone-item-x", "item-0"):
        refused.check(made(id))
    erased("gone", until=time.time() - 1).check(made("gone"))
    ErasedIds(KEYS).check(made("gone"))


def test_feedback_by_an_erased_key_is_refused() -> None:
    """By the key, and by the value as if it were an id; the key of another index is another one."""
    value = made("4711", "feedback")
    refused = erased(key_id(value.index, KEYS[0].path, "4711"))
    assert refused.has(value)
    assert refused.has(with_join_key(made("4711", "feedback"), KEYS[0].path, "4711"))
    assert not refused.has(made("4711"))
    assert not refused.has(with_join_key(made("4712", "feedback"), KEYS[0].path, "4712"))
    assert not erased(key_id("another", KEYS[0].path, "4711")).has(value)


class _Engine:
    """Answers a count and searches of hashes; ``status`` is that of all answers, or of searches alone."""

    def __init__(self, digests: list[str]) -> None:
        self.digests = digests
        self.status = self.of_searches = 200
        self.asked: list[str] = []

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Answer one request."""
        self.asked.append(path.rpartition("/")[2])
        if path.endswith("_count"):
            return self.status, {"count": len(self.digests)}
        hits = [
            {"_source": {"digest": digest, "expires_at": "2100-01-01T00:00:00+00:00"}, "sort": [0, digest]}
            for digest in self.digests
        ]
        if self.of_searches != 200:
            return self.of_searches, {"error": "refused"}
        return self.status, {"hits": {"hits": hits}}


def test_hashes_are_read_when_their_number_changes() -> None:
    """One small request per look; what is known stays while the engine is away."""
    engine, known, warned = _Engine([]), ErasedIds(), []
    reader = ErasedIdsReader(engine, known, 0, lambda *what: warned.append(what))
    reader.look()
    engine.digests = [erased_digest("gone")]
    reader.look()
    reader.look()
    assert engine.asked == ["_count", "_count", "_search", "_count"]
    assert known.has(made("gone"))
    engine.status = 503
    with pytest.raises(StoreUnavailableError):
        reader.look()
    assert known.has(made("gone"))
    engine.status = 403
    reader.look()
    reader.look()
    assert len(warned) == 1
    assert known.has(made("gone"))
    engine.status = 404
    reader.look()
    assert not known.has(made("gone"))


def test_a_refused_search_keeps_no_spool_waiting() -> None:
    """It is warned of once, what is known stays, and events are replayed."""
    engine, known, warned = _Engine([erased_digest("gone")]), ErasedIds(), []
    known.replace({erased_digest("known"): math.inf})
    engine.of_searches = 400
    reader = ErasedIdsReader(engine, known, 0.01, lambda *what: warned.append(what))
    assert reader.wait(10)
    assert known.has(made("known"))
    engine.of_searches = 200
    deadline = time.monotonic() + 10
    while not known.has(made("gone")) and time.monotonic() < deadline:
        time.sleep(0.01)
    reader.close()
    assert known.has(made("gone"))
    assert len(warned) == 1


def test_nothing_is_replayed_before_the_hashes_are_known() -> None:
    """Unless no process asks for them."""
    engine = _Engine([erased_digest("gone")])
    engine.status = 503
    known = ErasedIds()
    assert ErasedIdsReader(engine, known, 0, lambda *what: None).is_loaded
    reader = ErasedIdsReader(engine, known, 0.01, lambda *what: None)
    assert not reader.wait(0.05)
    engine.status = 200
    assert reader.wait(10)
    reader.close()
    assert known.has(made("gone"))


def test_records_on_disk_are_erased(tmp_path: Path) -> None:
    """Those of the spool and set aside; twice changes nothing; no byte of them is left."""
    settings = Settings(spool_dir=str(tmp_path))
    spooled(tmp_path, [f"id-{number}" for number in range(1200)])
    spool = Spool(str(tmp_path), 2**26, NullObserver())
    (row,) = spool.read(1, 2**20, after=9)
    spool.set_aside(row, "a reason")
    spool.close()
    refused = erased(*(f"id-{number}" for number in range(0, 1200, 2)), "id-9")
    expected = {"spool": 600, "bad records of the spool": 1}
    assert erase_from_disk(settings, refused, dry_run=True) == expected
    assert erase_from_disk(settings, refused, dry_run=False) == expected
    assert erase_from_disk(settings, refused, dry_run=False) == {}
    left = text_in(tmp_path)
    assert '"id-2"' not in left and '"id-9"' not in left
    assert left.count('{"data": {"ndarray": [["id-') == 599
    assert damaged_databases(settings) == []
    assert erase_from_disk(Settings(), refused, dry_run=False) == {}


def test_forwarded_events_are_erased(tmp_path: Path) -> None:
    """Binary, structured, and one of a batch, of which the others stay."""
    spool = Spool(str(tmp_path / FOLDER), 2**26, NullObserver())
    structured, batch = ({"content-type": f"application/cloudevents{kind}+json"} for kind in ("", "-batch"))
    first, second = b'{"id": "x", "requestid": "gone", "data": {"a": 1}}', b'{"id": "kept", "data": {"a": 1.50}}'
    messages = [
        Message({"ce-requestid": "gone", "ce-id": "e"}, b"1"),
        Message({"ce-id": "kept"}, b"2"),
        Message(structured, first),
        Message(structured, second),
        Message(batch, b"[%b, %b]" % (first, second)),
        Message(batch, b"[%b]" % first),
        Message(batch, b"no JSON"),
    ]
    spool.append_records([*map(to_record, messages), b"damaged"])
    spool.close()
    assert erase_from_disk(Settings(spool_dir=str(tmp_path)), erased("gone"), dry_run=False) == {"forward spool": 4}
    spool = Spool(str(tmp_path / FOLDER), 2**26, NullObserver())
    *left, damaged, rest = [record for _, record in spool.read(100, 2**20)]
    spool.close()
    assert damaged == b"damaged"
    assert [from_record(record).body for record in left] == [b"2", second, b"no JSON"]
    assert from_record(rest).body == b'[{"id":"kept","data":{"a":1.5}}]'
