"""Composition root: builds the parts of one process and connects them.

Nothing else builds them. The routes, the Kafka consumer and the retry of dead letters each get the parts they need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from request_logger.common.join_keys import parse_join_keys
from request_logger.documents.document import degrade
from request_logger.documents.event import Event
from request_logger.forward import Forwarder, new_forwarder
from request_logger.ingest.access import Access
from request_logger.ingest.erased import ErasedIds, ErasedIdsReader
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.memory_budget import Budget
from request_logger.ingest.pipeline import IngestPipeline, Prepared
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.replies import Replies
from request_logger.ingest.write_plan import merging
from request_logger.metadata import MetadataSource, metadata_source
from request_logger.otlp import Exported, Otlp, Source, TimedEngine, TracerLike, start
from request_logger.scoring.evidence_keeper import EvidenceKeeper
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from request_logger.spool import BATCH_EVENTS, MOST_LINGER_SECONDS, Replayer, Spool
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.block_watch import BlockWatch
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.ports import Limits
from request_logger.store.writing.writer import Writer
from request_logger.telemetry import Telemetry

# The spool's share of MAX_PENDING_BYTES while it is replayed: events that arrive meanwhile must find room.
_REPLAY_SHARE = 4
# At shutdown the spool is replayed for this time while the engine answers; the rest is replayed after the next start.
_REPLAYER_CLOSE_SECONDS = 5.0
# Events per batch of the queue. While the writer prepares one, the same worker answers no request: measured with 70
# events of 37 columns, 5 to 20 ms of CPU. Larger ones would save the engine little more.
_QUEUE_BATCH_EVENTS = 100
# Disk space that an empty queue keeps: the batches of some seconds.
_QUEUE_SPARE_BYTES = 16 * 2**20
# All events have their answers by now: what a hanging engine hasn't taken was spooled or refused. Together with the
# events' own time limit this is within the server's 30 s of grace.
_WRITER_CLOSE_SECONDS = 10.0
# A duplicate of an erased event may be the first to arrive. An engine that is away must not delay a start for long.
_ERASED_WAIT_SECONDS = 0.5
_REPLIES_CLOSE_SECONDS = 5.0
_FORWARDER_CLOSE_SECONDS = 5.0
# What it still has to store is at most some seconds old, and other processes see most of it, too.
_EVIDENCE_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one process, connected; `close` ends the threads among them."""

    settings: Settings
    telemetry: Telemetry
    budget: Budget
    access: Access
    redactor: Redactor
    metadata: MetadataSource
    engine: SearchEngine
    replies: Replies
    writer: Writer
    evidence: EvidenceKeeper
    spool: Spool | None
    replayer: Replayer | None
    erased: ErasedIdsReader
    forwarder: Forwarder | None
    pipeline: IngestPipeline
    otlp: Otlp | None

    @property
    def tracer(self) -> TracerLike | None:
        """What makes traces of events; None where they are off."""
        return None if self.otlp is None else self.otlp.tracer

    def close(self) -> None:
        """Finish what is under way, then stop all threads."""
        self.erased.close()
        if self.replayer is not None:
            self.replayer.close(_REPLAYER_CLOSE_SECONDS)
        self.writer.close(timeout=_WRITER_CLOSE_SECONDS)
        self.evidence.close(timeout=_EVIDENCE_CLOSE_SECONDS)
        self.replies.close(timeout=_REPLIES_CLOSE_SECONDS)
        self.close_forwarder()
        if self.spool is not None:
            self.spool.close()
        if self.otlp is not None:
            self.otlp.close()

    def close_forwarder(self) -> None:
        """Send what waits for FORWARD_URL in memory, as far as there is time, or write it to the disk."""
        if self.forwarder is not None:
            self.forwarder.close(_FORWARDER_CLOSE_SECONDS)


