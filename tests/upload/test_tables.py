"""Files of feedback: rows in order, an error for each that can't be read, memory that doesn't grow with the file."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from request_logger.ingest.memory_budget import Budget
from request_logger.server.feedback_many import CSV as CSV_TYPE
from request_logger.server.feedback_many import read as read_by_logger
from request_logger.server.feedback_route import FIELDS
from request_logger.upload.columns import Columns, RowError
from request_logger.upload.tables import Row, TableError, open_table

OWN_NAMES = Columns()
NAMED = Columns({"request_id": "order", "truth": "label"})


def rows(path: Path, columns: Columns = OWN_NAMES) -> list[Row]:
    with open_table(str(path)) as table:
        return list(table.rows(columns.wanted(table, FIELDS)))


def feedback(path: Path, columns: Columns = OWN_NAMES) -> list[Any]:
    """What each row is sent as, or its error."""
    found: list[Any] = []
    with open_table(str(path)) as table:
        for row in table.rows(columns.wanted(table, FIELDS)):
            try:
                found.append(row.error or columns.feedback(row.values, cells=table.has_cells))
            except RowError as error:
                found.append(str(error))
    return found


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def table_of(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "rows.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def test_csv_is_read_as_the_logger_reads_it(tmp_path: Path) -> None:
    """The same cells are numbers, text, lists; with fields by their names, a file is sent as it would be by itself."""
    cells = ["1", "1.5", "true", '"1"', "[1, 2]", '{"a": 1}', "007", "NaN", "setosa", "[1", "12345678901234567890123"]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["request_id", "truth"], *[[cell, cell] for cell in cells], ["", ""], ["r", ""]])
    raw = text.getvalue().encode()
    by_logger = read_by_logger(raw, CSV_TYPE, Budget(2**20))
    assert by_logger is not None
    assert feedback(file(tmp_path, "a.csv", raw)) == list(by_logger)


def test_truths_of_a_csv_may_be_text(tmp_path: Path) -> None:
    """Classes that are called 0 and 1; a reward stays a number."""
    path = file(tmp_path, "a.csv", b"order,label,paid\n7,1,0.5\n8,[1],\n")
    columns = Columns({"request_id": "order", "truth": "label", "reward": "paid"}, text=True)
    assert feedback(path, columns) == [
        {"request_id": "7", "truth": "1", "reward": 0.5},
        {"request_id": "8", "truth": "[1]"},
    ]


def test_lines_of_csv_are_those_of_the_file(tmp_path: Path) -> None:
    """Also after a cell of several lines and an empty line; a wrong number of cells is an error of its row."""
    content = b'\xef\xbb\xbf order ,label\r\n1,"a\r\nb"\r\n\r\n2\r\n3,c,d\r\n4,e\n'
    assert rows(file(tmp_path, "a.csv", content), NAMED) == [
        Row(2, {"order": "1", "label": "a\r\nb"}),
        Row(5, {}, "expected 2 cells, found 1"),
        Row(6, {}, "expected 2 cells, found 3"),
        Row(7, {"order": "4", "label": "e"}),
    ]


def test_another_encoding_concerns_only_its_cells(tmp_path: Path) -> None:
    """A cell that isn't UTF-8 rejects its row if it is sent."""
    content = b"order,label,note\n1,caf\xe9,x\n2,caf\xc3\xa9,caf\xe9\n\xe9,a,b\n"
    assert feedback(file(tmp_path, "a.csv", content), NAMED) == [
        "label: expected text in UTF-8",
        {"request_id": "2", "truth": "café"},
        "order: expected text in UTF-8",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "expected CSV in UTF-8 with a first line of column names"),
        (b"a,,b\n", "expected CSV in UTF-8 with a first line of column names"),
        (b"\xff\xfea\x00", "expected CSV in UTF-8 with a first line of column names"),
        (b'"a\n', "expected CSV in UTF-8 with a first line of column names"),
        (b"a,a\n", "expected each column once in the first line"),
        (b"a,b\n1,2\n", "no field is named a, b: name the columns to send with --id"),
        (b'request_id,truth\n1,2\n3,"4"x\n5,6\n', "line 3: expected CSV ("),
        (b'request_id,truth\n1,2\n3,"4\n5,6\n', "line 3: expected CSV ("),
    ],
)
def test_csv_that_cannot_be_read(tmp_path: Path, content: bytes, error: str) -> None:
    path = file(tmp_path, "a.csv", content)
    with pytest.raises(TableError) as raised:
        rows(path)
    assert str(raised.value).startswith(f"{path}: {error}")


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    """The error names the column and those that there are, but not hundreds of them."""
    path = file(tmp_path, "a.csv", b"order," + b",".join(b"c%d" % k for k in range(100)) + b"\n")
    with pytest.raises(TableError, match=r": no column is named label: there are order, c0, .*, c18 and 81 more$"):
        rows(path, NAMED)


