"""Panels of the dashboard on the program itself: its metrics in PromQL, each explained by its definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from request_logger import telemetry_definitions as metrics
from request_logger.dashboards.promql import Queries
from request_logger.telemetry_types import Definition

# Grafana's variables, whose "All" also matches series without the label: outside Kubernetes there is no namespace.
VARIABLES = ("namespace", "job", "instance")
QUERIES = Queries("$__rate_interval", ",".join(f'{name}=~"${name}"' for name in VARIABLES))

# Grafana's names of units.
PER_SECOND, BYTES_PER_SECOND, BYTES, SECONDS, COUNT = "cps", "Bps", "bytes", "s", "short"


@dataclass(frozen=True, slots=True)
class Curve:
    """One query; ``legend`` is a text in which ``{{label}}`` stands for a label's value."""

    legend: str
    query: str


@dataclass(frozen=True, slots=True)
class OperationPanel:
    """A panel of ``unit`` (a name of Grafana's); ``of`` are the metrics whose definitions explain it.

    ``is_number``: it shows the sum of its curves as one number, not curves over time.
    """

    title: str
    unit: str
    of: tuple[Definition, ...]
    curves: tuple[Curve, ...]
    is_number: bool = False

    @property
    def about(self) -> str:
        """What the panel's metrics mean, and what to do."""
        return "\n\n".join(f"`{each.name}`: {each.meaning}. {each.remedy}".strip() for each in self.of)


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A row of the dashboard: a heading and its panels."""

    title: str
    panels: tuple[OperationPanel, ...]


def rows() -> list[OperationRow]:
    """Return the rows of the dashboard, from the top down."""
    return [
        OperationRow("Now", tuple(_now())),
        OperationRow("Events", tuple(_events())),
        OperationRow("Search engine", tuple(_engine())),
        OperationRow("What waits", tuple(_waiting())),
        OperationRow("Scoring and bodies", tuple(_contents())),
        OperationRow("Forwarding", tuple(_forwarding())),
        OperationRow("Kafka", tuple(_kafka())),
    ]


def _number(title: str, unit: str, of: tuple[Definition, ...], query: str) -> OperationPanel:
    return OperationPanel(title, unit, of, (Curve("", query),), is_number=True)


def _now() -> Iterator[OperationPanel]:
    q = QUERIES
    yield _number("Events", PER_SECOND, (metrics.EVENTS,), q.rate(metrics.EVENTS))
    not_stored = q.rate(metrics.EVENTS, outcome="bad|unauthorized|forbidden|late|too_large|refused|unavailable")
    yield _number("Not stored", PER_SECOND, (metrics.EVENTS,), f"{not_stored} or vector(0)")
    oldest = metrics.SPOOL_OLDEST_SECONDS
    yield _number("Oldest event on disk", SECONDS, (oldest,), q.highest(oldest))
    yield _number("Kafka lag", COUNT, (metrics.KAFKA_LAG,), f"{q.total(metrics.KAFKA_LAG)} or vector(0)")
    memory = (metrics.MEMORY_HELD_BYTES, metrics.MEMORY_BUDGET_BYTES)
    yield _number("Memory held", BYTES, memory, q.total(metrics.MEMORY_HELD_BYTES))
    yield _number("Workers", COUNT, (metrics.WORKERS,), q.total(metrics.WORKERS))


def _events() -> Iterator[OperationPanel]:
    q = QUERIES
    for label in ("part", "outcome"):
        curve = Curve(f"{{{{{label}}}}}", q.rate(metrics.EVENTS, by=(label,)))
        yield OperationPanel(f"Events by {label}", PER_SECOND, (metrics.EVENTS,), (curve,))
    by_status = Curve("{{status}}", q.rate(metrics.HTTP_REQUESTS, by=("status",)))
    yield OperationPanel("Answers by status", PER_SECOND, (metrics.HTTP_REQUESTS,), (by_status,))
    answers = tuple(
        Curve(f"p{share * 100:g}", q.quantile(share, metrics.HTTP_SECONDS, method="POST"))
        for share in (0.5, 0.95, 0.99)
    )
    yield OperationPanel("Time to the answer of a POST", SECONDS, (metrics.HTTP_SECONDS,), answers)


def _engine() -> Iterator[OperationPanel]:
    q = QUERIES
    durations = tuple(
        Curve(f"p{share * 100:g}", q.quantile(share, metrics.BULK_SECONDS)) for share in (0.5, 0.95, 0.99)
    )
    yield OperationPanel("Duration of a _bulk", SECONDS, (metrics.BULK_SECONDS,), durations)
    sizes = (
        Curve("mean", q.mean(metrics.BULK_CHANGES)),
        *(Curve(f"p{share * 100:g}", q.quantile(share, metrics.BULK_CHANGES)) for share in (0.5, 0.95)),
    )
    yield OperationPanel("Documents in a _bulk", COUNT, (metrics.BULK_CHANGES,), sizes)
    bulks = Curve("_bulk requests", q.count(metrics.BULK_SECONDS))
    yield OperationPanel("_bulk requests", PER_SECOND, (metrics.BULK_SECONDS,), (bulks,))
    sent = Curve("sent", q.rate(metrics.BULK_BYTES))
    yield OperationPanel("Bytes to the engine", BYTES_PER_SECOND, (metrics.BULK_BYTES,), (sent,))
    what = Curve("{{what}}", q.rate(metrics.STORE, by=("what",)))
    yield OperationPanel("Refused, retried and other incidents", PER_SECOND, (metrics.STORE,), (what,))
    lookups = (
        Curve("gets", q.rate(metrics.LOOKUPS)),
        Curve("lookups", q.count(metrics.LOOKUP_SECONDS)),
    )
    yield OperationPanel("Lookups in several indices", PER_SECOND, (metrics.LOOKUPS, metrics.LOOKUP_SECONDS), lookups)
    slow = Curve("p95", q.quantile(0.95, metrics.LOOKUP_SECONDS))
    yield OperationPanel("Duration of a lookup", SECONDS, (metrics.LOOKUP_SECONDS,), (slow,))


def _waiting() -> Iterator[OperationPanel]:
    q = QUERIES
    by = ("instance",)
    pending = Curve("{{instance}}", q.total(metrics.PENDING_BYTES, by))
    yield OperationPanel("Waiting for the engine", BYTES, (metrics.PENDING_BYTES,), (pending,))
    held, budget = metrics.MEMORY_HELD_BYTES, metrics.MEMORY_BUDGET_BYTES
    memory = (Curve("held by {{instance}}", q.total(held, by)), Curve("budget", q.total(budget)))
    yield OperationPanel("Memory of requests", BYTES, (held, budget), memory)
    size, most = metrics.SPOOL_BYTES, metrics.SPOOL_MAX_BYTES
    disk = (Curve("on {{instance}}", q.total(size, by)), Curve("SPOOL_MAX_BYTES of {{instance}}", q.total(most, by)))
    yield OperationPanel("Spool, bytes", BYTES, (size, most), disk)
    events = Curve("{{instance}}", q.total(metrics.SPOOL_EVENTS, by))
    yield OperationPanel("Spool, events", COUNT, (metrics.SPOOL_EVENTS,), (events,))
    oldest = Curve("{{instance}}", q.highest(metrics.SPOOL_OLDEST_SECONDS, by))
    yield OperationPanel("Spool, oldest event", SECONDS, (metrics.SPOOL_OLDEST_SECONDS,), (oldest,))
    moved = (Curve("put in", q.rate(metrics.SPOOLED)), Curve("replayed", q.rate(metrics.SPOOL_REPLAYED)))
    yield OperationPanel("Spool, in and out", PER_SECOND, (metrics.SPOOLED, metrics.SPOOL_REPLAYED), moved)
    workers = Curve("{{instance}}", q.total(metrics.WORKERS, by))
    yield OperationPanel("Workers by instance", COUNT, (metrics.WORKERS,), (workers,))


def _contents() -> Iterator[OperationPanel]:
    q = QUERIES
    unscored = (
        Curve("feedback", q.rate(metrics.EVENTS, part="feedback", outcome="stored|spooled")),
        Curve("not scored", q.rate(metrics.UNSCORED)),
        Curve("the scorer failed", q.rate(metrics.SCORER_ERRORS)),
    )
    yield OperationPanel("Feedback, and what of it is not scored", PER_SECOND, _SCORING, unscored)
    bodies = (
        Curve("not decoded: {{part}}", q.rate(metrics.UNDECODABLE, by=("part",))),
        Curve("over MAX_PAYLOAD_BYTES", q.rate(metrics.PAYLOAD_DROPPED)),
    )
    yield OperationPanel("Bodies stored otherwise", PER_SECOND, (metrics.UNDECODABLE, metrics.PAYLOAD_DROPPED), bodies)
    schemas = Curve("{{what}}", q.rate(metrics.METADATA, by=("what",)))
    yield OperationPanel("Lookups of schemas", PER_SECOND, (metrics.METADATA,), (schemas,))
    replies = Curve("{{outcome}}", q.rate(metrics.REPLIES, by=("outcome",)))
    yield OperationPanel("Replies", PER_SECOND, (metrics.REPLIES,), (replies,))
    traces = Curve("{{what}}", q.rate(metrics.OTLP, by=("what",)))
    yield OperationPanel("OpenTelemetry", PER_SECOND, (metrics.OTLP,), (traces,))


_SCORING = (metrics.EVENTS, metrics.UNSCORED, metrics.SCORER_ERRORS)


def _forwarding() -> Iterator[OperationPanel]:
    q = QUERIES
    by = ("instance",)
    outcomes = (
        Curve("{{outcome}}", q.rate(metrics.FORWARDED, by=("outcome",))),
        Curve("repeated", q.rate(metrics.FORWARD_RETRIES)),
    )
    yield OperationPanel("Forwarded", PER_SECOND, (metrics.FORWARDED, metrics.FORWARD_RETRIES), outcomes)
    for title, unit, gauge in (
        ("Waiting requests", COUNT, metrics.FORWARD_WAITING_REQUESTS),
        ("Waiting bytes", BYTES, metrics.FORWARD_WAITING_BYTES),
    ):
        yield OperationPanel(title, unit, (gauge,), (Curve("{{instance}}", q.total(gauge, by)),))
    oldest = Curve("{{instance}}", q.highest(metrics.FORWARD_OLDEST_SECONDS, by))
    yield OperationPanel("Oldest waiting request", SECONDS, (metrics.FORWARD_OLDEST_SECONDS,), (oldest,))


def _kafka() -> Iterator[OperationPanel]:
    q = QUERIES
    lag = Curve("{{topic}} {{partition}}", q.total(metrics.KAFKA_LAG, by=("topic", "partition")))
    yield OperationPanel("Lag by partition", COUNT, (metrics.KAFKA_LAG,), (lag,))
    records = (
        Curve("read", q.rate(metrics.KAFKA_CONSUMED)),
        Curve("committed", q.rate(metrics.KAFKA_COMMITTED)),
        Curve("sent to the engine again", q.rate(metrics.KAFKA_RETRIES)),
    )
    of = (metrics.KAFKA_CONSUMED, metrics.KAFKA_COMMITTED, metrics.KAFKA_RETRIES)
    yield OperationPanel("Records", PER_SECOND, of, records)
    in_flight = Curve("{{instance}}", q.total(metrics.KAFKA_IN_FLIGHT, by=("instance",)))
    yield OperationPanel("Records that wait for the engine", COUNT, (metrics.KAFKA_IN_FLIGHT,), (in_flight,))
    paused = Curve("{{instance}}", q.highest(metrics.KAFKA_PAUSED, by=("instance",)))
    yield OperationPanel("Paused", COUNT, (metrics.KAFKA_PAUSED,), (paused,))
    poison = Curve("{{where}}", q.rate(metrics.KAFKA_POISON, by=("where",)))
    yield OperationPanel("Poison", PER_SECOND, (metrics.KAFKA_POISON,), (poison,))
    group = (
        Curve("{{what}}", q.rate(metrics.KAFKA_REBALANCES, by=("what",))),
        Curve("commits that failed", q.rate(metrics.KAFKA_COMMIT_FAILED)),
    )
    yield OperationPanel("Rebalances", PER_SECOND, (metrics.KAFKA_REBALANCES, metrics.KAFKA_COMMIT_FAILED), group)
