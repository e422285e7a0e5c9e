"""The writer's core where something fails: user code, a request of its own, an index that is slow. No threads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.store.changes import (
    Change,
    Document,
    Plan,
    Reads,
    RejectedError,
    StoreUnavailableError,
    UnreadableError,
)
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.core import MAX_FAILURES, SLOW_SECONDS, WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Degrade, Limits, NullObserver
from request_logger.store.writing.rounds import Bulk, Failure, GetResult, Listing, Lookup, NoAnswer, Ping, Round
from request_logger.store.writing.states import Kind
from request_logger.store.writing.version_cache import Known
from tests.store.test_writer_core import next_bulk

DAY = date(2026, 1, 31)
DEADLINE = 1000.0


def core_of(degrade: Degrade = degrade, locator: Locator | None = None, **limits: Any) -> WriterCore:
    return WriterCore(degrade, NullObserver(), Limits(**limits), locator)


def start(core: WriterCore, plan: Plan) -> Future[Any]:
    end: Future[Any] = Future()
    core.start(Task(plan, end, 1, DEADLINE))
    return end


def storing(*places: tuple[str, str], apply: Callable[[Document | None], Document | None] | None = None) -> Plan:
    """Store a document in each place, by index and id."""
    yield [Change(index, id, apply or (lambda stored: {"text": "x"})) for index, id in places]


def raising(error: Exception) -> Callable[..., Any]:
    def apply(*_: Any) -> Any:
        raise error

    return apply


def acknowledge(core: WriterCore, bulk: Bulk, now: float) -> None:
    core.answered(bulk, [Outcome(Kind.DONE, (1, 1)) for _ in bulk.documents], now)


# User code


def test_a_change_that_raises_fails_alone() -> None:
    """The change of another plan to the same document is stored, in the same request."""
    core = core_of()
    bad = start(core, storing(("i", "a"), apply=raising(ValueError("no"))))
    good = start(core, storing(("i", "a")))
    bulk = next_bulk(core, 0.0)
    assert isinstance(bad.exception(0), ValueError)
    acknowledge(core, bulk, 0.1)
    assert good.exception(0) is None
    assert len(core) == 0


def test_a_change_that_raises_once_is_stored() -> None:
    """When the changes are applied one by one, to find which of them raises, none does."""
    core = core_of()
    errors = [ValueError("no")]

    def apply(stored: Document | None) -> Document | None:
        if errors:
            raise errors.pop()
        return {"text": "x"}

    end = start(core, storing(("i", "a"), apply=apply))
    acknowledge(core, next_bulk(core, 0.0), 0.1)
    assert end.exception(0) is None
    assert len(core) == 0


def test_a_document_whose_only_change_raises_is_not_sent() -> None:
    core = core_of()
    end = start(core, storing(("i", "a"), apply=raising(ValueError("no"))))
    assert core.next_round(0.0) is None
    assert isinstance(end.exception(0), ValueError)
    assert len(core) == 0


@pytest.mark.parametrize("others", [0, 600])
def test_of_more_changes_than_are_applied_at_a_time_one_raises(others: int) -> None:
    """Those after the first 500 wait for the next request, and all but one are stored."""
    core = core_of()
    bad = start(core, storing(("i", "a"), apply=raising(ValueError("no"))))
    good = [start(core, storing(("i", "a"))) for _ in range(others)]
    for step in range(10):
        if len(core) == 0:
            break
        bulk = core.next_round(float(step))
        for preparation in core.preparations(float(step)):
            core.prepared(preparation.index, True, float(step))
            bulk = core.next_round(float(step))
        if isinstance(bulk, Bulk):
            acknowledge(core, bulk, step + 0.5)
    assert isinstance(bad.exception(0), ValueError)
    assert [end.exception(0) for end in good] == [None] * others


def test_a_form_that_cannot_be_built_is_tried_again_and_given_up() -> None:
    """A defect in degrading a refused document: the document has its pauses, and its events fail in the end."""
    core = core_of(raising(ZeroDivisionError()))
    end = start(core, storing(("i", "a")))
    bulk = next_bulk(core, 0.0)
    core.answered(bulk, [Outcome(Kind.REFUSED, reason="mapper_parsing_exception: x")], 0.1)
    now = 1.0
    while not end.done():
        assert core.next_round(now) is None
        assert now < DEADLINE
        now = min(core.wake_at(now), now + 60.0)
    error = end.exception(0)
    assert isinstance(error, StoreUnavailableError)
    assert str(error) == "i: internal error"
    assert len(core) == 0


def test_a_plan_that_raises_between_its_changes_ends_with_its_error() -> None:
    def plan() -> Plan:
        yield [Change("i", "a", lambda stored: {"text": "x"})]
        yield []
        raise ValueError("no")

    core = core_of()
    end = start(core, plan())
    acknowledge(core, next_bulk(core, 0.0), 0.1)
    assert isinstance(end.exception(0), ValueError)
    assert len(core) == 0


def test_a_plan_without_changes_goes_on_at_once() -> None:
    """An empty list of changes needs no request."""

    def plan() -> Plan:
        assert (yield []) == []
        return "done"

    assert start(core_of(), plan()).result(0) == "done"


def of_day(id: str) -> Plan:
    yield [Change("i", id, lambda stored: {**(stored or {}), "text": "x"}, day=DAY, late=True)]


def looking_up(core: WriterCore, now: float) -> Lookup:
    """Answer the listing with two indices; return the lookup that follows."""
    listing = core.next_round(now)
    assert isinstance(listing, Listing)
    core.answered(listing, {"i": ["i-2026.01.30", "i-2026.01.31"]}, now)
    found = core.next_round(now)
    assert isinstance(found, Lookup)
    return found


def test_two_copies_that_user_code_cannot_join() -> None:
    """The document is retried, others in the same lookup are stored, and its events fail in the end."""
    core = core_of(
        locator=Locator("day", lambda one, other: raising(ValueError("no"))() if "bad" in one else {**one, **other})
    )
    bad, good = start(core, of_day("bad")), start(core, of_day("good"))
    now = 0.0
    wanted: Round | None = looking_up(core, now)
    failures = 0
    while len(core):
        if isinstance(wanted, Lookup):
            failures += any(document.id == "bad" for document in wanted.documents)
            copies = [
                [GetResult(Known(1, 1, b'{"%s":1}' % document.id.encode(), name)) for name in names]
                for document, names in zip(wanted.documents, wanted.names, strict=True)
            ]
            core.answered(wanted, copies, now)
        elif isinstance(wanted, Bulk):
            acknowledge(core, wanted, now)
        elif isinstance(wanted, Listing):
            core.answered(wanted, {"i": ["i-2026.01.30", "i-2026.01.31"]}, now)
        else:
            for preparation in core.preparations(now):
                core.prepared(preparation.index, True, now)
            now = min(core.wake_at(now), now + 1.0)
            assert now < DEADLINE
        wanted = core.next_round(now)
    assert good.exception(0) is None
    assert isinstance(bad.exception(0), StoreUnavailableError)
    assert failures == MAX_FAILURES


# Requests that fail


def test_a_document_whose_answer_can_never_be_read_fails_alone() -> None:
    """After some failures of its own its events are told; nothing of it stays."""
    core = core_of()
    end = start(core, storing(("i", "a")))
    now = failures = 0
    while not end.done():
        bulk = core.next_round(now)
        for preparation in core.preparations(now):
            core.prepared(preparation.index, True, now)
            bulk = core.next_round(now)
        if isinstance(bulk, Bulk):
            failures += 1
            core.answered(bulk, NoAnswer(Failure.UNREADABLE, "garbage"), now)
        now += 10
    assert failures == MAX_FAILURES
    assert isinstance(end.exception(0), StoreUnavailableError)
    assert len(core) == 0


def bulk_of_two_indices(core: WriterCore) -> Bulk:
    """Return a _bulk with a document of an index that will be fast, and one of a slow one."""
    for index in ("fast", "slow"):
        start(core, storing((index, "a")))
    core.next_round(0.0)
    for preparation in core.preparations(0.0):
        core.prepared(preparation.index, True, 0.0)
    bulk = core.next_round(0.0)
    assert isinstance(bulk, Bulk)
    assert len(bulk.documents) == 2
    return bulk


def test_one_slow_index_of_several_gets_its_own_requests() -> None:
    """A _bulk that times out may be slow because of one index: each is sent alone next."""
    core = core_of()
    bulk = bulk_of_two_indices(core)
    core.answered(bulk, NoAnswer(Failure.UNAVAILABLE, "time limit"), SLOW_SECONDS + 0.1)
    now = core.wake_at(SLOW_SECONDS + 0.1)
    first = next_bulk(core, now)
    assert len(first.documents) == 1
    assert first.lane == first.documents[0].index
    # One such request at a time.
    assert core.next_round(now) is None
    acknowledge(core, first, now)
    second = next_bulk(core, now)
    assert {first.lane, second.lane} == {"fast", "slow"}


def test_what_a_plan_goes_on_with_in_a_slow_index_is_sent_at_once() -> None:
    """Its first document is stored already, so nothing is sent and no answer comes after which it could follow."""
    core = core_of(cache_max_bytes=10_000)
    stored = start(core, storing(("i", "a")))
    acknowledge(core, next_bulk(core, 0.0), 0.1)
    assert stored.exception(0) is None
    start(core, storing(("i", "b")))
    core.answered(next_bulk(core, 0.2), [Outcome(Kind.LATER, reason="busy", is_slow=True)], 0.3)

    def plan() -> Plan:
        yield [Change("i", "a", lambda stored: stored, reads=Reads.KNOWN)]
        yield from storing(("i", "c"))

    start(core, plan())
    bulk = next_bulk(core, 0.3)
    assert bulk.lane == "i"
    assert [document.id for document in bulk.documents] == ["c"]


def test_a_slow_index_alone_is_no_outage() -> None:
    """While its own request waits, that of another index is answered: only the slow one is retried after a pause."""
    core = core_of()
    bulk = bulk_of_two_indices(core)
    core.answered(bulk, NoAnswer(Failure.UNAVAILABLE, "time limit"), SLOW_SECONDS + 0.1)
    assert core.down_since == SLOW_SECONDS + 0.1
    now = core.wake_at(SLOW_SECONDS + 0.1)
    alone = next_bulk(core, now)
    assert alone.lane
    end = start(core, storing(("third", "a")))
    other = next_bulk(core, now)
    assert [document.index for document in other.documents] == ["third"]
    acknowledge(core, other, now + 0.1)
    assert end.done()
    core.answered(alone, NoAnswer(Failure.UNAVAILABLE, "time limit"), now + SLOW_SECONDS)
    assert core.down_since is None


@pytest.mark.parametrize("is_up", [False, True])
def test_a_ping_tells_an_outage_from_a_slow_index(is_up: bool) -> None:
    """Documents of new indices wait for a preparation: without a ping, none of their requests would show an outage."""
    core = core_of()
    start(core, storing(("new", "a")))
    core.next_round(0.0)
    (preparation,) = core.preparations(0.0)
    assert not core.is_ready(0.5)
    core.prepared(preparation.index, "connection refused", 1.0)
    assert core.is_ready(1.0)
    ping = core.next_round(1.0)
    assert isinstance(ping, Ping)
    # One ping is enough.
    assert core.next_round(1.0) is None
    core.answered(ping, is_up, 1.1)
    assert core.down_since == (None if is_up else 1.1)
    # A preparation that fails while the search engine is known to be down is no news.
    for preparation in core.preparations(60.0):
        core.prepared(preparation.index, "connection refused", 60.0)
    assert isinstance(core.next_round(60.0), Ping) == is_up


@pytest.mark.parametrize("first", [Kind.DONE, Kind.LATER, Kind.REFUSED])
def test_a_round_that_is_given_up_reschedules_what_is_not_scheduled(first: Kind) -> None:
    """The core itself failed while it read the answer of one document: that one, too, is sent again after a pause."""
    core = core_of()
    ends = [start(core, storing(("i", id))) for id in "abc"]
    bulk = next_bulk(core, 0.0)
    outcomes: list[Any] = [Outcome(first, (1, 1), reason="x"), None, Outcome(Kind.DONE, (2, 1))]
    with pytest.raises(AttributeError) as caught:
        core.answered(bulk, outcomes, 0.1)
    core.abandon(bulk, caught.value, 0.1)
    assert [end.done() for end in ends] == [first is Kind.DONE, False, False]
    assert not core.has_work or core.wake_at(0.1) < DEADLINE
    now = 0.1
    while len(core):
        wanted = core.next_round(now)
        if isinstance(wanted, Bulk):
            acknowledge(core, wanted, now)
        elif found := core.preparations(now):
            core.prepared(found[0].index, True, now)
        else:
            now = core.wake_at(now)
            assert now < 100
    assert [end.exception(0) for end in ends] == [None, None, None]


@pytest.mark.parametrize("where", ["lane", "waiting"])
def test_a_round_that_is_given_up_leaves_alone_what_is_scheduled(where: str) -> None:
    """A document that is ready in a lane, or waits for its index, has no second place."""
    core = core_of()
    start(core, storing(("i", "a")))
    bulk = next_bulk(core, 0.0)
    (document,) = bulk.documents
    if where == "lane":
        core._index_states.isolate("i")
    core.answered(bulk, NoAnswer(Failure.UNAVAILABLE if where == "lane" else Failure.UNREADABLE, "x"), 0.1)
    now = core.wake_at(0.1) if core.wake_at(0.1) < DEADLINE else 0.1
    if where == "waiting":
        # The answer is lost, so the index is prepared again first.
        assert core.next_round(now) is None
    attempts = document.attempts
    core.abandon(bulk, ValueError("x"), now)
    assert document.attempts == attempts
    for preparation in core.preparations(now):
        core.prepared(preparation.index, True, now)
    again = core.next_round(now)
    assert isinstance(again, Bulk)
    assert again.documents == [document]


def test_a_round_that_is_given_up_drops_what_nobody_waits_for() -> None:
    """Its plan has failed because of another document meanwhile."""
    core = core_of(bulk_max_bytes=1)
    end = start(core, storing(("i", "a"), ("i", "b")))
    first, second = next_bulk(core, 0.0), next_bulk(core, 0.0)
    core.answered(first, NoAnswer(Failure.TOO_LARGE, "413"), 0.1)
    assert isinstance(end.exception(0), RejectedError)
    core.abandon(second, ValueError("x"), 0.1)
    assert len(core) == 0


@pytest.mark.parametrize("kind", ["delivered", "unreadable", "failed"])
def test_what_ends_twice_ends_once(kind: str) -> None:
    """Two changes of one plan to one document: the first result ends the plan, the second is nobody's."""
    core = core_of()
    ended: list[Task] = []
    core._plans._finished = ended.append
    end = start(core, storing(("i", "a"), ("i", "a")))
    bulk = next_bulk(core, 0.0)
    entries = list(bulk.documents[0].entries)
    core._plans.fail(entries[0].task, ValueError("first"))
    if kind == "delivered":
        core._plans.deliver(entries, {"text": "x"})
    elif kind == "unreadable":
        core._plans.deliver_error(entries, UnreadableError("second"))
    else:
        core._plans.fail(entries[0].task, ValueError("second"))
    assert str(end.exception(0)) == "first"
    assert ended == [entries[0].task]
