"""Files of archives: which are found, and what is read from each format."""

from __future__ import annotations

import base64
import csv
import gzip
import itertools
import json
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from request_logger.archives import formats
from request_logger.archives.records import record_of
from request_logger.backfill.files import check, files
from request_logger.backfill.reader import ArchiveError, event_of, values, written_at
from request_logger.documents.event import BadEventError, Event
from request_logger.errors import CommandError
from request_logger.settings import Settings
from tests.archives.test_records import BODY, SENT

SETTINGS = Settings()
CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-1",
    "type": "io.seldon.serving.inference.request",
    "inferenceservicename": "iris",
    "namespace": "demo",
    "time": "2026-01-02T03:04:05Z",
    "datacontenttype": "application/json",
    "data": {"data": {"ndarray": [[123456789012345678901234567890]]}},
}
# KServe's own tables have these columns, all of them text but the last, and no time.
_COLUMNS = (
    "url", "bytes", "contentType", "reqType", "id", "sourceUri", "inferenceService", "namespace", "component",
    "endpoint", "metadata", "annotations", "certName", "tlsSkipVerify",
)  # fmt: skip


def kserve_row() -> dict[str, Any]:
    row = {name: SENT.get(name, "") for name in _COLUMNS}
    row |= {"url": "s3://bucket/logs", "sourceUri": "http://localhost:9081/?a=b", "tlsSkipVerify": False}
    return row | {name: json.dumps(SENT[name]) for name in ("metadata", "annotations")}


def events(path: Path) -> list[Event]:
    return [event_of(value, SETTINGS, written_at(path))[0] for _, value in values(path)]


def errors(path: Path) -> list[tuple[int, str]]:
    found = []
    for line, value in values(path):
        try:
            event_of(value, SETTINGS, "")
        except BadEventError as error:
            found.append((line, str(error)))
    return found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", json.dumps(SENT).encode() + b"\n" + json.dumps(SENT).encode()),
        ("a.ndjson", b"\xef\xbb\xbf\n" + json.dumps(SENT).encode() + b"\r\n\r\n" + json.dumps(SENT).encode() + b"\r\n"),
        ("a.json", json.dumps([SENT, SENT], indent=1).encode()),
        ("a.jsonl.gz", gzip.compress((json.dumps(SENT) + "\n").encode() * 2)),
        ("a.json", gzip.compress(json.dumps([SENT, SENT]).encode())),
    ],
)
def test_json(tmp_path: Path, name: str, content: bytes) -> None:
    """One object per line, or KServe's array; gzip is known by its first bytes."""
    path = tmp_path / name
    path.write_bytes(content)
    assert events(path) == [record_of(SENT).event(SETTINGS)] * 2


def test_parquet(tmp_path: Path) -> None:
    """The logger's own, and KServe's, which has bodies as base64 and no time: that of the file counts."""
    path = tmp_path / "ours.parquet"
    expected = record_of(SENT).event(SETTINGS)
    path.write_bytes(formats.write([record_of(SENT).row(expected, "")], formats.PARQUET))
    assert events(path) == [expected]
    path = tmp_path / "kserve.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([kserve_row()]), path)
    os.utime(path, (1_767_323_045, 1_767_323_045))
    expected = record_of({**SENT, "occurrenceTime": "2026-01-02T03:04:05.000Z"}).event(SETTINGS)
    assert events(path) == [expected]


def test_csv(tmp_path: Path) -> None:
    """KServe's; a cell may be longer than Python's default."""
    path, row = tmp_path / "a.csv", kserve_row()
    row["bytes"] = base64.b64encode(BODY + b" " * 200_000).decode()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    (event,) = events(path)
    assert event.body.raw == BODY + b" " * 200_000
    assert event.extensions == record_of(SENT).event(SETTINGS).extensions
    assert event.time == written_at(path)


def test_cloud_events(tmp_path: Path) -> None:
    """In structured mode, one per line, as dumps have them; numbers stay exact."""
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps(CLOUD_EVENT) + "\n" + json.dumps({**CLOUD_EVENT, "time": None}))
    first, second = events(path)
    assert (first.body.raw, first.time) == (
        b'{"data":{"ndarray":[[123456789012345678901234567890]]}}',
        CLOUD_EVENT["time"],
    )
    assert second.time == written_at(path)


def test_a_time_that_can_not_be_read(tmp_path: Path) -> None:
    """It stays as it is; the event is ordered by the file's, the same at each run."""
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps({**SENT, "occurrenceTime": "yesterday"}))
    (event,) = events(path)
    assert (event.time, event.timestamp) == ("yesterday", written_at(path))


