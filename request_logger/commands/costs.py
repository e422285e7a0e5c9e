"""What a prediction costs by its body and how it arrives, from the table that `python -m bench.cost --write` measures.

The table has few bodies; values between them are interpolated linearly. Pure code, apart from reading the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "costs.json"
COMMAND = "python -m bench.cost --write"
ORDINARY, KAFKA, FULL_LOAD = "ordinary", "kafka", "http-64"
MOST_WRITES = 3
# The table of which the costs of batches and of small _bulk requests were measured.
_USUAL_COLUMNS = 37
_ACCURATE = 1e-12


@dataclass(frozen=True, slots=True)
class CostRow:
    """One measured row. CPU is in milliseconds per document, the rest is per document, ``rate`` in events per second.

    ``engine_ms`` is without the engine's compiler, which stops after some minutes. ``events`` are those per document.
    """

    body: str
    lane: str
    columns: int
    text_bytes: int
    rows: int
    body_bytes: int
    events: float
    rate: float
    engine_ms: float
    logger_ms: float
    writes: float
    bulks: float
    changes_per_bulk: float
    bytes_merged: float
    bytes_with_overwritten: float


@dataclass(frozen=True, slots=True)
class Content:
    """What a prediction has: named columns of numbers, bytes of text, and the rows of its request."""

    columns: int = _USUAL_COLUMNS
    text_bytes: float = 0
    rows: int = 1


@dataclass(frozen=True, slots=True)
class SmallBulks:
    """What events cost apart from their content: per HTTP request and per _bulk request (milliseconds)."""

    request_logger_ms: float
    bulk_logger_ms: float
    bulk_engine_ms: float


class CostTable:
    """The measured rows. Raises ValueError if one is missing that the calculations need."""

    def __init__(self, rows: Iterable[CostRow], code: str = "", engine: str = "", cores: int = 0) -> None:
        self.rows = tuple(rows)
        self.code, self.engine, self.cores = code, engine, cores
        """The commit, the engine and the number of cores that were measured."""
        self._tables = {
            lane: sorted((row for row in self.rows if row.lane == lane and row.columns and row.rows == 1), key=_columns)
            for lane in (*(_writes_lane(number) for number in range(1, MOST_WRITES + 1)), KAFKA, ORDINARY, FULL_LOAD)
        }
        for lane, rows_of_lane in self._tables.items():
            if not rows_of_lane:
                raise ValueError(f"{FILE.name}: no row of lane {lane}; run {COMMAND}")

    def logger_ms(self, content: Content, writes: float) -> float:
        """Return the logger's CPU per document in large batches and _bulk requests, without HTTP."""
        return self._by_writes("logger_ms", content, writes)

    def kafka_logger_ms(self, content: Content, writes: float) -> float:
        """Return the consumer's CPU per document; ``writes`` beyond those measured cost as much as over HTTP."""
        measured = self._usual(KAFKA)
        table = Content(content.columns, rows=content.rows)
        more = self.logger_ms(table, writes) - self.logger_ms(table, measured.writes)
        # More writes never cost less, whatever the noise of the measurement.
        return self._value("logger_ms", KAFKA, content) + max(more, 0.0)

    def engine_ms(self, content: Content, writes: float) -> float:
        """Return the engine's CPU per document and copy of the shard, in large _bulk requests."""
        return self._by_writes("engine_ms", content, writes)

    def disk_bytes(self, content: Content) -> float:
        """Return the bytes on disk per document and copy of the shard, without overwritten copies."""
        return self._value("bytes_merged", _writes_lane(1), content)

    def body_bytes(self, content: Content) -> float:
        """Return the size of a request's body."""
        return (
            content.rows * _between([(row.columns, row.body_bytes) for row in self._tables[KAFKA]], content.columns)
            + content.text_bytes
        )

    def pair_writes(self) -> float:
        """Return the writes per document for a request and its response in ordinary traffic over HTTP."""
        row = self._usual(ORDINARY)
        # The events apart from request and response are feedback, each of which is a write.
        return min(max(row.writes - (row.events - 2), 1.0), 2.0)

    def documents_per_bulk(self, events_per_second: float) -> float:
        """Return the documents per _bulk request of a worker that receives so many events per second over HTTP."""
        points = [(0.0, 1.0), *((row.rate, row.changes_per_bulk) for row in map(self._usual, (ORDINARY, FULL_LOAD)))]
        return max(_between(sorted(points), min(events_per_second, points[-1][0])), 1.0)

    def small_bulks(self) -> SmallBulks:
        """Return the costs per HTTP request and per _bulk request, from ordinary traffic and full load."""
        content = Content()
        ordinary, full = self._usual(ORDINARY), self._usual(FULL_LOAD)
        engine = max(ordinary.engine_ms - self.engine_ms(content, ordinary.writes), 0.0) / ordinary.bulks
        rest = [row.logger_ms - self.logger_ms(content, row.writes) for row in (ordinary, full)]
        # Two equations: what is left per document is its share of requests and of _bulk requests.
        determinant = ordinary.events * full.bulks - full.events * ordinary.bulks
        request = bulk = -1.0
        if abs(determinant) > _ACCURATE:
            request = (rest[0] * full.bulks - rest[1] * ordinary.bulks) / determinant
            bulk = (ordinary.events * rest[1] - full.events * rest[0]) / determinant
        if request < 0 or bulk < 0:
            # The measurements don't tell them apart: all of it is attributed to the requests.
            request, bulk = max(rest[0], rest[1], 0.0) / ordinary.events, 0.0
        return SmallBulks(request, bulk, engine)

    def _usual(self, lane: str) -> CostRow:
        """Return the row of the usual number of columns, or the closest one."""
        return min(self._tables[lane], key=lambda row: abs(row.columns - _USUAL_COLUMNS))

    def _by_writes(self, field: str, content: Content, writes: float) -> float:
        points = [
            (float(number), self._value(field, _writes_lane(number), content)) for number in range(1, MOST_WRITES + 1)
        ]
        return _between(points, min(max(writes, 1.0), float(MOST_WRITES)))

    def _value(self, field: str, lane: str, content: Content) -> float:
        of: Callable[[CostRow], float] = lambda row: float(getattr(row, field))  # noqa: E731
        points = [(float(row.columns), of(row)) for row in self._tables[lane]]
        value = _between(points, max(content.columns, points[0][0]))
        return value * self._batch_factor(of, lane, content.rows) + content.text_bytes * self._per_byte(of, lane)

    def _per_byte(self, of: Callable[[CostRow], float], lane: str) -> float:
        """Return the cost of a byte of text: the slope between the smallest and the largest text."""
        texts = sorted(
            (row for row in self.rows if row.lane == lane and row.text_bytes), key=lambda row: row.text_bytes
        )
        if len(texts) < 2:
            return 0.0
        return max((of(texts[-1]) - of(texts[0])) / (texts[-1].text_bytes - texts[0].text_bytes), 0.0)

    def _batch_factor(self, of: Callable[[CostRow], float], lane: str, rows: int) -> float:
        """Return the cost of a row of a batch, relative to that of a single row."""
        batch = next((row for row in self.rows if row.lane == lane and row.rows > 1), None)
        if batch is None or rows == 1:
            return 1.0
        alone = _between([(float(row.columns), of(row)) for row in self._tables[lane]], float(batch.columns))
        many = of(batch)
        if many > alone:
            # What is stored with each row grows with the batch, such as the whole body.
            return 1 + (many / alone - 1) * (rows - 1) / (batch.rows - 1)
        # What a batch has once is divided among its rows.
        shared = (alone - many) / (1 - 1 / batch.rows)
        return (alone - shared + shared / rows) / alone


