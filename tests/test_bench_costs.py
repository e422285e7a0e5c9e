"""The benchmarks of costs: bodies, open-loop sender, older versions; missing and duplicate events are counted."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import beside_flask, cost, cost_lanes, open_loop, ordinary, shapes, stored, versions
from bench.cost import BODIES, chosen, lanes_by_name
from bench.cost_lanes import Kafka, Lane
from bench.cost_table import HEADINGS, assigned, cells, median, ratios
from bench.engines import Client
from bench.first import PARTS
from bench.load import Request, post
from bench.ordinary_traffic import Traffic
from bench.probe import Probe, Row
from bench.shapes import KSERVE, SELDON
from request_logger.errors import CommandError
from request_logger.payloads import decode_body

with_history = pytest.mark.skipif(not (versions.ROOT / ".git").exists(), reason="needs the history in git")


class Answering:
    """A server that answers each request after a pause, and remembers its connections and requests."""

    def __init__(self, pause: float, status: int = 200) -> None:
        self.connections = 0
        self.requests = 0
        self._pause, self._status = pause, status
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(opened,), daemon=True).start()

    def _answer(self, opened: socket.socket) -> None:
        with opened:
            while opened.recv(65536):
                self.requests += 1
                time.sleep(self._pause)
                opened.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self._status)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def answering() -> Iterator[Any]:
    """Make servers that are closed at the end."""
    made: list[Answering] = []

    def make(pause: float, status: int = 200) -> Answering:
        made.append(Answering(pause, status))
        return made[-1]

    yield make
    for server in made:
        server.close()


def due(server: Answering, count: int, every: float = 0.0) -> list[open_loop.Due]:
    raw = post(server.url, {"Content-Type": "application/json"}, b"{}")
    return [open_loop.Due(number * every, Request((number, "request"), raw)) for number in range(count)]


def test_events_wait_for_a_connection(answering: Any) -> None:
    """With one connection the third event waits for the first two; the time since it was due says so."""
    server = answering(0.05)
    answers = open_loop.send(server.url, due(server, 3), connections=1)
    assert [answer.key[0] for answer in answers] == [0, 1, 2]
    assert all(answer.acknowledged for answer in answers)
    assert answers[2].since_due >= answers[2].seconds + 0.1
    assert server.connections == 1


def test_new_connections(answering: Any) -> None:
    """Every event has its own connection, if asked; otherwise they share the workers'."""
    server = answering(0.0)
    open_loop.send(server.url, due(server, 6, 0.01), connections=2, new_connections=1.0)
    assert server.connections == 6


def test_an_event_is_sent_once(answering: Any) -> None:
    """A 503, a missing response and a refused connection are not retried, as by an executor."""
    refused, silent = answering(0.0, 503), answering(5.0)
    assert [answer.status for answer in open_loop.send(refused.url, due(refused, 3), connections=2)] == [503] * 3
    assert refused.requests == 3
    (answer,) = open_loop.send(silent.url, due(silent, 1), connections=1, timeout=0.1)
    assert (answer.status, answer.acknowledged, silent.requests) == (0, False, 1)
    silent.close()
    (answer,) = open_loop.send("http://127.0.0.1:1", due(silent, 1), connections=1)
    assert answer.status == 0


def test_percentile() -> None:
    """The value at a share of the sorted values; of no values there is none."""
    assert open_loop.percentile([3, 1, 2], 0.5) == 2
    assert open_loop.percentile([1], 0.99) == 1
    with pytest.raises(ValueError, match="no values"):
        open_loop.percentile([], 0.5)


@pytest.mark.parametrize(
    ("shape", "rows", "least", "most"),
    [
        (shapes.columns(37), 1, 800, 1100),
        (shapes.columns(155), 1, 3300, 4300),
        (shapes.columns(4, KSERVE), 1, 200, 600),
        (shapes.text(1000), 1, 1000, 1030),
        (shapes.text(20_000), 1, 20_000, 20_030),
        (shapes.image(), 1, 12_000, 18_000),
        (shapes.batch(100, 37), 100, 20_000, 60_000),
    ],
    ids=lambda value: value.name if isinstance(value, shapes.Shape) else "",
)
def test_bodies(shape: shapes.Shape, rows: int, least: int, most: int) -> None:
    """Each shape has the size that its name says, and is decoded to so many rows; a number has one prediction."""
    assert least <= shape.body_bytes <= most
    for part in ("request", "response"):
        raw = json.dumps(shape.make(3)[part]).encode()
        assert len(decode_body(raw).items) == rows
        assert raw == json.dumps(shape.make(3)[part]).encode()
    assert shape.make(3)["request"] != shape.make(4)["request"]


def test_traffic() -> None:
    """A response 5 ms after its request, feedback for one prediction in three after 6 s, at the given rate."""
    events = Traffic(rate=10, seconds=3).events("http://127.0.0.1:1", shapes.columns(4), "d")
    times = {event.request.key: event.at for event in events}
    assert len(times) == 30 + 30 + 10
    assert times[3, "request"] == pytest.approx(0.3)
    assert times[3, "response"] == pytest.approx(0.305)
    assert times[3, "feedback"] == pytest.approx(6.3)
    assert (4, "feedback") not in times


