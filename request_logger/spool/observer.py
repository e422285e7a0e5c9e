"""What the spool tells of itself."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Is told what happens, for metrics and logs."""

    def spool_size(self, events: int, size: int) -> None:
        """Note how many events the spool holds, and their bytes."""
        ...

    def spooled(self, count: int) -> None:
        """Count events that went into the spool."""
        ...

    def replayed(self, count: int) -> None:
        """Count events that went from the spool to the engine."""
        ...

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count and warn of a record that was set aside (``spool_bad``)."""
        ...


class Unobserved:
    """An observer that minds nothing."""

    def spool_size(self, events: int, size: int) -> None:
        """Ignore it."""

    def spooled(self, count: int) -> None:
        """Ignore it."""

    def replayed(self, count: int) -> None:
        """Ignore it."""

    def happened(self, what: str, index: str, reason: str) -> None:
        """Ignore it."""
