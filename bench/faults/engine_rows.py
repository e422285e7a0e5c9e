"""Rows in which the engine or the logger fails. Each leaves its engine running and intact."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from bench.faults.crowd import malformed_requests, slow_clients_of
from bench.faults.noise import Noise
from bench.faults.registry import row
from bench.faults.stage import Stage
from bench.faults.traffic import Traffic
from bench.first import index_of
from request_logger.demo.local_server import LocalServer
from request_logger.server.master import GRACEFUL_SECONDS
from request_logger.settings import Settings


def kill_three_times(stage: Stage) -> None:
    """Kill the engine and restart it, three times within the row's length."""
    for _ in range(3):
        time.sleep(stage.seconds / 4)
        stage.engine.kill()
        time.sleep(stage.seconds / 20)
        stage.engine.restart()
    time.sleep(stage.seconds / 4)


@row("the engine is killed (-9) and restarted three times")
def engine_killed(stage: Stage) -> None:
    """Kill the engine under load."""
    with stage.logger() as logger, stage.traffic(logger):
        kill_three_times(stage)


@row("the same with a spool: no sender has to retry")
def engine_killed_spool(stage: Stage) -> None:
    """Kill the engine under load, with a spool."""
    with stage.logger(spool=True) as logger, stage.traffic(logger) as sender:
        kill_three_times(stage)
    stage.expect_no_retries(sender)


@row("the engine hangs (SIGSTOP) for 1.5 times `--seconds`")
def engine_paused(stage: Stage) -> None:
    """The engine keeps its connections and does not respond."""
    with stage.logger() as logger, stage.traffic(logger):
        time.sleep(stage.seconds / 4)
        stage.engine.suspend()
        time.sleep(1.5 * stage.seconds)
        stage.engine.resume()
        time.sleep(stage.seconds / 4)


@row("the same with a spool: no sender has to retry")
def engine_paused_spool(stage: Stage) -> None:
    """The engine keeps its connections and does not respond, with a spool."""
    with stage.logger(spool=True) as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        stage.engine.suspend()
        time.sleep(1.5 * stage.seconds)
        stage.expect(stage.spooled() > 0, "nothing was spooled")
        stage.engine.resume()
        time.sleep(stage.seconds / 4)
    stage.expect_no_retries(sender)


@row(
    "the engine answers 429: one write thread, a queue of one, 150 kB in flight, and load from another client",
    thread_pool__write__size="1",
    thread_pool__write__queue_size="1",
    indexing_pressure__memory__limit="150kb",
)
def rejections_429(stage: Stage) -> None:
    """Both kinds of 429: for a whole _bulk, and for single documents in a _bulk that is answered 200."""
    before = _rejections(stage)
    with stage.logger() as logger, stage.traffic(logger):
        time.sleep(stage.seconds / 4)
        with Noise(stage.engine.url):
            time.sleep(stage.seconds / 2)
        time.sleep(stage.seconds / 4)
    stage.expect(_rejections(stage) > before, "the engine has rejected nothing")


def _rejections(stage: Stage) -> int:
    (node,) = stage.ask("GET", "/_nodes/stats/thread_pool,indexing_pressure")["nodes"].values()
    pressure = node["indexing_pressure"]["memory"]["total"]
    return int(node["thread_pool"]["write"]["rejected"] + pressure["coordinating_rejections"])


@row("the index is blocked (read_only_allow_delete), then unblocked")
def read_only(stage: Stage) -> None:
    """Set the block that an engine sets at the flood stage."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        _block(stage, sender, True)
        time.sleep(stage.seconds / 2)
        _block(stage, sender, None)
        time.sleep(stage.seconds / 4)
    stage.expect(sender.longest > stage.seconds / 4, "the block has delayed no event")


def _block(stage: Stage, sender: Traffic, value: bool | None) -> None:
    stage.ask("PUT", f"/{index_of(sender.deployment)}/_settings", {"index.blocks.read_only_allow_delete": value})


@row("the disk passes every watermark, for an old and for a new index; then space is freed")
def disk_full(stage: Stage) -> None:
    """The engine's own monitor, which runs every 10 s, blocks the indices and removes the block."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        _watermarks(stage, "10000tb")
        _wait(lambda: _is_blocked(stage, sender), 60)
        with stage.traffic(logger):
            time.sleep(stage.seconds / 2)
            _watermarks(stage, "1b")
        _wait(lambda: not _is_blocked(stage, sender), 60)
    _watermarks(stage, None)


