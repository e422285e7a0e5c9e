"""The short form of `python -m bench.faults`: the rows that take little time, some seconds each.

The whole of it, with a full disk and kills of the engine, takes minutes: `make faults`. Only there a cluster loses its
primary: three nodes to start and one to start again took 48 s and 106 s on a busy machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.faults.__main__ import main
from bench.faults.crowd import allow_connections
from bench.faults.rows import ROWS
from bench.faults.stage import Stage
from request_logger.embedded_engine import start_engine

pytestmark = [pytest.mark.engine, pytest.mark.alone]

# Row -> its length in seconds. Reports have tests of their own in tests/server: this engine is too narrow for ten.
SHORT = {
    "connection_flood": 2.0,
    "engine_emptied": 3.0,
    "garbage_answers": 4.0,
    "poison_numbers": 3.0,
    "scorer_fails": 3.0,
    "slow_index": 6.0,
    "engine_paused_spool": 2.0,
    "logger_killed": 3.0,
    "logger_killed_waiting": 6.0,
    "read_only": 1.5,
    "rejections_429": 2.0,
    "spool_full": 2.5,
    "logger_killed_queue": 6.0,
    "queue_full": 2.5,
}


@pytest.fixture(scope="module")
def narrow() -> Iterator[Any]:
    """An engine that these tests may stop, as narrow as the row of rejections needs it."""
    with start_engine("opensearch", heap="512m", settings=ROWS["rejections_429"].settings) as started:
        yield started


@pytest.mark.parametrize("name", SHORT)
def test_nothing_acknowledged_is_missing(request: pytest.FixtureRequest, name: str) -> None:
    """Whatever happens: all events are acknowledged in the end, each is in the engine, and nothing is there twice."""
    allow_connections(8192)
    # The narrow engine refuses parts of a _bulk over several indices, so that their events are delayed.
    engine = request.getfixturevalue("mortal" if name in ("poison_numbers", "slow_index", "scorer_fails") else "narrow")
    result = Stage([engine], SHORT[name], rate=150).run(ROWS[name].happen)
    assert result.problems == []
    assert result.stored == result.acknowledged == result.events > 100
    assert (result.missing, result.duplicated) == (0, 0)


@pytest.mark.parametrize("name", ["logger_stopped", "logger_stopped_spool"])
def test_a_stop_while_the_engine_hangs_loses_nothing(mortal: Any, name: str) -> None:
    """SIGTERM then: it ends within its grace; what was acknowledged is in the engine or the spool, the rest is not."""
    result = Stage([mortal], 2.5, rate=50).run(ROWS[name].happen)
    assert result.problems == []
    assert result.stored == result.acknowledged == result.events > 100


def test_loss_is_seen(narrow: Any) -> None:
    """What is removed or copied behind the logger's back is counted: the figures can be other than 0."""

    def happen(stage: Stage) -> None:
        with stage.logger() as logger, stage.traffic(logger) as sender:
            time.sleep(0.5)
        index = f"inference-log-seldon-bench-{sender.deployment}-default"
        document = stage.ask("GET", f"/{index}/_doc/{sender.deployment}-0")["_source"]
        del document["response"]
        stage.ask("PUT", f"/{index}/_doc/{sender.deployment}-0", document)
        stage.ask("PUT", f"/{index}/_doc/copy", document)

    result = Stage([narrow], 1, rate=150).run(happen)
    assert (result.missing, result.duplicated) == (1, 1)
    assert result.stored == result.events - 1
    assert len(result.problems) == 2


def test_the_page_has_every_row() -> None:
    """docs/faults.md has the table with every row that there is, and no other."""
    page = (Path(__file__).parent.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    text, title, _ = page.partition("\n## Defects put back\n")
    assert title
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert {line[0].strip("| `"): line[1] for line in table} == {name: row.what for name, row in ROWS.items()}
    for line in table:
        acknowledged, stored, missing, doubled = line[4:8]
        assert acknowledged == stored == line[2]
        assert (missing, doubled) == ("0", "0")


def test_an_unknown_row_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One that is misspelt is said at once, before an engine is started."""
    with pytest.raises(SystemExit):
        main(["engine_kiled"])
    assert "no row engine_kiled: expected some of engine_killed," in capsys.readouterr().err
