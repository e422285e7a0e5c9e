"""The row that injects random faults, by default for half an hour."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

from bench.faults.culprits import Culprits, poison_events
from bench.faults.garbage import SomeGarbage, too_many_requests
from bench.faults.proxy import FaultProxy
from bench.faults.registry import row
from bench.faults.stage import Stage
from request_logger.demo.local_server import LocalServer, engine_settings

# Length of a pause or of rejections: below and above the 8 s within which an event is answered.
_FAULT_SECONDS = (0.5, 15.0)
_CALM_SECONDS = (1.0, 10.0)
_GARBAGE_SHARE = 0.05
# On a busy machine the events of the last faults take minutes.
_PATIENCE_SECONDS = 600.0


@row(
    "everything at random for `--minutes`, by `--seed`: engine, logger and proxy break in turn",
    only_named=True,
)
def soak(stage: Stage) -> None:
    """In the end, every acknowledged event is stored exactly once."""
    stage.patience = _PATIENCE_SECONDS
    chance = random.Random(stage.seed)
    stage.notes.append(f"--seed {stage.seed}")
    rules = [{"deployment": "*-raising", "scorer": "bench.faults.scorers.Raising"}]
    config = stage.file("scorers.yaml", json.dumps({"rules": rules}))
    happened: Counter[str] = Counter()
    stage.map_poison(1)  # of the second sender
    with (
        FaultProxy(stage.engine.url) as proxy,
        stage.logger(spool=True, SCORERS_CONFIG=config, **engine_settings(proxy.url)) as logger,
        stage.traffic(logger, rate=stage.rate / 2),
        stage.traffic(logger, rate=stage.rate / 4, poison=True),
        stage.traffic(logger, rate=stage.rate / 4, suffix="-raising", scored=False),
        Culprits(logger.url, poison_events(f"{stage.name}-poison"), pause=2.0) as culprits,
    ):
        faults = _faults(stage, logger, proxy, chance)
        end = time.monotonic() + 60 * stage.minutes
        while time.monotonic() < end:
            name = chance.choice(list(faults))
            happened[name] += 1
            stage.tell(f"  {max(end - time.monotonic(), 0):5.0f} s left: {name}")
            faults[name]()
            time.sleep(min(chance.uniform(*_CALM_SECONDS), max(end - time.monotonic(), 0)))
    stage.notes.append(f"what happened: {dict(happened)}")
    stage.notes.append(f"poisoned events were answered {dict(culprits.answers)}")


def _faults(
    stage: Stage, logger: LocalServer, proxy: FaultProxy, chance: random.Random
) -> dict[str, Callable[[], None]]:
    """Return the faults by name; each ends with the engine and the logger running."""

    def pause() -> None:
        stage.engine.suspend()
        try:
            time.sleep(chance.uniform(*_FAULT_SECONDS))
        finally:
            stage.engine.resume()

    def kill_engine() -> None:
        stage.engine.kill()
        time.sleep(chance.uniform(*_FAULT_SECONDS))
        stage.engine.restart()

    def refuse() -> None:
        with _rule(proxy):
            proxy.rule = too_many_requests
            time.sleep(chance.uniform(*_FAULT_SECONDS))

    def garble() -> None:
        with _rule(proxy):
            proxy.rule = SomeGarbage(_GARBAGE_SHARE, chance.randrange(2**32))
            time.sleep(chance.uniform(*_FAULT_SECONDS))

    def kill_logger() -> None:
        logger.kill()
        time.sleep(chance.uniform(0, 1))
        stage.restart(logger)

    def stop_logger() -> None:
        os.kill(logger.pid, signal.SIGTERM)
        while logger.running:
            time.sleep(0.1)
        stage.restart(logger)

    def kill_both() -> None:
        stage.engine.suspend()
        try:
            time.sleep(chance.uniform(*_FAULT_SECONDS))
            logger.kill()
            stage.restart(logger)
        finally:
            stage.engine.resume()

    return {
        "engine paused": pause,
        "engine killed": kill_engine,
        "429": refuse,
        "garbage": garble,
        "logger killed": kill_logger,
        "logger stopped": stop_logger,
        "logger killed while the engine hangs": kill_both,
    }


@contextlib.contextmanager
def _rule(proxy: FaultProxy) -> Iterator[None]:
    try:
        yield
    finally:
        proxy.rule = None
