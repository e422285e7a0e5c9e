"""Reads the rows of a CSV, NDJSON or Parquet file one at a time: a file of any size takes the memory of a few.

A row that can't be read has an error, and the rows after it are read. Where the next row can't be found, as after a
broken quote in CSV, iterating raises TableError.
"""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from request_logger.common.json import parse_leniently
from request_logger.errors import CommandError

CSV, NDJSON, PARQUET = "csv", "ndjson", "parquet"
FORMATS = (CSV, NDJSON, PARQUET)
STDIN = "-"
_SUFFIXES = {".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".parquet": PARQUET}
# The default of MAX_STRUCTURED_BYTES: a logger takes no larger request.
_LONGEST_LINE = 20 * 2**20
_PARQUET_ROWS = 1_000
# Longer column names are cut in errors.
_LONGEST_NAME = 60
_MOST_NAMES = 20
_TIMES = "expected times between the years 1 and 9999"


class TableError(CommandError):
    """The file, or the rest of it, can't be read; the text is one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (in Parquet its number, from 1), and its values by column or the reason why there are none."""

    line: int
    values: dict[str, Any]
    error: str = ""


class Table(ABC):
    """The rows of a file. A context manager that closes it.

    ``columns`` are the names of the columns, None where each row has its own; ``has_cells`` says that all values are
    text; ``unit`` and ``total`` are those of `progress`, None where the size is unknown.
    """

    has_cells: ClassVar[bool] = False
    unit: ClassVar[str] = "B"

    def __init__(self, name: str, columns: tuple[str, ...] | None, total: int | None) -> None:
        self.name = name
        self.columns = columns
        self.total = total

    @abstractmethod
    def rows(self, wanted: Collection[str]) -> Iterator[Row]:
        """Yield the rows; of Parquet only with the ``wanted`` columns. Raises TableError."""

    @abstractmethod
    def progress(self) -> int:
        """Return how much has been read."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_table(name: str, form: str = "") -> Table:
    """Open a file, or standard input for ``-``; the format is by default that of its name or its first character.

    Raises TableError.
    """
    try:
        if name == STDIN:
            return _stream(name, os.fdopen(0, "rb", closefd=False), form)
        form = form or _SUFFIXES.get(Path(name).suffix.lower(), "")
        if not form:
            raise TableError(f"{name}: expected a name that ends in {', '.join(_SUFFIXES)}, or --format")
        if form == PARQUET:
            return _Parquet(name)
        return _stream(name, Path(name).open("rb"), form)
    except OSError as error:
        raise TableError(f"{name}: can't be read: {error.strerror or error}") from None


def listed(names: Collection[str]) -> str:
    """Return names of columns for an error."""
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..." for name in list(names)[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shown) + more


def _stream(name: str, reader: io.BufferedReader, form: str) -> Table:
    if form == PARQUET:
        raise TableError(f"{name}: expected a file: Parquet can't be read from a stream")
    if not form:
        form = NDJSON if reader.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else CSV
    size = Path(name).stat().st_size if name != STDIN else None
    return _Csv(name, reader, size) if form == CSV else _Ndjson(name, reader, size)


class _Stream(Table):
    """A file that is read as a stream; the progress is that of the bytes."""

    def __init__(self, name: str, stream: io.BufferedReader, columns: tuple[str, ...] | None, size: int | None) -> None:
        super().__init__(name, columns, size)
        self._stream = stream
        self._bytes = 0

    def progress(self) -> int:
        return self._bytes

    def close(self) -> None:
        self._stream.close()

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines with their ends; a longer one than _LONGEST_LINE in several pieces."""
        while line := self._stream.readline(_LONGEST_LINE):
            self._bytes += len(line)
            yield line


class _Csv(_Stream):
    has_cells: ClassVar[bool] = True

    def __init__(self, name: str, stream: io.BufferedReader, size: int | None) -> None:
        super().__init__(name, stream, None, size)
        # Bytes that are not UTF-8 become lone surrogates: only the rows that use them are rejected.
        text = (line.decode("utf-8", "surrogateescape") for line in self._lines())
        self._reader = csv.reader(text, strict=True)
        expected = "expected CSV in UTF-8 with a first line of column names"
        try:
            names = [cell.strip() for cell in next(self._reader, [])]
        except csv.Error as error:
            raise TableError(f"{name}: {expected} ({error})") from None
        if names:
            names[0] = names[0].removeprefix("\ufeff").strip()
        if not names or not all(names) or not all(map(_is_text, names)):
            raise TableError(f"{name}: {expected}, such as request_id,truth")
        if len(set(names)) < len(names):
            raise TableError(f"{name}: expected each column once in the first line")
        self.columns: tuple[str, ...] = tuple(names)

    def rows(self, wanted: Collection[str]) -> Iterator[Row]:
        reader, names = self._reader, self.columns
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise TableError(f"{self.name}: line {line}: expected CSV ({error}); the rest was not read") from None
            if cells is None:
                return
            if len(cells) == len(names):
                values = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
                if values:
                    yield Row(line, values)
            elif any(cells):
                yield Row(line, {}, f"expected {len(names)} cells, found {len(cells)}")


class _Ndjson(_Stream):
    def __init__(self, name: str, stream: io.BufferedReader, size: int | None) -> None:
        super().__init__(name, stream, None, size)

    def rows(self, wanted: Collection[str]) -> Iterator[Row]:
        number, is_rest = 1, False
        for line in self._lines():
            ended = line.endswith(b"\n")
            if not ended and len(line) == _LONGEST_LINE:
                if not is_rest:
                    yield Row(number, {}, f"expected at most {_LONGEST_LINE:,} bytes in a line")
                is_rest = True
                continue
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not is_rest and text.strip():
                yield _json_row(number, text)
            number, is_rest = number + 1, False


def _json_row(number: int, text: bytes) -> Row:
    try:
        # Whole numbers of any size stay exact.
        value = parse_leniently(text)
    except (ValueError, RecursionError):
        value = None
    return Row(number, value) if isinstance(value, dict) else Row(number, {}, "expected a JSON object")


class _Parquet(Table):
    unit: ClassVar[str] = " rows"

    def __init__(self, name: str) -> None:
        try:
            import pyarrow  # noqa: PLC0415  # of an optional extra
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError as error:
            raise TableError(
                f'Parquet needs pyarrow ({error}): run pip install "seldon-request-logger-scoring[export]"'
            ) from None
        self._arrow = pyarrow
        try:
            self._file = parquet.ParquetFile(name)
            names = self._file.schema_arrow.names
        except pyarrow.ArrowException as error:
            raise TableError(f"{name}: expected Parquet ({str(error).splitlines()[0]})") from None
        if len(set(names)) < len(names):
            raise TableError(f"{name}: expected each column once")
        super().__init__(name, tuple(names), self._file.metadata.num_rows)
        self._read = 0

    def rows(self, wanted: Collection[str]) -> Iterator[Row]:
        assert self.columns is not None
        columns = [name for name in self.columns if name in wanted]
        try:
            for batch in self._file.iter_batches(_PARQUET_ROWS, columns=columns):
                for values in _as_python(self._as_microseconds(batch)):
                    self._read += 1
                    yield Row(self._read, values or {}, "" if values is not None else _TIMES)
        except (self._arrow.ArrowException, OSError) as error:
            raise TableError(
                f"{self.name}: row {self._read + 1}: expected Parquet ({str(error).splitlines()[0]}); "
                "the rest was not read"
            ) from None

    def _as_microseconds(self, batch: Any) -> Any:
        """Python's times have microseconds; to read nanoseconds takes pandas."""
        types = self._arrow.types
        for number, column in enumerate(batch.schema):
            if types.is_timestamp(column.type) and column.type.unit == "ns":
                kind = self._arrow.timestamp("us", column.type.tz)
                batch = batch.set_column(number, column.name, batch.column(number).cast(kind, safe=False))
        return batch

    def progress(self) -> int:
        return self._read

    def close(self) -> None:
        self._file.close()


def _as_python(batch: Any) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of an Arrow batch, None for one with a time that Python doesn't have."""
    try:
        yield from batch.to_pylist()
    except OverflowError:
        # Raised before the first row was yielded.
        for number in range(batch.num_rows):
            try:
                yield from batch.slice(number, 1).to_pylist()
            except OverflowError:
                yield None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