def _watermarks(stage: Stage, free: str | None) -> None:
    start = "cluster.routing.allocation.disk"
    settings = {f"{start}.watermark.{stage}": free for stage in ("low", "high", "flood_stage")}
    settings[f"{start}.threshold_enabled"] = free and "true"
    settings["cluster.info.update.interval"] = free and "10s"
    stage.ask("PUT", "/_cluster/settings", {"transient": settings})


def _is_blocked(stage: Stage, sender: Traffic) -> bool:
    index = index_of(sender.deployment)
    settings = stage.ask("GET", f"/{index}/_settings?flat_settings=true")[index]["settings"]
    return bool(settings.get("index.blocks.read_only_allow_delete") == "true")


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {seconds:.0f} s")
        time.sleep(0.5)


@row("the primary's node in a cluster of three is killed (-9), and restarted", nodes=3)
def cluster(stage: Stage) -> None:
    """The replica takes over."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        node = _primary(stage, sender)
        stage.engines[node].kill()
        time.sleep(stage.seconds / 2)
        stage.engines[node].restart()
        time.sleep(stage.seconds / 4)


@row("two nodes of three are killed (-9): the third answers 503 until they are back", nodes=3)
def cluster_503(stage: Stage) -> None:
    """Without a majority there is no cluster manager, and no write succeeds."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        first = _primary(stage, sender)
        nodes = [stage.engines[first], stage.engines[(first + 1) % 3]]
        for node in nodes:
            node.kill()
        time.sleep(stage.seconds / 2)
        # At the same time, since each waits for the other.
        starting = [threading.Thread(target=node.restart) for node in nodes]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        time.sleep(stage.seconds / 4)
    stage.expect(sender.again > 0, "no event was answered 503")


def _primary(stage: Stage, sender: Traffic) -> int:
    """Return the number of the primary's node, once the replica is up to date."""
    index = index_of(sender.deployment)
    stage.ask("GET", f"/_cluster/health/{index}?wait_for_status=green&timeout=60s")
    shards = stage.ask("GET", f"/_cat/shards/{index}?format=json&h=prirep,node")
    return next(int(shard["node"].removeprefix("node-")) - 1 for shard in shards if shard["prirep"] == "p")


@row("the logger, with a spool, is killed (-9) twice, once while the engine hangs and the spool fills")
def logger_killed(stage: Stage) -> None:
    """Acknowledged events are in the engine or in the spool."""
    with stage.logger(spool=True) as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        logger.kill()
        stage.restart(logger)
        time.sleep(stage.seconds / 8)
        stage.engine.suspend()
        # The first waiting events are spooled after STORE_TIMEOUT_SECONDS.
        time.sleep(stage.seconds)
        logger.kill()
        stage.expect(stage.spooled() > 0, "the logger was killed with an empty spool")
        stage.restart(logger)
        time.sleep(stage.seconds / 8)
        stage.engine.resume()
        time.sleep(stage.seconds / 8)
    stage.expect(sender.again > 0, "the logger was killed while no event was in progress")


@row("the logger, without a spool, is killed (-9) four times while events wait for others (LINGER_MS=1000)")
def logger_killed_waiting(stage: Stage) -> None:
    """An event that waits is not acknowledged, so its sender retries."""
    with stage.logger(LINGER_MS="1000") as logger, stage.traffic(logger) as sender:
        stage.wait_for_first(sender)
        for _ in range(4):
            before = sender.again
            time.sleep(stage.seconds / 8)
            logger.kill()
            stage.restart(logger)
            time.sleep(stage.seconds / 8)
            stage.expect(sender.again > before, "the logger was killed while no event was in progress")


