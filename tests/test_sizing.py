"""`request-logger size`: the arithmetic, its bounds, the table of costs, and docs/scaling.md shows what it prints."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import pytest

from bench import cost_page
from request_logger.cli import main
from request_logger.commands.costs import (
    FILE,
    Content,
    CostRow,
    CostTable,
    as_text,
    measured_costs,
    read_table,
)
from request_logger.commands.sizing import Demand, size


def row(lane: str, columns: int = 37, **values: float) -> CostRow:
    """A row of which only the given values matter."""
    usual = {
        "body": f"{columns} columns",
        "text_bytes": 0,
        "rows": 1,
        "body_bytes": 25 * columns,
        "events": 3.0,
        "rate": 1000.0,
        "engine_ms": 1.0,
        "logger_ms": 1.0,
        "writes": 1.0,
        "bulks": 0.01,
        "changes_per_bulk": 100.0,
        "bytes_merged": 1000.0,
        "bytes_with_overwritten": 2000.0,
    }
    return CostRow(**{**usual, **values}, lane=lane, columns=columns)  # type: ignore[arg-type]


# 10 and 110 columns; each write costs as much as the first; a batch of 11 rows; two texts.
ROWS = [
    *(
        row(f"writes-{number}", columns, writes=number, engine_ms=number * columns / 10,
            logger_ms=number * columns / 100, bytes_merged=100.0 * columns)
        for number in (1, 2, 3)
        for columns in (10, 110)
    ),
    *(row(f"writes-{number}", 10, body="batch", rows=11, engine_ms=number * 0.5, logger_ms=0.1 * number,
          bytes_merged=11_000.0)
      for number in (1, 2, 3)),
    *(row("writes-1", 0, body=f"text of {size}", text_bytes=size, engine_ms=1 + size / 1000, logger_ms=size / 1000,
          bytes_merged=size + 500.0) for size in (1000, 3000)),
    row("kafka", 10, logger_ms=0.2), row("kafka", 110, logger_ms=1.2),
    # 40 columns: 0.4 ms of the logger and 4 ms of the engine per write.
    row("ordinary", 40, events=2.5, rate=500.0, writes=2.0, bulks=1.0, changes_per_bulk=2.0, engine_ms=9.0,
        logger_ms=0.8 * 37 / 40 + 2.5 * 0.2 + 0.3),
    row("http-64", 40, events=3.0, rate=3500.0, writes=2.0, bulks=0.1, changes_per_bulk=20.0, engine_ms=8.0,
        logger_ms=0.8 * 37 / 40 + 3.0 * 0.2 + 0.03),
]  # fmt: skip
TABLE = CostTable(ROWS, "code", "engine", 2)


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["size", *arguments]) == 0
    return out.getvalue()


def test_costs_are_interpolated() -> None:
    """Between the measured columns and writes linearly, beyond the last with its slope, before the first its value."""
    assert TABLE.engine_ms(Content(60), 1) == pytest.approx(6.0)
    assert TABLE.engine_ms(Content(60), 2.5) == pytest.approx(15.0)
    assert TABLE.engine_ms(Content(210), 1) == pytest.approx(21.0)
    assert TABLE.engine_ms(Content(0), 1) == pytest.approx(1.0)
    assert TABLE.disk_bytes(Content(60)) == pytest.approx(6000)
    assert TABLE.kafka_logger_ms(Content(60), 1) == pytest.approx(0.7)
    # Another write than those measured costs as much as in the batches.
    assert TABLE.kafka_logger_ms(Content(60), 2) == pytest.approx(0.7 + 0.6)


def test_text_costs_its_slope() -> None:
    """A byte of text costs what the texts differ by."""
    assert TABLE.engine_ms(Content(10, text_bytes=500), 1) == pytest.approx(1.0 + 0.5)
    assert TABLE.disk_bytes(Content(10, text_bytes=500)) == pytest.approx(1000 + 500)


@pytest.mark.parametrize(("rows", "engine_ms"), [(1, 1.0), (2, 0.725), (11, 0.5), (10**9, 0.45)])
def test_what_a_batch_has_once_is_divided(rows: int, engine_ms: float) -> None:
    """1 ms alone and 0.5 ms in a batch of 11: 0.55 ms are the request's, 0.45 ms are the row's."""
    assert TABLE.engine_ms(Content(10, rows=rows), 1) == pytest.approx(engine_ms)


def test_what_every_row_of_a_batch_repeats_grows() -> None:
    """1,000 bytes alone and 11,000 in a batch of 11: each row keeps the body of the whole batch."""
    assert TABLE.disk_bytes(Content(10, rows=6)) == pytest.approx(6000)


def test_small_bulks() -> None:
    """0.2 ms per HTTP request, 0.3 ms of the logger and 1.6 ms of the engine per _bulk, as the table was made."""
    small = TABLE.small_bulks()
    assert small.request_logger_ms == pytest.approx(0.2)
    assert small.bulk_logger_ms == pytest.approx(0.3)
    assert small.bulk_engine_ms == pytest.approx(9.0 - 2 * 3.7)
    assert TABLE.documents_per_bulk(0) == 1
    assert TABLE.documents_per_bulk(250) == pytest.approx(1.5)
    assert TABLE.documents_per_bulk(500) == pytest.approx(2)
    assert TABLE.documents_per_bulk(10**6) == pytest.approx(20)


def test_measurements_that_contradict_each_other() -> None:
    """If full load costs more per event than ordinary traffic, no cost becomes negative."""
    rows = [replace(each, logger_ms=5.0) if each.lane == "http-64" else each for each in ROWS]
    small = CostTable(rows).small_bulks()
    assert small.bulk_logger_ms == 0
    assert small.request_logger_ms > 0


def test_by_hand() -> None:
    """9,000 events/s from Kafka, 10 columns, 2 writes: every figure as calculated on paper."""
    result = size(Demand(9000, columns=10, retention=10, cores=8, disk=2e12), TABLE)
    assert result.documents_per_second == pytest.approx(3000)
    assert result.writes == 2
    assert result.logger_cores == pytest.approx(0.9)  # 3,000 x (0.2 + 0.1) ms
    assert result.consumers == 2  # half of each core is left
    assert result.partitions == 4
    assert result.engine_cores == pytest.approx(12)  # 3,000 x 2 copies x 2 ms
    assert result.nodes_for_cpu == 3  # 12 / 0.5 / 8
    # 2.592e9 documents of 1,000 bytes, twice
    assert result.disk_bytes == pytest.approx(5.184e12)
    assert result.nodes_for_disk == 4  # 5.184 / 0.7 / 2 = 3.7
    assert result.nodes == 4
    assert result.shards == 52  # 2.592 TB / 50 GB = 51.8
    # A request of 250 bytes, two answers of 120, three headers of 200.
    assert result.kafka_bytes_per_second == pytest.approx(3000 * (250 + 240 + 600))


def test_by_hand_over_http() -> None:
    """1,000 events/s without feedback, 37 columns, in two workers: requests and small _bulks cost extra."""
    demand = Demand(1000, lane="http", columns=37, feedback=0, worker_rate=500, replicas=0)
    result = size(demand, TABLE)
    assert result.documents_per_second == pytest.approx(500)
    # Two writes and 0.5 feedback events per document in ordinary traffic: 1.5 are of the pair.
    assert result.writes == pytest.approx(1.5)
    assert result.documents_per_bulk == pytest.approx(2)
    assert result.bulk_ms == pytest.approx(0.75 * 1.6)
    assert result.engine_ms == pytest.approx(1.5 * 3.7 + 0.75 * 1.6)
    assert result.logger_ms == pytest.approx(1.5 * 0.37 + 2 * 0.2 + 0.75 * 0.3)
    assert result.consumers == 2
    assert size(replace(demand, worker_rate=250), TABLE).consumers == 4
    assert size(replace(demand, worker_rate=3500), TABLE).engine_ms < result.engine_ms


def test_bounds() -> None:
    """Little traffic still needs a quorum and one of each; a shard has no more documents than Lucene can take."""
    small = size(Demand(1), TABLE)
    assert (small.nodes, small.consumers, small.partitions, small.shards) == (3, 1, 3, 1)
    assert size(Demand(1, replicas=0), TABLE).nodes == 1
    tiny = CostTable([replace(each, bytes_merged=1.0) for each in ROWS])
    assert size(Demand(300_000, retention=100), tiny).shards == 864
    huge = size(Demand(1_000_000, retention=300), TABLE)
    assert huge.deployments == -(-huge.shards // 1024) > 1


@pytest.mark.parametrize("lane", ["kafka", "http"])
@pytest.mark.parametrize(
    "more",
    [
        {"events_per_second": 2000},
        {"replicas": 2},
        {"retention": 60},
        {"columns": 300},
        {"text_bytes": 5000},
        {"writes": 3},
        {"batch_rows": 10},
    ],
)
def test_more_needs_more(lane: str, more: dict[str, float]) -> None:
    """Nothing gets smaller where more is asked for."""
    base = {"events_per_second": 1000, "replicas": 1, "retention": 30, "columns": 37, "writes": 2, "lane": lane}
    less, larger = (size(Demand(**each), TABLE) for each in (base, {**base, **more}))  # type: ignore[arg-type]
    for name in ("disk_bytes", "logger_cores", "consumers", "engine_cores", "nodes", "shards"):
        assert getattr(larger, name) >= getattr(less, name)
    assert any(getattr(larger, name) > getattr(less, name) for name in ("disk_bytes", "engine_cores"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--events-per-second", "0"], "--events-per-second: expected more than 0, found 0.0"),
        (["--replicas", "-1"], "--replicas: expected at least 0, found -1"),
        (["--retention", "0"], "--retention: expected more than 0, found 0.0"),
        (["--text-bytes", "nan"], "--text-bytes: expected at least 0, found nan"),
        (["--columns", "-1"], "--columns: expected at least 0, found -1"),
        (["--batch-rows", "0"], "--batch-rows: expected at least 1, found 0"),
        (["--feedback", "1.5"], "--feedback: expected 0 to 1, found 1.5"),
        (["--writes", "4"], "--writes: expected 1 to 3, found 4.0"),
        (["--worker-rate", "0"], "--worker-rate: expected more than 0, found 0.0"),
        (["--cores", "0"], "--cores: expected at least 1, found 0"),
    ],
)
def test_wrong_demand(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A demand that makes no sense is one line that names the option."""
    assert main(["size", *arguments]) == 2
    assert capsys.readouterr().err == f"request-logger: {expected}\n"


