"""The writer with its threads, over a model of the engine: what it acknowledges is stored, whatever goes wrong."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import merging, record
from request_logger.settings import Settings
from request_logger.store.changes import Change, StoreUnavailableError
from request_logger.store.writing import linger
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.writer import Writer
from tests.model import SETTLE, without_times
from tests.simulation.compare import Delivered
from tests.simulation.faults import FaultyEngine, Plan
from tests.simulation.model_engine import ModelEngine
from tests.simulation.traffic import Message, messages

PATIENCE_SECONDS = 60.0


class Engine(FaultyEngine):
    """A model with faults, for several threads. ``prepare_raises`` are errors of the next preparations."""

    def __init__(self, settings: Settings, faults: Plan, seed: int = 0) -> None:
        self.model = ModelEngine()
        super().__init__(self.model, settings, faults, random.Random(seed), time.monotonic, lambda text: None)
        self.one_at_a_time = threading.Lock()
        self.prepare_raises: list[Exception] = []

    def request(self, *arguments: Any, **named: Any) -> tuple[int, Any]:
        with self.one_at_a_time:
            return super().request(*arguments, **named)

    def prepare(self, index: str) -> bool:
        if self.prepare_raises:
            raise self.prepare_raises.pop()
        return super().prepare(index)


class Clumsy(NullObserver):
    """An observer that raises when the first _bulk is answered."""

    def __init__(self) -> None:
        self.raised = False

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        if not self.raised:
            self.raised = True
            raise ValueError("simulated")


Start = Callable[..., tuple[Writer, Engine]]


@pytest.fixture
def start() -> Iterator[Start]:
    writers: list[Writer] = []

    def begin(
        faults: Plan, period: str = "none", timeout: float = 30.0, linger_seconds: float = 0.1, **more: Any
    ) -> tuple[Writer, Engine]:
        engine = Engine(Settings(index_period=period), faults)
        limits = Limits(timeout_seconds=timeout, bulk_max_bytes=20_000, linger_seconds=linger_seconds)
        observer = more.pop("observer", NullObserver())
        writers.append(Writer(engine, degrade, observer, limits, locator=Locator(period, merging(SETTLE)), **more))
        return writers[-1], engine

    yield begin
    for writer in writers:
        writer.close(5.0)


def submit(writer: Writer, message: Message, settings: Settings) -> Future[Any]:
    event = message.event(settings)
    return writer.submit(record(event, parts_of(event), SETTLE), event.body.size)


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("period", ["none", "day"])
def test_what_is_acknowledged_is_stored(start: Start, period: str) -> None:
    """Several threads send events over a bad connection until each is acknowledged: the engine has them all, joined."""
    tokens = BulkTokens(patience=0.01)
    looked: list[int] = []
    writer, engine = start(
        # Refusals that pass: others would leave documents in another form.
        Plan(unreachable=0.05, lost_answer=0.05, garbage=0.05, items=0.1, item_refusals=((429, "busy"), (503, "away"))),
        period,
        tokens=tokens,
        looked_up=lambda gets, seconds: looked.append(gets),
    )
    settings = Settings(index_period=period)
    rng = random.Random(1)
    sent = [message for message in messages(rng, ["a", "b"], 20) if message.time is not None]
    waiting = list(sent)
    rng.shuffle(waiting)

    def send() -> None:
        while waiting:
            try:
                message = waiting.pop()
            except IndexError:
                return
            while True:
                try:
                    submit(writer, message, settings).result(PATIENCE_SECONDS)
                    break
                except StoreUnavailableError:
                    time.sleep(0.05)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE_SECONDS)
    assert writer.is_alive
    delivered = Delivered(settings, sent, set(sent), set(), set(), {})
    assert delivered.problems(without_times(engine.model.documents())) == []
    # With one index, documents are searched for only after some of the faults.
    assert looked or period == "none"


def test_an_outage_ends(start: Start) -> None:
    """An event fails in time; when the engine answers again, the writer notices it by itself."""
    faults = Plan()
    writer, engine = start(faults, timeout=1.0)
    change = Change("a", "1", lambda stored: {"n": 1 if stored is None else stored["n"] + 1})

    def plan() -> Any:
        yield [change]

    assert writer.submit(plan(), 1).exception(PATIENCE_SECONDS) is None
    engine.model.wipe()
    faults.unreachable = 1.0
    with pytest.raises(StoreUnavailableError):
        writer.submit(plan(), 1).result(PATIENCE_SECONDS)

    faults.end()
    until(lambda: writer.down_for == 0.0)
    until(lambda: writer.submit(plan(), 1).exception(PATIENCE_SECONDS) is None)
    assert engine.model.documents()["a", "1"]["n"] > 0


def test_nothing_is_accepted_while_the_engine_is_down_for_long(start: Start) -> None:
    """An event that could only fail later is refused at once; its sender, or the spool, keeps it."""
    faults = Plan()
    writer, _ = start(faults, timeout=1.0)

    def plan() -> Any:
        yield [Change("a", "1", lambda stored: {"n": 1})]

    # Twice: after its first document an index is prepared once more, and a document that waits for that is not sent.
    for _ in range(2):
        until(lambda: writer.submit(plan(), 1).exception(PATIENCE_SECONDS) is None)
    faults.unreachable = 1.0
    with pytest.raises(StoreUnavailableError):
        writer.submit(plan(), 1).result(PATIENCE_SECONDS)
    until(lambda: writer.down_for > 1.0)
    with pytest.raises(StoreUnavailableError, match=r"^the engine does not answer$"):
        writer.submit(plan(), 1)


def test_an_index_whose_preparation_fails_is_prepared_again(start: Start) -> None:
    """An error of this program there delays the documents of that index, and ends no thread."""
    writer, engine = start(Plan())
    engine.prepare_raises = [ValueError("simulated"), StoreUnavailableError("simulated")]

    def plan() -> Any:
        yield [Change("a", "1", lambda stored: {"n": 1})]

    assert writer.submit(plan(), 1).exception(PATIENCE_SECONDS) is None
    assert engine.prepare_raises == []


def test_an_error_within_a_round_ends_no_thread(start: Start) -> None:
    """The documents of that round are written again."""
    observer = Clumsy()
    writer, engine = start(Plan(), observer=observer)

    def plan() -> Any:
        yield [Change("a", "1", lambda stored: {"n": 1})]

    assert writer.submit(plan(), 1).exception(PATIENCE_SECONDS) is None
    assert observer.raised
    assert writer.is_alive
    assert engine.model.documents()["a", "1"] == {"n": 1}


def test_closing_finishes_what_is_under_way(start: Start) -> None:
    """Afterwards nothing is taken any more."""
    writer, engine = start(Plan())

    def plan(id: str) -> Any:
        yield [Change("a", id, lambda stored: {"n": 1})]

    futures = [writer.submit(plan(str(number)), 1) for number in range(20)]
    writer.close()
    assert [future.exception(0) for future in futures] == 20 * [None]
    assert len(engine.model.documents()) == 20
    assert not writer.is_alive
    with pytest.raises(StoreUnavailableError):
        writer.submit(plan("late"), 1)


class Sizes(NullObserver):
    """Notes how many documents each _bulk has, once it is answered."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        self.sizes.append(changes)


