"""The spool's notifications for metrics and logs."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Receives notifications for metrics and logs, from any thread."""

    def spool_size(self, events: int, size: int) -> None:
        """Record the number of events in the spool, and their size in bytes."""
        ...

    def oldest_event(self, age: float) -> None:
        """Record how long the oldest event of the spool has waited (seconds), 0 if there is none."""
        ...

    def spooled(self, count: int) -> None:
        """Count events that were added to the spool."""
        ...

    def replayed(self, count: int) -> None:
        """Count events that were stored from the spool."""
        ...

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count, and log a warning for, a record that was set aside (``spool_bad``) or a failure (``spool_error``)."""
        ...


class NullObserver:
    """Ignores all notifications."""

    def spool_size(self, events: int, size: int) -> None:
        """Ignore it."""

    def oldest_event(self, age: float) -> None:
        """Ignore it."""

    def spooled(self, count: int) -> None:
        """Ignore it."""

    def replayed(self, count: int) -> None:
        """Ignore it."""

    def happened(self, what: str, index: str, reason: str) -> None:
        """Ignore it."""