def test_the_guide_shows_what_the_command_prints() -> None:
    """docs/scaling.md has the table of costs and the calculations as they are."""
    assert cost_page.written_parts() == cost_page.parts()


def test_the_table_is_what_the_benchmark_writes() -> None:
    """The file is read and written without a change; it names the command, the code and the engine."""
    text = FILE.read_text(encoding="utf-8")
    table = read_table(text)
    assert as_text(table.rows, table.code, table.engine, table.cores) == text
    assert table.code
    assert table.engine
    assert "python -m bench.cost --write" in printed("--events-per-second", "10")


def test_the_measured_traffic() -> None:
    """Sized for traffic like that of a measured row, the result is what was measured."""
    table = measured_costs()
    for measured in table.rows:
        if measured.lane == "writes-2" and measured.columns and measured.rows == 1:
            result = size(Demand(3000, columns=measured.columns, writes=2, replicas=0, retention=1))
            assert result.engine_ms == pytest.approx(measured.engine_ms, rel=0.01)
    usual = next(each for each in table.rows if each.lane == "ordinary" and each.columns == 37)
    demand = Demand(usual.rate, lane="http", feedback=usual.events - 2, worker_rate=usual.rate, replicas=0)
    assert size(demand).engine_ms == pytest.approx(usual.engine_ms, rel=0.1)
    if table.small_bulks().bulk_logger_ms:
        assert size(demand).logger_ms == pytest.approx(usual.logger_ms, rel=0.1)


def test_new_rows_replace_their_old_ones() -> None:
    """A run of some rows keeps the others."""
    new = row("writes-1", 10, engine_ms=7.0)
    rows = cost_page.merged(ROWS, [new])
    assert len(rows) == len(ROWS)
    assert [each.engine_ms for each in rows if each.lane == "writes-1" and each.columns == 10 and each.rows == 1] == [
        7.0
    ]


def test_a_table_without_a_lane_is_an_error() -> None:
    """The error names the file, the lane and the command."""
    with pytest.raises(ValueError, match=r"costs.json: no row of lane kafka; run python -m bench.cost --write"):
        CostTable([each for each in ROWS if each.lane != "kafka"])


def test_the_lane_decides_which_costs_are_used() -> None:
    """Over HTTP a document costs more CPU, and there is no Kafka to size."""
    kafka, http = (printed("--lane", lane, "--events-per-second", "1000") for lane in ("kafka", "http"))
    assert "\n  Kafka" in kafka
    assert "\n  Kafka" not in http
    assert "documents per _bulk at 500 events/s per worker" in http
