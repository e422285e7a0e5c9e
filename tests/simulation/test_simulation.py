"""Schedules of faults in virtual time: nothing acknowledged is lost, everything drains, whatever the order."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from request_logger.store.indices import templates
from tests.simulation.__main__ import play
from tests.simulation.coverage import Row, rows_by_name
from tests.simulation.shared import Shared, changed, computed_once
from tests.simulation.world import World

# Some thousands: with what `make simulate` has played before. SIMULATION_SEEDS plays more.
SCHEDULES = int(os.environ.get("SIMULATION_SEEDS", "3000"))
_CHUNK = 100
# 3,000 schedules cover 110 of 111 rows. Any change of the program shifts the schedules, and with them the rarest rows.
_LEAST_COVERED = 0.97


def test_no_schedule_loses_anything() -> None:
    """Every schedule keeps the invariants (see `World`), and together they go through most rows of the tables."""
    chunks = [range(start, min(start + _CHUNK, SCHEDULES)) for start in range(0, SCHEDULES, _CHUNK)]
    bad: list[tuple[int, str]] = []
    seen: set[Row] = set()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for found, rows in pool.map(play, chunks):
            bad += found
            seen |= rows
    assert bad == [], f"make simulate ARGS='--seed {bad[0][0]}' tells the story"
    every = rows_by_name()
    assert len(seen & every) >= _LEAST_COVERED * len(every), sorted(every - seen)


def test_a_seed_decides_everything() -> None:
    """Two runs of one seed have the same story, to the last line."""
    for seed in (1, 2, 3):
        first, second = World(seed, tells=True), World(seed, tells=True)
        assert first.run() == second.run() == []
        assert first.story == second.story
        assert len(first.story) > 5


def test_what_is_computed_once_is_not_changed() -> None:
    """Schedules share mappings and what the program makes of them: it must treat both as constants."""
    kept: list[Shared] = []
    with computed_once(kept.append):
        for seed in range(10):
            assert World(seed).run() == []
    assert any(each.results for each in kept)
    assert not any(map(changed, kept))


def test_a_change_of_what_is_shared_is_detected() -> None:
    """Of the object itself, and of a result."""
    with computed_once():
        one, other = Shared(b'{"properties": {}}'), Shared(b'{"properties": {}}')
        assert templates.additions(one)
        assert templates.additions(one) is templates.additions(one)
        assert not changed(one)
        templates.additions(one)["more"] = True
        other["more"] = True
        assert changed(one)
        assert changed(other)
