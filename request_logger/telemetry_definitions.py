"""Every Prometheus metric of the program: name, type, labels, unit, meaning, and what to do about it.

Each is defined once. `request_logger.telemetry` and `request_logger.kafka.telemetry` create their collectors from these
definitions; docs/telemetry.md, the dashboard of the program and its alerts are generated from them.
"""

from __future__ import annotations

from request_logger.telemetry_types import CounterDefinition, Definition, GaugeDefinition, HistogramDefinition

_PART = "request, response, feedback, outlier or drift; empty where the event was not read that far"

EVENTS = CounterDefinition(
    name="request_logger_events",
    unit="events",
    meaning="Events, by part and outcome",
    remedy="Alert on unavailable for minutes: the engine is down, slow or full. bad, unauthorized and forbidden: a "
    "sender is misconfigured; the warnings in the log say how.",
    labels={
        "part": _PART,
        "outcome": {
            "stored": "in the engine, answered 200",
            "spooled": "on disk, answered 200",
            "ignored": "of a type that is not stored, answered 200",
            "sampled": "left out by SAMPLE_RATE, answered 200",
            "erased": "of a prediction that `request-logger erase` has removed: not stored, answered 200",
            "bad": "not an event that can be read, answered 400",
            "unauthorized": "missing or wrong token, answered 401",
            "forbidden": "of a namespace that is not allowed, answered 403",
            "late": "the body did not arrive in time, answered 408",
            "too_large": "larger than a limit, answered 413",
            "refused": "refused by the engine, answered 422",
            "unavailable": "not stored in time, answered 503: the sender has to retry",
        },
    },
)
STORE = CounterDefinition(
    name="request_logger_store",
    unit="documents",
    meaning="What happened at the store other than success",
    remedy="conflict, retry and joined are part of normal work. Alert on dead_letter: run `request-logger dead-letters "
    "list`. The log has a warning with the reason for each of the others.",
    labels={
        "what": {
            "conflict": "another worker changed the document first; it is read and written again",
            "retry": "the engine had no room for the change; it is retried",
            "forbidden": "the engine's user lacks a privilege, which the log names; the change is retried",
            "failed": "the answer to a document's own request could not be read; it is retried",
            "joined": "two loggers had created one document in two months or days (INDEX_PERIOD); one is left",
            "refused": "the engine refused the document; it is stored in a form that it can't refuse",
            "dead_letter": "the engine refused every form; the document is in the index request-logger-dead-letters",
            "engine_down": "the engine did not answer a _bulk, or was too busy; it is retried",
            "index_missing": "an index was deleted meanwhile; it is created again",
            "split": "the engine refused a whole _bulk; its documents are sent in smaller ones",
            "unreadable": "the engine's answer to a _bulk could not be read; its documents are sent in smaller ones",
            "shared_key": "two predictions have the same value of a key of JOIN_KEYS; feedback by it goes to the first",
            "spool_bad": "a damaged file in SPOOL_DIR was moved away",
            "spool_error": "SPOOL_DIR could not be read or written",
            "forward_error": "what waits for FORWARD_URL could not be read, written or handed on; it is retried",
        }
    },
)
UNDECODABLE = CounterDefinition(
    name="request_logger_undecodable",
    unit="bodies",
    meaning="Bodies that could not be decoded and were stored unchanged, with the reason",
    remedy="Read `undecodable` in the documents: the protocol is unknown, or the sender is at fault.",
    labels={"part": _PART},
)
PAYLOAD_DROPPED = CounterDefinition(
    name="request_logger_payload_dropped",
    unit="bodies",
    meaning="Bodies over MAX_PAYLOAD_BYTES, stored as size and SHA-256",
    remedy="Raise MAX_PAYLOAD_BYTES where these bodies are needed.",
)
METADATA = CounterDefinition(
    name="request_logger_metadata",
    unit="lookups",
    meaning="Lookups of prediction schemas",
    remedy="failed and late: see the warnings; events are stored without names of columns meanwhile.",
    labels={
        "what": {
            "fetched": "there is a schema",
            "none": "there is none",
            "failed": "the service gave no usable answer",
            "late": "an event did not wait any longer, and was stored without the schema",
        }
    },
)
UNSCORED = CounterDefinition(
    name="request_logger_unscored",
    unit="events",
    meaning="Feedback that was stored and could not be scored",
    remedy="Alert where it rises as fast as feedback does: probably the wrong scorer. `metrics.unscorable` says why.",
)
SCORER_ERRORS = CounterDefinition(
    name="request_logger_scorer_errors",
    unit="events",
    meaning="Feedback that was stored and could not be scored because the scorer's code failed",
    remedy="Alert on any: a scorer raised an error or returned no usable fields. The log has the traceback; "
    "`request-logger rescore` scores the documents once it is fixed.",
)
REPLIES = CounterDefinition(
    name="request_logger_replies",
    unit="events",
    meaning="Events for REPLY_URL, by outcome",
    remedy="failed and dropped: the receiver is down or too slow. The metrics are in the documents.",
    labels={
        "outcome": {
            "sent": "the receiver accepted it",
            "failed": "the receiver did not accept it",
            "dropped": "too many were waiting",
        }
    },
)
BULK_SECONDS = HistogramDefinition(
    name="request_logger_bulk_seconds",
    unit="seconds",
    meaning="Duration of a _bulk request",
    remedy="Rising: the engine is the bottleneck.",
)
BULK_CHANGES = HistogramDefinition(
    name="request_logger_bulk_changes",
    unit="documents",
    meaning="Documents in a _bulk request",
    # From a single event to more than a bulk of BULK_MAX_BYTES usually holds.
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
BULK_BYTES = CounterDefinition(
    name="request_logger_bulk_bytes", unit="bytes", meaning="Size of all _bulk requests that were sent"
)
LOOKUP_SECONDS = HistogramDefinition(
    name="request_logger_lookup_seconds",
    unit="seconds",
    meaning="Duration of a lookup of documents in the indices of several months or days (INDEX_PERIOD)",
)
LOOKUPS = CounterDefinition(
    name="request_logger_lookups",
    unit="requests",
    meaning="Single gets of these lookups: documents times indices",
    remedy="Far above the events: there are many indices per deployment. Choose a longer INDEX_PERIOD, or prune.",
)
PENDING_BYTES = GaugeDefinition(
    name="request_logger_pending_bytes",
    unit="bytes",
    meaning="Bodies that wait for the engine, of all workers",
    remedy="Near MAX_PENDING_BYTES times the workers: events are about to be answered 503.",
    mode="livesum",
)
MEMORY_HELD_BYTES = GaugeDefinition(
    name="request_logger_memory_held_bytes",
    unit="bytes",
    meaning="Estimated memory that requests under way hold, of all workers, to 1/64 of the budget",
    remedy="Near request_logger_memory_budget_bytes: events are about to be answered 503.",
    mode="livesum",
)
MEMORY_BUDGET_BYTES = GaugeDefinition(
    name="request_logger_memory_budget_bytes",
    unit="bytes",
    meaning="MEMORY_BUDGET_BYTES of all workers",
    mode="livesum",
)
WORKERS = GaugeDefinition(
    name="request_logger_workers",
    unit="processes",
    meaning="Worker processes that run",
    remedy="Fewer than GUNICORN_WORKERS for minutes: they end at their start; the log says why.",
    mode="livesum",
)
# The workers share one spool, and each reports the whole of it.
SPOOL_EVENTS = GaugeDefinition(
    name="request_logger_spool_events",
    unit="events",
    meaning="Events that wait in SPOOL_DIR",
    remedy="Alert where it stays above 0 while request_logger_spool_replayed stands still. With QUEUE=always it is the "
    "depth of the queue.",
    mode="livemostrecent",
)
SPOOL_BYTES = GaugeDefinition(
    name="request_logger_spool_bytes",
    unit="bytes",
    meaning="Size of the events that wait in SPOOL_DIR",
    remedy="At SPOOL_MAX_BYTES new events are answered 503.",
    mode="livemostrecent",
)
SPOOL_MAX_BYTES = GaugeDefinition(
    name="request_logger_spool_max_bytes",
    unit="bytes",
    meaning="SPOOL_MAX_BYTES, where there is a SPOOL_DIR",
    mode="livemostrecent",
)
SPOOL_OLDEST_SECONDS = GaugeDefinition(
    name="request_logger_spool_oldest_seconds",
    unit="seconds",
    meaning="How long the oldest event in SPOOL_DIR has waited, to the second; 0 if it is empty",
    remedy="With QUEUE=always this is how far the engine lags behind. Alert above a minute: the engine is down or "
    "slow, or one replaying worker is not enough.",
    mode="livemostrecent",
)
SPOOLED = CounterDefinition(name="request_logger_spooled", unit="events", meaning="Events that were put into SPOOL_DIR")
SPOOL_REPLAYED = CounterDefinition(
    name="request_logger_spool_replayed", unit="events", meaning="Events that went from SPOOL_DIR to the engine"
)

FORWARDED = CounterDefinition(
    name="request_logger_forwarded",
    unit="requests",
    meaning="Requests for FORWARD_URL that no longer wait, by outcome; a batch is one request",
    remedy="Alert on refused, given_up and dropped: the receiver lacks these events. The log says why.",
    labels={
        "outcome": {
            "sent": "the receiver accepted it",
            "refused": "the receiver answered 4xx; it is not retried",
            "given_up": "it failed 20 times, while the receiver accepted others",
            "dropped": "too much was waiting (FORWARD_MEMORY_BYTES, FORWARD_SPOOL_BYTES), or its body wasn't kept",
        }
    },
)
FORWARD_RETRIES = CounterDefinition(
    name="request_logger_forward_retries",
    unit="requests",
    meaning="Failed attempts to send a request to FORWARD_URL, which are retried",
    remedy="Rising all the time: the receiver is down or too slow.",
)
FORWARD_WAITING_REQUESTS = GaugeDefinition(
    name="request_logger_forward_waiting_requests",
    unit="requests",
    meaning="Requests that wait for FORWARD_URL, on disk and in memory",
    remedy="Alert where it rises for minutes: once there is no room, requests are dropped.",
    mode="livesum",
)
FORWARD_WAITING_BYTES = GaugeDefinition(
    name="request_logger_forward_waiting_bytes",
    unit="bytes",
    meaning="Bytes that wait for FORWARD_URL, on disk and in memory",
    mode="livesum",
)
FORWARD_OLDEST_SECONDS = GaugeDefinition(
    name="request_logger_forward_oldest_seconds",
    unit="seconds",
    meaning="How long the oldest request has waited for FORWARD_URL; 0 if none waits",
    remedy="Alert above minutes: the receiver lags behind by this time.",
    mode="livemax",
)

OTLP = CounterDefinition(
    name="request_logger_otlp",
    unit="records",
    meaning="Spans, and sets of metrics, for OTEL_EXPORTER_OTLP_ENDPOINT, by outcome",
    remedy="failed and dropped: the collector is down or too slow. Events are stored anyway.",
    labels={
        "what": {
            "spans_sent": "spans that the collector took",
            "spans_failed": "spans that it did not take; they are lost",
            "spans_dropped": "spans that were too many to wait",
            "metrics_sent": "sets of metrics that it took",
            "metrics_failed": "sets of metrics that it did not take; the next set has the same counters",
        }
    },
)

_PARTITION = {"topic": "the topic", "partition": "the partition's number"}

KAFKA_LAG = GaugeDefinition(
    name="request_logger_kafka_lag",
    unit="records",
    meaning="Records of a partition of this member that are not committed yet",
    remedy="Alert on the sum rising for minutes: start more consumers, up to the number of partitions, or look whether "
    "the engine is slow.",
    labels=_PARTITION,
)
KAFKA_CONSUMED = CounterDefinition(
    name="request_logger_kafka_consumed", unit="records", meaning="Records that were read", labels=_PARTITION
)
KAFKA_COMMITTED = CounterDefinition(
    name="request_logger_kafka_committed",
    unit="records",
    meaning="Records whose offsets Kafka has acknowledged",
    labels=_PARTITION,
)
KAFKA_COMMIT_FAILED = CounterDefinition(
    name="request_logger_kafka_commit_failed",
    unit="requests",
    meaning="Commits that Kafka refused; they are retried",
    remedy="A few at a rebalance are normal. Rising all the time: see the log; records are read again after a restart.",
)
KAFKA_POISON = CounterDefinition(
    name="request_logger_kafka_poison",
    unit="records",
    meaning="Records that can't become events, by where they went",
    remedy="Alert on any. nowhere: the log has topic, partition and offset.",
    labels={
        "where": {
            "topic": "KAFKA_DEAD_LETTER_TOPIC",
            "index": "the index request-logger-dead-letters",
            "nowhere": "refused by both",
        }
    },
)
KAFKA_REBALANCES = CounterDefinition(
    name="request_logger_kafka_rebalances",
    unit="partitions",
    meaning="Partitions that came to this member or left it",
    remedy="lost: the member was too slow for the group, or Kafka was away.",
    labels={
        "what": {
            "assigned": "came",
            "revoked": "left, after what was read had been committed",
            "lost": "left without notice",
        }
    },
)
KAFKA_IN_FLIGHT = GaugeDefinition(
    name="request_logger_kafka_in_flight",
    unit="records",
    meaning="Records that wait for the engine",
    remedy="At KAFKA_MAX_IN_FLIGHT no more are read.",
)
KAFKA_PAUSED = GaugeDefinition(
    name="request_logger_kafka_paused",
    unit="0/1",
    meaning="1 while nothing is read, because too much waits",
    remedy="1 for minutes: the engine is down or slow.",
)
KAFKA_RETRIES = CounterDefinition(
    name="request_logger_kafka_retries",
    unit="records",
    meaning="Records that were sent to the engine again",
    remedy="Rising: the engine does not store in time.",
)

SERVER: tuple[Definition, ...] = (
    EVENTS,
    STORE,
    UNDECODABLE,
    PAYLOAD_DROPPED,
    METADATA,
    UNSCORED,
    SCORER_ERRORS,
    REPLIES,
    BULK_SECONDS,
    BULK_CHANGES,
    BULK_BYTES,
    LOOKUP_SECONDS,
    LOOKUPS,
    PENDING_BYTES,
    MEMORY_HELD_BYTES,
    MEMORY_BUDGET_BYTES,
    WORKERS,
    SPOOL_EVENTS,
    SPOOL_BYTES,
    SPOOL_MAX_BYTES,
    SPOOL_OLDEST_SECONDS,
    SPOOLED,
    SPOOL_REPLAYED,
    FORWARDED,
    FORWARD_RETRIES,
    FORWARD_WAITING_REQUESTS,
    FORWARD_WAITING_BYTES,
    FORWARD_OLDEST_SECONDS,
    OTLP,
)
"""The metrics of `request-logger serve` and `request-logger consume`."""

KAFKA: tuple[Definition, ...] = (
    KAFKA_LAG,
    KAFKA_CONSUMED,
    KAFKA_COMMITTED,
    KAFKA_COMMIT_FAILED,
    KAFKA_POISON,
    KAFKA_REBALANCES,
    KAFKA_IN_FLIGHT,
    KAFKA_PAUSED,
    KAFKA_RETRIES,
)
"""The metrics of `request-logger consume` only."""

HTTP_REQUESTS = CounterDefinition(
    name="flask_http_request",
    unit="requests",
    meaning="Requests, by method and status",
    labels={"method": "the method", "status": "the status"},
)
HTTP_SECONDS = HistogramDefinition(
    name="flask_http_request_duration_seconds",
    unit="seconds",
    meaning="Time from a request to its answer",
    labels={"method": "the method", "url_rule": "the route", "status": "the status"},
)
HTTP: tuple[Definition, ...] = (HTTP_REQUESTS, HTTP_SECONDS)
"""The metrics of prometheus-flask-exporter, which creates them; `request-logger serve` only."""
