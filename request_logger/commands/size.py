"""`request-logger size`: calculate the machines for a rate of events, step by step."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse

from request_logger.commands.costs import COMMAND, measured_costs
from request_logger.commands.sizing import (
    CPU_SHARE,
    DISK_SHARE,
    HTTP,
    LANES,
    SHARD_BYTES,
    Demand,
    Size,
    size,
)
from request_logger.errors import CommandError

RATES = (1_000, 100_000, 1_000_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    usual = Demand(0)
    parser.add_argument(
        "--events-per-second",
        type=float,
        metavar="N",
        help=f"rate of events (default: {', '.join(f'{rate:,}' for rate in RATES)})",
    )
    parser.add_argument("--lane", choices=LANES, default=usual.lane, help="how events arrive (default: kafka)")
    parser.add_argument(
        "--columns", type=int, default=usual.columns, metavar="N", help="named columns of a row (default: 37)"
    )
    parser.add_argument(
        "--text-bytes", type=float, default=0, metavar="N", help="bytes of text in a row, in addition (default: 0)"
    )
    parser.add_argument(
        "--batch-rows", type=int, default=1, metavar="N", help="rows of a request, each a document (default: 1)"
    )
    parser.add_argument(
        "--feedback", type=float, default=1.0, metavar="SHARE", help="share of predictions with feedback (default: 1)"
    )
    parser.add_argument(
        "--writes",
        type=float,
        metavar="N",
        help="writes per document, 1 to 3 (default: as measured over HTTP, or request and response in one over Kafka)",
    )
    parser.add_argument(
        "--worker-rate",
        type=float,
        default=usual.worker_rate,
        metavar="N",
        help="over HTTP: events per second of one worker (default: 500)",
    )
    parser.add_argument("--replicas", type=int, default=usual.replicas, help="replicas of each shard (default: 1)")
    parser.add_argument(
        "--retention", type=float, default=usual.retention, metavar="DAYS", help="days to keep documents (default: 30)"
    )
    parser.add_argument("--cores", type=int, default=usual.cores, help="cores per engine machine (default: 16)")
    parser.add_argument(
        "--disk", type=float, default=usual.disk / 1e12, metavar="TB", help="disk per engine machine (default: 4)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the calculation for each rate."""
    given = arguments.events_per_second
    for rate in RATES if given is None else (given,):
        demand = Demand(
            rate,
            lane=arguments.lane,
            columns=arguments.columns,
            text_bytes=arguments.text_bytes,
            batch_rows=arguments.batch_rows,
            feedback=arguments.feedback,
            writes=arguments.writes,
            worker_rate=arguments.worker_rate,
            replicas=arguments.replicas,
            retention=arguments.retention,
            cores=arguments.cores,
            disk=arguments.disk * 1e12,
        )
        try:
            print("\n".join(lines(demand, size(demand))), end="\n\n")
        except ValueError as error:
            raise CommandError(f"--{str(error).replace('_', '-', 2)}") from None
    table = measured_costs()
    print(
        f"Costs were measured with {table.engine} on {table.cores} cores ({table.code}) by `{COMMAND}`.\n"
        "Run it on a machine like yours: it replaces the table."
    )
    return 0


def lines(demand: Demand, result: Size) -> list[str]:
    """Return the calculation, one line per step."""
    over_http = demand.lane == HTTP
    terabytes = demand.disk / 1e12
    per_second = f"{result.documents_per_second:,.0f}/s"
    rows = f" x {demand.batch_rows} rows" if demand.batch_rows > 1 else ""
    workers = f"{result.consumers:,} {'worker' if over_http else 'consumer'}(s) of one core"
    events = f"{demand.events_per_second:,.0f}/s / {demand.events_per_prediction:.3g} events{rows}"
    steps = {
        "documents": f"{events} = {per_second}",
        "writes": f"{result.writes:.3g} per document"
        + (
            f"; {result.documents_per_bulk:,.1f} documents per _bulk at {demand.worker_rate:,.0f} events/s per worker"
            if over_http
            else ", in large _bulk requests"
        ),
        "loggers": f"{per_second} x {result.logger_ms:.3f} ms = {result.logger_cores:,.1f} cores;"
        f" / {CPU_SHARE:g} = {workers}",
        "Kafka": f"{result.partitions:,} partitions; {result.kafka_bytes_per_second / 1e6:,.1f} MB/s in, as much out",
        "engine": f"{per_second} x {1 + demand.replicas} copies x {result.engine_ms:.3f} ms"
        + (f" (of it {result.bulk_ms:.3f} for small _bulk requests)" if over_http else "")
        + f" = {result.engine_cores:,.1f} cores; / {CPU_SHARE:g} / {demand.cores} cores"
        f" = {result.nodes_for_cpu:,} machine(s)",
        "disk": f"{result.document_bytes:,.0f} bytes per document and copy: {result.disk_bytes / 1e12:,.2f} TB in all;"
        f" / {DISK_SHARE:g} / {terabytes:g} TB = {result.nodes_for_disk:,} machine(s)",
        "machines": f"{result.nodes:,} for the engine, of {demand.cores} cores and {terabytes:g} TB",
        "shards": f"{result.shards:,} primary shard(s) in all, of {SHARD_BYTES / 1e9:.0f} GB at most"
        + (f", in {result.deployments:,} deployments at least" if result.deployments > 1 else ""),
    }
    if over_http:
        del steps["Kafka"]
    return [_title(demand), *(f"  {name:11}{text}" for name, text in steps.items())]


def _title(demand: Demand) -> str:
    text = f" and {demand.text_bytes:,.0f} bytes of text" if demand.text_bytes else ""
    copies = "replica" if demand.replicas == 1 else "replicas"
    return (
        f"{demand.events_per_second:,.0f} events/s {'over HTTP' if demand.lane == HTTP else 'from Kafka'},"
        f" {demand.columns:,} columns{text}, kept {demand.retention:g} days, {demand.replicas} {copies}"
    )
