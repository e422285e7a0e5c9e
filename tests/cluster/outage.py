"""The logger behind Knative's broker: what the broker makes of its answers, and what is lost when which part dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.cluster.control_plane import Cluster
from tests.cluster.processes import wait
from tests.cluster.report import Report
from tests.cluster.stage import Logger, Stage, start_stage
from tests.cluster.traffic import PATIENCE, Outcome, Traffic
from tests.helpers import event, index_of, ndarray

# The engine's own start comes on top.
_DEAD_SECONDS = 50.0
_BEFORE_SECONDS = 3.0
# A pod that is killed is there again after some seconds.
_RESTART_SECONDS = 5.0
_DRAIN_SECONDS = 120.0
_SETTLED_SECONDS = 15.0
_ANSWERS = "behind Knative: answers: "
_COLUMNS = (
    "broker",
    "dead",
    "events",
    "answered 2xx",
    "answered 5xx",
    "not answered",
    "lost of those answered 2xx",
    "slowest 2xx",
)


@dataclass(frozen=True)
class Outage:
    """What is killed while events arrive, and whether nothing that was answered 2xx may be lost."""

    name: str
    kill: Callable[[Stage], None]
    start: Callable[[Stage], None]
    seconds: float = _RESTART_SECONDS
    is_async: bool = False
    is_promised: bool = True

    @property
    def broker(self) -> str:
        """Which one it is measured with."""
        return "in-memory, asynchronous" if self.is_async else "in-memory"

    @property
    def title(self) -> str:
        """The name of its step."""
        return f"behind Knative: broker {self.broker}, dead: {self.name}"


def _kill_engine(stage: Stage) -> None:
    stage.engine.kill()


def _start_engine(stage: Stage) -> None:
    stage.engine.restart()


def _kill_engine_and_channel(stage: Stage) -> None:
    stage.engine.kill()
    # Events are in delivery when it dies.
    time.sleep(1)
    stage.broker.channel.kill()


def _start_engine_and_channel(stage: Stage) -> None:
    stage.broker.channel.start()
    stage.engine.restart()


def _kill_engine_and_spool(stage: Stage) -> None:
    stage.engine.kill()
    # Some events are on its disk when it dies.
    time.sleep(_RESTART_SECONDS)
    stage.spool.kill()


def _start_spool_and_engine(stage: Stage) -> None:
    stage.spool.start()
    time.sleep(_RESTART_SECONDS)
    stage.engine.restart()


OUTAGES = (
    Outage("the engine, for a minute", _kill_engine, _start_engine, _DEAD_SECONDS),
    Outage("the logger", lambda stage: stage.logger.kill(), lambda stage: stage.logger.start()),
    Outage("the engine, and 5 s later the spool", _kill_engine_and_spool, _start_spool_and_engine),
    Outage("the channel", lambda stage: stage.broker.channel.kill(), lambda stage: stage.broker.channel.start()),
    Outage("the ingress", lambda stage: stage.broker.ingress.kill(), lambda stage: stage.broker.ingress.start()),
    Outage("the filter", lambda stage: stage.broker.filter.kill(), lambda stage: stage.broker.filter.start()),
    Outage("the engine, and 1 s later the channel", _kill_engine_and_channel, _start_engine_and_channel),
    Outage("the engine, for a minute", _kill_engine, _start_engine, _DEAD_SECONDS, is_async=True),
    Outage(
        *("the engine, and 1 s later the channel", _kill_engine_and_channel, _start_engine_and_channel),
        is_async=True,
        is_promised=False,
    ),
)


def check_outages(cluster: Cluster, report: Report, folder: Path) -> None:
    """Run the steps of the broker's answers, and of every outage; print a table of what was measured."""
    chosen = [outage for outage in OUTAGES if report.chosen(outage.title)]
    if not chosen and not report.chosen(_ANSWERS):
        return
    rows = []
    with report.step("behind Knative: all parts start and end"), start_stage(cluster, folder) as stage:
        if report.chosen(_ANSWERS):
            _check_answers(stage, report)
        for number, outage in enumerate(chosen):
            with report.step(outage.title):
                outcome, lost = _run(stage, outage, f"outage-{number}")
                rows.append((outage.broker, outage.name, *_figures(outcome, lost)))
                assert outcome.acknowledged
                assert not (outage.is_promised and lost), sorted(lost)[:10]
    print("\n" + _row(_COLUMNS) + "\n" + "|---" * len(_COLUMNS) + "|")
    for row in rows:
        print(_row(row))


