"""A write block that a killed upgrade has left: which refusals name it, when it is lifted, and in which order."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices.upgrade_lock import BLOCKED, COPYING, MADE_BY, blocked_index, lift
from request_logger.store.writing.block_watch import PATIENCE_SECONDS, BlockWatch
from request_logger.store.writing.ports import NullObserver

INDEX = "inference-log-x"
# As OpenSearch 3 and Elasticsearch 7.10 answer an item of a _bulk, with the status that `bulk` puts before it.
REASON = f"403: cluster_block_exception: index [{INDEX}] blocked by: [FORBIDDEN/8/index write (api)];"
ABOUT = {"of": INDEX, "uuid": "u", "state": BLOCKED, "read": {"0": 5}}


class Engine:
    """Answers the requests of `lift`; ``refuses`` are the ends of paths that get an error."""

    def __init__(self, about: dict[str, Any], refuses: str = "", status: int = 403) -> None:
        self.about = about
        self.refuses = refuses
        self.status = status
        self.sent: list[str] = []
        self.notes: list[Any] = []

    def request(self, method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        self.sent.append(f"{method} {path}")
        if self.refuses and path.endswith(self.refuses):
            kind = "index_not_found_exception" if self.status == 404 else "security_exception"
            return self.status, {"error": {"type": kind, "reason": "no"}, "status": self.status}
        if method == "GET":
            return 200, {f"{INDEX}.v2": {"mappings": {"_meta": {MADE_BY: self.about}}}}
        self.notes.append(body)
        return 200, {"acknowledged": True}


def test_only_a_write_block_of_an_index_is_named() -> None:
    assert blocked_index(REASON) == INDEX
    full = f"429: cluster_block_exception: index [{INDEX}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded];"
    for other in (full, "cluster_block_exception: blocked by: [FORBIDDEN/8/index write (api)];", "503: x", ""):
        assert blocked_index(other) == ""


def test_the_lock_goes_first_and_the_progress_stays() -> None:
    """Without the lock the upgrade can't replace the index; until the note, the same can be done again."""
    engine = Engine(ABOUT)
    assert lift(engine.request, INDEX) == f"the write block of index {INDEX} is lifted"
    assert engine.sent[1:] == [f"DELETE /{INDEX}.v2.lock", f"PUT /{INDEX}/_settings", f"PUT /{INDEX}.v2/_mapping"]
    assert engine.notes[1:] == [{"index.blocks.write": None}, {"_meta": {MADE_BY: {**ABOUT, "state": COPYING}}}]
    gone = Engine(ABOUT, ".lock", 404)
    assert lift(gone.request, INDEX) == f"the write block of index {INDEX} is lifted"


@pytest.mark.parametrize("about", [{**ABOUT, "state": COPYING}, {**ABOUT, "of": "another"}, {**ABOUT, "state": "done"}])
def test_a_block_that_is_not_of_an_upgrade_stays(about: dict[str, Any]) -> None:
    engine = Engine(about)
    assert lift(engine.request, INDEX) == ""
    assert len(engine.sent) == 1


@pytest.mark.parametrize("refuses", [".lock", "_settings", "_mapping"])
def test_a_refusal_is_said(refuses: str) -> None:
    """One line; what follows is not done."""
    engine = Engine(ABOUT, refuses)
    assert "can't be" in lift(engine.request, INDEX)
    assert engine.sent[-1].endswith(refuses)


def test_a_block_is_lifted_once_it_has_lasted(caplog: pytest.LogCaptureFixture) -> None:
    """Not before; an attempt without an answer is repeated; a pause without refusals starts anew."""
    now = 0.0
    attempts: list[float] = []
    called = threading.Event()

    def request(method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        attempts.append(now)
        called.set()
        raise StoreUnavailableError("down")

    watch = BlockWatch(NullObserver(), request, lambda: now)

    def refused(at: float, *, lifts: bool, what: str = "retry", reason: str = REASON) -> None:
        nonlocal now
        now = at
        called.clear()
        watch.happened(what, "inference-log", reason)
        assert called.wait(5) if lifts else not any(at == each for each in attempts)

    refused(0.0, lifts=False)
    refused(PATIENCE_SECONDS - 1, lifts=False)
    refused(PATIENCE_SECONDS, lifts=False, what="refused")
    refused(PATIENCE_SECONDS, lifts=False, reason="503: unavailable_shards_exception: x")
    refused(PATIENCE_SECONDS + 1, lifts=True)
    refused(PATIENCE_SECONDS + 2, lifts=False)
    refused(2 * PATIENCE_SECONDS + 1, lifts=True)
    refused(100 * PATIENCE_SECONDS, lifts=False)
    assert [record.getMessage() for record in caplog.records] == 2 * [
        f"index {INDEX}: its write block (index.blocks.write) refuses events; they are retried"
    ]


def test_what_was_lifted_is_said(caplog: pytest.LogCaptureFixture) -> None:
    engine, now = Engine(ABOUT), 0.0
    watch = BlockWatch(NullObserver(), engine.request, lambda: now)
    watch.happened("retry", "inference-log", REASON)
    now = PATIENCE_SECONDS - 1
    watch.happened("retry", "inference-log", REASON)
    now = PATIENCE_SECONDS + 1
    watch.happened("retry", "inference-log", REASON)
    deadline = time.monotonic() + 5
    while len(caplog.records) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert caplog.records[-1].getMessage() == f"the write block of index {INDEX} is lifted"


def test_a_block_that_stays_is_not_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """It is not of an upgrade: somebody wants it."""
    engine, now = Engine({**ABOUT, "state": COPYING}), 0.0
    watch = BlockWatch(NullObserver(), engine.request, lambda: now)
    watch.happened("retry", "inference-log", REASON)
    now = PATIENCE_SECONDS + 1
    watch.happened("retry", "inference-log", REASON)
    for thread in threading.enumerate():
        if thread.name == "store-unblock":
            thread.join(5)
    assert len(engine.sent) == 1
    assert len(caplog.records) == 1
