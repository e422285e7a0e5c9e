"""Exports stored pairs as a table: a data frame, Parquet or CSV.

In a notebook::

    from request_logger.export import frame
    pairs = frame(deployment="iris")

Documents are read page by page, so a file of any size takes the memory of a few pages. It needs the extra ``[export]``
(pyarrow and pandas), which nothing else uses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from request_logger.analytics.conditions import selected
from request_logger.analytics.selection import TIME, WITH_FEEDBACK, Selection, having
from request_logger.common.json import dumps
from request_logger.common.spreadsheets import without_formula
from request_logger.documents.document import Document, expand
from request_logger.documents.folds import FOLD
from request_logger.scoring.score import pair
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from scorers.base import Row

if TYPE_CHECKING:
    import pandas
    import pyarrow

NUMBER, WHOLE, TRUTH_VALUE, MOMENT, TEXT = "number", "whole number", "boolean", "time", "text"
_KINDS = {
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), NUMBER),
    **dict.fromkeys(("long", "integer", "short", "byte"), WHOLE),
    "boolean": TRUTH_VALUE,
    "date": MOMENT,
}
# The objects whose mapped fields become columns.
_TABLES = ("request.elements", "response.elements", "prediction", "metrics")
_PAIR = ("feedback", "response.instance", "response.names", "response.unindexed", "response.undecodable")
# Documents per page; with the page that is prefetched, 1,000 documents are in memory.
PAGE = 500
# Rows per row group of a Parquet file, which are in memory together.
_GROUP = 10_000


class ExportError(Exception):
    """The export is impossible; the text is one line that says why."""


class _ReadDocument:
    """A document that was read, with cached values that several columns need."""

    __slots__ = ("_pair", "hit")

    def __init__(self, hit: Hit) -> None:
        self.hit = hit
        self._pair: tuple[Row | None, Row | None] | None = None

    def pair(self) -> tuple[Row | None, Row | None]:
        """Return (truth, prediction), as `scoring.score.pair` does."""
        if self._pair is None:
            self._pair = pair(self.hit.source)
        return self._pair


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the type of its values, how to get one from a document, and the fields that this needs."""

    name: str
    kind: str
    value: Callable[[_ReadDocument], Any]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """An export. ``columns`` are globs of column names (empty: all); ``everything`` adds predictions without feedback.

    Raises ExportError where the packages are missing or no column matches a glob, ScanError where the search engine
    rejects the query, StoreUnavailableError where it does not answer.
    """

    engine: SearchEngine
    settings: Settings
    selection: Selection
    columns: tuple[str, ...] = ()
    everything: bool = False
    left_out: list[dict[str, str]] = field(default_factory=list, init=False)
    """The indices that could not be read, each with the reason; known with the first page."""

    def batches(self) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
        """Return the table's schema and its rows ordered by time, one record batch per page."""
        _, arrow = pandas_and_arrow()
        columns = self.table()
        types = {
            NUMBER: arrow.float64(),
            WHOLE: arrow.int64(),
            TRUTH_VALUE: arrow.bool_(),
            MOMENT: arrow.timestamp("ms", tz="UTC"),
            TEXT: arrow.string(),
        }
        schema = arrow.schema([(column.name, types[column.kind]) for column in columns])

        def read() -> Iterator[pyarrow.RecordBatch]:
            for hits in _prefetched(self._pages(columns)):
                page = [_ReadDocument(hit) for hit in hits]
                values = [
                    arrow.array([_CONVERT[column.kind](column.value(found)) for found in page], types[column.kind])
                    for column in columns
                ]
                yield arrow.RecordBatch.from_arrays(values, schema=schema)

        return schema, read()

    def table(self) -> list[Column]:
        """Return the wanted columns: the fixed ones, then those of the indices' mappings."""
        found = [*_COLUMNS, *_mapped(self._mappings())]
        wanted = [column for column in found if not self.columns or _matches(column.name, self.columns)]
        for glob in self.columns:
            if not any(fnmatchcase(column.name, glob) for column in found):
                names = ", ".join(column.name for column in found)
                raise ExportError(f"no column is named {glob}: there are {names}")
        return wanted

    def _mappings(self) -> list[Mapping[str, Any]]:
        path = self.selection.path(self.settings)
        status, answer = self.engine.request("GET", f"{path}/_mapping", params={"ignore_unavailable": "true"})
        if status >= 500 or status == 429 or (status == 200 and not isinstance(answer, dict)):
            raise StoreUnavailableError(f"the search engine answered {status} to a request for a mapping")
        found = [each.get("mappings") for each in answer.values() if isinstance(each, dict)] if status == 200 else []
        return [mapping for mapping in found if isinstance(mapping, dict)]

    def _pages(self, columns: Sequence[Column]) -> Iterator[list[Hit]]:
        filters = [*([] if self.everything else [WITH_FEEDBACK]), *self.selection.filters()]
        fields = sorted({path for column in columns for path in column.fields})
        path = self.selection.path(self.settings)
        # Only a single slice is ordered by time throughout.
        with Scan(self.engine, path, having(*filters), source=fields or False, page=PAGE) as scan:
            self.left_out.extend(scan.left_out.as_json())
            yield from scan.pages()


