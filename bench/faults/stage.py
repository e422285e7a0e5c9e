"""What a row has to play with: an engine, loggers, senders; and what is counted at its end."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.engines import Client
from bench.faults.counting import Count, count
from bench.faults.memory import Memory
from bench.faults.traffic import Traffic
from bench.first import index_of
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.embedded_engine import Engine
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.spool.observer import NullObserver

PATIENCE_SECONDS = 120.0


class Stage:
    """One row's. ``engines`` are the nodes of one cluster, usually one; all must run at the end."""

    def __init__(
        self,
        engines: Sequence[Engine],
        seconds: float,
        rate: float,
        *,
        minutes: float = 30.0,
        seed: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.engines = engines
        self.minutes = minutes
        """How long the soak takes."""
        self.patience = PATIENCE_SECONDS
        """How long a sender waits at the end for all that it has sent to be acknowledged (seconds)."""
        self.seed = seed
        """Decides what happens in the soak."""
        self.tell = tell
        """Takes a line about what happens."""
        self.seconds = seconds
        """How long the fault and what is around it may take, about."""
        self.rate = rate
        self.name = f"faults-{uuid.uuid4().hex[:8]}"
        self.problems: list[str] = []
        self.notes: list[str] = []
        """What a reader of the figures should know, one line each."""
        self._memory = Memory()
        self._senders: list[Traffic] = []
        self._folder = tempfile.TemporaryDirectory(prefix="request-logger-faults-")
        self._spool = str(Path(self._folder.name) / "spool")

    @property
    def engine(self) -> Engine:
        """The (first) engine."""
        return self.engines[0]

    def ask(self, method: str, path: str, body: Any = None, *, node: int = 0) -> Any:
        """Send a request to the engine, give its parsed answer."""
        return Client(self.engines[node].url).ask(method, path, body)

    def expect(self, true: bool, otherwise: str) -> None:
        """Note a problem unless something is as it must be."""
        if not true:
            self.problems.append(otherwise)

    def map_poison(self, number: int) -> None:
        """Give the index of a sender, by its number, the type that its poisoned values don't have."""
        types = {"request": {"properties": {"elements": {"properties": {"sepal_length": {"type": "double"}}}}}}
        self.ask("PUT", f"/{index_of(f'{self.name}-{number}')}", {"mappings": {"properties": types}})

    def wait_for_first(self, sender: Traffic) -> None:
        """Wait until a sender's first event is acknowledged: a new index takes its time on a busy machine."""
        deadline = time.monotonic() + self.patience
        while not sender.acknowledged and time.monotonic() < deadline:
            time.sleep(0.05)

    def expect_no_retries(self, sender: Traffic) -> None:
        """Note a problem where an event was not acknowledged at its first sending."""
        self.expect(sender.again == 0, f"{sender.again} events had to be sent again: {dict(sender.unacknowledged)}")

    @contextlib.contextmanager
    def logger(self, *, spool: bool = False, **env: str) -> Iterator[LocalServer]:
        """A request logger with its default settings and those given; at the end its spool is emptied first."""
        settings = engine_settings(self.engine.url)
        if len(self.engines) > 1:
            settings = {"ELASTICSEARCH_HOST": ",".join(engine.url for engine in self.engines)}
        if spool:
            # In a short row, less than it lasts; else the default.
            timeout = min(Settings.store_timeout_seconds, self.seconds / 2)
            settings |= {"SPOOL_DIR": self._spool, "STORE_TIMEOUT_SECONDS": str(timeout)}
        with LocalServer({**settings, **env}) as server:
            self._memory.pids.add(server.pid)
            yield server
            self._memory.pids.add(server.pid)
            if spool:
                self.expect(self._empties(), "events are left in the spool")
                aside = sorted(path.name for path in Path(self._spool).glob("bad-*"))
                self.expect(not aside, f"{len(aside)} records were set aside: {', '.join(aside[:3])}")

    def spooled(self) -> int:
        """Say how many events wait in the spool."""
        seen = _Seen()
        Spool(self._spool, 2**40, seen).close()
        return seen.events

    def file(self, name: str, text: str) -> str:
        """Write a file that lives as long as the row; return its path."""
        path = Path(self._folder.name) / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def _empties(self) -> bool:
        """Wait until nothing is left in the spool, and say whether that came."""
        deadline = time.monotonic() + self.patience
        while self.spooled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def restart(self, server: LocalServer) -> None:
        """Start a killed logger again."""
        server.restart("/healthz")
        self._memory.pids.add(server.pid)

    @contextlib.contextmanager
    def traffic(
        self,
        *servers: LocalServer,
        poison: bool = False,
        suffix: str = "",
        scored: bool | None = True,
        rate: float = 0.0,
    ) -> Iterator[Traffic]:
        """A sender for as long as the block runs, and until all it sent is acknowledged.

        ``suffix`` ends the name of its deployment. ``rate``: events a second, by default the row's.
        """
        name = f"{self.name}-{len(self._senders)}{suffix}"
        urls = [server.url for server in servers]
        sender = Traffic(urls, name, rate or self.rate, poison=poison, scored=scored)
        self._senders.append(sender)
        try:
            yield sender
        except BaseException:
            sender.finish(0)
            raise
        # Where one sender has waited in vain, the others don't wait as long once more.
        waited_in_vain = any(one.finished and one.acknowledged < one.sent for one in self._senders)
        sender.finish(self.patience / 10 if waited_in_vain else self.patience)

    def run(self, row: Any) -> Count:
        """Let a row happen, and count."""
        with self._folder, self._memory:
            row(self)
        result = count(Client(self.engine.url), self._senders)
        result.memory = self._memory.peak
        result.problems += self.problems
        result.notes += self.notes
        return result


class _Seen(NullObserver):
    events = 0

    def spool_size(self, events: int, size: int) -> None:
        """Remember it."""
        self.events = events
