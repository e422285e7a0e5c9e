"""What must be at the end of a schedule whatever went wrong: index templates and mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from request_logger.store.indices.admin import MAX_TEMPLATE_PAUSE_SECONDS, RETRY_SECONDS
from request_logger.store.indices.templates import TEMPLATE_NAME
from tests.simulation.process import Process
from tests.simulation.traffic import Message

if TYPE_CHECKING:
    from tests.simulation.world import World

_DRAIN_SECONDS = 60.0
_MOST_STEPS = 60_000


def see_mappings(world: World) -> None:
    """See that templates and mappings are back some events after the engine has come back empty."""
    # Every replica has traffic again: one that has noticed the loss looks with its next event.
    last = 4 * len(world.processes) - 1
    for number in range(last + 1):
        _store(world, world.processes[number % len(world.processes)], "a", f"after{number}")
        _wait(world, RETRY_SECONDS)
    if TEMPLATE_NAME not in world.engine.state.templates and not world.faults.template_refused:
        world.problems.append("the engine came back empty, and its templates were not installed again")
    name = next(index for index, id in world.engine.documents() if id == f"after{last}")
    _, answer = world.engine.request("GET", f"/{name}/_mapping", None, {})
    if "metrics" not in answer[name]["mappings"].get("properties", {}):
        world.problems.append("the engine came back empty, and an index has none of our fields")


def see_templates(world: World) -> None:
    """See that a template that was refused is installed before a new index is created, after the longest pause."""
    _wait(world, MAX_TEMPLATE_PAUSE_SECONDS)
    for number, process in enumerate(world.processes):
        _store(world, process, f"new{number}", f"later{number}")
    if TEMPLATE_NAME not in world.engine.state.templates:
        world.problems.append("a template that was refused was not installed again")


def _store(world: World, process: Process, deployment: str, request_id: str) -> None:
    body = b'{"data": {"ndarray": [[1]]}}'
    message = Message(deployment, request_id, "request", "2026-02-01T12:00:00Z", body, True)
    future = process.submit(message.event(world.settings))
    world.clock.run(future.done, world.clock.now + _DRAIN_SECONDS, _MOST_STEPS)


def _wait(world: World, seconds: float) -> None:
    later = world.clock.now + seconds
    world.clock.after(seconds, lambda: None)
    world.clock.run(lambda: world.clock.now >= later, later, _MOST_STEPS)
