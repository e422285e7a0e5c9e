"""Rows with QUEUE=always: every event is acknowledged by the disk, and the engine's faults reach no sender."""

from __future__ import annotations

import time

from bench.faults.engine_rows import kill_three_times
from bench.faults.registry import row
from bench.faults.stage import Stage

_ALWAYS = {"QUEUE": "always"}


@row("with QUEUE=always the engine is killed (-9) and restarted three times: no sender has to retry")
def engine_killed_queue(stage: Stage) -> None:
    """Kill the engine under load; senders don't notice, not even by a longer wait."""
    with stage.logger(spool=True, **_ALWAYS) as logger, stage.traffic(logger) as sender:
        kill_three_times(stage)
    stage.expect_no_retries(sender)


@row("with QUEUE=always the logger is killed (-9) four times while events are in the queue, once without an engine")
def logger_killed_queue(stage: Stage) -> None:
    """Acknowledged events are in the engine or in the queue."""
    with stage.logger(spool=True, **_ALWAYS) as logger, stage.traffic(logger) as sender:
        for _ in range(3):
            time.sleep(stage.seconds / 6)
            logger.kill()
            stage.restart(logger)
        stage.engine.suspend()
        time.sleep(stage.seconds / 4)
        logger.kill()
        stage.expect(stage.spooled() > 0, "the logger was killed with an empty queue")
        stage.restart(logger)
        stage.engine.resume()
        time.sleep(stage.seconds / 4)
    stage.expect(sender.again > 0, "the logger was killed while no event was in progress")


@row("with QUEUE=always the engine hangs until the queue (200 kB) is full, and longer")
def queue_full(stage: Stage) -> None:
    """With a full queue the logger answers 503; what is in the queue is kept."""
    env = {"SPOOL_MAX_BYTES": "200000", **_ALWAYS}
    with stage.logger(spool=True, **env) as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        stage.engine.suspend()
        time.sleep(stage.seconds)
        stage.engine.resume()
        time.sleep(stage.seconds / 4)
    stage.expect(sender.again > 0, "the queue has not become full")
