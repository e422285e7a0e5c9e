"""Erases events on disk: in SPOOL_DIR, what waits for FORWARD_URL, and records that were set aside.

A server may use the folder meanwhile: the spool's own transactions and lock are used. What it has already read is
found in the search engine by a second pass.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from request_logger.documents.envelope import event_json, parse_batch, parse_structured
from request_logger.documents.event import BadEventError
from request_logger.forward.disk_outbox import FOLDER
from request_logger.forward.message import Message, from_record, to_record
from request_logger.ingest.erased import ErasedIds
from request_logger.settings import Settings
from request_logger.spool import Spool, from_bytes
from request_logger.spool.observer import NullObserver

SPOOL, FORWARD, ASIDE = "spool", "forward spool", "bad records of the spool"
"""The places that are counted."""
_EVENTS, _BYTES = 500, 8 * 2**20

Verdict = Callable[[bytes], bytes | None]
"""What remains of a record: itself, another one, or None to remove it. Raises ValueError if it can't be read."""


def erase_from_disk(settings: Settings, erased: ErasedIds, *, dry_run: bool) -> dict[str, int]:
    """Remove events of erased ids from the folder of the settings; return how many there were per place.

    Raises SettingsError, sqlite3.Error and OSError.
    """
    counts: dict[str, int] = {}
    for place, folder, verdict in (
        (SPOOL, Path(settings.spool_dir), lambda record: _of_spool(record, erased)),
        (FORWARD, Path(settings.spool_dir) / FOLDER, lambda record: _of_forward(record, erased)),
    ):
        if not settings.spool_dir or not (folder / "spool.db").exists():
            continue
        found = _in_database(folder, settings.spool_max_bytes, verdict, dry_run=dry_run)
        aside = _set_aside(folder, verdict, dry_run=dry_run)
        counts[place] = counts.get(place, 0) + found
        counts[ASIDE] = counts.get(ASIDE, 0) + aside
    return {place: count for place, count in counts.items() if count}


def damaged_databases(settings: Settings) -> list[Path]:
    """Return the damaged files of spools that were set aside, which can't be searched."""
    if not settings.spool_dir:
        return []
    folder = Path(settings.spool_dir)
    return sorted([*folder.glob("bad-*.db"), *(folder / FOLDER).glob("bad-*.db")])


def _in_database(folder: Path, max_bytes: int, verdict: Verdict, *, dry_run: bool) -> int:
    spool = Spool(str(folder), max_bytes, NullObserver())
    count = after = 0
    try:
        while rows := spool.read(_EVENTS, _BYTES, after=after):
            after = rows[-1][0]
            changed = []
            for row in rows:
                left = _left(row[1], verdict)
                if left is not row[1]:
                    changed.append((row, left))
            count += len(changed)
            if not dry_run:
                # Added first, so that a crash in between leaves it twice, and not lost.
                added = spool.append_records([left for _, left in changed if left is not None])
                if any(error is not None for error in added):
                    raise OSError(f"{folder}: has no room for what remains of a batch of events")
                spool.remove([row for row, _ in changed])
        if count and not dry_run:
            spool.release()
    finally:
        spool.close()
    return count


def _set_aside(folder: Path, verdict: Verdict, *, dry_run: bool) -> int:
    count = 0
    for path in folder.glob("bad-*.bin"):
        record = path.read_bytes()
        if _left(record, verdict) is not record:
            count += 1
            if not dry_run:
                path.unlink()
    return count


def _left(record: bytes, verdict: Verdict) -> bytes | None:
    try:
        return verdict(record)
    except ValueError:
        # A damaged record, which the replay sets aside.
        return record


def _of_spool(record: bytes, erased: ErasedIds) -> bytes | None:
    return None if erased.has(from_bytes(record)) else record


def _of_forward(record: bytes, erased: ErasedIds) -> bytes | None:
    message = from_record(record)
    kind = message.headers.get("content-type", "").strip().lower()
    try:
        if kind.startswith("application/cloudevents-batch"):
            events = list(parse_batch(message.body))
            left = [event for event in events if not _is_erased(event, erased)]
            if len(left) == len(events):
                return record
            return to_record(Message(message.headers, b"[%b]" % b",".join(map(event_json, left)))) if left else None
        attributes = (
            parse_structured(message.body)
            if kind.startswith("application/cloudevents")
            else {name.removeprefix("ce-"): value for name, value in message.headers.items()}
        )
    except BadEventError:
        return record
    return None if _is_erased(attributes, erased) else record


def _is_erased(attributes: object, erased: ErasedIds) -> bool:
    if not isinstance(attributes, dict):
        return False
    lowered = {str(name).lower(): value for name, value in attributes.items()}
    return erased.has_request_id(str(lowered.get("requestid") or lowered.get("id") or ""))
