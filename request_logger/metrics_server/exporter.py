"""``/v1/metrics``: the counters of Seldon's MetricsServer, computed from stored documents.

This process keeps no counters: the values are aggregations over the documents, so they are the same after a restart, on
every replica and after duplicate deliveries. Names, labels and meanings are those of the MetricsServer;
docs/metrics-server.md lists the differences.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from request_logger.analytics.feedback.audit_queries import AUDITED, WITH_TRUTH
from request_logger.analytics.selection import exists
from request_logger.common.chunks import chunks
from request_logger.common.json import dumps, loads
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.common.names import legal_index, strip_header
from request_logger.common.periods import with_periods
from request_logger.documents.document import expand
from request_logger.metrics_server.exposition import Families, Labels
from request_logger.scoring.custom_metrics import Series
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import is_partial, reason_of
from request_logger.store.excluded_indices import ExcludedIndices
from request_logger.store.ports import EngineReader
from request_logger.store.search_answers import check_aggregations

CONTENT_TYPE = CONTENT_TYPE_LATEST
CELLS = ("true_positive", "true_negative", "false_positive", "false_negative")
# The MetricsServer's value for a label that its environment doesn't set.
UNKNOWN = "NOT_IMPLEMENTED"
# The original has the process id here, which differs after a restart and on every replica.
WORKER_ID = "0"
# Buckets per page. With a timer's 50 ranges each, 150 are 7,650 buckets: below the 10,000 that old search engines
# allow.
_PAGE = 1000
_PAGE_WITH_MORE = 150
# Searches per multi-search, which bounds the memory of one answer.
_MOST_SEARCHES = 100
# The suffix that names.legal_index appends to a name: ~ and a hash of 16 characters.
_HASH_CHARACTERS = 17

# Each round leaves out all indices that have failed so far; ten end a loop over indices that fail one by one.
_MOST_ROUNDS = 10

Bucket = Mapping[str, Any]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Search:
    """A composite aggregation, which is exact because it is read page by page."""

    filters: list[Any]
    sources: dict[str, str]
    aggs: dict[str, Any] = field(default_factory=dict)
    buckets: list[Bucket] = field(default_factory=list)
    after: Any = None

    @property
    def page(self) -> int:
        """The most buckets of one answer."""
        return _PAGE_WITH_MORE if self.aggs else _PAGE

    def body(self) -> dict[str, Any]:
        sources = [
            {name: {"terms": {"field": path, "missing_bucket": name in ORIGIN_KEYWORDS}}}
            for name, path in self.sources.items()
        ]
        composite = {"size": self.page, "sources": sources, **({"after": self.after} if self.after else {})}
        return {
            "size": 0,
            "track_total_hits": False,
            "query": {"bool": {"filter": self.filters}},
            "aggs": {"series": {"composite": composite, **({"aggs": self.aggs} if self.aggs else {})}},
        }


class _IndexLeftOutError(Exception):
    """An index was left out; what was read before still includes it and must be read again."""


class Exporter:
    """Provides the exposition, at most METRICS_CACHE_SECONDS old. Thread-safe: one thread collects, the others wait."""

    def __init__(self, engine: EngineReader, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: bytes | StoreUnavailableError = b""
        self._until: float | None = None
        self._logged: dict[str, str] = {}

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format. Raises StoreUnavailableError if they can't be collected."""
        with self._lock:
            if self._until is None or self._clock() >= self._until:
                try:
                    self._cached = self._collect()
                except StoreUnavailableError as error:
                    # Cached too, so that the waiting threads don't each run into the same timeout.
                    self._cached = error
                self._until = self._clock() + self._settings.metrics_cache_seconds
            if isinstance(self._cached, StoreUnavailableError):
                raise StoreUnavailableError(str(self._cached))
            return self._cached

    def _collect(self) -> bytes:
        """Return the exposition, repeating the searches until no index is newly left out."""
        # A missing shard is an error instead: it returns, and counters that fall meanwhile would look like a restart.
        left_out = ExcludedIndices(self._engine, without_shards=False)
        for _ in range(_MOST_ROUNDS):
            try:
                text = self._collect_from(left_out)
            except _IndexLeftOutError:
                continue
            comments = [f"# left out: {each['index']}: {each['reason']}\n" for each in left_out.as_json()]
            self._log_left_out(left_out.reasons)
            return text + "".join(comments).encode()
        raise StoreUnavailableError("indices keep failing one by one")

    def _log_left_out(self, reasons: Mapping[str, str]) -> None:
        for index in reasons.keys() - self._logged.keys():
            log.warning("/v1/metrics leaves out the index %s: %s", index, reasons[index])
        self._logged = dict(reasons)

    def _collect_from(self, left_out: ExcludedIndices) -> bytes:
        families = Families()
        counts = {
            cell: self._search(exists(f"metrics.{cell}"), scorer="metrics.scorer", label=f"metrics.{cell}")
            for cell in CELLS
        }
        listed = self._search(exists("metrics.series"), series="metrics.series")
        audited = self._search(AUDITED)
        audited.aggs = {"labelled": {"filter": WITH_TRUTH, "aggs": {"correct": {"sum": {"field": "metrics.correct"}}}}}
        self._read([*counts.values(), listed, audited], left_out)
        for cell, search in counts.items():
            for bucket in search.buckets:
                self._count(families, cell, bucket)
        custom = list(_parse_series({bucket["key"]["series"] for bucket in listed.buckets}))
        for some in chunks(custom, _MOST_SEARCHES):
            self._custom(families, some, left_out)
        for bucket in audited.buckets:
            labels = self._labels(bucket["key"])
            families.set("request_logger_audit_predictions", labels, bucket["doc_count"], ())
            families.set("request_logger_audit_labelled", labels, bucket["labelled"]["doc_count"], ())
            families.set("request_logger_audit_correct", labels, bucket["labelled"]["correct"]["value"] or 0.0, ())
        return families.text()

    def _count(self, families: Families, cell: str, bucket: Bucket) -> None:
        key, count = bucket["key"], bucket["doc_count"]
        labels = self._labels(key)
        if key["scorer"] != "binary":
            label = key["label"]
            labels["class"] = label if label.startswith("CLASS_") else f"CLASS_{label}"
        families.count(f"seldon_metric_{cell}", labels, count)
        if cell == "true_positive" and key["scorer"] in ("multiclass", "ordinal"):
            # The MetricsServer counts a correct prediction as both, under the same class.
            families.count("seldon_metric_true_negative", labels, count)

    def _custom(self, families: Families, wanted: Sequence[Series], left_out: ExcludedIndices) -> None:
        searches = []
        for series in wanted:
            search = self._search({"term": {"metrics.series": series.text}})
            search.aggs = _aggregations(series)
            searches.append(search)
        self._read(searches, left_out)
        for series, search in zip(wanted, searches, strict=True):
            for bucket in search.buckets:
                # The MetricsServer's own labels take precedence over tags of the same name.
                labels = {**dict(series.tags), **self._labels(bucket["key"])}
                if series.kind == "COUNTER":
                    families.count(series.key, labels, bucket["sum"]["value"] or 0.0)
                elif series.kind == "GAUGE":
                    for hit in bucket["latest"]["hits"]["hits"]:
                        # The value is in an unindexed text field where the index had no room for a new field.
                        value = expand(hit["_source"].get("metrics", {})).get(series.field)
                        if value is not None:
                            families.set(series.key, labels, value, hit["sort"])
                else:
                    below = [entry["doc_count"] for entry in bucket["below"]["buckets"]]
                    families.observe(series.key, labels, below, bucket["doc_count"], bucket["sum"]["value"] or 0.0)

    def _search(self, having: Any, **sources: str) -> _Search:
        return _Search([having, *self._filters()], {**ORIGIN_KEYWORDS, **sources})

    def _filters(self) -> Iterator[Any]:
        """Yield the filters for the deployment that the environment names."""
        settings = self._settings
        if settings.seldon_deployment_id:
            yield {"term": {ORIGIN_KEYWORDS["deployment"]: strip_header(settings.seldon_deployment_id)}}
        # A document without the field matches too: the original counts such an event as well.
        for name, value in (("namespace", settings.seldon_deployment_namespace), ("predictor", settings.predictor_id)):
            if value:
                path = ORIGIN_KEYWORDS[name]
                missing = {"bool": {"must_not": [exists(path)]}}
                yield {"bool": {"should": [{"term": {path: strip_header(value)}}, missing], "minimum_should_match": 1}}

    def _labels(self, key: Mapping[str, Any]) -> Labels:
        settings = self._settings
        image, version = _image(settings.predictive_unit_image)
        labels = loads(settings.predictor_labels) if settings.predictor_labels else {}
        deployment = settings.seldon_deployment_id or key["deployment"] or UNKNOWN
        return {
            "deployment_name": deployment,
            "image_name": image,
            "image_version": version,
            "method": settings.reply_type,
            "model_image": image,
            "model_name": settings.predictive_unit_id or key["model"] or UNKNOWN,
            "model_version": version,
            "predictor_name": settings.predictor_id or key["predictor"] or UNKNOWN,
            "predictor_version": str(labels.get("version", UNKNOWN)),
            "seldon_deployment_name": deployment,
            "seldon_deployment_namespace": settings.seldon_deployment_namespace or key["namespace"] or UNKNOWN,
            "worker_id": WORKER_ID,
        }

    def _read(self, searches: Sequence[_Search], left_out: ExcludedIndices) -> None:
        """Read all pages of some searches, one multi-search per page number.

        Raises _IndexLeftOutError where an index had to be left out, so that everything must be read again, and
        StoreUnavailableError.
        """
        indices = ",".join(self._indices())
        header = dumps({"index": left_out.narrowed(indices), "ignore_unavailable": True}) + b"\n"
        waiting = list(searches)
        while waiting:
            body = b"".join(header + dumps(search.body()) + b"\n" for search in waiting)
            status, answer = self._engine.request("POST", "/_msearch", body)
            if status != 200:
                raise StoreUnavailableError(f"the search engine answered {status} to a search")
            answers = answer.get("responses") if isinstance(answer, dict) else None
            if not isinstance(answers, list) or len(answers) != len(waiting):
                raise StoreUnavailableError(
                    "the engine's answer to a search can't be used: expected one answer per search"
                )
            unfinished = []
            for search, found in zip(waiting, answers, strict=True):
                self._check(found, indices, left_out)
                page = check_aggregations(search.body()["aggs"], found).get("series", {"buckets": []})
                search.buckets.extend(page["buckets"])
                if len(page["buckets"]) == search.page:
                    before, search.after = search.after, page.get("after_key")
                    if search.after is None or search.after == before:
                        raise StoreUnavailableError("the engine's answer to a search can't be used: a page repeats")
                    unfinished.append(search)
            waiting = unfinished

    def _check(self, found: Any, indices: str, left_out: ExcludedIndices) -> None:
        """Reject a partial answer, since counters that fall for a moment look like a restart. Raises as _read does."""
        if not isinstance(found, dict) or "error" in found or is_partial(found):
            status = found.get("status", 200) if isinstance(found, dict) else 200
            if left_out.learn(indices, status if isinstance(status, int) else 200, found):
                raise _IndexLeftOutError
            late = isinstance(found, dict) and found.get("timed_out")
            raise StoreUnavailableError(f"the search engine can't answer: {'timed out' if late else reason_of(found)}")

    def _indices(self) -> list[str]:
        environment = self._settings.seldon_environment
        if not environment:
            # These exclude other loggers' environments, whose name comes before that of the serving engine.
            patterns = ["inference-log-seldon-*", "inference-log-inferenceservice-*"]
        else:
            start = f"inference-log-{environment}-"
            # A name that had to be made legal ends in a hash of the whole name.
            patterns = [f"{start if legal_index(start) == start else legal_index(start)[:-_HASH_CHARACTERS]}*"]
        return [*patterns, *with_periods(self._settings.index_name, self._settings.index_period)]


def _aggregations(series: Series) -> dict[str, Any]:
    path = f"metrics.{series.field}"
    if series.kind == "GAUGE":
        newest = [
            {name: {"order": "desc", "unmapped_type": "date"}} for name in ("feedback.ce-time", "metrics.scored_at")
        ]
        return {"latest": {"top_hits": {"size": 1, "sort": newest, "_source": [path, "metrics.unindexed"]}}}
    aggs: dict[str, Any] = {"sum": {"sum": {"field": path}}}
    if series.kind == "TIMER":
        aggs["below"] = {"range": {"field": path, "ranges": [{"to": 1000 * edge} for edge in Families.timer_edges()]}}
    return aggs


def _parse_series(texts: set[str]) -> Iterator[Series]:
    for text in sorted(texts):
        # Another program may have written something else to this field.
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            yield Series.of(text)


def _image(image: str) -> tuple[str, str]:
    """Return an image's name and version; a colon before a slash belongs to a port."""
    name, colon, version = image.rpartition(":")
    if not colon or "/" in version:
        return image or UNKNOWN, UNKNOWN
    return name, version
