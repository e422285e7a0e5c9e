"""One upload: rows in chunks to the logger, a fate for each, and a state from which a killed one continues."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from request_logger.common.json import literal
from request_logger.common.times import utc_text
from request_logger.errors import CommandError
from request_logger.upload.client import Fate, FeedbackClient, Verdict
from request_logger.upload.columns import TIME, Columns, RowError
from request_logger.upload.state import Counts, Fingerprint, Rejects, State
from request_logger.upload.tables import Row, Table, TableError

# Requests under way: while a logger stores one it can read the next.
_CONNECTIONS = 2
# Bytes of one request: well below the default of MAX_STRUCTURED_BYTES.
_CHUNK_BYTES = 4 * 2**20


@dataclass(slots=True)
class Sent:
    """A row as it is sent; ``error`` if it can't be."""

    line: int
    feedback: dict[str, Any] | None
    body: bytes
    error: str = ""


@dataclass(slots=True)
class Chunk:
    """Consecutive rows that are sent together, and the fingerprint of the file up to its end."""

    rows: list[Sent] = field(default_factory=list)
    size: int = 0
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A table, and which of its columns are sent as what; ``known`` are all fields of feedback."""

    table: Table
    columns: Columns
    known: tuple[str, ...]

    def wanted(self) -> tuple[str, ...]:
        """Return the table's columns that are sent. Raises TableError where there are others, or one is missing."""
        return self.columns.wanted(self.table, self.known)

    def sent(self, since: str) -> Iterator[tuple[Sent, bytes]]:
        """Yield each row as it is sent, and its bytes for a `Fingerprint`. Raises TableError.

        A row without a time gets ``since`` and a microsecond per row before it: of two rows for one prediction the
        later is kept, and a row that is sent twice is the same.
        """
        start = datetime.fromisoformat(since)
        for number, row in enumerate(self.table.rows(self.wanted())):
            feedback, error = self._feedback(row)
            if feedback is None:
                yield Sent(row.line, None, b"", error), error.encode()
                continue
            body = literal(feedback)
            if TIME not in feedback:
                feedback[TIME] = utc_text(start + timedelta(microseconds=number), "microseconds")
                yield Sent(row.line, feedback, literal(feedback)), body
            else:
                yield Sent(row.line, feedback, body), body

    def _feedback(self, row: Row) -> tuple[dict[str, Any] | None, str]:
        if row.error:
            return None, row.error
        try:
            return self.columns.feedback(row.values, cells=self.table.has_cells), ""
        except RowError as error:
            return None, str(error)
        except RecursionError:
            return None, "expected fewer levels of lists and objects"


class Upload:
    """Uploads the rows of a source. ``told`` is called after each chunk; ``most_rows`` are the rows of one request.

    Some chunks are under way at once; their fates are saved in the order of the file.
    """

    def __init__(
        self,
        source: Source,
        client: FeedbackClient,
        state: State,
        rejects: Rejects,
        about: Sequence[Any],
        *,
        most_rows: int,
        told: Callable[[Counts], None],
    ) -> None:
        self._source = source
        self._client = client
        self._state = state
        self._rejects = rejects
        self._about = about
        self._most_rows = most_rows
        self._told = told

    def run(self, stop: threading.Event) -> Counts:
        """Upload all rows whose fate isn't known yet; ``stop`` is set when it ends.

        Raises TableError, UploadError, and CommandError for a state of another file or files that can't be written.
        """
        # Written first: a folder that can't be written to is an error before anything is sent.
        self._state.save()
        under_way: deque[tuple[Chunk, Future[list[Verdict]]]] = deque()
        problem: CommandError | None = None
        with ThreadPoolExecutor(_CONNECTIONS, "upload") as pool, closing(self._rejects):
            try:
                chunks = self._chunks()
                while True:
                    try:
                        chunk = next(chunks, None)
                    except CommandError as error:
                        # The rows before the one that can't be read are sent.
                        problem, chunk = error, None
                    if chunk is None:
                        break
                    if len(under_way) > _CONNECTIONS:
                        self._settle(*under_way.popleft())
                    under_way.append((chunk, pool.submit(self._send, chunk)))
                while under_way:
                    self._settle(*under_way.popleft())
            finally:
                stop.set()
                if not self._state.counts.rows:
                    self._state.forget()
        if problem is not None:
            raise problem
        self._state.forget()
        return self._state.counts

    def _send(self, chunk: Chunk) -> list[Verdict]:
        return self._client.send([row.body for row in chunk.rows if not row.error])

    def _chunks(self) -> Iterator[Chunk]:
        """Yield the rows whose fate isn't known yet. Raises what reading them raises, after the rows before."""
        prints = Fingerprint(self._about)
        rows = self._source.sent(self._state.started)
        self._skip(rows, prints)
        chunk, problem = Chunk(), None
        try:
            for sent, raw in rows:
                prints.add(raw)
                chunk.rows.append(sent)
                chunk.size += len(sent.body)
                if len(chunk.rows) >= self._most_rows or chunk.size >= _CHUNK_BYTES:
                    chunk.fingerprint = prints.text()
                    yield chunk
                    chunk = Chunk()
        except TableError as error:
            problem = error
        if chunk.rows:
            chunk.fingerprint = prints.text()
            yield chunk
        if problem is not None:
            raise problem

    def _skip(self, rows: Iterator[tuple[Sent, bytes]], prints: Fingerprint) -> None:
        """Read the rows whose fate is known. Raises CommandError where they are not those of the state."""
        known, found = self._state.counts.rows, 0
        for _, raw in islice(rows, known):
            prints.add(raw)
            found += 1
        if known and (found < known or prints.text() != self._state.fingerprint):
            raise self._changed()

    def _changed(self) -> CommandError:
        return CommandError(
            f"{self._state.path}: is the state of another upload, or {self._source.table.name} has changed: remove it "
            "to start over"
        )

    def _settle(self, chunk: Chunk, sent: Future[list[Verdict]]) -> None:
        """Wait for a chunk, and save the fates of its rows. Raises UploadError."""
        verdicts = iter(sent.result())
        for row in chunk.rows:
            verdict = Verdict(Fate.REJECTED, row.error) if row.error else next(verdicts)
            self._state.counts.add(verdict.fate)
            if verdict.fate is not Fate.ACCEPTED:
                named = Verdict(verdict.fate, self._source.columns.as_columns(verdict.error))
                self._rejects.add(row.line, named, row.feedback)
        self._rejects.flush()
        self._state.fingerprint = chunk.fingerprint
        self._state.rejects_bytes = self._rejects.size
        self._state.save()
        self._told(self._state.counts)
