"""The evidence that a process knows of the deployments, by origin: what scoring decides by. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from request_logger.scoring.evidence import NOTHING, Evidence, Origin, decide, join, may_add, observed
from scorers.auto import Decision
from scorers.forms import Form

# A sample takes about 20 kB of memory. Of more deployments, the oldest ones are read again when they are used.
_MOST_ORIGINS = 1000


class Evidences(Protocol):
    """Decides how the pairs of deployments are read."""

    def decision(self, origin: Origin, form: Form) -> Decision:
        """Return the decision on pairs of a form. Never raises, never waits."""
        ...

    def needs(self, origin: Origin, id: str) -> bool:
        """Return whether the pair of a prediction may add anything. Never raises, never waits."""
        ...

    def observe(self, origin: Origin, id: str, form: Form) -> None:
        """Take notice of a pair that may add something. Never raises, never waits."""
        ...


class ByPair:
    """No evidence: each pair is decided alone."""

    def decision(self, origin: Origin, form: Form) -> Decision:
        """Return the decision on a pair alone."""
        return decide(NOTHING, form)

    def needs(self, origin: Origin, id: str) -> bool:
        """Return false: nothing is kept."""
        return False

    def observe(self, origin: Origin, id: str, form: Form) -> None:
        """Do nothing."""


class FixedEvidence:
    """Evidence that doesn't grow, so that all documents of a run are decided alike."""

    def __init__(self, by_origin: Mapping[Origin, Evidence]) -> None:
        self._by_origin = by_origin

    def decision(self, origin: Origin, form: Form) -> Decision:
        """Return the decision by the deployment's evidence."""
        return decide(self._by_origin.get(origin, NOTHING), form)

    def needs(self, origin: Origin, id: str) -> bool:
        """Return false: nothing is kept."""
        return False

    def observe(self, origin: Origin, id: str, form: Form) -> None:
        """Do nothing."""


class KnownEvidence:
    """Evidence that grows with each pair. Thread-safe. ``noticed`` is called at the first pair of an origin."""

    def __init__(self, noticed: Callable[[], None] = lambda: None) -> None:
        self._noticed = noticed
        self._by_origin: dict[Origin, Evidence] = {}
        self._used: dict[Origin, None] = {}
        self._lock = threading.Lock()

    def decision(self, origin: Origin, form: Form) -> Decision:
        """Return the decision by what is known of the deployment by now."""
        return decide(self._by_origin.get(origin, NOTHING), form)

    def needs(self, origin: Origin, id: str) -> bool:
        """Return whether a pair may add anything; its deployment is in use, in any case."""
        self._used[origin] = None
        held = self._by_origin.get(origin)
        return held is None or may_add(held, id)

    def observe(self, origin: Origin, id: str, form: Form) -> None:
        """Add a pair to the evidence of its deployment."""
        with self._lock:
            self._used[origin] = None
            is_new = origin not in self._by_origin
            self._hold(origin, observed(self._by_origin.get(origin, NOTHING), id, form))
        if is_new:
            self._noticed()

    def join(self, origin: Origin, evidence: Evidence) -> Evidence:
        """Add what others have seen; return all that is known then."""
        with self._lock:
            held = self._by_origin.get(origin, NOTHING)
            joined = join(held, evidence)
            if joined is not held:
                self._hold(origin, joined)
            return joined

    def take_used(self) -> list[Origin]:
        """Return the origins of the pairs since the last call."""
        with self._lock:
            used, self._used = self._used, {}
        return list(used)

    def use_again(self, origins: Iterable[Origin]) -> None:
        """Let the next `take_used` return these, too."""
        with self._lock:
            self._used |= dict.fromkeys(origins)

    def of(self, origin: Origin) -> Evidence:
        """Return what is known of a deployment."""
        return self._by_origin.get(origin, NOTHING)

    def _hold(self, origin: Origin, evidence: Evidence) -> None:
        if origin not in self._by_origin and len(self._by_origin) >= _MOST_ORIGINS:
            del self._by_origin[next(iter(self._by_origin))]
        self._by_origin[origin] = evidence
