"""One backfill: the entries of archives through the ingest pipeline in chunks, with retries and a saved position."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from request_logger.backfill.files import files
from request_logger.backfill.reader import ArchiveError, Value, event_of, values, written_at
from request_logger.backfill.state import Counts, Fate, Position, State
from request_logger.documents.event import BadEventError, Event, IgnoredEventError
from request_logger.errors import CommandError
from request_logger.ingest.access import ForbiddenEventError
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import Documents
from request_logger.logs import without_values
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival

log = logging.getLogger(__name__)

# As many entries as fill a _bulk, and bytes well below MAX_PENDING_BYTES.
_CHUNK_ENTRIES = 1_000
_CHUNK_BYTES = 4 * 2**20
# While the search engine stores one chunk, the next is decoded.
_CHUNKS_UNDER_WAY = 2
# What the writer holds is waited for, at most this long, before room is asked for once more.
_ROOM_SECONDS = 0.05
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


@dataclass(slots=True)
class Entry:
    """An entry of an archive that is under way."""

    file: Path
    line: int
    event: Event | None = None
    stored: Future[Documents | None] | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Chunk:
    """Consecutive entries, and the position after them."""

    entries: list[Entry] = field(default_factory=list)
    size: int = 0
    position: Position = field(default_factory=Position)
    bad_files: int = 0


class Backfill:
    """Stores the entries of archives.

    ``told`` is called after each chunk, ``say`` receives one line per bad entry or outage. ``patience``: how long
    nothing may be stored until it gives up (seconds). ``sleep`` waits for some seconds.
    """

    def __init__(
        self,
        pipeline: IngestPipeline,
        settings: Settings,
        state: State,
        *,
        patience: float,
        told: Callable[[State], None],
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._state = state
        self._patience = patience
        self._told = told
        self._say = say
        self._sleep = sleep

    def run(self, paths: Sequence[str]) -> Counts:
        """Store all entries whose fate isn't known yet.

        Raises CommandError where the search engine takes nothing in time, or the state fits no file.
        """
        # Written first: a folder that can't be written to is an error before anything is stored.
        self._state.save()
        under_way: deque[Chunk] = deque()
        for chunk in self._chunks(paths):
            for entry in chunk.entries:
                self._submit(entry, under_way)
            under_way.append(chunk)
            if len(under_way) > _CHUNKS_UNDER_WAY:
                self._settle(under_way.popleft())
        while under_way:
            self._settle(under_way.popleft())
        self._state.forget()
        return self._state.counts

    def _chunks(self, paths: Sequence[str]) -> Iterator[Chunk]:
        """Yield the entries after the state's position, read and checked."""
        start = self._state.position
        chunk, is_found = Chunk(), not start.file
        for path in files(paths):
            is_start = not is_found and str(path) == start.file
            is_found = is_found or is_start
            if not is_found:
                continue
            done, time_of_file = start.entries if is_start else 0, written_at(path)
            number = 0
            with closing(values(path)) as found:
                try:
                    for number, (line, value) in enumerate(found, 1):
                        if number <= done:
                            continue
                        chunk.entries.append(self._entry(path, line, value, time_of_file))
                        event = chunk.entries[-1].event
                        chunk.size += event.body.size if event is not None and event.body.raw is not None else 0
                        if len(chunk.entries) >= _CHUNK_ENTRIES or chunk.size >= _CHUNK_BYTES:
                            chunk.position = Position(str(path), number)
                            yield chunk
                            chunk = Chunk()
                except (ArchiveError, CommandError) as error:
                    chunk.bad_files += 1
                    self._say(str(error) if isinstance(error, CommandError) else f"{path}: {error}")
            chunk.position = Position(str(path), number)
        if not is_found:
            raise CommandError(
                f"{self._state.path}: names {start.file}, which is not among the files now: remove it to start over"
            )
        yield chunk

    def _entry(self, path: Path, line: int, value: Value, time_of_file: str) -> Entry:
        entry = Entry(path, line)
        try:
            event, redacted_by = event_of(value, self._settings, time_of_file)
            entry.event = self._pipeline.redact(self._pipeline.admit(event), redacted_by)
        except Exception as error:
            entry.error = error
        return entry

    def _submit(self, entry: Entry, under_way: deque[Chunk]) -> None:
        """Queue an entry's event. Where there is no room, it waits for what is under way. Raises CommandError."""
        if entry.event is None:
            return
        until = time.monotonic() + self._patience
        while True:
            try:
                entry.stored = self._pipeline.submit(entry.event, Arrival.IN_BULK)
                return
            except StoreUnavailableError as error:
                if under_way:
                    self._settle(under_way.popleft())
                elif time.monotonic() >= until:
                    raise self._given_up(error) from None
                else:
                    # What the writer holds is of this chunk.
                    self._sleep(_ROOM_SECONDS)
            except Exception as error:
                entry.error = error
                return

    def _settle(self, chunk: Chunk) -> None:
        """Wait until the fate of each entry is known, and save it. Raises CommandError."""
        self._store([entry for entry in chunk.entries if entry.error is None])
        for entry in chunk.entries:
            fate = _fate(entry.error)
            self._state.counts.fates[fate] += 1
            if fate is Fate.REJECTED:
                self._say(f"{entry.file}: line {entry.line}: {_reason(entry.error)}")
        self._state.counts.bad_files += chunk.bad_files
        self._state.position = chunk.position
        self._state.save()
        self._told(self._state)

    def _store(self, entries: list[Entry]) -> None:
        until, pause = time.monotonic() + self._patience, _FIRST_WAIT
        while entries:
            sent = [
                (entry.event, entry.stored) for entry in entries if entry.event is not None and entry.stored is not None
            ]
            results = self._pipeline.wait_all(sent)
            left: list[Entry] = []
            for entry, result in zip(entries, results, strict=True):
                if isinstance(result, StoreUnavailableError):
                    left.append(entry)
                elif isinstance(result, Exception):
                    entry.error = result
            if len(left) < len(entries):
                until, pause = time.monotonic() + self._patience, _FIRST_WAIT
            entries = left
            if entries:
                error = next(result for result in results if isinstance(result, StoreUnavailableError))
                if time.monotonic() >= until:
                    raise self._given_up(error)
                self._say(f"{without_values(str(error))}; retrying")
                self._sleep(pause)
                pause = min(2 * pause, _LONGEST_WAIT)
                for entry in entries:
                    self._submit(entry, deque())
                entries = [entry for entry in entries if entry.error is None]

    def _given_up(self, error: StoreUnavailableError) -> CommandError:
        why = without_values(str(error))
        return CommandError(f"{why}; given up after {self._patience:.0f} s, run the command again later")


def _fate(error: Exception | None) -> Fate:
    if error is None:
        return Fate.STORED
    return Fate.LEFT_OUT if isinstance(error, IgnoredEventError) else Fate.REJECTED


def _reason(error: Exception | None) -> str:
    """Return why an entry is rejected, without its values."""
    if isinstance(error, RejectedError):
        return without_values(str(error))
    if isinstance(error, (BadEventError, ForbiddenEventError)):
        return str(error)
    log.error("an event could not be handled", exc_info=error)
    return f"internal error ({type(error).__name__})"
