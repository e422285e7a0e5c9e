"""Every environment variable, its default and its meaning, in one frozen class.

`Settings.from_env` reads and checks all of them and reports every problem in one error. docs/settings.md is generated
from this file, and a test keeps it up to date. Names and defaults of the replaced programs are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from request_logger.common.periods import PERIODS
from request_logger.settings_rules import converted, problems_by_field

QUEUES = ("fallback", "always")
"""The values of QUEUE."""
ARCHIVE_FORMATS = ("ndjson", "parquet")
"""The values of MARSHAL_FORMAT."""


class SettingsError(ValueError):
    """One or more environment variables are invalid. The text has one line per problem."""


def _env(
    default: Any, meaning: str, *, secret: bool = False, minimum: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    # Secrets are left out of the repr, so that no log shows them.
    metadata = {"meaning": meaning, "secret": secret, "minimum": minimum, "choices": choices}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The whole configuration. The environment variable of a field is its name in upper case."""

    elasticsearch_host: str = _env(
        "localhost", "host of Elasticsearch or OpenSearch, or a URL; separate several with commas"
    )
    elasticsearch_port: int = _env(9200, "port of the search engine", minimum=1)
    elasticsearch_protocol: str = _env("http", "http or https", choices=("http", "https"))
    elasticsearch_user: str = _env("", "user name for basic authentication")
    elasticsearch_pass: str = _env("", "password for basic authentication", secret=True)
    elasticsearch_token: str = _env("", "bearer token", secret=True)
    elasticsearch_api_key: str = _env("", "API key (base64 of id:key)", secret=True)
    elasticsearch_cloud_id: str = _env("", "Elastic Cloud id, instead of the host")
    elasticsearch_path_prefix: str = _env("", "path before the search engine's API, such as /es")
    elasticsearch_ca_cert: str = _env("", "CA file; if set, the search engine's certificate is verified")
    elasticsearch_verify_certs: bool = _env(
        False,
        "verify the search engine's certificate (off by default, as in the original, so that self-signed certificates "
        "work)",
    )
    elasticsearch_timeout_seconds: float = _env(30.0, "timeout of one request to the search engine", minimum=0.1)
    index_name: str = _env("", "one index for all events, instead of index names derived from the events")
    index_period: str = _env(
        "none",
        "none, month or day: with month or day, each new document goes to the index of its month or day",
        choices=PERIODS,
    )
    index_shards: str = _env("", "primary shards of a new index; empty: the search engine's default")
    index_replicas: str = _env("", "replicas of a new index; empty: the search engine's default")
    index_refresh_seconds: str = _env(
        "", "seconds until documents of a new index can be searched; empty: the search engine's default, usually 1"
    )
    index_codec: str = _env(
        "auto",
        "compression of new indices: auto (best_compression where the search engine can write it, else default), "
        "default, best_compression (a third less disk), zstd or zstd_no_dict (OpenSearch's plugin custom-codecs); "
        "where the search engine refuses it, default is used",
        choices=("auto", "default", "best_compression", "zstd", "zstd_no_dict"),
    )
    keyword_subfields: bool = _env(
        True,
        "give text elements, tags and models in new indices a subfield .keyword, as the original's mapping does; off: "
        "fewer fields, for dashboards that use the fields themselves",
    )
    seldon_environment: str = _env("", "inserted into index names after -log-")
    max_payload_bytes: int = _env(300_000, "a larger body is not stored: its size and SHA-256 are", minimum=1)
    max_stream_bytes: int = _env(
        4 * 2**20,
        "a streamed answer of a language model over MAX_PAYLOAD_BYTES is assembled if it has at most this size "
        "(and a quarter of MEMORY_BUDGET_BYTES), and stored; MAX_PAYLOAD_BYTES then applies to the result",
        minimum=1,
    )
    keep_payload: str = _env(
        "all",
        "documents with the body of their request and response as payload: all (of a batch whose copies would exceed "
        "64 kB, its first row), first-row (always the first row of a batch) or none",
        choices=("all", "first-row", "none"),
    )
    keep_embeddings: bool = _env(
        False, "store the vectors in the responses of embedding models; off: the size of each vector"
    )
    text_search: bool = _env(
        False,
        "index requests and responses that are text word by word, in searchable_text; off: they are stored, and not "
        "indexed",
    )
    max_structured_bytes: int = _env(
        20 * 2**20, "maximum body of a structured or batched request; a larger one is answered 413", minimum=1
    )
    memory_budget_bytes: int = _env(
        64 * 2**20,
        "estimated memory that requests in progress may hold in one worker (bodies, values, rows); a request that "
        "exceeds what is left is answered 503, a request that exceeds the whole budget 413",
        minimum=2**20,
    )
    host: str = _env("", "address to listen on; empty: all addresses, including IPv6 where available")
    port: int = _env(8080, "port to listen on", minimum=0)
    gunicorn_workers: int = _env(
        3, "worker processes; if not set, at most one fewer than the available cores (but at least 1)", minimum=1
    )
    gunicorn_worker_class: str = _env(
        "gevent", "gevent, or gthread (one thread per event in progress)", choices=("gevent", "gthread")
    )
    gunicorn_threads: int = _env(8, "threads per worker with GUNICORN_WORKER_CLASS=gthread", minimum=1)
    fast_http: bool = _env(
        True,
        "answer single events without gunicorn's parser and WSGI where the worker class is gevent; off: gunicorn reads "
        "all requests",
    )
    stop_delay_seconds: float = _env(
        3.0, "how long the server still accepts events after SIGTERM, while /readyz is already 503", minimum=0
    )
    store_timeout_seconds: float = _env(
        7.0,
        "how long an event may wait for the search engine before it is spooled or answered 503; the response follows "
        "at most one second later (KServe's agent gives up after 10 seconds)",
        minimum=0.1,
    )
    linger_ms: int = _env(
        100,
        "how long an event may wait for others, to be sent with them in one _bulk (milliseconds, at most a quarter of "
        "STORE_TIMEOUT_SECONDS); where no other event can come, it doesn't wait; 0: never wait",
        minimum=0,
    )
    max_pending_bytes: int = _env(
        64 * 2**20,
        "maximum bytes of bodies waiting for the search engine in one worker; beyond it events are answered 503",
        minimum=1,
    )
    bulk_max_bytes: int = _env(5 * 2**20, "maximum size of one _bulk request", minimum=1)
    cache_max_bytes: int = _env(
        16 * 2**20, "memory of each worker's cache of recent documents, which avoids reading them again", minimum=0
    )
    spool_dir: str = _env(
        "", "folder where events wait on disk while the search engine is unavailable; empty: they are answered 503"
    )
    queue: str = _env(
        "fallback",
        "fallback: events are written to SPOOL_DIR only while the search engine is unavailable; always: each event is "
        "acknowledged once it is on disk in SPOOL_DIR, and written to the search engine in large bulks",
        choices=QUEUES,
    )
    # Measured at 60 predictions/s, whose responses follow after 5 ms: 0.1, 0.5 and 1 s give 105, 41 and 39 bulks for
    # 1,200 predictions, nearly all of which are one write. A longer delay pays only for models that respond later.
    queue_delay_seconds: float = _env(
        0.5,
        "with QUEUE=always, how long events are collected before they are written to the search engine, so that a "
        "prediction's request, response and early feedback are one write",
        minimum=0,
    )
    spool_max_bytes: int = _env(
        2**30,
        "maximum bytes of bodies in SPOOL_DIR, for all workers together; beyond it events are answered 503",
        minimum=1,
    )
    scorer: str = _env("auto", "scorer for all feedback, such as multiclass or binary:threshold=0.3")
    scorers_config: str = _env("", "YAML file with rules that map deployments to scorers")
    metadata_file: str = _env("", "YAML or JSON file with prediction schemas per deployment")
    metadata_ttl_seconds: float = _env(
        60.0, "how long a schema from Seldon Deploy is used before it is fetched again", minimum=1
    )
    metadata_wait_seconds: float = _env(
        0.5, "how long the first event of a deployment waits at most for its schema", minimum=0
    )
    deploy_api_host: str = _env("", "URL of Seldon Deploy's API, the source of prediction schemas")
    verify_ssl: bool = _env(False, "verify the certificates of Seldon Deploy and of its token provider")
    oidc_provider: str = _env("", "issuer of tokens for Seldon Deploy; empty: no token is sent")
    oidc_auth_method: str = _env("password_grant", "password_grant or client_credentials")
    client_id: str = _env("", "client id at the token issuer")
    client_secret: str = _env("", "client secret at the token issuer", secret=True)
    oidc_scopes: str = _env("openid profile email groups", "scopes to request")
    oidc_username: str = _env("", "user of the password grant")
    oidc_password: str = _env("", "password of the password grant", secret=True)
    oidc_resource: str = _env("", "resource to request")
    ingest_token: str = _env(
        "", "bearer token that senders of events must present; empty: no token is required", secret=True
    )
    read_user: str = _env(
        "", "user name for /metrics and all other pages except the probes; empty: no credentials are required"
    )
    read_password: str = _env("", "password for READ_USER", secret=True)
    allowed_namespaces: str = _env(
        "", "comma-separated globs: events of other namespaces are answered 403; empty: all namespaces are allowed"
    )
    redact: str = _env(
        "", "values to drop or hash before anything is stored: rules, or the path of a YAML file with rules"
    )
    redact_strict: bool = _env(
        True, "leave out a body if a REDACT rule may apply to a column that can't be located in it"
    )
    redact_key: str = _env("", "key for hashing (HMAC-SHA256), at least 16 characters", secret=True)
    metadata_fields: str = _env(
        "*",
        "comma-separated globs: the names in the metadata and annotations of KServe's events that are stored, such as "
        "x-tenant or annotations.*; none: no name",
    )
    fold_key: str = _env(
        "",
        "field whose value documents that belong together share, such as request.elements.customer: a report's "
        "intervals then allow for it; empty: the request id, which the rows of a batch share",
    )
    join_keys: str = _env(
        "",
        "comma-separated paths of values by which feedback may name its prediction instead of its id, such as "
        "request.metadata.x-request-id, response.id; each is one more small write per prediction that has it",
    )
    sample_rate: float = _env(1.0, "share of predictions to store, selected by request id: greater than 0, at most 1")
    audit_rate: float = _env(
        0.0,
        "share of predictions in the audit, chosen by request id (0 to 1): you find the truth of each of them, "
        "whatever their outcome; 0: no audit",
    )
    erasure_poll_seconds: float = _env(
        30.0,
        "how often a process asks the search engine for erased ids, whose late events it refuses; 0: it refuses none",
        minimum=0,
    )
    erasure_block_days: float = _env(
        30.0, "how long events of ids that `request-logger erase` has erased are refused (days)", minimum=0
    )
    marshal_format: str = _env(
        "ndjson",
        "what POST /v1/marshal answers, and KServe's agent writes to its object store: ndjson, or parquet, which needs "
        "pyarrow",
        choices=ARCHIVE_FORMATS,
    )
    reply_events: bool = _env(
        False,
        "answer feedback with a CloudEvent that carries its metrics; if false, and for events that are on disk only, "
        "the response is empty",
    )
    reply_url: str = _env("", "URL to send the same CloudEvent to after the feedback is stored")
    reply_type: str = _env(
        "io.seldon.serving.feedback.metrics",
        "type of these CloudEvents, and the value of the label method of /v1/metrics",
    )
    reply_source: str = _env("io.seldon.serving.feedback", "source of these CloudEvents")
    forward_url: str = _env("", "URL to which each event is forwarded unchanged, without REDACT, after it is stored")
    forward_headers: str = _env(
        "",
        "headers of these requests, such as Authorization: lines of Name: value, or a JSON object",
        secret=True,
    )
    forward_timeout_seconds: float = _env(
        30.0, "how long FORWARD_URL may take to answer before the request is retried", minimum=0.1
    )
    forward_connections: int = _env(
        4, "requests to FORWARD_URL at a time: of the server with SPOOL_DIR, else of each worker", minimum=1
    )
    # Room for the largest request, MAX_STRUCTURED_BYTES, and others.
    forward_memory_bytes: int = _env(
        32 * 2**20,
        "maximum memory of requests that wait for FORWARD_URL in one worker; beyond it they are dropped and counted. "
        "With SPOOL_DIR they wait there less than a second, unless the disk is full",
        minimum=2**16,
    )
    forward_spool_bytes: int = _env(
        2**30,
        "maximum bytes of requests that wait for FORWARD_URL in the folder forward in SPOOL_DIR, for all workers",
        minimum=2**16,
    )
    metrics_cache_seconds: float = _env(5.0, "how long each worker caches the counters of /v1/metrics", minimum=0)
    seldon_deployment_id: str = _env(
        "", "show only the counters of this deployment in /v1/metrics; empty: all deployments, labelled by name"
    )
    seldon_deployment_namespace: str = _env("", "namespace of SELDON_DEPLOYMENT_ID")
    predictor_id: str = _env("", "predictor of SELDON_DEPLOYMENT_ID")
    predictive_unit_id: str = _env("", "value of the label model_name of /v1/metrics; empty: taken from the documents")
    predictive_unit_image: str = _env("", "image whose name and version become labels of /v1/metrics")
    predictor_labels: str = _env("", "JSON object; its version becomes the label predictor_version of /v1/metrics")
    ui: bool = _env(False, "serve read-only pages of reports at /ui")
    dashboards_url: str = _env(
        "",
        "URL of Kibana or OpenSearch Dashboards, as a browser reaches it: the pages then link documents there, by the "
        "index pattern of `request-logger dashboards`",
    )
    kafka_brokers: str = _env("", "brokers for `request-logger consume`: host:port, separate several with commas")
    kafka_topic: str = _env(
        "", "topic of the events, separate several with commas; a leading ^ makes it a regular expression"
    )
    seldon_kafka_prefix: str = _env(
        "",
        "read the topics of Seldon Core 2 whose names start with this prefix (its own default is seldon), in "
        "addition to KAFKA_TOPIC",
    )
    kafka_group_id: str = _env("request-logger", "consumer group; its members share the partitions")
    kafka_assignment: str = _env(
        "auto",
        "how the group shares the partitions: cooperative-sticky (a rebalance interrupts only those that move), range "
        "(one consumer reads the same partition numbers of all topics) or auto (range with SELDON_KAFKA_PREFIX, else "
        "cooperative-sticky); must be the same for all members",
        choices=("auto", "cooperative-sticky", "range"),
    )
    kafka_dead_letter_topic: str = _env(
        "", "topic for records that can't be read as events; empty: they go to the dead-letter index"
    )
    kafka_max_in_flight: int = _env(
        10_000,
        "maximum records in memory waiting for the search engine; while there are as many, no more are read",
        minimum=1,
    )
    kafka_config: str = _env(
        "", "other librdkafka settings, including SASL and TLS: lines of name=value, or a JSON object", secret=True
    )
    token_prices: str = _env(
        "", "prices of a million tokens for reports: model=prompt/completion, such as gpt-4o=2.5/10 qwen*=0.1/0.1"
    )
    log_level: str = _env("INFO", "DEBUG, INFO, WARNING or ERROR", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _env("text", "text, or json (one JSON object per line)", choices=("text", "json"))
    otel_exporter_otlp_endpoint: str = _env(
        "", "URL of an OpenTelemetry collector (OTLP over HTTP) for traces and metrics; needs the extra otlp"
    )

    @property
    def queues_all_events(self) -> bool:
        """Whether every event goes through SPOOL_DIR, not only those that the search engine can't accept."""
        return self.queue == "always"

    def __post_init__(self) -> None:
        problems = problems_by_field(fields(self), {spec.name: getattr(self, spec.name) for spec in fields(self)})
        if problems:
            raise SettingsError("\n".join(problems.values()))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; an empty variable counts as not set.

        Raises SettingsError with one line for each invalid variable.
        """
        settings, problems = cls.read(environ)
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
        """Return the settings and one line per invalid variable, each of which has its default instead.

        Checks that need the settings can so run, and report, in spite of invalid ones.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        for spec in fields(cls):
            text = environ.get(spec.name.upper(), "")
            if text == "":
                continue
            try:
                values[spec.name] = converted(text, type(spec.default))
            except ValueError as error:
                problems.append(f"{spec.name.upper()}: {error}, found {text!r}")
        # Workers that share a core send smaller bulks and conflict with each other; the sender needs a core as well.
        values.setdefault("gunicorn_workers", max(min(cls.gunicorn_workers, cores() - 1), 1))
        invalid = problems_by_field(
            fields(cls), {spec.name: values.get(spec.name, spec.default) for spec in fields(cls)}
        )
        problems += invalid.values()
        return cls(**{name: value for name, value in values.items() if name not in invalid}), problems


def problems_of(*checks: Callable[[], object], errors: tuple[type[Exception], ...] = (SettingsError,)) -> list[str]:
    """Run all checks and return the lines of those that raise one of ``errors``, so that one report has them all."""
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except errors as error:
            problems += str(error).splitlines()
    return problems


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
