"""Every environment variable, its default and its meaning, in one frozen class.

`Settings.from_env` reads and checks them all and reports every problem at once; docs/settings.md is checked
against this file by a test. Names and defaults of the replaced programs are kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from request_logger.common.json import loads
from request_logger.common.names import is_legal_index
from request_logger.common.periods import PERIODS, has_period

# What engines allow without a setting of their own.
_MOST_SHARDS = 1024


class SettingsError(ValueError):
    """One or more environment variables are wrong; one line for each."""


def _env(
    default: Any, meaning: str, *, secret: bool = False, minimum: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    # A secret is in no repr, and so in no log.
    metadata = {"meaning": meaning, "secret": secret, "minimum": minimum, "choices": choices}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The whole configuration. A field's environment variable is its name in upper case."""

    elasticsearch_host: str = _env("localhost", "host of Elasticsearch or OpenSearch; several with commas; a URL works")
    elasticsearch_port: int = _env(9200, "port of the engine", minimum=1)
    elasticsearch_protocol: str = _env("http", "http or https", choices=("http", "https"))
    elasticsearch_user: str = _env("", "user name for basic authentication")
    elasticsearch_pass: str = _env("", "password for basic authentication", secret=True)
    elasticsearch_token: str = _env("", "bearer token", secret=True)
    elasticsearch_api_key: str = _env("", "API key (base64 of id:key)", secret=True)
    elasticsearch_cloud_id: str = _env("", "Elastic Cloud id, instead of the host")
    elasticsearch_path_prefix: str = _env("", "path in front of the engine's API, such as /es")
    elasticsearch_ca_cert: str = _env("", "CA file; when given, the engine's certificate is verified")
    elasticsearch_verify_certs: bool = _env(
        False, "verify the engine's certificate (off as in the original: self-signed certificates must work)"
    )
    elasticsearch_timeout_seconds: float = _env(30.0, "time limit of one request to the engine", minimum=0.1)
    index_name: str = _env("", "one index for all events, instead of the names made from the events")
    index_period: str = _env(
        "none", "none, or month or day: new documents go to an index of their month or day", choices=PERIODS
    )
    index_shards: str = _env("", "primary shards of a new index; empty: the engine's own number")
    index_replicas: str = _env("", "copies of each shard of a new index; empty: the engine's own number")
    seldon_environment: str = _env("", "put into index names after -log-")
    max_payload_bytes: int = _env(300_000, "a larger body is replaced by its size and SHA-256", minimum=1)
    max_structured_bytes: int = _env(
        20 * 2**20, "greatest body of a structured or batched request; a larger one is answered 413", minimum=1
    )
    memory_budget_bytes: int = _env(
        64 * 2**20,
        "memory that requests may hold in one worker until their answer, as estimated: bodies, values, rows; "
        "full is 503, a request that can never fit is 413",
        minimum=2**20,
    )
    host: str = _env("", "address to listen on; empty: all, IPv6 as well where the system has it")
    port: int = _env(8080, "port to listen on", minimum=0)
    gunicorn_workers: int = _env(
        3, "worker processes; where it isn't set, no more than leave one of the process's cores free", minimum=1
    )
    gunicorn_worker_class: str = _env(
        "gevent", "gevent, or gthread: a thread for each event under way", choices=("gevent", "gthread")
    )
    gunicorn_threads: int = _env(8, "threads of one worker of GUNICORN_WORKER_CLASS=gthread", minimum=1)
    fast_http: bool = _env(
        True,
        "answer single events without gunicorn's parser and WSGI where the worker class is gevent; off: gunicorn reads "
        "all requests",
    )
    stop_delay_seconds: float = _env(
        3.0, "how long events are still taken after SIGTERM, with /readyz already at 503", minimum=0
    )
    store_timeout_seconds: float = _env(
        7.0,
        "how long an event may wait for the engine before it is spooled or answered 503; the answer is there a second "
        "later at most (KServe's agent gives up after 10)",
        minimum=0.1,
    )
    max_pending_bytes: int = _env(
        64 * 2**20, "bodies that may wait for the engine in one worker; full is 503", minimum=1
    )
    bulk_max_bytes: int = _env(5 * 2**20, "greatest size of one _bulk request", minimum=1)
    cache_max_bytes: int = _env(16 * 2**20, "recent documents kept in one worker to save reading them", minimum=0)
    spool_dir: str = _env(
        "", "folder where events wait on disk while the engine can't take them; empty: they are answered 503"
    )
    spool_max_bytes: int = _env(2**30, "bodies that may wait in SPOOL_DIR, of all workers; full is 503", minimum=1)
    scorer: str = _env("auto", "scorer of all feedback, such as multiclass or binary:threshold=0.3")
    scorers_config: str = _env("", "YAML file with rules: which scorer for which deployment")
    metadata_file: str = _env("", "YAML or JSON file of prediction schemas by deployment")
    metadata_ttl_seconds: float = _env(
        60.0, "how long a schema of Seldon Deploy is used before it is fetched again", minimum=1
    )
    metadata_wait_seconds: float = _env(
        0.5, "how long the first event of a deployment waits for its schema at most", minimum=0
    )
    deploy_api_host: str = _env("", "URL of Seldon Deploy's API, for prediction schemas")
    verify_ssl: bool = _env(False, "verify the certificates of Seldon Deploy and of its token provider")
    oidc_provider: str = _env("", "issuer of tokens for Seldon Deploy; empty: none are sent")
    oidc_auth_method: str = _env("password_grant", "password_grant or client_credentials")
    client_id: str = _env("", "client at the issuer")
    client_secret: str = _env("", "its secret", secret=True)
    oidc_scopes: str = _env("openid profile email groups", "scopes to ask for")
    oidc_username: str = _env("", "user of the password grant")
    oidc_password: str = _env("", "password of the password grant", secret=True)
    oidc_resource: str = _env("", "resource to ask for")
    ingest_token: str = _env("", "bearer token that senders of events must have; empty: anybody may send", secret=True)
    read_user: str = _env("", "user of /metrics and of all other pages but the probes; empty: open to anybody")
    read_password: str = _env("", "password of that user", secret=True)
    allowed_namespaces: str = _env("", "globs with commas: an event of another namespace is answered 403; empty: all")
    redact: str = _env("", "what is dropped or hashed before anything is stored: rules, or a YAML file of them")
    redact_strict: bool = _env(
        True, "leave out a body where a rule of REDACT may be about a column that can't be found in it"
    )
    redact_key: str = _env("", "key of the hashes (HMAC-SHA256), at least 16 characters", secret=True)
    sample_rate: float = _env(1.0, "share of the predictions that is kept, chosen by request id: over 0, at most 1")
    reply_events: bool = _env(
        False, "answer feedback with a CloudEvent that carries its metrics; else the answer is empty"
    )
    reply_url: str = _env("", "URL to which the same CloudEvent is sent after the feedback is stored")
    reply_type: str = _env(
        "io.seldon.serving.feedback.metrics", "type of these events, and the label method of /v1/metrics"
    )
    reply_source: str = _env("io.seldon.serving.feedback", "their source")
    metrics_cache_seconds: float = _env(5.0, "how long the counters of /v1/metrics are kept", minimum=0)
    seldon_deployment_id: str = _env("", "deployment whose counters /v1/metrics shows; empty: of all, by their names")
    seldon_deployment_namespace: str = _env("", "its namespace")
    predictor_id: str = _env("", "its predictor")
    predictive_unit_id: str = _env("", "label model_name of /v1/metrics; empty: from the documents")
    predictive_unit_image: str = _env("", "image whose name and version are labels of /v1/metrics")
    predictor_labels: str = _env("", "JSON object whose version is the label predictor_version of /v1/metrics")
    ui: bool = _env(False, "serve the report as a page at /ui; it only reads")
    kafka_brokers: str = _env("", "brokers of `request-logger consume`: host:port, several with commas")
    kafka_topic: str = _env("", "topic of the events, several with commas; ^ in front makes a regular expression")
    kafka_group_id: str = _env("request-logger", "consumer group; its members share the partitions")
    kafka_dead_letter_topic: str = _env(
        "", "topic for records that can't become events; empty: they go to the dead-letter index"
    )
    kafka_max_in_flight: int = _env(
        10_000, "records that may wait for the engine at once; at that many no more are read", minimum=1
    )
    kafka_config: str = _env(
        "", "any other setting by librdkafka's name, SASL and TLS too: lines of name=value, or JSON", secret=True
    )
    log_level: str = _env("INFO", "DEBUG, INFO, WARNING or ERROR", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _env("text", "text, or json: one JSON object a line", choices=("text", "json"))

    def __post_init__(self) -> None:
        problems = []
        if self.index_name and not is_legal_index(self.index_name):
            problems.append(
                f'INDEX_NAME: expected a legal index name (lower case, no spaces, none of \\/*?"<>|,#:), '
                f"found {self.index_name!r}"
            )
        elif self.index_period != "none" and has_period(self.index_name):
            problems.append(
                f"INDEX_NAME: expected no month or day at its end, which INDEX_PERIOD puts there, "
                f"found {self.index_name!r}"
            )
        for name, least in (("index_shards", 1), ("index_replicas", 0)):
            text = getattr(self, name)
            if text and not (text.isdecimal() and text.isascii() and least <= int(text) <= _MOST_SHARDS):
                problems.append(
                    f"{name.upper()}: expected a whole number from {least} to {_MOST_SHARDS}, found {text!r}"
                )
        if self.reply_url and not self.reply_url.startswith(("http://", "https://")):
            problems.append(f"REPLY_URL: expected a URL with http:// or https://, found {self.reply_url!r}")
        if self.predictor_labels and not _is_json_object(self.predictor_labels):
            problems.append(f"PREDICTOR_LABELS: expected a JSON object, found {self.predictor_labels!r}")
        if not 0 < self.sample_rate <= 1:
            problems.append(f"SAMPLE_RATE: expected a number over 0 and at most 1, found {self.sample_rate}")
        for spec in fields(self):
            minimum, choices = spec.metadata["minimum"], spec.metadata["choices"]
            value = getattr(self, spec.name)
            if choices and value not in choices:
                expected = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
                problems.append(f"{spec.name.upper()}: expected {expected}, found {value!r}")
            if minimum is not None and value < minimum:
                problems.append(f"{spec.name.upper()}: expected at least {minimum}, found {value}")
        if problems:
            raise SettingsError("\n".join(problems))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; an empty variable counts as not set.

        Raises SettingsError naming each variable that is wrong and what was expected.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems = []
        for spec in fields(cls):
            text = environ.get(spec.name.upper(), "")
            if text == "":
                continue
            try:
                values[spec.name] = _convert(text, type(spec.default))
            except ValueError as error:
                problems.append(f"{spec.name.upper()}: {error}, found {text!r}")
        if problems:
            raise SettingsError("\n".join(problems))
        # Workers that share a core make smaller bulks and meet each other's versions; one core is for what they send.
        values.setdefault("gunicorn_workers", max(min(cls.gunicorn_workers, cores() - 1), 1))
        return cls(**values)


def cores() -> int:
    """Say how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(loads(text), dict)
    except ValueError:
        return False


def _convert(text: str, kind: type) -> Any:
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("true", "1", "yes", "on"):
            return True
        if lowered in ("false", "0", "no", "off"):
            return False
        raise ValueError("expected true or false")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError("expected a whole number") from None
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError("expected a number") from None
    return text