def storing(id: str, value: str = "n") -> Any:
    yield [Change("a", id, lambda stored: {**(stored or {}), value: 1})]


def teach(writer: Writer, engine: Engine, senders: int) -> None:
    """Let a writer learn that so many events can be in flight at once."""
    with engine.one_at_a_time:
        futures = [writer.submit(storing(f"first {number}"), 1, None, Arrival.ALONE) for number in range(senders)]
    assert [future.exception(PATIENCE_SECONDS) for future in futures] == senders * [None]
    # A future ends just before its event counts as answered. Until then, it would be one of those in flight at once.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while writer._queue._linger.in_flight and time.monotonic() < deadline:
        time.sleep(0.001)
    assert writer._queue._linger.in_flight == 0


def test_a_response_is_written_with_its_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes later, while the request waits: one item of one _bulk carries both."""
    monkeypatch.setattr(linger, "_SILENCE_INTERVALS", math.inf)
    observer = Sizes()
    writer, engine = start(Plan(), timeout=4 * PATIENCE_SECONDS, linger_seconds=PATIENCE_SECONDS, observer=observer)
    settings = Settings()
    teach(writer, engine, 2)
    # On a busy machine the writer may have something else to send meanwhile and take the request along: not each time.
    for seed in (7, 8, 9):
        observer.sizes.clear()
        request, response = (
            next(each for each in messages(random.Random(seed), ["a"], 20) if each.part == part and each.sure)
            for part in ("request", "response")
        )
        request = replace(request, request_id=f"{request.request_id}-{seed}")
        response = replace(response, request_id=request.request_id)
        futures = []
        for message in (request, response):
            event = message.event(settings)
            plan = record(event, parts_of(event), SETTLE)
            futures.append(writer.submit(plan, event.body.size, None, Arrival.ALONE))
            time.sleep(0.05)
        assert [future.exception(PATIENCE_SECONDS) for future in futures] == [None, None]
        if observer.sizes == [1]:
            break
    assert observer.sizes == [1]
    (stored,) = [document for (_, id), document in engine.model.documents().items() if id == request.request_id]
    assert {"request", "response"} <= stored.keys()


def test_events_that_wait_for_others_are_stored_at_a_close(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close doesn't wait for the end of their time."""
    monkeypatch.setattr(linger, "_SILENCE_INTERVALS", math.inf)
    writer, engine = start(Plan(), timeout=4 * PATIENCE_SECONDS, linger_seconds=PATIENCE_SECONDS)
    teach(writer, engine, 5)
    future = writer.submit(storing("waits"), 1, None, Arrival.ALONE)
    writer.close(PATIENCE_SECONDS / 2)
    assert future.done()
    assert future.exception() is None
    assert ("a", "waits") in engine.model.documents()


def test_a_wait_for_others_is_at_most_a_quarter_of_the_time_limit(start: Start) -> None:
    """However long LINGER_MS is, an event is stored in time."""
    writer, engine = start(Plan(), timeout=1.0, linger_seconds=PATIENCE_SECONDS)
    teach(writer, engine, 5)
    assert writer.submit(storing("waits"), 1, None, Arrival.ALONE).exception(PATIENCE_SECONDS) is None
    assert ("a", "waits") in engine.model.documents()


def test_documents_that_are_ready_are_sent_with_the_waiting_events(start: Start) -> None:
    """A plan's second change doesn't wait for the time of an event that waits for others; it takes that event along."""
    observer = Sizes()
    writer, engine = start(Plan(), timeout=4 * PATIENCE_SECONDS, linger_seconds=PATIENCE_SECONDS, observer=observer)
    teach(writer, engine, 9)

    def two_steps() -> Any:
        yield [Change("a", "one", lambda stored: {"n": 1})]
        waiting.append(writer.submit(storing("waits"), 1, None, Arrival.ALONE))
        yield [Change("a", "two", lambda stored: {"n": 2})]

    observer.sizes.clear()
    waiting: list[Future[Any]] = []
    assert writer.submit(two_steps(), 1).exception(PATIENCE_SECONDS) is None
    assert waiting[0].exception(PATIENCE_SECONDS) is None
    assert observer.sizes == [1, 2]
    assert {("a", "one"), ("a", "two"), ("a", "waits")} <= engine.model.documents().keys()