def build(
    settings: Settings,
    registry: CollectorRegistry,
    tokens: BulkTokens | None = None,
    forward_folder: str = "",
    exported: Exported | None = None,
) -> Parts:
    """Build the parts; the writer's threads, with ``auto`` the evidence's, and with a spool the replayer's, start here.

    The processes of one server share ``tokens``. ``forward_folder`` is where requests for FORWARD_URL wait if there is
    no SPOOL_DIR for events; empty: in memory. ``exported``: the metrics for
    OTEL_EXPORTER_OTLP_ENDPOINT. Raises SettingsError, ScorerError and MetadataError.
    """
    telemetry = Telemetry(registry)
    # Only the processes that serve export anything.
    otlp = start(settings, telemetry, exported) if exported is not None else None
    telemetry.memory_budget_bytes.set(settings.memory_budget_bytes)
    budget = Budget(settings.memory_budget_bytes, telemetry.memory_held_bytes.set)
    access = Access(settings)
    redactor = Redactor(settings.redact, settings.redact_key, strict=settings.redact_strict)
    # The log warns about insecure connections once, by the parent of the server's workers.
    engine = SearchEngine(settings, warn=False)
    metadata = metadata_source(settings, lambda what: telemetry.metadata.labels(what).inc())
    replies = Replies(settings, lambda outcome: telemetry.replies.labels(outcome).inc())
    evidence = EvidenceKeeper(engine)
    chooser = Chooser(settings.scorer, settings.scorers_config or None, evidence.known)
    settle = settler(chooser, settings.fold_key, settings.audit_rate, chooser.observe)
    limits = Limits(
        timeout_seconds=settings.store_timeout_seconds,
        linger_seconds=settings.linger_ms / 1000,
        max_pending_bytes=settings.max_pending_bytes,
        bulk_max_bytes=settings.bulk_max_bytes,
        cache_max_bytes=settings.cache_max_bytes,
    )
    locator = Locator(settings.index_period, merging(settle))
    tracer = None if otlp is None else otlp.tracer
    traced = engine if tracer is None else TimedEngine(engine)
    writer = Writer(
        traced, degrade, BlockWatch(telemetry, engine.request), limits, tokens, locator, telemetry.looked_up
    )
    spool = _spool(settings, telemetry)
    keys = parse_join_keys(settings.join_keys)
    erased = ErasedIds(keys)
    reader = ErasedIdsReader(engine, erased, settings.erasure_poll_seconds, telemetry.warn)
    pipeline = IngestPipeline(
        settings,
        telemetry=telemetry,
        budget=budget,
        access=access,
        redactor=redactor,
        metadata=metadata,
        replies=replies,
        plans=KeyPlans(keys, telemetry.shared_key),
        settle=settle,
        flat_of=chooser.flat_of,
        erased=erased,
        writer=writer,
        spool=spool,
    )
    replayer = None
    if spool is not None:
        queues_all = settings.queues_all_events
        replayer = Replayer(
            spool,
            settings.spool_dir,
            pipeline.decoded if tracer is None else partial(_decoded_and_traced, pipeline, tracer),
            lambda: writer.down_for > 0 or not reader.is_loaded,
            telemetry,
            batch_bytes=settings.max_pending_bytes // _REPLAY_SHARE,
            batch_events=_QUEUE_BATCH_EVENTS if queues_all else BATCH_EVENTS,
            delay=settings.queue_delay_seconds if queues_all else None,
        )
    if chooser.is_auto:
        evidence.start()
    reader.wait(_ERASED_WAIT_SECONDS)
    forwarder = new_forwarder(settings, settings.spool_dir or forward_folder, telemetry)
    return Parts(
        settings=settings,
        telemetry=telemetry,
        budget=budget,
        access=access,
        redactor=redactor,
        metadata=metadata,
        engine=engine,
        replies=replies,
        writer=writer,
        evidence=evidence,
        spool=spool,
        replayer=replayer,
        erased=reader,
        forwarder=forwarder,
        pipeline=pipeline,
        otlp=otlp,
    )


def _decoded_and_traced(pipeline: IngestPipeline, tracer: TracerLike, event: Event) -> Prepared:
    """Decode an event of the spool, and make a trace of it, which goes on in that of the request."""
    recording = tracer.begin({}, Source.SPOOL, event.trace_id)
    if recording is not None:
        recording.describe(event)
    return pipeline.decoded(event, recording=recording)


def _spool(settings: Settings, telemetry: Telemetry) -> Spool | None:
    if not settings.spool_dir:
        return None
    telemetry.spool_max_bytes.set(settings.spool_max_bytes)
    spare_bytes = _QUEUE_SPARE_BYTES if settings.queues_all_events else 0
    linger_seconds = min(settings.linger_ms / 1000, MOST_LINGER_SECONDS)
    return Spool(
        settings.spool_dir,
        settings.spool_max_bytes,
        telemetry,
        spare_bytes=spare_bytes,
        linger_seconds=linger_seconds,
    )
