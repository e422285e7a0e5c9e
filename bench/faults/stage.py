"""The environment of a row: an engine, loggers and senders; and the count at the end."""

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
from request_logger.embedded_engine import EmbeddedEngine
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.spool.observer import NullObserver

PATIENCE_SECONDS = 120.0
# A logger starts in seconds; on a busy machine in minutes.
_RESTART_SECONDS = 300.0


class Stage:
    """The environment of one row. ``engines`` are the nodes of a cluster, usually one; all must run at the end."""

    def __init__(
        self,
        engines: Sequence[EmbeddedEngine],
        seconds: float,
        rate: float,
        *,
        minutes: float = 30.0,
        seed: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.engines = engines
        self.minutes = minutes
        """Length of the soak."""
        self.patience = PATIENCE_SECONDS
        """How long a sender waits at the end until all of its events are acknowledged (seconds)."""
        self.seed = seed
        """Determines the faults of the soak."""
        self.tell = tell
        """Receives progress lines."""
        self.seconds = seconds
        """Approximate length of the row."""
        self.rate = rate
        self.name = f"faults-{uuid.uuid4().hex[:8]}"
        self.problems: list[str] = []
        self.notes: list[str] = []
        """Remarks on the figures, one per line."""
        self._memory = Memory()
        self._senders: list[Traffic] = []
        self._folder = tempfile.TemporaryDirectory(prefix="request-logger-faults-")
        self._spool = str(Path(self._folder.name) / "spool")

    @property
    def engine(self) -> EmbeddedEngine:
        """The (first) engine."""
        return self.engines[0]

    def ask(self, method: str, path: str, body: Any = None, *, node: int = 0) -> Any:
        """Send a request to the engine and return its parsed response."""
        return Client(self.engines[node].url).ask(method, path, body)

    def expect(self, true: bool, otherwise: str) -> None:
        """Note a problem unless a condition holds."""
        if not true:
            self.problems.append(otherwise)

    def map_poison(self, number: int) -> None:
        """Map the index of a sender, by its number, so that its poisoned values are rejected."""
        types = {"request": {"properties": {"elements": {"properties": {"sepal_length": {"type": "double"}}}}}}
        self.ask("PUT", f"/{index_of(f'{self.name}-{number}')}", {"mappings": {"properties": types}})

    def wait_for_first(self, sender: Traffic) -> None:
        """Wait until a sender's first event is acknowledged: creating an index takes long on a busy machine."""
        deadline = time.monotonic() + self.patience
        while not sender.acknowledged and time.monotonic() < deadline:
            time.sleep(0.05)

    def expect_no_retries(self, sender: Traffic) -> None:
        """Note a problem if an event was not acknowledged at the first attempt."""
        self.expect(sender.again == 0, f"{sender.again} retries: {dict(sender.unacknowledged)}")

    @contextlib.contextmanager
    def logger(self, *, spool: bool = False, **env: str) -> Iterator[LocalServer]:
        """Run a request logger with the default and the given settings; at the end, wait until its spool is empty."""
        settings = engine_settings(self.engine.url)
        if len(self.engines) > 1:
            settings = {"ELASTICSEARCH_HOST": ",".join(engine.url for engine in self.engines)}
        if spool:
            # Shorter than a short row, otherwise the default.
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
        """Return the number of events in the spool."""
        seen = _Seen()
        Spool(self._spool, 2**40, seen).close()
        return seen.events

    def file(self, name: str, text: str) -> str:
        """Write a file that exists as long as the row; return its path."""
        path = Path(self._folder.name) / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def _empties(self) -> bool:
        """Wait until the spool is empty; return False if it isn't within the patience."""
        deadline = time.monotonic() + self.patience
        while self.spooled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def restart(self, server: LocalServer) -> None:
        """Restart a killed logger."""
        server.restart("/healthz", _RESTART_SECONDS)
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
        """Run a sender as long as the block, and until all of its events are acknowledged.

        ``suffix`` is appended to the name of its deployment. ``rate``: events a second, by default the row's.
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
        # After the first wait that ends without another event, the others wait less.
        waited_in_vain = any(one.finished and one.acknowledged < one.sent for one in self._senders)
        sender.finish(self.patience / 10 if waited_in_vain else self.patience)

    def run(self, row: Any) -> Count:
        """Run a row and return its count."""
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
        """Remember the number of events."""
        self.events = events
