"""Generates the alerts on the program itself, for Prometheus and for its operator.

An alert is about a namespace or, where `pod` tells it apart, about a pod: without an operator both labels are empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from request_logger import telemetry_definitions as metrics
from request_logger.dashboards.promql import Queries

Json = dict[str, Any]

NAME = "seldon-request-logger"
_BY = ("namespace",)
_BY_POD = ("namespace", "pod")
_5M, _15M, _30M = Queries("5m"), Queries("15m"), Queries("30m")
# Senders wait for an answer for STORE_TIMEOUT_SECONDS (7 by default): some of them soon give up.
_SLOW_BULK_SECONDS = 2
# Above a spool's or the memory's share of its limit there is little time left to react.
_NEARLY_FULL = 0.8
_LAG_RECORDS = 1000
_LAG_SECONDS = 60
_FORWARD_LAG_SECONDS = 300
# One sender in ten with bodies that can't be read is more than a single damaged event.
_UNDECODABLE_SHARE = 0.1
_UNSCORED_SHARE = 0.5


def alerts() -> list[Json]:
    """Return the alerts, as Prometheus' rule files have them."""
    return [*_storing(), *_limits(), *_contents(), *_forwarding(), *_kafka()]


def rules_file() -> str:
    """Return the file for Prometheus' rule_files."""
    return _yaml({"groups": _groups()})


def prometheus_rule() -> str:
    """Return the same alerts as a PrometheusRule of the Prometheus operator."""
    return _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": NAME},
            "spec": {"groups": _groups()},
        }
    )


def _groups() -> list[Json]:
    return [{"name": NAME, "rules": alerts()}]


def _storing() -> Iterator[Json]:
    yield _alert(
        "RequestLoggerCannotStore",
        f"{_5M.rate(metrics.EVENTS, _BY, outcome='unavailable')} > 0",
        "Events are answered 503",
        "The search engine is down, slow or full, or lacks a privilege. A broker retries its events; events that "
        'executors send directly to the logger are lost without SPOOL_DIR. See "the engine does not answer" in the '
        "troubleshooting page.",
        wait="5m",
        severity="critical",
    )
    waiting = _15M.highest(metrics.SPOOL_EVENTS, _BY_POD)
    yield _alert(
        "RequestLoggerSpoolGrows",
        f"sum by (namespace) ({waiting}) > 0 and {_15M.rate(metrics.SPOOL_REPLAYED, _BY)} == 0",
        "Events wait on disk and none is replayed to the search engine",
        "Once SPOOL_MAX_BYTES is reached, new events are answered 503.",
        wait="15m",
    )
    yield _alert(
        "RequestLoggerQueueLags",
        f"{_5M.highest(metrics.SPOOL_OLDEST_SECONDS, _BY_POD)} > {_LAG_SECONDS}",
        "The oldest event on disk has waited for more than a minute",
        "The search engine is down or slow, or one replaying worker per pod isn't enough for the traffic. Documents "
        "lag behind by this time; nothing is lost before SPOOL_MAX_BYTES is reached.",
        wait="5m",
    )
    yield _alert(
        "RequestLoggerEngineSlow",
        f"{_5M.quantile(0.95, metrics.BULK_SECONDS, _BY)} > {_SLOW_BULK_SECONDS}",
        f"One _bulk request in twenty takes more than {_SLOW_BULK_SECONDS} s",
        "The search engine is the bottleneck. Senders that wait for the answer give up after some seconds.",
        wait="10m",
    )
    yield _alert(
        "RequestLoggerDeadLetters",
        f"{_15M.increase(metrics.STORE, _BY, what='dead_letter')} > 0",
        "The search engine rejects documents even after fallback",
        'They are in the index request-logger-dead-letters. List them with "request-logger dead-letters list".',
    )


def _limits() -> Iterator[Json]:
    spool = _5M.highest(metrics.SPOOL_BYTES, _BY_POD)
    yield _alert(
        "RequestLoggerSpoolNearlyFull",
        f"{spool} / {_5M.highest(metrics.SPOOL_MAX_BYTES, _BY_POD)} > {_NEARLY_FULL}",
        "The spool is nearly full",
        "At SPOOL_MAX_BYTES new events are answered 503. Restore the search engine, or enlarge the volume and "
        "SPOOL_MAX_BYTES.",
        wait="1m",
        severity="critical",
    )
    yield _alert(
        "RequestLoggerSpoolDamaged",
        f"{_15M.increase(metrics.STORE, _BY, what='spool_bad|spool_error')} > 0",
        "SPOOL_DIR can't be read or written, or a damaged file was moved away",
        "Events on disk may be at risk. The logger's warnings name the file; the spool page says what to do with it.",
        severity="critical",
    )
    held = _5M.total(metrics.MEMORY_HELD_BYTES, _BY_POD)
    yield _alert(
        "RequestLoggerMemoryNearlyFull",
        f"{held} / {_5M.total(metrics.MEMORY_BUDGET_BYTES, _BY_POD)} > {_NEARLY_FULL}",
        "Requests hold nearly all of MEMORY_BUDGET_BYTES",
        "New events are answered 503 when there is no room. The search engine is slow, or bodies are large: add pods, "
        "or raise MEMORY_BUDGET_BYTES with the pod's memory.",
        wait="5m",
    )


