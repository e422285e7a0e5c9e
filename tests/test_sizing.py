"""`request-logger size`: the arithmetic, its bounds, and that docs/scaling.md shows what the command prints."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
from pathlib import Path

import pytest

from bench.first import bodies
from request_logger.cli import main
from request_logger.commands.sizing import Costs, Demand, HttpCosts, size

COSTS = Costs(
    logger_ms=0.2,
    logger_ms_per_kb=0.1,
    engine_ms=0.3,
    engine_ms_per_kb=0.2,
    disk_least_bytes=1000,
    disk_per_payload_byte=1,
)


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["size", *arguments]) == 0
    return out.getvalue()


def test_by_hand() -> None:
    """10,000 events/s of 1 kB: every figure as calculated on paper."""
    result = size(Demand(10_000, replicas=1, retention=10, payload_bytes=1000, cores=8, disk=2e12), COSTS)
    assert result.documents_per_second == pytest.approx(3333.333, abs=1e-3)
    assert result.logger_cores == pytest.approx(3)  # 10,000 x 0.3 ms
    assert result.consumers == 6  # half of each core is left
    assert result.partitions == 12
    assert result.engine_cores == pytest.approx(10)  # 10,000 x 2 copies x 0.5 ms
    assert result.nodes_for_cpu == 3  # 10 / 0.5 / 8 = 2.5
    # 2.88e9 documents of 3,000 bytes, twice
    assert result.disk_bytes == pytest.approx(1.728e13)
    assert result.nodes_for_disk == 13  # 17.28 / 0.7 / 2 = 12.3
    assert result.nodes == 13
    assert result.shards == 173  # 8.64 TB / 50 GB = 172.8


def test_bounds() -> None:
    """Little traffic still needs a quorum and one of each; a shard has no more documents than Lucene can take."""
    small = size(Demand(1), COSTS)
    assert (small.nodes, small.consumers, small.partitions, small.shards) == (3, 1, 3, 1)
    assert size(Demand(1, replicas=0), COSTS).nodes == 1
    tiny = Costs(disk_least_bytes=1, disk_per_payload_byte=0)
    assert size(Demand(300_000, retention=100, payload_bytes=0), tiny).shards == 864
    huge = size(Demand(1_000_000), COSTS)
    assert huge.deployments == -(-huge.shards // 1024) > 1


@pytest.mark.parametrize(
    "more", [{"events_per_second": 2000}, {"replicas": 2}, {"retention": 60}, {"payload_bytes": 5000}]
)
def test_more_needs_more(more: dict[str, float]) -> None:
    """Nothing gets smaller where more is asked for, and the disk gets larger."""
    base = {"events_per_second": 1000, "replicas": 1, "retention": 30, "payload_bytes": 500}
    less = size(Demand(**base), COSTS)  # type: ignore[arg-type]
    larger = size(Demand(**{**base, **more}), COSTS)  # type: ignore[arg-type]
    assert larger.disk_bytes > less.disk_bytes
    for name in ("logger_cores", "consumers", "engine_cores", "nodes", "shards"):
        assert getattr(larger, name) >= getattr(less, name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--events-per-second", "0"], "--events-per-second: expected more than 0, found 0.0"),
        (["--replicas", "-1"], "--replicas: expected at least 0, found -1"),
        (["--retention", "0"], "--retention: expected more than 0, found 0.0"),
        (["--payload-bytes", "nan"], "--payload-bytes: expected at least 0, found nan"),
        (["--cores", "0"], "--cores: expected at least 1, found 0"),
    ],
)
def test_wrong_demand(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A demand that makes no sense is one line that names the option."""
    assert main(["size", *arguments]) == 2
    assert capsys.readouterr().err == f"request-logger: {expected}\n"


def test_the_guide_shows_what_the_command_prints() -> None:
    """docs/scaling.md has the calculations as they are."""
    page = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    over_http = printed("--lane", "http", "--events-per-second", "1000")
    for block in [*printed().strip().split("\n\n")[:-1], over_http.split("\n\n")[0]]:
        assert block in page


# Measured with `python -m bench.kafka --alone --events 18000 --rounds 1 --feedback-after 100000`, the second with
# `--columns 100`, too: bytes of a body, milliseconds of an event in the consumer and in the engine.
OVER_KAFKA = [(94, 0.211, 0.287), (651, 0.290, 0.692)]
# And with `python -m bench.scaleout --nodes 1 --loggers 1 --predictions 3000`, whose bodies are those of `bodies`.
OVER_HTTP = (0.350, 0.610)


@pytest.mark.parametrize(("body", "logger_ms", "engine_ms"), OVER_KAFKA)
def test_the_traffic_that_was_measured(body: int, logger_ms: float, engine_ms: float) -> None:
    """Sized for the traffic of the measurement, the result is what was measured."""
    result = size(Demand(1000, replicas=0, payload_bytes=body), Costs())
    assert result.logger_cores == pytest.approx(logger_ms, abs=0.001)
    assert result.engine_cores == pytest.approx(engine_ms, abs=0.001)


@pytest.mark.parametrize(("body", "document"), [(0, 769), (651, 6966)])
def test_the_disk_that_was_measured(body: int, document: int) -> None:
    """A document takes what was measured with large bodies, and at least what was measured with small ones."""
    result = size(Demand(3000, replicas=0, retention=1, payload_bytes=body), Costs())
    assert result.disk_bytes == pytest.approx(1000 * 86_400 * document, rel=0.002)


def test_the_traffic_that_was_measured_over_http() -> None:
    """Sized for the bodies that the benchmark sends, the result is what it measured."""
    body = statistics.mean(len(json.dumps(body)) for number in range(300) for body in bodies(number).values())
    result = size(Demand(1000, replicas=0, payload_bytes=body), HttpCosts())
    assert result.logger_cores == pytest.approx(OVER_HTTP[0], abs=0.001)
    assert result.engine_cores == pytest.approx(OVER_HTTP[1], abs=0.001)


def test_the_lane_decides_which_costs_are_used() -> None:
    """Over HTTP an event costs more CPU, and there is no Kafka to size."""
    kafka, http = (printed("--lane", lane, "--events-per-second", "1000") for lane in ("kafka", "http"))
    assert "Kafka" in kafka.split("Costs")[0]
    assert "Kafka" not in http.split("Costs")[0]
    assert f"{HttpCosts().logger_ms}" in http
    assert f"{Costs().logger_ms}" not in http
