"""Calculates the machines for a rate of events from measured costs, without a cluster. Pure code.

The costs are in `request_logger.commands.costs`; the rest is arithmetic, which docs/scaling.md explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from request_logger.commands.costs import MOST_WRITES, Content, CostTable, measured_costs

SECONDS_A_DAY = 86_400
# The share of each core and disk that is used: the rest is for bursts, searches, and the loss of a machine.
CPU_SHARE = 0.5
DISK_SHARE = 0.7
# The maximum shard size that Elastic and OpenSearch recommend, and half of the 2^31 documents that Lucene allows.
SHARD_BYTES = 50e9
SHARD_DOCUMENTS = 1e9
MOST_SHARDS_OF_AN_INDEX = 1024
# Bytes of the executor's headers in a Kafka record, and of the body of a response or feedback for one row.
RECORD_BYTES = 200
ANSWER_BYTES = 120
KAFKA, HTTP = "kafka", "http"
LANES = (KAFKA, HTTP)


@dataclass(frozen=True)
class Demand:
    """The demand. ``retention`` is in days, ``disk`` in bytes per machine, ``feedback`` is the share of predictions.

    ``writes`` are those per document; by default, request and response are one write from Kafka, where they arrive
    together, or as many as were measured over HTTP, and feedback is another one. ``worker_rate`` is the traffic of a
    worker over HTTP in events per second: with more of it, each _bulk holds more.
    """

    events_per_second: float
    lane: str = KAFKA
    columns: int = 37
    text_bytes: float = 0
    batch_rows: int = 1
    feedback: float = 1.0
    writes: float | None = None
    worker_rate: float = 500
    replicas: int = 1
    retention: float = 30
    cores: int = 16
    disk: float = 4e12

    @property
    def content(self) -> Content:
        """What a prediction has."""
        return Content(self.columns, self.text_bytes, self.batch_rows)

    @property
    def events_per_prediction(self) -> float:
        """Request, response, and its share of feedback."""
        return 2 + self.feedback


@dataclass(frozen=True)
class Size:
    """The result. Bytes are those of all copies; ``logger_cores`` and ``engine_cores`` are average cores in use.

    ``logger_ms`` and ``engine_ms`` are per document, the engine's per copy; ``bulk_ms`` is the engine's share of them
    for _bulk requests, each of ``documents_per_bulk`` (0: large ones).
    """

    documents_per_second: float
    writes: float
    logger_ms: float
    engine_ms: float
    bulk_ms: float
    documents_per_bulk: float
    document_bytes: float
    logger_cores: float
    consumers: int
    partitions: int
    kafka_bytes_per_second: float
    engine_cores: float
    disk_bytes: float
    shards: int
    deployments: int
    nodes: int
    nodes_for_cpu: int
    nodes_for_disk: int


def size(demand: Demand, table: CostTable | None = None) -> Size:
    """Calculate the size for a demand. Raises ValueError for an invalid demand."""
    _check(demand)
    table = table or measured_costs()
    content = demand.content
    copies = 1 + demand.replicas
    predictions = demand.events_per_second / demand.events_per_prediction
    documents = predictions * demand.batch_rows
    writes = _writes(demand, table)
    engine_ms, bulk_ms, per_bulk = table.engine_ms(content, writes), 0.0, 0.0
    if demand.lane == KAFKA:
        logger_ms = table.kafka_logger_ms(content, writes)
    else:
        small = table.small_bulks()
        per_bulk = table.documents_per_bulk(demand.worker_rate) * demand.batch_rows
        bulks = writes / per_bulk
        bulk_ms = bulks * small.bulk_engine_ms
        requests = demand.events_per_prediction / demand.batch_rows
        logger_ms = table.logger_ms(content, writes) + requests * small.request_logger_ms + bulks * small.bulk_logger_ms
    engine_ms += bulk_ms
    logger_cores = documents * logger_ms / 1000
    # Every copy is indexed separately.
    engine_cores = documents * copies * engine_ms / 1000
    document_bytes = table.disk_bytes(content)
    kept = documents * SECONDS_A_DAY * demand.retention
    consumers = _up(logger_cores / CPU_SHARE)
    if demand.lane == HTTP:
        consumers = max(consumers, _up(demand.events_per_second / demand.worker_rate))
    for_cpu = _up(engine_cores / CPU_SHARE / demand.cores)
    for_disk = _up(kept * document_bytes * copies / DISK_SHARE / demand.disk)
    # A copy is never on the machine of its original; with copies, electing a leader takes three machines.
    nodes = max(for_cpu, for_disk, copies, 3 if demand.replicas else 1)
    shards = max(_up(kept * document_bytes / SHARD_BYTES), _up(kept / SHARD_DOCUMENTS), _up(for_cpu / copies))
    answers = (1 + demand.feedback) * ANSWER_BYTES * demand.batch_rows
    record_bytes = table.body_bytes(content) + answers + demand.events_per_prediction * RECORD_BYTES
    return Size(
        documents_per_second=documents,
        writes=writes,
        logger_ms=logger_ms,
        engine_ms=engine_ms,
        bulk_ms=bulk_ms,
        documents_per_bulk=per_bulk,
        document_bytes=document_bytes,
        logger_cores=logger_cores,
        consumers=consumers,
        # Twice as many as consumers, so that consumers can be added.
        partitions=max(2 * consumers, 3),
        kafka_bytes_per_second=predictions * record_bytes,
        engine_cores=engine_cores,
        disk_bytes=kept * document_bytes * copies,
        shards=shards,
        deployments=_up(shards / MOST_SHARDS_OF_AN_INDEX),
        nodes=nodes,
        nodes_for_cpu=for_cpu,
        nodes_for_disk=for_disk,
    )


def _writes(demand: Demand, table: CostTable) -> float:
    if demand.writes is not None:
        return demand.writes
    return demand.feedback + (1 if demand.lane == KAFKA else table.pair_writes())


def _up(value: float) -> int:
    # Rounded, so that floating point errors don't add a machine.
    return max(math.ceil(round(value, 9)), 1)


# The smallest and the largest valid value of each option; more than 0 where that is not valid itself.
_BOUNDS: dict[str, tuple[float, float]] = {
    "events_per_second": (0, math.inf),
    "columns": (0, math.inf),
    "text_bytes": (0, math.inf),
    "batch_rows": (1, math.inf),
    "feedback": (0, 1),
    "writes": (1, MOST_WRITES),
    "worker_rate": (0, math.inf),
    "replicas": (0, math.inf),
    "retention": (0, math.inf),
    "cores": (1, math.inf),
    "disk": (1, math.inf),
}
_POSITIVE = ("events_per_second", "worker_rate", "retention")


def _check(demand: Demand) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = getattr(demand, name)
        if value is None:
            continue
        if not least <= value <= most or value == math.inf or (name in _POSITIVE and not value):
            expected = "more than 0" if name in _POSITIVE else f"at least {least}" if most == math.inf else ""
            raise ValueError(f"{name}: expected {expected or f'{least} to {most}'}, found {value}")