def frame(
    *,
    columns: Sequence[str] = (),
    everything: bool = False,
    settings: Settings | None = None,
    target: str = "",
    where: Sequence[str] = (),
    **selection: str,
) -> pandas.DataFrame:
    """Return stored pairs as a pandas data frame, one row per prediction that has feedback, the oldest first.

    ``target`` and ``where`` are as in the commands: ``"demo/iris"``, ``["country=DE", "age>=30"]``. ``selection`` are
    the other fields of `Selection`: deployment, namespace, predictor, model, index, since, until.
    ``columns`` are globs of column names (default: all), ``everything`` adds the predictions without feedback.
    ``settings`` locate the search engine (default: from the environment). Raises as `Export` does.
    """
    known = settings or Settings.from_env()
    engine = SearchEngine(known)
    given: dict[str, Any] = dict(selection)
    chosen = selected(engine, known, Selection(**given), target, where)
    schema, batches = Export(engine, known, chosen, tuple(columns), everything).batches()
    made: pandas.DataFrame = pandas_and_arrow()[1].Table.from_batches(list(batches), schema).to_pandas()
    return made


def write_parquet(export: Export, path: Path) -> int:
    """Write a Parquet file atomically and return the number of rows. Raises as `Export` does, and OSError."""
    pandas_and_arrow()
    import pyarrow.parquet  # noqa: PLC0415  # of an optional extra

    schema, batches = export.batches()
    with _atomic_file(path) as file, pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = 0
        for group in _row_groups(batches):
            writer.write_table(pyarrow.Table.from_batches(group, schema))
            rows += sum(batch.num_rows for batch in group)
    return rows


def write_csv(export: Export, to: Path | BinaryIO) -> int:
    """Write a CSV file atomically, or to an open file, and return the number of rows. Raises as `write_parquet` does.

    Text that a spreadsheet would read as a formula is prefixed with an apostrophe.
    """
    _, arrow = pandas_and_arrow()
    import pyarrow.csv  # noqa: PLC0415  # of an optional extra

    schema, batches = export.batches()
    schema = arrow.schema([field.with_name(without_formula(field.name)) for field in schema])
    opened = _atomic_file(to) if isinstance(to, Path) else contextlib.nullcontext(to)
    with opened as file, pyarrow.csv.CSVWriter(file, schema) as writer:
        rows = 0
        for batch in batches:
            columns = [_without_formulas(column) for column in batch.columns]
            writer.write_batch(arrow.RecordBatch.from_arrays(columns, schema=schema))
            rows += batch.num_rows
    return rows


def _without_formulas(column: Any) -> Any:
    """Return a column of a batch with `without_formula` applied to its texts."""
    import pyarrow  # noqa: PLC0415  # of an optional extra

    if not pyarrow.types.is_string(column.type):
        return column
    cells = column.to_pylist()
    return pyarrow.array([cell and without_formula(cell) for cell in cells], column.type)


def _prefetched(pages: Iterator[list[Hit]]) -> Iterator[list[Hit]]:
    """Yield the pages, reading the next one in a thread while the caller processes the current one."""
    with ThreadPoolExecutor(1, thread_name_prefix="export") as thread:
        next_page = thread.submit(next, pages, None)
        while (page := next_page.result()) is not None:
            next_page = thread.submit(next, pages, None)
            yield page


