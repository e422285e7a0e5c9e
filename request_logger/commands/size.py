"""`request-logger size`: calculate the machines for a rate of events, step by step."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse

from request_logger.commands.sizing import (
    CPU_SHARE,
    DISK_SHARE,
    EVENTS_PER_DOCUMENT,
    LANES,
    SHARD_BYTES,
    Costs,
    Demand,
    HttpCosts,
    Size,
    size,
)
from request_logger.errors import CommandError

RATES = (1_000, 100_000, 1_000_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    defaults = Demand(0)
    parser.add_argument(
        "--events-per-second",
        type=float,
        metavar="N",
        help=f"rate of events (default: {', '.join(f'{rate:,}' for rate in RATES)})",
    )
    parser.add_argument("--lane", choices=tuple(LANES), default="kafka", help="how events arrive (default: kafka)")
    parser.add_argument("--replicas", type=int, default=defaults.replicas, help="replicas of each shard (default: 1)")
    parser.add_argument(
        "--retention",
        type=float,
        default=defaults.retention,
        metavar="DAYS",
        help="days to keep documents (default: 30)",
    )
    parser.add_argument(
        "--payload-bytes",
        type=float,
        default=defaults.payload_bytes,
        metavar="N",
        help="body size of one event (default: 500)",
    )
    parser.add_argument("--cores", type=int, default=defaults.cores, help="cores per engine machine (default: 16)")
    parser.add_argument(
        "--disk",
        type=float,
        default=defaults.disk / 1e12,
        metavar="TB",
        help="disk per engine machine (default: 4)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the calculation for each rate."""
    given, costs = arguments.events_per_second, LANES[arguments.lane]
    for rate in RATES if given is None else (given,):
        demand = Demand(
            rate,
            replicas=arguments.replicas,
            retention=arguments.retention,
            payload_bytes=arguments.payload_bytes,
            cores=arguments.cores,
            disk=arguments.disk * 1e12,
        )
        try:
            print("\n".join(lines(demand, size(demand, costs), costs)), end="\n\n")
        except ValueError as error:
            raise CommandError(f"--{str(error).replace('_', '-', 2)}") from None
    measured = " ".join(f"{Costs.__doc__} {'' if type(costs) is Costs else type(costs).__doc__}".split())
    print(f"Costs, and the command that measured them: {measured}")
    return 0


def lines(demand: Demand, result: Size, costs: Costs) -> list[str]:
    """Return the calculation, one line per step."""
    rate, kilobytes = f"{demand.events_per_second:,.0f}", demand.payload_bytes / 1000
    logger = f"({costs.logger_ms:.3f} + {kilobytes:.1f} x {costs.logger_ms_per_kb:.3f}) ms"
    engine = f"({costs.engine_ms:.3f} + {kilobytes:.1f} x {costs.engine_ms_per_kb:.3f}) ms"
    terabytes = demand.disk / 1e12
    over_http = isinstance(costs, HttpCosts)
    steps = {
        "documents": f"{rate}/s / {EVENTS_PER_DOCUMENT} = {result.documents_per_second:,.0f}/s",
        "loggers": f"{rate}/s x {logger} = {result.logger_cores:,.1f} cores;"
        f" / {CPU_SHARE:g} = {result.consumers:,} {'worker' if over_http else 'consumer'}(s) of one core",
        "Kafka": f"{result.partitions:,} partitions; {result.kafka_bytes_per_second / 1e6:,.1f} MB/s in, as much out",
        "engine": f"{rate}/s x {1 + demand.replicas} copies x {engine} = {result.engine_cores:,.1f} cores;"
        f" / {CPU_SHARE:g} / {demand.cores} cores = {result.nodes_for_cpu:,} machine(s)",
        "disk": f"{result.disk_bytes / 1e12:,.2f} TB in all copies;"
        f" / {DISK_SHARE:g} / {terabytes:g} TB = {result.nodes_for_disk:,} machine(s)",
        "machines": f"{result.nodes:,} for the engine, of {demand.cores} cores and {terabytes:g} TB",
        "shards": f"{result.shards:,} primary shard(s) in all, of {SHARD_BYTES / 1e9:.0f} GB at most"
        + (f", in {result.deployments:,} deployments at least" if result.deployments > 1 else ""),
    }
    if over_http:
        del steps["Kafka"]
    way = " over HTTP" if over_http else ""
    copies = "replica" if demand.replicas == 1 else "replicas"
    title = f"{rate} events/s{way}, bodies of {demand.payload_bytes:,.0f} bytes, kept {demand.retention:g} days"
    return [f"{title}, {demand.replicas} {copies}", *(f"  {name:11}{text}" for name, text in steps.items())]
