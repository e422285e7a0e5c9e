"""One schedule: replicas, senders and one engine in virtual time, with the faults that the seed decides.

After a while the faults end, what is broken is repaired, dead letters are retried. Then everything must have been
answered, and the engine must hold what the pure functions make of the events."""

from __future__ import annotations

import random
from typing import Any

from request_logger.common.json import loads
from request_logger.common.times import instant
from request_logger.documents.event import BadEventError, Event
from request_logger.ingest.memory_budget import RequestTooLargeError
from request_logger.kafka.binding import event_of
from request_logger.kafka.letter_content import INDEX as KAFKA
from request_logger.kafka.letter_content import record_of
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival
from tests.model import without_times
from tests.simulation import checks
from tests.simulation.clock import Clock
from tests.simulation.compare import Delivered
from tests.simulation.faults import FaultyEngine, Plan
from tests.simulation.group import Group
from tests.simulation.model_engine import ModelEngine
from tests.simulation.process import SETTLE, TIMEOUT_SECONDS, Process
from tests.simulation.spooling import Spooling
from tests.simulation.traffic import Message, burst, messages
from tests.simulation.wall import Wall

FLAVOURS = ("opensearch", "elasticsearch7-oss", "elasticsearch9")
_START = 1_770_000_000.0  # February 2026, when the latest of the events is from
_PATIENCE_SECONDS = TIMEOUT_SECONDS + 1
_FAULTS_SECONDS = 20.0
# Some round trips of at most 20 ms.
_LONGEST_CALM_SECONDS = 1.0
DRAIN_SECONDS = 60.0
"""So long after the end of all faults everything has been answered: some deadlines and the longest pauses."""
_MOST_STEPS = 60_000
# A minute, a night, and a clock that was never set; the day of an event counts only where it is not in the future.
_JUMPS = (0.5, 60.0, 30_000.0, 86_400.0, 3_000_000.0)