@row("the logger is stopped (SIGTERM) under load while the engine hangs; then both are restarted")
def logger_stopped(stage: Stage) -> None:
    """The logger ends within its grace period, and has acknowledged only stored events."""
    _stopped_while_the_engine_hangs(stage, spool=False)


@row("the same with a spool: waiting events are spooled")
def logger_stopped_spool(stage: Stage) -> None:
    """Acknowledged events are in the engine or in the spool."""
    _stopped_while_the_engine_hangs(stage, spool=True)


def _stopped_while_the_engine_hangs(stage: Stage, *, spool: bool) -> None:
    # Shorter than a short row, otherwise the default.
    timeouts = {
        "STORE_TIMEOUT_SECONDS": str(min(Settings.store_timeout_seconds, stage.seconds / 2)),
        "ELASTICSEARCH_TIMEOUT_SECONDS": str(min(Settings.elasticsearch_timeout_seconds, 2 * stage.seconds)),
    }
    with stage.logger(spool=spool, **timeouts) as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        stage.engine.suspend()
        # Some events wait by then; with a spool, none is spooled yet.
        time.sleep(min(stage.seconds / 4, 3))
        stage.expect(stage.spooled() == 0, "events were spooled before the logger was stopped")
        took = _terminate(logger)
        stage.expect(took < GRACEFUL_SECONDS, f"the logger has taken {took:.0f} s to end")
        stage.expect((stage.spooled() > 0) == spool, f"{stage.spooled()} events are in the spool")
        stage.engine.resume()
        stage.restart(logger)
        time.sleep(stage.seconds / 4)
    stage.expect(sender.again > 0, "the logger was stopped while no event was in progress")


def _terminate(logger: LocalServer) -> float:
    """Stop a logger; return the seconds until it has ended."""
    started = time.monotonic()
    os.kill(logger.pid, signal.SIGTERM)
    _wait(lambda: not logger.running, 2 * GRACEFUL_SECONDS)
    return time.monotonic() - started


@row("two loggers share one engine; one event in five is sent to both")
def two_loggers(stage: Stage) -> None:
    """The loggers' writes to one document conflict."""
    with stage.logger() as one, stage.logger() as other, stage.traffic(one, other):
        time.sleep(stage.seconds)


@row("the engine hangs until the spool (200 kB) is full, and longer")
def spool_full(stage: Stage) -> None:
    """With a full spool the logger answers 503; the oldest events are kept."""
    env = {"SPOOL_MAX_BYTES": "200000", "STORE_TIMEOUT_SECONDS": "1"}
    with stage.logger(spool=True, **env) as logger, stage.traffic(logger) as sender:
        time.sleep(stage.seconds / 4)
        stage.engine.suspend()
        time.sleep(stage.seconds)
        stage.engine.resume()
        time.sleep(stage.seconds / 4)
    stage.expect(sender.again > 0, "the spool has not become full")


@row("one prediction in ten has a value that the mapping rejects")
def poison(stage: Stage) -> None:
    """The value is stored without indexing; other events are not affected."""
    stage.map_poison(0)
    with stage.logger() as logger, stage.traffic(logger, poison=True) as sender:
        time.sleep(stage.seconds)
    stage.expect_no_retries(sender)


@row("malformed requests, 1,000 for each second of `--seconds`, in addition to the usual events")
def malformed(stage: Stage) -> None:
    """Malformed HTTP, malformed CloudEvents, malformed bodies."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        answers = malformed_requests(logger.url, int(1000 * stage.seconds))
        stage.expect(logger.running, "the logger has ended")
    errors = {status: number for status, number in answers.items() if status >= 500}
    stage.expect(not errors, f"malformed requests were answered {errors}")
    stage.expect_no_retries(sender)


@row("1,000 idle connections and 100 that send a request byte by byte, in addition to the usual events")
def slow_clients(stage: Stage) -> None:
    """Slow clients don't delay other events."""
    with (
        stage.logger() as logger,
        slow_clients_of(logger.url, idle=1000, trickling=100),
        stage.traffic(logger) as sender,
    ):
        time.sleep(stage.seconds)
    stage.expect_no_retries(sender)
    stage.expect(sender.longest < 5, f"an event has waited {sender.longest:.1f} s behind slow clients")
