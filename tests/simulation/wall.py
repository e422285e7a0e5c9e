"""Wall clocks of the replicas: each is wrong in its own way, and may jump. Monotonic time never goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import Any

from request_logger.common import periods, times
from request_logger.kafka import dead_letters
from request_logger.spool import replay
from request_logger.store.writing import dead_letter
from tests.simulation.clock import Clock


class Wall:
    """What the program takes for the time. ``skew`` (seconds) is that of the replica that runs now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew = 0.0

    def milliseconds(self) -> int:
        """Return the time of the replica that runs now, since 1970."""
        return int((self._clock.now + self.skew) * 1000)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the program take its time from here."""
        wall = self

        class Now(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.fromtimestamp(wall.milliseconds() / 1000, tz or UTC)

        # The modules that read the wall clock, by the name under which they know it.
        places: tuple[tuple[Any, str, Any], ...] = (
            (times, "time_ns", lambda: wall.milliseconds() * 10**6),
            (periods, "datetime", Now),
            (dead_letter, "datetime", Now),
            (dead_letters, "datetime", Now),
            # Other threads get their turn there, and a schedule has none.
            (replay, "time", SimpleNamespace(sleep=lambda seconds: None)),
        )
        kept = [getattr(module, name) for module, name, _ in places]
        for module, name, value in places:
            setattr(module, name, value)
        try:
            yield
        finally:
            for (module, name, _), value in zip(places, kept, strict=True):
                setattr(module, name, value)