def test_lines_of_ndjson(tmp_path: Path) -> None:
    """Each line by itself; whole numbers stay exact; ids may be numbers."""
    lines = [
        '\ufeff{"request_id": 7, "truth": 12345678901234567890123}',
        "",
        '{"request_id": "a", "truth": {"x": [1, null]}, "reward": true}',
        "[1]",
        '{"request_id": ',
        "[" * 5_000,
        '{"request_id": 1.5, "truth": 1}',
        '{"request_id": "b", "truth": "\\ud800", "time": null}\r',
    ]
    path = file(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert feedback(path) == [
        {"request_id": "7", "truth": 12345678901234567890123},
        {"request_id": "a", "truth": {"x": [1, None]}, "reward": True},
        *["expected a JSON object"] * 3,
        "request_id: expected text or a whole number",
        {"request_id": "b", "truth": "\ud800"},
    ]
    assert [row.line for row in rows(path)] == [1, 3, 4, 5, 6, 7, 8]


def test_a_line_without_end(tmp_path: Path) -> None:
    """A line that no logger takes is one error, and isn't held in memory."""
    path = tmp_path / "a.ndjson"
    with path.open("wb") as out:
        out.write(b'{"request_id": "1", "truth": 1}\n{"request_id": "')
        for _ in range(100):
            out.write(b"x" * 2**20)
        out.write(b'"}\n{"request_id": "3", "truth": 3}')
    tracemalloc.start()
    found = rows(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row.line, row.error) for row in found] == [
        (1, ""),
        (2, "expected at most 20,971,520 bytes in a line"),
        (3, ""),
    ]
    # Two of the longest lines, and what reading one takes.
    assert peak < 70 * 2**20


def test_types_of_parquet(tmp_path: Path) -> None:
    """Numbers stay numbers, text is text even if it is JSON; a missing value is none, however pandas writes it."""
    columns = {
        "request_id": pa.array([1, 2, 3], pa.int64()),
        "truth": pa.array(["1", None, "[1]"]).dictionary_encode(),
        "reward": [float("nan"), 0.5, None],
        "time": pa.array([datetime(2026, 1, 2, 3, 4, 5, 6, UTC), None, None], pa.timestamp("ns", "UTC")),
    }
    assert feedback(table_of(tmp_path, columns)) == [
        {"request_id": "1", "truth": "1", "time": "2026-01-02T03:04:05.000006+00:00"},
        {"request_id": "2", "reward": 0.5},
        {"request_id": "3", "truth": "[1]"},
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([2**63 + 1], pa.uint64()), 2**63 + 1),
        (pa.array([Decimal("3.00")]), 3),
        (pa.array([Decimal("3.50")]), 3.5),
        (pa.array([True]), True),
        (pa.array([[0.5, None]]), [0.5, None]),
        (pa.array([{"a": 0.5, "b": [1]}]), {"a": 0.5, "b": [1]}),
        (pa.array([date(2026, 1, 2)]), "2026-01-02"),
        (pa.array([float("inf")]), "label: expected a finite number"),
        (pa.array([[float("-inf")]]), "label: expected a finite number"),
        (pa.array([b"1"]), "label: expected numbers, text, booleans, lists or objects"),
    ],
)
def test_truths_of_parquet(tmp_path: Path, values: Any, expected: Any) -> None:
    path = table_of(tmp_path, {"order": pa.array(["a"]), "label": values, "other": pa.array([b"\xff"])})
    (found,) = feedback(path, NAMED)
    assert found == (expected if isinstance(found, str) else {"request_id": "a", "truth": expected})


@pytest.mark.parametrize("values", [pa.array([1.0]), pa.array([True]), pa.array([b"1"]), pa.array([["a"]])])
def test_ids_of_parquet_are_text_or_whole_numbers(tmp_path: Path, values: Any) -> None:
    """A whole number that pandas has made a fraction isn't guessed back."""
    path = table_of(tmp_path, {"order": values, "label": pa.array([1])})
    assert feedback(path, NAMED) == ["order: expected text or a whole number"]