def read_table(text: str) -> CostTable:
    """Return the table in the text of a file. Raises ValueError if it is invalid."""
    found = json.loads(text)
    names = {spec.name for spec in fields(CostRow)}
    rows = [CostRow(**{name: row[name] for name in names}) for row in found["rows"]]
    return CostTable(rows, found["code"], found["engine"], found["cores"])


@cache
def measured_costs() -> CostTable:
    """Return the table that comes with the program."""
    return read_table(FILE.read_text(encoding="utf-8"))


def as_text(rows: Sequence[CostRow], code: str, engine: str, cores: int) -> str:
    """Return the content of the table's file: one row per line, with four significant digits."""
    lines = [json.dumps({spec.name: _rounded(getattr(row, spec.name)) for spec in fields(row)}) for row in rows]
    head = json.dumps({"command": COMMAND, "code": code, "engine": engine, "cores": cores})[:-1]
    return head + ', "rows": [\n' + ",\n".join(lines) + "\n]}\n"


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _writes_lane(number: int) -> str:
    return f"writes-{number}"


def _columns(row: CostRow) -> int:
    return row.columns


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    """Interpolate linearly between points sorted by x; beyond the last one the last slope continues, never below 0."""
    if len(points) == 1:
        return points[0][1]
    number = next((number for number, point in enumerate(points[1:-1]) if x <= point[0]), len(points) - 2)
    (x1, y1), (x2, y2) = points[number], points[number + 1]
    return max(y1 + (y2 - y1) * (x - x1) / (x2 - x1), 0.0) if x2 > x1 else y2