def test_settings_on_the_command_line() -> None:
    """NAME=VALUE sets a variable; a text without an equals sign is an error that says what is expected."""
    assert assigned(["A=1", "B=x=y"]) == {"A": "1", "B": "x=y"}
    with pytest.raises(CommandError, match="--set: expected NAME=VALUE, found 'A'"):
        assigned(["A"])


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        (ordinary, ["--rate", "0"], "bench.ordinary: --rate: expected at least 1, found 0.0"),
        (ordinary, ["--columns", "4", "0"], "bench.ordinary: --columns: expected at least 1, found 0"),
        (ordinary, ["--rounds", "0"], "bench.ordinary: --rounds: expected at least 1, found 0"),
        (cost, ["--warm-up", "nan"], "bench.cost: --warm-up: expected at least 0, found nan"),
        (cost, ["--set", "A"], "bench.cost: --set: expected NAME=VALUE, found 'A'"),
        (beside_flask, ["--rounds", "0"], "bench.beside_flask: --rounds: expected at least 1, found 0"),
    ],
)
def test_wrong_options(command: Any, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid option is one line that names it, before an engine is started."""
    assert command.main(arguments) == 2
    assert capsys.readouterr().err.strip() == expected


@with_history
def test_an_older_version_is_checked_out(tmp_path: Path) -> None:
    """The folder has the files of the commit, and its own entry points, which come before those installed."""
    versions.check_out("HEAD", tmp_path)
    assert (tmp_path / "request_logger" / "cli.py").is_file()
    (declared,) = tmp_path.glob("*.dist-info")
    assert "seldon = request_logger.payloads" in (declared / "entry_points.txt").read_text(encoding="utf-8")
    name = declared.name.rpartition("-0.")[0].replace("_", "-")
    assert f"Name: {name}\n" in (declared / "METADATA").read_text(encoding="utf-8")


@with_history
def test_an_unknown_commit_is_one_line() -> None:
    """A commit that the history doesn't have is an error that names the git command."""
    with pytest.raises(CommandError, match=r"git archive: .*no-such-commit"), versions.versions("no-such-commit"):
        pass


def a_row(**values: Any) -> Row:
    """A row of which only the given values matter."""
    usual = {"side": "after", "body": "b", "lane": "l", "columns": 1, "text_bytes": 0, "body_bytes": 9, "rows": 1}
    usual |= dict.fromkeys(("predictions", "events", "acknowledged", "missing", "duplicates"), 1)
    figures = ("rate", "p50", "p99", "p99_since_due", "engine_ms", "compiler_ms", "logger_ms", "bulks")
    more = ("changes_per_bulk", "writes", "bytes_merged", "bytes_with_overwritten")
    return Row(**{**usual, **dict.fromkeys((*figures, *more), 1.0), **values})


def test_the_median_hides_no_problem() -> None:
    """Each figure is the median of the runs, losses are those of all of them."""
    rows = [a_row(rate=float(rate), missing=rate == 3, problems=("p",) * (rate == 3)) for rate in (3, 1, 2)]
    found = median(rows)
    assert (found.rate, found.missing, found.problems) == (2.0, 1, ("p",))
    assert len(cells(found)) == len(HEADINGS)


def test_ratios() -> None:
    """The new figures divided by the old ones; without an older version there are none."""
    new, old = a_row(engine_ms=1.0), a_row(side="before", engine_ms=4.0, p99=0.0)
    assert "| b | l | after / before | 1.00 | 0.25 | 1.00 |  | 1.00 | 1.00 |" in ratios([old, new])
    assert ratios([new]) == ""


def test_rows_are_chosen_by_name() -> None:
    """Of the named bodies the named lanes; ordinary traffic is for tables only; an unknown name is an error."""
    names = list(lanes_by_name(Kafka(), 1.0))
    assert chosen(["columns-4", "kafka", "http-16"], names) == [("columns-4", "http-16"), ("columns-4", "kafka")]
    assert chosen(["image"], names) == [("image", lane) for lane in names if lane != "ordinary"]
    assert len(chosen([], names)) == len(BODIES) * (len(names) - 1) + 3
    with pytest.raises(CommandError, match=r"--only: expected some of columns-4, .*, found colums-4"):
        chosen(["colums-4"], names)


def test_batches_keep_what_is_written_together() -> None:
    """Parts of a prediction that make one write are in one batch, all events are in some, none is too large."""
    for parts in (part for groups in cost_lanes.WRITES.values() for part in groups):
        found = cost_lanes.batched("http://127.0.0.1:1", shapes.columns(155), "d", 100, parts)
        keys = [key for _, held in found for key in held]
        assert keys == [(number, part) for number in range(100) for part in parts]
        for request, held in found:
            body = json.loads(request.raw.partition(b"\r\n\r\n")[2])
            assert [event["id"] for event in body] == [f"d-{number}-{part}" for number, part in held]
            assert len(held) % len(parts) == 0
            assert len(request.raw) < 2_000_000
    assert [sum(map(len, groups)) for groups in cost_lanes.WRITES.values()] == [3, 3, 3]


@pytest.fixture(scope="module")
def side(engine: Any, make_server: Any) -> versions.Side:
    """A server of the code here, with its templates."""
    server = make_server(GUNICORN_WORKERS="1")
    served: Any = SimpleNamespace(url=server.url, pid=server.process.pid)
    client = Client(engine.url)
    return versions.Side(versions.Version(versions.AFTER, versions.ROOT, "here"), served, client, {}, {})


@pytest.mark.engine
@pytest.mark.parametrize(
    ("lane", "shape", "writes"),
    [
        (cost_lanes.batches(1), shapes.columns(5), 1.0),
        (cost_lanes.batches(2), shapes.columns(5), 2.0),
        (cost_lanes.batches(2), shapes.batch(3, 2), 0.0),
        (cost_lanes.batches(3), shapes.text(100), 3.0),
        (cost_lanes.single(4), shapes.columns(5), 0.0),
        (cost_lanes.ordinary(Traffic(rate=20, seconds=1, feedback_after=0.2)), shapes.columns(5), 0.0),
    ],
    ids=["writes-1", "writes-2", "batch", "writes-3", "http", "ordinary"],
)
def test_a_run_is_counted(engine: Any, side: versions.Side, lane: Lane, shape: shapes.Shape, writes: float) -> None:
    """A short run in each lane: nothing is missing, every figure is there, the number of writes is right."""
    row = lane(Probe(engine.url), side, shape, 20)
    assert row.problems == ()
    assert (row.predictions, row.missing, row.duplicates) == (20 * shape.rows, 0, 0)
    assert row.acknowledged == row.events == (20 * 2 + 7 if row.lane == "ordinary" else 60)
    assert row.bytes_with_overwritten >= row.bytes_merged > 0
    assert row.logger_ms > 0
    assert 0 < row.bulks <= row.writes <= 3
    assert row.changes_per_bulk >= 1
    if writes:
        assert row.writes == pytest.approx(writes, abs=0.2)


@pytest.mark.engine
def test_a_removed_document_fails_a_run(engine: Any, side: versions.Side) -> None:
    """What is lost behind the logger's back becomes a problem of the row."""
    probe = Probe(engine.url)

    def prepare(deployment: str) -> Any:
        def work() -> Any:
            index = shapes.columns(3).index(deployment)
            probe.engine.ask("DELETE", f"/{index}/_doc/{deployment}-1")
            return probe_sent

        return work

    probe_sent = cost_lanes.Sent([], 0, 1.0)
    row = probe.measure(side, shapes.columns(3), "test", 1, prepare)
    assert row.problems == ("3 acknowledged events are not in the engine",)


@pytest.mark.engine
@pytest.mark.parametrize("shape", [shapes.columns(3), shapes.columns(3, KSERVE), shapes.batch(3, 2), shapes.text(50)])
def test_losses_are_seen(engine: Any, make_server: Any, deployment: str, shape: shapes.Shape) -> None:
    """A removed document, a removed part, an extra copy: each is counted."""
    server = make_server(GUNICORN_WORKERS="1")
    client, index = Client(engine.url), shape.index(deployment)
    events = [open_loop.Due(0, shape.event(server.url, deployment, n, part)) for n in range(3) for part in PARTS]
    answers = open_loop.send(server.url, events, connections=1)
    keys = [answer.key for answer in answers if answer.acknowledged]
    assert len(keys) == 9
    found = stored.compare(client, shape, deployment, keys)
    assert (found.documents, found.problems) == (3 * shape.rows, [])
    hits = client.ask("POST", f"/{index}/_search", {"query": {"match_all": {}}, "sort": ["_doc"]})["hits"]["hits"]
    client.ask("PUT", f"/{index}/_doc/copy", hits[0]["_source"])
    assert stored.compare(client, shape, deployment, keys).duplicates == 1
    client.ask("DELETE", f"/{index}/_doc/copy")
    cut = {name: value for name, value in hits[0]["_source"].items() if name not in ("response", "metrics")}
    client.ask("PUT", f"/{index}/_doc/{hits[0]['_id']}", cut)
    assert stored.compare(client, shape, deployment, keys).problems == ["1 acknowledged events are not in the engine"]
    client.ask("DELETE", f"/{index}/_doc/{hits[0]['_id']}")
    assert stored.compare(client, shape, deployment, keys).missing == len(PARTS)


def test_kserve_and_seldon_have_other_indices() -> None:
    """The index is the one that the logger derives from the event."""
    assert shapes.columns(1, SELDON).index("d") == "inference-log-seldon-bench-d-default"
    assert shapes.columns(1, KSERVE).index("d") == "inference-log-inferenceservice-bench-d-default"