def test_a_file_that_is_no_parquet_or_ends(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"a\.parquet: expected Parquet \("):
        rows(file(tmp_path, "a.parquet", b"PAR1 no"))
    whole = table_of(tmp_path, {"order": [str(k) for k in range(5_000)], "label": list(range(5_000))}).read_bytes()
    damaged = file(tmp_path, "b.parquet", whole[:100] + b"\xff" * 2_000 + whole[2_100:])
    with pytest.raises(TableError, match=r"b\.parquet: (row \d+: )?expected Parquet \("):
        rows(damaged, NAMED)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"a\.csv: can't be read: No such file"):
        open_table(str(tmp_path / "a.csv"))
    with pytest.raises(
        TableError, match=r"expected a name that ends in \.csv, \.ndjson, \.jsonl, \.parquet, or --form"
    ):
        open_table(str(tmp_path / "a.xlsx"))
    with pytest.raises(TableError, match=r"-: expected a file: Parquet"):
        open_table("-", "parquet")


@pytest.mark.parametrize("content", [b'\n {"request_id": "1"}\n', b"request_id,truth\n1,\n"])
def test_standard_input_is_recognised(content: bytes) -> None:
    code = "from request_logger.upload.tables import open_table; print([r.values for r in open_table('-').rows(())])"
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "[{'request_id': '1'}]"


def test_join_keys(tmp_path: Path) -> None:
    """A named column, a column of the API's CSV, an object in NDJSON: one form is sent. Numbers may be fractions."""
    path = file(tmp_path, "a.csv", b"order,truth,key.response.id\n1,,2\n,2,\n")
    named = Columns({"key.response.id": "order", "truth": "truth"})
    assert feedback(path, named) == [{"key": {"response.id": "1"}}, "order: expected a value of the join key"]
    own = file(tmp_path, "b.csv", b"key.response.id,truth\n1,2\n")
    typed = table_of(tmp_path, {"key.response.id": [1.0], "truth": [2]})
    lines = file(tmp_path, "c.ndjson", b'{"key": {"response.id": "1"}, "truth": 2}\n{"key.x": 1, "key.y": 2}')
    assert feedback(own) == [{"key": {"response.id": "1"}, "truth": 2}]
    assert feedback(typed) == [{"key": {"response.id": 1}, "truth": 2}]
    assert feedback(lines) == [{"key": {"response.id": "1"}, "truth": 2}, {"key": {"x": 1, "y": 2}}]


def test_errors_of_the_logger_name_the_column() -> None:
    assert NAMED.as_columns("truth: expected text") == "label (truth): expected text"
    assert NAMED.as_columns("truth, reward: expected one of them") == "truth, reward: expected one of them"
    assert NAMED.as_columns("Ce-Namespace: missing") == "Ce-Namespace: missing"
    by_key = Columns({"key.response.id": "order"})
    assert by_key.as_columns("key.response.id: expected a number") == "order (key.response.id): expected a number"


words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(pairs=st.lists(st.tuples(words, words), max_size=6))
def test_any_text_is_sent_as_it_is(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    """The three formats give the same feedback: with quotes, commas and line breaks."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["order", "label"], *pairs])
    paths = [
        file(tmp_path, "a.csv", text.getvalue().encode()),
        file(tmp_path, "a.ndjson", "\n".join(json.dumps({"order": a, "label": b}) for a, b in pairs).encode()),
        table_of(tmp_path, {"order": [a for a, _ in pairs], "label": [b for _, b in pairs]}) if pairs else None,
    ]
    columns = Columns(NAMED.fields, text=True)
    expected = [{"request_id": a, "truth": b} for a, b in pairs]
    assert [feedback(path, columns) for path in paths if path] == [expected] * (3 if pairs else 2)


def test_evaluations(tmp_path: Path) -> None:
    """A list in NDJSON, JSON in a cell; a thumb may be a boolean, and is text in a cell."""
    entries = [{"name": "helpful", "value": 1}]
    lines = json.dumps({"request_id": "1", "evaluations": entries}) + '\n{"request_id": "2", "thumb": true}\n'
    found = feedback(file(tmp_path, "a.ndjson", lines.encode()), Columns())
    assert found == [{"request_id": "1", "evaluations": entries}, {"request_id": "2", "thumb": True}]
    cells = b'request_id,evaluations,thumb\n1,"[{""name"": ""helpful"", ""value"": 1}]",\n2,,down\n'
    found = feedback(file(tmp_path, "a.csv", cells), Columns())
    assert found == [{"request_id": "1", "evaluations": entries}, {"request_id": "2", "thumb": "down"}]