def _contents() -> Iterator[Json]:
    taken = _30M.rate(metrics.EVENTS, _BY, part="feedback", outcome="stored|spooled")
    yield _alert(
        "RequestLoggerCannotScore",
        f"{_30M.rate(metrics.UNSCORED, _BY)} > {_UNSCORED_SHARE} * {taken}",
        "Most feedback can't be scored",
        "Probably the scorer is wrong; the reason is in metrics.unscorable of the documents.",
        wait="30m",
    )
    yield _alert(
        "RequestLoggerScorerFails",
        f"{_15M.increase(metrics.SCORER_ERRORS, _BY)} > 0",
        "A scorer's code fails",
        'The log has the traceback. The feedback is stored: "request-logger rescore" scores it after the fix.',
    )
    stored = _30M.rate(metrics.EVENTS, _BY, outcome="stored|spooled")
    yield _alert(
        "RequestLoggerCannotDecode",
        f"{_30M.rate(metrics.UNDECODABLE, _BY)} > {_UNDECODABLE_SHARE} * {stored}",
        "Many bodies can't be decoded",
        "They are stored unchanged; the reason is in the field undecodable of the documents.",
        wait="30m",
    )
    yield _alert(
        "RequestLoggerRefusesEvents",
        f"{_15M.rate(metrics.EVENTS, _BY, outcome='bad|unauthorized|forbidden|late|too_large|refused')} > 0",
        "A sender's events are answered 4xx",
        "They are not stored. The logger's warnings say why.",
        wait="15m",
    )


def _forwarding() -> Iterator[Json]:
    yield _alert(
        "RequestLoggerForwardingLoses",
        f"{_15M.increase(metrics.FORWARDED, _BY, outcome='refused|given_up|dropped')} > 0",
        "Stored events don't reach FORWARD_URL",
        "The receiver refuses them, or was down or slow for longer than there is room for what waits. They are in the "
        "search engine. The logger's warnings say why.",
    )
    yield _alert(
        "RequestLoggerForwardingLags",
        f"{_5M.highest(metrics.FORWARD_OLDEST_SECONDS, _BY_POD)} > {_FORWARD_LAG_SECONDS}",
        "Requests wait for FORWARD_URL for more than five minutes",
        "The receiver is down or too slow. Once there is no room, requests for it are dropped.",
        wait="5m",
    )
    yield _alert(
        "RequestLoggerRepliesLost",
        f"{_15M.increase(metrics.REPLIES, _BY, outcome='failed|dropped')} > 0",
        "Replies don't reach REPLY_URL",
        "The receiver is down or too slow. The metrics are in the documents.",
    )


def _kafka() -> Iterator[Json]:
    growing = f"sum by (namespace) (delta({_15M.series(metrics.KAFKA_LAG)}[15m])) > 0"
    yield _alert(
        "RequestLoggerFallsBehind",
        f"{_15M.total(metrics.KAFKA_LAG, _BY)} > {_LAG_RECORDS} and {growing}",
        "Events arrive in Kafka faster than they are stored",
        "Start more consumers, up to the number of partitions, or check whether the search engine is slow.",
        wait="15m",
    )
    yield _alert(
        "RequestLoggerConsumerPaused",
        f"{_5M.highest(metrics.KAFKA_PAUSED, _BY_POD)} == 1",
        "A consumer has read nothing for minutes, because too much waits for the search engine",
        "The search engine is down or slow.",
        wait="10m",
    )
    yield _alert(
        "RequestLoggerPoison",
        f"{_15M.increase(metrics.KAFKA_POISON, _BY)} > 0",
        "Records of the topic can't be read as events",
        "They are in KAFKA_DEAD_LETTER_TOPIC, or in the index request-logger-dead-letters.",
    )


def _alert(name: str, expr: str, summary: str, description: str, *, wait: str = "", severity: str = "warning") -> Json:
    return {
        "alert": name,
        "expr": expr,
        **({"for": wait} if wait else {}),
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }


def _yaml(content: Json) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120)