def _check_answers(stage: Stage, report: Report) -> None:
    """The empty 200, 403 and 503, each of one event."""
    with report.step(f"{_ANSWERS}an empty 200 is delivered once"):
        assert _send(stage, "empty") == 202
        assert _events(stage.logger, "stored") == 1
        assert _events(stage.spool, "stored") == 0
        assert stage.index.count(index_of("answers")) == 1
    with report.step(f"{_ANSWERS}403 is tried once, and once at the spool; its sender is told"):
        for each in (stage.logger, stage.spool):
            each.restart(ALLOWED_NAMESPACES="another")
        assert _send(stage, "forbidden") >= 500
        assert _events(stage.logger, "forbidden") == 1
        assert _events(stage.spool, "forbidden") == 1
        for each in (stage.logger, stage.spool):
            each.restart(ALLOWED_NAMESPACES="")
    with report.step(f"{_ANSWERS}503 is tried again, then the spool has the event"):
        stage.engine.kill()
        try:
            started = time.monotonic()
            assert _send(stage, "unavailable") == 202
            assert time.monotonic() - started < PATIENCE[2]
            assert _events(stage.logger, "unavailable") == 3
            assert _events(stage.spool, "spooled") == 1
        finally:
            stage.engine.restart()
        wait(lambda: stage.index.count(index_of("answers")) == 2, "it is replayed", _DRAIN_SECONDS)


def _run(stage: Stage, outage: Outage, deployment: str) -> tuple[Outcome, set[str]]:
    """Kill and start what an outage says, under traffic; return what senders know, and the ids that are lost."""
    if stage.broker.is_async != outage.is_async:
        stage.broker.is_async = outage.is_async
        stage.broker.channel.kill()
        stage.broker.channel.start()
    with Traffic(stage.broker.url, deployment) as traffic:
        time.sleep(_BEFORE_SECONDS)
        outage.kill(stage)
        time.sleep(outage.seconds)
        outage.start(stage)
        time.sleep(_BEFORE_SECONDS)
    return traffic.outcome, _lost(stage, traffic.outcome, deployment)


def _lost(stage: Stage, outcome: Outcome, deployment: str) -> set[str]:
    """Return the ids that were answered 2xx and are in no document, once nothing more arrives."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    stored: set[str] = set()
    changed = time.monotonic()
    while outcome.acknowledged - stored and time.monotonic() < deadline:
        found = {document_id for _, document_id in stage.index.documents(index_of(deployment))}
        if found != stored:
            stored, changed = found, time.monotonic()
        waiting = stage.spool.counted("request_logger_spool_events")
        if not waiting and time.monotonic() - changed > _SETTLED_SECONDS:
            break
        time.sleep(0.5)
    return outcome.acknowledged - stored


def _figures(outcome: Outcome, lost: set[str]) -> tuple[str, ...]:
    numbers = (outcome.sent, len(outcome.acknowledged), len(outcome.refused), len(outcome.unanswered), len(lost))
    return (*(f"{number:,}" for number in numbers), f"{outcome.slowest:.1f} s")


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _send(stage: Stage, request_id: str) -> int:
    headers = event("request", request_id, "answers")
    return requests.post(stage.broker.url, data=ndarray([[1.0]]), headers=headers, timeout=max(PATIENCE)).status_code


def _events(logger: Logger, outcome: str) -> float:
    """How many events a logger has counted with that outcome since its start."""
    return logger.counted("request_logger_events_total", outcome=outcome)
