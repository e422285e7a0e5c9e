"""One replica of the program in virtual time: the real core, plans and client; threads and network are simulated."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from request_logger.common.join_keys import parse_join_keys
from request_logger.documents.document import degrade
from request_logger.documents.event import Event
from request_logger.documents.parts import parts_of
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.replies import watched
from request_logger.ingest.write_plan import merging
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.spool.observer import NullObserver as NullSpoolObserver
from request_logger.spool.replay import Replay
from request_logger.store.changes import Plan, StoreUnavailableError
from request_logger.store.writing.bulk_sender import perform
from request_logger.store.writing.core import WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.index_states import Preparation
from request_logger.store.writing.linger import Arrival, Linger
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.rounds import Answer, Failure, NoAnswer, Round
from tests.simulation.clock import Clock
from tests.simulation.faults import FaultyEngine
from tests.simulation.user_code import Choice
from tests.simulation.wall import Wall


class Mistakes(NullObserver):
    """Notes errors of the program itself: a schedule must have none."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def happened(self, what: str, index: str, reason: str) -> None:
        """Note an internal error."""
        if what == "failed" and reason.startswith("internal error"):
            self.found.append(f"{index}: {reason}")


SETTLE = settler(Choice("auto", None))
ROUNDS_AT_ONCE = 2
TIMEOUT_SECONDS = 7.0
# A turn comes so much later than planned at most.
_LATE_SECONDS = 0.01
_CLIENT_TIMEOUT_SECONDS = 30.0
# Between two looks for events in the spool.
_LOOK_SECONDS = 1.0
# More of one document's changes applied at once hold up all other documents for longer than a request takes.
_MOST_APPLIED = 500
# Some forms of a refused document, joins with others' versions, and the first, short pauses.
_MOST_A_SECOND = 50


@dataclass(frozen=True)
class _Ready:
    """An event of the spool that is ready for the writer."""

    queue: Callable[[], Future[Any]]
    held_bytes: int = 1


