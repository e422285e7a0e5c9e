"""Rows in which the engine's responses are invalid or slow, or in which it is emptied."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.faults.culprits import ANSWER_SECONDS, send
from bench.faults.garbage import KINDS, Garbage, SomeGarbage
from bench.faults.proxy import Asked, FaultProxy, Reply
from bench.faults.registry import row
from bench.faults.stage import Stage
from bench.faults.traffic import Traffic, headers
from bench.first import index_of
from request_logger.demo.local_server import engine_settings
from request_logger.settings import Settings
from request_logger.store.indices.templates import INDEX_PATTERNS, TEMPLATE_NAME

_SHARE = 0.1
_SEED = 16
_SLOW_BULK_SECONDS = 3.0
# An index is prepared again by a request or two, in the background.
_MAPPING_SECONDS = 10.0
# Events acknowledged within this time after the engine was emptied may have been stored before.
_MARGIN_SECONDS = 1.0


@row("a proxy replaces one response in ten: HTML, truncated or wrong JSON, missing items, items of other types")
def garbage_answers(stage: Stage) -> None:
    """Garbage tells nothing about what was stored: the write is retried, and the event is stored once."""
    unused: list[str] = []
    with (
        FaultProxy(stage.engine.url) as proxy,
        stage.logger(spool=False, **engine_settings(proxy.url)) as logger,
        stage.traffic(logger) as sender,
    ):
        time.sleep(stage.seconds / 4)
        proxy.rule = SomeGarbage(_SHARE, _SEED)
        time.sleep(stage.seconds / 2)
        # Then each kind once, for a logger in normal operation and the first event of a new deployment.
        for number, kind in enumerate(KINDS):
            proxy.rule = garbage = Garbage(kind, times=1)
            send(urlsplit(logger.url).netloc, headers(f"{stage.name}-new-{number}", (0, "request")), b"{}")
            unused += [kind] if garbage.left else []
        proxy.rule = None
        time.sleep(stage.seconds / 4)
        stage.expect(logger.running, "the logger has ended")
    stage.notes.append(
        f"{proxy.changed} responses were garbage; kinds not used at the end: {', '.join(unused) or 'none'}"
    )
    stage.expect(proxy.changed > 0, "no response was garbage")
    stage.expect(sender.longest < 2 * ANSWER_SECONDS, f"an event has waited {sender.longest:.1f} s")


@row("two new indices are slow: preparing them takes longer than STORE_TIMEOUT_SECONDS, their bulk requests take 3 s")
def slow_index(stage: Stage) -> None:
    """Only the events of the slow indices wait."""
    suffix = "-slow"
    # Shorter than a short row, otherwise the default.
    timeout = min(Settings.store_timeout_seconds, stage.seconds / 2)

    def delay(asked: Asked) -> Reply | None:
        name = f"{suffix}-default"
        if asked.path.endswith("/_bulk"):
            if asked.body and all(name.encode() in line for line in _actions(asked.body)):
                time.sleep(_SLOW_BULK_SECONDS)
        elif name in asked.path and "," not in asked.path and not asked.path.partition("?")[0].endswith("/_alias"):
            time.sleep(1.2 * timeout)
        return None

    with (
        FaultProxy(stage.engine.url, delay) as proxy,
        stage.logger(spool=False, STORE_TIMEOUT_SECONDS=str(timeout), **engine_settings(proxy.url)) as logger,
        stage.traffic(logger, rate=stage.rate / 2) as one,
        stage.traffic(logger, rate=stage.rate / 2) as other,
        contextlib.ExitStack() as stack,
    ):
        for sender in (one, other):
            stage.wait_for_first(sender)
        time.sleep(stage.seconds / 4)
        for _ in range(2):
            stack.enter_context(stage.traffic(logger, suffix=suffix, rate=5.0))
        time.sleep(stage.seconds * 3 / 4)
        proxy.rule = None
    for sender in (one, other):
        stage.expect_no_retries(sender)
        stage.expect(sender.longest < ANSWER_SECONDS, f"another event has waited {sender.longest:.1f} s")


def _actions(body: bytes) -> list[bytes]:
    """Return the lines of a _bulk body that name an index."""
    return [line for line in body.splitlines() if b'"_index"' in line[:40]]


@row("the engine is emptied under load: all indices and templates deleted, as after a restore")
def engine_emptied(stage: Stage) -> None:
    """Events acknowledged afterwards are stored; the templates are installed again, new indices have their mapping."""
    with stage.logger() as logger, stage.traffic(logger) as sender:
        stage.wait_for_first(sender)
        time.sleep(stage.seconds / 2)
        started = time.monotonic()
        _empty(stage)
        ended = time.monotonic()
        time.sleep(_MARGIN_SECONDS + stage.seconds / 2)
        # With a deployment that is new afterwards, too.
        with stage.traffic(logger, rate=stage.rate / 5) as later:
            time.sleep(stage.seconds / 4)
    sender.gone = {key for key, at in sender.acknowledged_at.items() if at < ended + _MARGIN_SECONDS}
    before = sum(at < started for at in sender.acknowledged_at.values())
    stage.notes.append(
        f"{before:,} events were acknowledged before the engine was emptied, and lost with it; "
        f"{len(sender.gone) - before:,} meanwhile, or within {_MARGIN_SECONDS:.0f} s afterwards, are not counted"
    )
    stage.expect(before > 0, "nothing was acknowledged before the engine was emptied")
    there = stage.ask("GET", "/_index_template")["index_templates"]
    stage.expect(any(one["name"] == TEMPLATE_NAME for one in there), "the index template was not installed again")
    # The first document may have created its index before the templates were back: the engine then derived the types of
    # that document's own fields.
    for each, types in ((sender, ("byte", "long")), (later, ("byte",))):
        stage.expect(_gets_mapping(stage, each, types), f"{index_of(each.deployment)} hasn't the logger's mapping")


def _empty(stage: Stage) -> None:
    """Delete templates and indices of request loggers, templates first, so that none applies to a new index."""
    for one in stage.ask("GET", "/_index_template")["index_templates"]:
        if one["name"].startswith(TEMPLATE_NAME):
            stage.ask("DELETE", f"/_index_template/{one['name']}")
    for pattern in INDEX_PATTERNS:
        # By name, since some engines reject deletion by a pattern.
        for name in stage.ask("GET", f"/{pattern}/_settings"):
            stage.ask("DELETE", f"/{name}?ignore_unavailable=true")


def _gets_mapping(stage: Stage, sender: Traffic, types: Sequence[str]) -> bool:
    """Wait for the mapping; return whether the index has it: one created implicitly gets it after a document."""
    deadline = time.monotonic() + _MAPPING_SECONDS
    while not _has_mapping(stage, sender, types):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _has_mapping(stage: Stage, sender: Traffic, types: Sequence[str]) -> bool:
    index = index_of(sender.deployment)
    mappings: dict[str, Any] = stage.ask("GET", f"/{index}/_mapping")[index]["mappings"]
    metrics = mappings.get("properties", {}).get("metrics", {}).get("properties", {})
    # `unscorable` is in no document of this traffic.
    return (
        mappings.get("date_detection") is False
        and metrics.get("unscorable", {}).get("type") == "keyword"
        and metrics.get("correct", {}).get("type") in types
    )
