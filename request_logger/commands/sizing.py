"""Calculates the machines for a rate of events from measured costs, without a cluster. Pure code.

All measurements are in `Costs`, with the command that measures them: run it on a machine like yours and insert your own
figures. The rest is arithmetic, which docs/scaling.md explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SECONDS_A_DAY = 86_400
# The share of each core and disk that is used: the rest is for bursts, searches, and the loss of a machine.
CPU_SHARE = 0.5
DISK_SHARE = 0.7
# The maximum shard size that Elastic and OpenSearch recommend, and half of the 2^31 documents that Lucene allows.
SHARD_BYTES = 50e9
SHARD_DOCUMENTS = 1e9
MOST_SHARDS_OF_AN_INDEX = 1024
EVENTS_PER_DOCUMENT = 3
# Bytes of the executor's headers in a Kafka record.
RECORD_BYTES = 200


@dataclass(frozen=True)
class Costs:
    """CPU milliseconds per event, without a body and for each 1,000 bytes of it; bytes on disk per document.

    Measured on 2 busy cores (OpenSearch 3.3.2, one shard, no replica) with
    `python -m bench.kafka --alone --events 18000 --rounds 1 --feedback-after 100000`: bodies of 94 bytes cost the
    consumer 0.211 ms and the engine 0.287 ms, and a document took 769 bytes; with `--columns 100`, bodies of 651 bytes,
    all of it indexed numbers, cost 0.290 ms and 0.692 ms, and a document took 6,966 bytes. The constants are the lines
    through both points; the line of the disk goes through the second point and the origin. As in production, the
    feedback arrives long after its prediction.
    """

    logger_ms: float = 0.198
    logger_ms_per_kb: float = 0.142
    engine_ms: float = 0.219
    engine_ms_per_kb: float = 0.727
    disk_least_bytes: float = 769
    disk_per_payload_byte: float = 3.57


@dataclass(frozen=True)
class HttpCosts(Costs):
    """The same over HTTP, one event per request: every request is parsed, every write is part of a small `_bulk`.

    Measured like those of Kafka, with `python -m bench.scaleout --nodes 1 --loggers 1 --predictions 3000`: bodies of
    105 bytes cost the logger 0.350 ms and the engine 0.610 ms. The costs of longer bodies and of the disk are those of
    Kafka. Several loggers cost more each, since they read documents that other loggers have written (docs/scaling.md).
    """

    logger_ms: float = 0.335
    engine_ms: float = 0.534


LANES: dict[str, Costs] = {"kafka": Costs(), "http": HttpCosts()}
"""Costs by how events arrive: from a backlog in Kafka, or one by one over HTTP."""


@dataclass(frozen=True)
class Demand:
    """The demand. ``retention`` is in days, ``payload_bytes`` is the body size of an event, ``disk`` is per machine."""

    events_per_second: float
    replicas: int = 1
    retention: float = 30
    payload_bytes: float = 500
    cores: int = 16
    disk: float = 4e12


@dataclass(frozen=True)
class Size:
    """The result. Bytes are those of all copies; ``logger_cores`` and ``engine_cores`` are average cores in use."""

    documents_per_second: float
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


def size(demand: Demand, costs: Costs | None = None) -> Size:
    """Calculate the size for a demand. Raises ValueError for an invalid demand."""
    _check(demand)
    costs = costs or Costs()
    kilobytes = demand.payload_bytes / 1000
    copies = 1 + demand.replicas
    documents = demand.events_per_second / EVENTS_PER_DOCUMENT
    logger_cores = demand.events_per_second * (costs.logger_ms + kilobytes * costs.logger_ms_per_kb) / 1000
    # Every copy is indexed separately.
    engine_cores = demand.events_per_second * copies * (costs.engine_ms + kilobytes * costs.engine_ms_per_kb) / 1000
    payload = EVENTS_PER_DOCUMENT * demand.payload_bytes
    document_bytes = max(costs.disk_least_bytes, costs.disk_per_payload_byte * payload)
    kept = documents * SECONDS_A_DAY * demand.retention
    consumers = _up(logger_cores / CPU_SHARE)
    for_cpu = _up(engine_cores / CPU_SHARE / demand.cores)
    for_disk = _up(kept * document_bytes * copies / DISK_SHARE / demand.disk)
    # A copy is never on the machine of its original; with copies, electing a leader takes three machines.
    nodes = max(for_cpu, for_disk, copies, 3 if demand.replicas else 1)
    shards = max(_up(kept * document_bytes / SHARD_BYTES), _up(kept / SHARD_DOCUMENTS), _up(for_cpu / copies))
    return Size(
        documents_per_second=documents,
        logger_cores=logger_cores,
        consumers=consumers,
        # Twice as many as consumers, so that consumers can be added.
        partitions=max(2 * consumers, 3),
        kafka_bytes_per_second=demand.events_per_second * (demand.payload_bytes + RECORD_BYTES),
        engine_cores=engine_cores,
        disk_bytes=kept * document_bytes * copies,
        shards=shards,
        deployments=_up(shards / MOST_SHARDS_OF_AN_INDEX),
        nodes=nodes,
        nodes_for_cpu=for_cpu,
        nodes_for_disk=for_disk,
    )


def _up(value: float) -> int:
    # Rounded, so that floating point errors don't add a machine.
    return max(math.ceil(round(value, 9)), 1)


def _check(demand: Demand) -> None:
    least = {"events_per_second": 0, "replicas": 0, "retention": 0, "payload_bytes": 0, "cores": 1, "disk": 1}
    for name, minimum in least.items():
        value = getattr(demand, name)
        if not minimum <= value < math.inf or (name in ("events_per_second", "retention") and not value):
            expected = f"at least {minimum}" if minimum or name in ("replicas", "payload_bytes") else "more than 0"
            raise ValueError(f"{name}: expected {expected}, found {value}")