class World:
    """A schedule. `run` returns what is wrong with it: nothing, in the best case."""

    def __init__(self, seed: int, *, tells: bool = False, join_keys: str = "") -> None:
        self.seed = seed
        self.story: list[str] = []
        self._tells = tells
        self._rng = rng = random.Random(seed)
        self.clock = Clock(_START)
        self.flavour = rng.choice(FLAVOURS)
        self.wall = Wall(self.clock)
        self.engine = ModelEngine(self.flavour, now=self.clock.time)
        self.is_calm = rng.random() < 0.05
        """Nothing goes wrong, but that new indices of deployment ``b`` are slow to prepare: others must not notice."""
        self.takes_little = not self.is_calm and rng.random() < 0.15
        """Events may be refused for good, because of their size or as dead letters."""
        self.settings = Settings(index_period=rng.choice(("none", "none", "month", "day")), join_keys=join_keys)
        self.faults = Plan() if self.is_calm else Plan.of(rng, takes_little=self.takes_little)
        self._is_slow = not self.is_calm and rng.random() < 0.15
        self.deployments = ["a", "b", "c"][: 3 if self.is_calm else rng.choice((1, 2, 3))]
        self.messages = messages(rng, self.deployments, rng.choice((1, 2, 3, 6)))
        # So many deliveries of one event, at once to one replica.
        self.burst = burst(rng, self.deployments) if not self.is_calm and rng.random() < 0.004 else []
        self.has_wrong_clocks = not self.is_calm and rng.random() < 0.2
        self.all_processes: list[Process] = []
        self.processes = [
            self._process(f"w{number}") for number in range(1 if self.burst else rng.choice((1, 2, 2, 3)))
        ]
        self.acknowledged: set[Message] = set()
        self.refused: dict[Message, str] = {}
        self.interrupted: set[str] = set()
        """Predictions of which an event was given up: not answered in time, or of a partition that a member lost.

        A join of two copies may have been given up, too, and a feedback on its way to the rows.
        """
        self.group: Group | None = None
        if not self.is_calm and rng.random() < 0.15:
            self.group = Group(
                rng,
                self.clock,
                self.settings,
                lambda: self.faults_are_on,
                self._committed,
                self.interrupted.add,
                self.tell,
            )
            for process in self.processes:
                self.group.join(process)
            self.group.rebalance()
        # What an engine never takes is set aside in a file, where the comparison would not find it.
        self.spooling = Spooling.of(rng, is_allowed=not self.takes_little and not self.is_calm)
        if self.spooling is not None:
            self.spooling.replay(self.processes[0])
        self.arrivals: dict[Message, list[str]] = {}
        """When the deliveries of an event without a time arrived."""
        self._times: set[int] = set()
        self.open = 0
        self.lost_indices = False
        self.problems: list[str] = []

    # Actors

    def tell(self, text: str) -> None:
        """Note a line of the story."""
        if self._tells:
            self.story.append(f"{self.clock.now - _START:9.4f} {text}")

    def _process(self, name: str) -> Process:
        rng = random.Random(self._rng.random())

        def tell(text: str) -> None:
            self.tell(f"{name}: {text}")

        engine = FaultyEngine(self.engine, self.settings, self.faults, rng, self.clock.time, tell)
        process = Process(name, self.clock, engine, self.settings, rng, self._slowness, tell, self.wall)
        if self.has_wrong_clocks:
            self._jump(process)
        if self.is_calm:
            process.preparing_takes = lambda index: 6.0 if "-b-" in index else 0.0
        self.all_processes.append(process)
        return process

    def _jump(self, process: Process) -> None:
        process.skew = self._rng.choice((-1, 1)) * self._rng.choice(_JUMPS) * self._rng.random()
        self.tell(f"{process.name}: its wall clock is wrong by {process.skew:.1f} s")

    def _slowness(self) -> float:
        if self._is_slow and self.faults_are_on and self._rng.random() < 0.05:
            return self._rng.choice((0.5, 3.0, 12.0, 20.0))
        return self._rng.choice((0.0005, 0.001, 0.001, 0.01))

    @property
    def faults_are_on(self) -> bool:
        """Whether something may still go wrong."""
        return self.clock.now < _START + _FAULTS_SECONDS

    def _send(self, message: Message) -> None:
        """Deliver an event to a replica; see to its answer."""
        process = self._rng.choice(self.processes)
        self.tell(
            f"sender: {message.request_id} {message.part} {message.time} of {message.deployment} to {process.name}"
        )
        answered: list[bool] = []
        sent_at = self.clock.now
        process.enter()
        event = message.event(self.settings, instant(self._time()))
        if message.time is None:
            self.arrivals.setdefault(message, []).append(event.timestamp)

        if self.spooling is not None and self.spooling.queues_all:
            self._answered(message, event, self.spooling.queued(event))
            return

        def answer(future: Future[Any] | None) -> None:
            if not answered:
                answered.append(True)
                if self.is_calm and message.deployment != "b" and self.clock.now - sent_at > _LONGEST_CALM_SECONDS:
                    self.problems.append(f"{message.request_id} waited for an index of another deployment")
                self._answered(message, event, future)

        process.submit(event, lambda future: self.clock.after(0.0, lambda: answer(future)), Arrival.ALONE)
        self.clock.after(_PATIENCE_SECONDS, lambda: answer(None))

    def _time(self) -> int:
        """Return the wall clock's milliseconds; no two arrivals have the same: which of equal ones wins is open."""
        found = self.wall.milliseconds()
        while found in self._times:
            found += 1
        self._times.add(found)
        return found

    def _produce(self, message: Message) -> None:
        """Send an event by way of Kafka."""
        assert self.group is not None
        self.wall.skew = 0.0
        self.messages[self.messages.index(message)] = self.group.produce(message, self._time())
        self.open -= 1

    def _committed(self, record: Record, message: Message | None, is_letter: bool) -> None:
        """See that a record whose offset is committed is stored or a dead letter."""
        if message is not None and is_letter and self.takes_little:
            # There may be no dead letter of it, either.
            self.refused[message] = "refused from Kafka"
        elif message is not None:
            self.acknowledged.add(message)
        if not is_letter or self.lost_indices or self.takes_little:
            return
        if (DEAD_LETTER_INDEX, f"{KAFKA}{record.position}") not in self.engine.documents():
            self.problems.append(f"{record.position} is committed, and there is no dead letter of it")

    def _answered(self, message: Message, event: Event, future: Future[Any] | None) -> None:
        error = future.exception() if future is not None else StoreUnavailableError("late")
        self.tell(f"answer: {message.request_id} {message.part} {message.time}: {'200' if error is None else error!r}")
        if error is not None:
            self.interrupted.add(message.request_id)
        if error is None:
            self.acknowledged.add(message)
        elif isinstance(error, RejectedError):
            self.refused[message] = str(error)
        elif isinstance(error, RequestTooLargeError):
            self.tell(f"  {message.request_id} {message.part} never fits into the spool")
        elif not isinstance(error, StoreUnavailableError):
            self.problems.append(f"{message.request_id} {message.part} ended with {error!r}")
        elif self.spooling is not None and self.spooling.takes(event):
            self.tell(f"  {message.request_id} {message.part} is spooled")
            self.acknowledged.add(message)
        elif message.sure or not self.faults_are_on:
            self.clock.after(self._rng.uniform(0.1, 2.0), lambda: self._send(message))
            return
        self.open -= 1

    # The course of things

    def run(self) -> list[str]:
        """Play the schedule; return what is wrong with it."""
        try:
            with self.wall.installed():
                return self._run()
        except (Exception, SystemExit) as error:
            return [*self.problems, f"the program raised {error!r:.300}"]
        finally:
            if self.spooling is not None:
                self.spooling.close()

    def _run(self) -> list[str]:
        for message in list(self.messages):
            self.open += 1
            by_kafka = self.group is not None and self._rng.random() < 0.7 and message.named_by != "key"
            do = self._produce if by_kafka else self._send
            self.clock.after(
                self._rng.choice((0.0, 0.0005, 0.5, 5.0)) * self._rng.random(),
                lambda do=do, message=message: do(message),
            )
        for message in self.burst:
            self.open += 1
            self._send(message)
        self.messages += self.burst[:1]
        if self.group is not None:
            for _ in range(self._rng.choice((0, 1, 2))):
                self.clock.after(5.0 * self._rng.random(), self.group.produce_garbage)
        for _ in range(0 if self.is_calm else self._rng.choice((0, 0, 1, 2, 4))):
            self.clock.after(self._rng.uniform(0, _FAULTS_SECONDS / 4), self._disturb)
        end = _START + _FAULTS_SECONDS
        self.clock.after(_FAULTS_SECONDS, self._repair)
        drained = self.clock.run(
            lambda: self.clock.now >= end and self.open == 0, end + DRAIN_SECONDS, _MOST_STEPS
        ) and self.clock.run(self._is_idle, self.clock.now + DRAIN_SECONDS, _MOST_STEPS)
        if not drained:
            busy = {process.name: len(process.core) for process in self.processes if process.alive}
            return [*self.problems, f"not drained: {self.open} events without an answer, documents under way: {busy}"]
        if any(process.pending_bytes for process in self.processes if process.alive):
            self.problems.append("the account of pending bytes is not even")
        self._retry_letters()
        if self.lost_indices:
            checks.see_mappings(self)
        if self.faults.template_refused:
            checks.see_templates(self)
        for process in self.all_processes:
            self.problems += process.mistakes.found
        return [*self.problems, *self._compare()]

    def _is_idle(self) -> bool:
        is_empty = (self.spooling is None or self.spooling.is_empty) and (self.group is None or self.group.is_drained)
        return is_empty and all(process.is_idle for process in self.processes if process.alive)

    def _disturb(self) -> None:
        """Do something to a replica or to the engine."""
        ways = [self._kill, self._kill, self._restart_engine, self._close, self._block, self._alias]
        if self.takes_little:
            ways += [self._shrink] * 4
        if self.has_wrong_clocks:
            ways += [lambda: self._jump(self._rng.choice(self.processes))] * 4
        if self.group is not None:
            ways += [self.group.rebalance] * 4
        do = self._rng.choice(ways)
        if self._rng.random() < 0.1:
            do = self._wipe
        do()

    def _kill(self) -> None:
        number = self._rng.randrange(len(self.processes))
        self.tell(f"{self.processes[number].name} is killed")
        self.processes[number].kill()
        self.processes[number] = self._process(f"w{number}x{len(self.all_processes)}")
        if number == 0 and self.spooling is not None:
            self.spooling.replay(self.processes[0])
        if self.group is not None:
            self.group.join(self.processes[number])
            # After the session's time limit.
            self.clock.after(self._rng.choice((0.1, 3.0)), self.group.rebalance)

    def _shrink(self) -> None:
        self.engine.max_content_length = self._rng.choice((250, 600, 2_000))
        self.tell(f"the engine takes requests of at most {self.engine.max_content_length} bytes")

    def _restart_engine(self) -> None:
        self.tell("the engine restarts")
        self.engine.restart()

    def _some_index(self) -> str | None:
        names = sorted({index for index, _ in self.engine.documents() if index != DEAD_LETTER_INDEX})
        return self._rng.choice(names) if names else None

    def _close(self) -> None:
        index = self._some_index()
        # Of a name with several indices a closed one counts as gone: what comes meanwhile begins a document in another.
        if index is not None and self.settings.index_period == "none":
            self.tell(f"index {index} is closed")
            self.engine.request("POST", f"/{index}/_close", None, {})

    def _block(self) -> None:
        index = self._some_index()
        if index is not None:
            self.tell(f"index {index} is blocked")
            self.engine.request("PUT", f"/{index}/_settings", b'{"index.blocks.write": true}', {})

    def _alias(self) -> None:
        """Make the name of a deployment that has no index an alias of two, without a write index."""
        name = f"inference-log-seldon-sim-{self._rng.choice(self.deployments)}-default"
        for number in (1, 2):
            self.engine.request("PUT", f"/{name}-00000{number}", b"{}", {})
            body = b'{"actions":[{"add":{"index":"%b-00000%d","alias":"%b"}}]}' % (name.encode(), number, name.encode())
            status, _ = self.engine.request("POST", "/_aliases", body, {})
        self.tell(f"{name} becomes an alias of two: {status}")
        self.faults.items_refused = True

    def _wipe(self) -> None:
        self.tell("the engine comes back empty")
        self.lost_indices = True
        self.engine.wipe()

    def _repair(self) -> None:
        """End all faults."""
        self.tell("all faults end")
        self.faults.end()
        self.engine.max_content_length = 100 * 2**20
        for index in list(self.engine.state.indices):
            self.engine.request("POST", f"/{index}/_open", None, {})
            self.engine.request("PUT", f"/{index}/_settings", b'{"index.blocks.write": null}', {})
            if index.endswith(("-000001", "-000002")):
                self.engine.request("DELETE", f"/{index}", None, {})

    # What must be

    def _retry_letters(self) -> None:
        """Retry all dead letters, as the command does; remove those that are stored."""
        process = self._process("letters")
        while True:
            letters = {key: source for key, source in self.engine.documents().items() if key[0] == DEAD_LETTER_INDEX}
            if not letters:
                return
            for (index, id), letter in letters.items():
                future = self._retry_letter(process, letter)
                if future is not None and (
                    not self.clock.run(future.done, self.clock.now + DRAIN_SECONDS, _MOST_STEPS)
                    or future.exception() is not None
                ):
                    self.problems.append(f"a dead letter of {letter['id']} can't be retried: {letter['reason'][:200]}")
                    return
                line = b'{"delete":{"_index":"%b","_id":"%b"}}\n' % (index.encode(), id.encode())
                self.engine.request("POST", "/_bulk", line, {})

    def _retry_letter(self, process: Process, letter: dict[str, Any]) -> Future[Any] | None:
        """Retry a letter; None where it is a record that is no event."""
        document = loads(letter["document"])
        if not letter["index"].startswith(KAFKA):
            return process.carry_out(process.plans.restore(letter["index"], letter["id"], document, SETTLE), 1)
        try:
            return process.submit(event_of(record_of(document), self.settings, lambda event: event))
        except BadEventError:
            return None

    def _compare(self) -> list[str]:
        if self.refused and not self.takes_little:
            return [f"refused though it could be stored: {next(iter(self.refused.values()))}"]
        if self.lost_indices:
            # What was acknowledged before is gone with the indices.
            return []
        # A request that reaches the engine after its sender's end is followed by no search: a second copy may stay.
        late = {id for process in self.all_processes for id in process.late_ids()}
        delivered = Delivered(
            self.settings, self.messages, self.acknowledged, self.interrupted, late, self.arrivals, self.refused,
            self.faults.items_refused,
        )  # fmt: skip
        return self.compare(delivered, without_times(self.engine.documents()))

    def compare(self, delivered: Delivered, stored: Any) -> list[str]:
        """Return what is wrong with what the engine has: (index, id) -> source."""
        return delivered.problems(stored)