def _row_groups(batches: Iterator[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if sum(each.num_rows for each in group) >= _GROUP:
            yield group
            group = []
    if group:
        yield group


@contextlib.contextmanager
def _atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` only after everything is written."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def pandas_and_arrow() -> tuple[Any, Any]:
    """Return the two modules. Raises ExportError where one is missing."""
    try:
        import pandas  # noqa: PLC0415  # of an optional extra
        import pyarrow  # noqa: PLC0415
    except ImportError as error:
        raise ExportError(
            f'an export needs pyarrow and pandas ({error}): run pip install "seldon-request-logger-scoring[export]"'
        ) from None
    return pandas, pyarrow


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _at(*path: str) -> Callable[[_ReadDocument], Any]:
    def value(document: _ReadDocument) -> Any:
        return _get(document.hit.source, path)

    return value


def _single(*path: str) -> Callable[[_ReadDocument], Any]:
    """As `_at`, with a list of one element unwrapped: most documents are a true positive of one class only."""

    def value(document: _ReadDocument) -> Any:
        found = _get(document.hit.source, path)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    return value


def _get(document: Document, path: Sequence[str]) -> Any:
    found: Any = document
    for name in path:
        if not isinstance(found, dict):
            return None
        # A value that could not be indexed is in the document's ``unindexed`` text.
        found = (expand(found) if "unindexed" in found else found).get(name)
    return found


def _instance(part: str) -> Column:
    return Column(part, TEXT, _at(part, "instance"), (f"{part}.instance", f"{part}.unindexed"))


def _side(number: int) -> Callable[[_ReadDocument], Any]:
    def value(document: _ReadDocument) -> Any:
        row = document.pair()[number]
        return None if row is None else row.value

    return value


_COLUMNS = (
    Column("index", TEXT, lambda document: document.hit.index, ()),
    Column("id", TEXT, lambda document: document.hit.id, ()),
    Column("time", MOMENT, lambda document: document.hit.time, (TIME,)),
    Column("namespace", TEXT, _at("Ce-Namespace"), ("Ce-Namespace",)),
    Column("deployment", TEXT, _at("Ce-Inferenceservicename"), ("Ce-Inferenceservicename",)),
    Column("predictor", TEXT, _at("Ce-Endpoint"), ("Ce-Endpoint",)),
    Column("model", TEXT, _at("Ce-Modelid"), ("Ce-Modelid",)),
    Column("request_id", TEXT, _at("RequestId"), ("RequestId",)),
    Column(FOLD, WHOLE, _at(FOLD), (FOLD,)),
    _instance("request"),
    Column("names", TEXT, _at("response", "names"), ("response.names", "response.unindexed")),
    Column("prediction", TEXT, _side(1), _PAIR),
    Column("truth", TEXT, _side(0), _PAIR),
    Column("reward", NUMBER, _at("feedback", "reward"), ("feedback.reward", "feedback.unindexed")),
    Column("feedback_time", MOMENT, _at("feedback", "ce-time"), ("feedback.ce-time",)),
)


def _mapped(mappings: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    """Yield a column per element and per metric of the mappings."""
    for table in _TABLES:
        path = table.split(".")
        kinds: dict[str, str] = {}
        for mapping in mappings:
            found: Any = mapping
            for name in path:
                found = found.get("properties", {}).get(name, {})
            for column, about in found.get("properties", {}).items():
                kind = _KINDS.get(about.get("type", ""), TEXT)
                known = kinds.setdefault(column, kind)
                if known != kind:
                    # The type differs between indices.
                    kinds[column] = NUMBER if {known, kind} <= {NUMBER, WHOLE} else TEXT
        for column, kind in kinds.items():
            if column in ("unindexed", "unindexed_reason"):
                continue
            refused = f"{path[0]}.unindexed"
            yield Column(f"{table}.{column}", kind, _single(*path, column), (f"{table}.{column}", refused))


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        with contextlib.suppress(OverflowError):
            return float(value)
    return None


def _whole_number(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**63 else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value / 1000, UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode("utf-8", "replace").decode()
    return dumps(value).decode()


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    NUMBER: _number,
    WHOLE: _whole_number,
    TRUTH_VALUE: _boolean,
    MOMENT: _moment,
    TEXT: _text,
}