class Process:
    """A replica. `kill` ends it as SIGKILL does: what is under way may still reach the engine."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        engine: FaultyEngine,
        settings: Settings,
        rng: random.Random,
        slowness: Callable[[], float],
        tell: Callable[[str], None],
        wall: Wall,
    ) -> None:
        self.name = name
        self.alive = True
        self.pending_bytes = 0
        self.preparing_takes: Callable[[str], float] = lambda index: 0.0
        """How long it takes to prepare an index (seconds); 0 for as long as any request."""
        self.late_requests: list[Round] = []
        """What reached the engine when nobody waited for the answer any more."""
        self.skew = 0.0
        """How wrong its wall clock is (seconds)."""
        self.engine = engine
        self._wall = wall
        self._clock = clock
        self._engine = engine
        self._rng = rng
        self._slowness = slowness
        self._tell = tell
        self._settings = settings
        self.plans = KeyPlans(parse_join_keys(settings.join_keys))
        locator = Locator(settings.index_period, merging(SETTLE))
        limits = Limits(
            timeout_seconds=TIMEOUT_SECONDS,
            bulk_max_bytes=rng.choice((3_000, 5 * 2**20)),
            # A version that has left the cache is read again.
            cache_max_bytes=rng.choice((0, 2**24, 2**24)),
            linger_seconds=rng.choice((0.0, 0.1, 0.5)),
        )
        self._linger_seconds = limits.linger_seconds
        self._linger = Linger(limits.bulk_max_bytes)
        self._queued: list[Task] = []
        self.mistakes = Mistakes()
        self.core = WriterCore(degrade, self.mistakes, limits, locator, self._finished, random.Random(rng.random()))
        self._sent_at: dict[tuple[tuple[str, str], Task | None], deque[float]] = {}
        self._rounds = 0
        self._is_free_since = clock.now
        self._turns_at = float("inf")

    @property
    def is_idle(self) -> bool:
        """Whether all that it was given is done."""
        return not self._queued and len(self.core) == 0

    def enter(self) -> None:
        """Let what runs now see this replica's wall clock."""
        self._wall.skew = self.skew

    def submit(
        self,
        event: Event,
        then: Callable[[Future[Any]], None] | None = None,
        arrival: Arrival = Arrival.IN_BULK,
    ) -> Future[Any]:
        """Take an event, as the ingest pipeline does. The future ends as the writer's does."""
        self.enter()
        plan = self.plans.record(event, parts_of(event), SETTLE)
        return self.carry_out(watched(plan) if event.part == "feedback" else plan, event.body.size, then, arrival)

    def carry_out(
        self,
        plan: Plan,
        weight: int,
        then: Callable[[Future[Any]], None] | None = None,
        arrival: Arrival = Arrival.IN_BULK,
    ) -> Future[Any]:
        """Take a plan."""
        future: Future[Any] = Future(then)
        if not self.alive:
            future.set_exception(StoreUnavailableError("killed"))
            return future
        self.enter()
        self.pending_bytes += weight
        now = self._clock.now
        task = Task(plan, future, weight, now + TIMEOUT_SECONDS, now + arrival.wait_seconds(self._linger_seconds))
        self._queued.append(task)
        self._linger.arrived(now, task.wait_until, weight)
        self._look()
        return future

    def replay(self, spool: Spool, batch_events: int, when_filled: Callable[[Callable[[], None]], None]) -> None:
        """Begin to give the spool's events to the writer, now and again; see to what came of it.

        ``when_filled`` calls a function once the spool, which is empty, has an event again.
        """
        replay = Replay(
            spool, lambda event: _Ready(lambda: self.submit(event)), NullSpoolObserver(), 2**20, batch_events
        )

        def advance() -> None:
            if not self.alive:
                return
            if not replay.is_done:
                self._clock.after(0.05, advance)
                return
            replay.finish()
            if replay.begin():
                self._clock.after(0.01, advance)
            elif spool.is_empty:
                # It looks again and again. Only the look that finds something is played.
                when_filled(lambda: self._clock.after(self._rng.uniform(0, _LOOK_SECONDS), again))
            else:
                self._clock.after(_LOOK_SECONDS, again)

        def again() -> None:
            self.replay(spool, batch_events, when_filled)

        if self.alive:
            advance()

    def late_ids(self) -> set[str]:
        """Return the ids of documents, and of their predictions, whose requests reached the engine too late."""
        documents = [document for wanted in self.late_requests for document in wanted.documents]
        return {id for document in documents for id in (document.id, document.id.partition("-item-")[0])}

    def kill(self) -> None:
        """End at once."""
        self.alive = False

    def _finished(self, task: Task) -> None:
        self.pending_bytes -= task.weight
        self._linger.finished()

    def _look(self) -> None:
        """Let the core's threads look for work soon."""
        self._turn_after(self._rng.uniform(0, 0.002))

    def _turn_after(self, seconds: float) -> None:
        """Plan the next turn, unless an earlier one is planned: that one plans what comes after it."""
        at = self._clock.now + seconds
        if at < self._turns_at:
            self._turns_at = at
            self._clock.after(seconds, lambda: self._turn(at))

    def _turn(self, at: float) -> None:
        if at != self._turns_at or not self.alive:
            return
        now = self._clock.now
        self.enter()
        self._turns_at = float("inf")
        while self._rounds < ROUNDS_AT_ONCE:
            self._take(now)
            wanted = self.core.next_round(now)
            for preparation in self.core.preparations(now):
                seconds = self.preparing_takes(preparation.index) or self._slowness()
                self._clock.after(seconds, lambda preparation=preparation: self._prepare(preparation))
            if wanted is None:
                # Nothing else makes a request of it: neither an answer nor a time that was named has to come.
                if self.core.is_ready(now):
                    self.mistakes.found.append("documents are ready, and no request of them was made")
                break
            self._rounds += 1
            self._send(wanted)
        # With all threads under way nobody looks before an answer comes.
        wake_at = float("inf")
        if self._rounds < ROUNDS_AT_ONCE:
            wake_at = min(self.core.wake_at(now), self._linger.send_at())
        if wake_at < float("inf"):
            self._turn_after(max(wake_at - now, 0.0005))

    def _take(self, now: float) -> None:
        """Give the queued tasks to the core, unless they wait for others."""
        lingers = self.core.down_since is None and not self.core.is_ready(now)
        if not self._queued or (lingers and self._linger.send_at() > now):
            return
        due = min(task.wait_until for task in self._queued)
        if lingers and max(due, self._is_free_since) < now - _LATE_SECONDS:
            self.mistakes.found.append(f"an event waited for others for {now - due:.3f} s too long")
        tasks, self._queued = self._queued, []
        self._linger.sent(now)
        for task in tasks:
            self.core.start(task)

    def _send(self, wanted: Round) -> None:
        """Let a round reach the engine after a while, and its answer come back after another."""
        self._note_rates(wanted)
        there, back = self._slowness(), self._slowness()
        state = {"given up": False}

        def arrive() -> None:
            overdue = any(
                entry.task.deadline < self._clock.now for document in wanted.documents for entry in document.entries
            )
            if state["given up"] or overdue or not self.alive:
                self.late_requests.append(wanted)
            answer = perform(self._engine, wanted)
            if not state["given up"]:
                self._clock.after(back, lambda: self._answered(wanted, answer))

        if there + back > _CLIENT_TIMEOUT_SECONDS:
            # The client gives up; the request may reach the engine later.
            state["given up"] = True
            late = NoAnswer(Failure.UNAVAILABLE, "the engine does not answer: time limit")
            self._clock.after(_CLIENT_TIMEOUT_SECONDS, lambda: self._answered(wanted, late))
        self._clock.after(there, arrive)

    def _note_rates(self, wanted: Round) -> None:
        """See that no document is sent again and again for one change without a pause, nor with too many changes."""
        for document in wanted.documents:
            oldest = document.entries[0].task if document.entries else None
            times = self._sent_at.setdefault((document.key, oldest), deque(maxlen=_MOST_A_SECOND))
            if len(times) == _MOST_A_SECOND and self._clock.now - times[0] < 1.0:
                self.mistakes.found.append(f"{document.id} was sent {_MOST_A_SECOND} times in a second")
                times.clear()
            times.append(self._clock.now)
            if document.applied > _MOST_APPLIED:
                self.mistakes.found.append(f"{document.applied} changes of {document.id} were applied at once")

    def _answered(self, wanted: Round, answer: Answer) -> None:
        if not self.alive:
            return
        self.enter()
        self._rounds -= 1
        self._is_free_since = self._clock.now
        self.core.answered(wanted, answer, self._clock.now)
        self._look()

    def _prepare(self, preparation: Preparation) -> None:
        if not self.alive:
            return
        done: bool | str
        try:
            if preparation.is_gone:
                self._engine.forget(preparation.index)
            done = self._engine.prepare(preparation.index)
        except StoreUnavailableError as error:
            done = str(error)
        self.core.prepared(preparation.index, done, self._clock.now)
        self._look()