def test_bad_lines(tmp_path: Path) -> None:
    """Each has its line and the field, and the others are read; also the last line of a file that was cut off."""
    path = tmp_path / "a.ndjson"
    good = json.dumps(SENT)
    path.write_text(
        "\n".join([good, "{", "[1]", "5", json.dumps({"id": "a"}), json.dumps({**SENT, "id": 1}), good[:90]])
    )
    assert [(line, text[:50]) for line, text in errors(path)] == [
        (2, "expected a JSON object"),
        (3, "expected a JSON object, found an array"),
        (4, "expected a JSON object, found a number"),
        (5, "reqType, type: expected a record of KServe, or a Cl"[:50]),
        (6, "id: expected text, found a number"),
        (7, "expected a JSON object"),
    ]
    assert len([value for _, value in values(path) if isinstance(value, dict)]) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'[{"id": 1}, '),
        ("a.ndjson.gz", gzip.compress(json.dumps(SENT).encode() * 5)[:-9]),
        ("a.ndjson.gz", b"\x1f\x8bno gzip"),
    ],
)
def test_files_that_can_not_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        list(values(path))


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[:-4], lambda raw: raw[:-6] + b"\0" + raw[-5:], lambda raw: raw + b"junk", lambda raw: raw[:-9]],
    ids=["cut checksum", "wrong checksum", "followed by something else", "cut"],
)
def test_a_damaged_gzip_is_read_up_to_the_damage(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """What it has before is read, and then the error is raised, also for an array that ends too early."""
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(damage(gzip.compress((json.dumps(SENT) + "\n").encode() * 3)))
    found = values(path)
    assert [value["id"] for _, value in itertools.islice(found, 3) if isinstance(value, dict)] == [SENT["id"]] * 3
    with pytest.raises(ArchiveError, match=r"^can't be read: "):
        list(found)
    path.write_bytes(gzip.compress(json.dumps([SENT]).encode())[:-12])
    with pytest.raises(ArchiveError, match=r"^can't be read: "):
        list(values(path))


COLUMNS = {name: [SENT[name]] for name in ("id", "reqType", "inferenceService", "namespace", "bytes", "occurrenceTime")}
_MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_TEXT, _TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
_BYTES, _DECIMAL = pyarrow.binary(), pyarrow.decimal128(3, 1)
_TIME = "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    ("column", "cells", "same"),
    [
        ("bytes", pyarrow.array([list(BODY)], pyarrow.list_(pyarrow.uint8())), SENT["bytes"]),
        ("bytes", pyarrow.array([BODY], pyarrow.large_binary()), SENT["bytes"]),
        ("id", pyarrow.array([4711]), "4711"),
        ("id", pyarrow.array([4711.0]), "4711"),
        ("id", pyarrow.array([b"order-1"], pyarrow.binary(7)), "order-1"),
        ("occurrenceTime", pyarrow.array([_MOMENT], pyarrow.timestamp("ns", "UTC")), _TIME),
        ("occurrenceTime", pyarrow.array([_MOMENT], pyarrow.timestamp("s")), _TIME),
        ("occurrenceTime", pyarrow.array([_MOMENT.date()]), "2026-01-02T00:00:00.000000Z"),
        ("statusCode", pyarrow.array([500.0]), 500),
        ("statusCode", pyarrow.array([math.nan], from_pandas=False), None),
        ("statusCode", pyarrow.array([Decimal(500)]), 500),
        ("metadata", pyarrow.array([[("x", ["1", "2"])]], pyarrow.map_(_TEXT, _TEXTS)), {"x": ["1", "2"]}),
        ("annotations", pyarrow.array([[(b"x", Decimal("1.5"))]], pyarrow.map_(_BYTES, _DECIMAL)), {"x": 1.5}),
        ("metadata", pyarrow.array([{"x": ["1"], "y": None}]), {"x": ["1"]}),
    ],
)  # fmt: skip
def test_parquet_of_other_programs(tmp_path: Path, column: str, cells: Any, same: Any) -> None:
    """Cells with types of their own mean what the same record in NDJSON does."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({**COLUMNS, column: cells}), path)
    expected = record_of({**{name: value for name, (value,) in COLUMNS.items()}, column: same})
    assert events(path) == [expected.event(SETTINGS)]


def test_a_parquet_cell_without_a_meaning(tmp_path: Path) -> None:
    """It is the error of its row alone."""
    path = tmp_path / "a.parquet"
    times = pyarrow.array([0, 10**17, 1], pyarrow.int64()).cast(pyarrow.timestamp("ms"))
    table = {**{name: cells * 3 for name, cells in COLUMNS.items()}, "occurrenceTime": times}
    parquet.write_table(pyarrow.table(table), path)
    assert errors(path) == [(2, "expected times between the years 1 and 9999")]
    parquet.write_table(pyarrow.table({**COLUMNS, "id": pyarrow.array([b"\xff"])}), path)
    assert errors(path) == [(1, "id: expected text, found bytes")]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_tables_that_can_not_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no table")
    found = list(values(tmp_path / name)) if name == "a.csv" else None
    if found is None:
        with pytest.raises(CommandError, match="expected Parquet"):
            list(values(tmp_path / name))
    else:
        assert found == []


def test_which_files(tmp_path: Path) -> None:
    """A directory's archives in order, at any depth, such as the objects of one service; and a glob's."""
    names = ["b/x-request.json", "b/a/x-response.ndjson", "a.parquet", "c.ndjson.gz", "b/notes.txt", "c.csv"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [str(path.relative_to(tmp_path)) for path in files([str(tmp_path)])] == [
        "a.parquet", "c.csv", "c.ndjson.gz", "b/x-request.json", "b/a/x-response.ndjson",
    ]  # fmt: skip
    assert [path.name for path in files([f"{tmp_path}/**/*.ndjson"])] == ["x-response.ndjson"]
    assert [path.name for path in files([str(tmp_path / "b/notes.txt")])] == ["notes.txt"]


def test_paths_without_archives(tmp_path: Path) -> None:
    for path, error in ((tmp_path, "expected archives in it"), (tmp_path / "missing", "no such file or directory")):
        with pytest.raises(CommandError, match=error):
            check([str(path)])
