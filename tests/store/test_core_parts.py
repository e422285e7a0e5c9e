"""The writer's tables and small parts: what is not known, not there, or not theirs changes nothing. No threads."""

from __future__ import annotations

import math

import pytest

from request_logger.store.writing import states
from request_logger.store.writing.outcomes import keep
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.states import Facts, State
from request_logger.store.writing.version_cache import Known, VersionCache
from tests.store.test_core_failures import core_of, start, storing


def test_a_gap_in_the_tables_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state without a choice for some facts would be a defect: the error says which."""
    monkeypatch.setattr(states, "CHOICES", {State.READ: ()})
    facts = Facts(is_multi_index=True)
    with pytest.raises(AssertionError, match=r"^READ has no choice for Facts\(.*is_multi_index=True"):
        states.next_action(State.READ, facts)


def test_a_document_that_is_not_known_is_not_cached() -> None:
    cache = VersionCache(100)
    document = PendingDocument("i", "a", State.STORED)
    keep(document, cache)
    assert cache.get("i", "a") is None
    document.known = Known(1, 1, b"{}", "i")
    keep(document, cache)
    assert cache.get("i", "a") == document.known


def test_a_document_is_removed_only_by_its_own_end() -> None:
    """Another one with the same place may have taken its turn."""
    core = core_of()
    start(core, storing(("i", "a")))
    core._schedule.remove(PendingDocument("i", "a", State.LOCATED))
    assert len(core) == 1


def test_an_index_that_nobody_wrote_to_has_no_state() -> None:
    """What is stored in it, or is missing, is of no interest."""
    core = core_of()
    core._index_states.stored("never-seen", 0)
    core._index_states.missing("never-seen")
    assert core.preparations(0.0) == []
    assert core.wake_at(0.0) == math.inf
