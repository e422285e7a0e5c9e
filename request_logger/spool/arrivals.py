"""When the spool's events were added, to the second: what the age of the oldest event is computed from.

The time isn't part of a record, so that earlier versions can read the records of this one. A mark is kept about once
per second, not per event: its row would cost as much as the event's own.
"""

from __future__ import annotations

import sqlite3
import time

SCHEMA = "CREATE TABLE IF NOT EXISTS arrivals (first INTEGER PRIMARY KEY, time REAL NOT NULL)"
# The precision of the ages. Alerts on the age are about minutes.
_MARK_EVERY_SECONDS = 1.0


class Arrivals:
    """Notes arrival times in a table of the spool's database. Not thread-safe: the caller holds the spool's lock."""

    def __init__(self) -> None:
        self._marked_at = 0.0
        # The age of events without a mark, of an earlier version or a damaged file, counts from here.
        self._opened_at = time.time()

    def added(self, db: sqlite3.Connection, number: int) -> None:
        """Note that the events from ``number`` on were added now. Raises sqlite3.Error."""
        now = time.time()
        # A clock that was set back must not end the marks.
        if abs(now - self._marked_at) >= _MARK_EVERY_SECONDS:
            db.execute("INSERT OR REPLACE INTO arrivals VALUES (?, ?)", (number, now))
            self._marked_at = now

    def forget_removed(self, db: sqlite3.Connection) -> None:
        """Drop the marks of events that were removed. Raises sqlite3.Error."""
        db.execute(
            "DELETE FROM arrivals WHERE first < (SELECT MAX(first) FROM arrivals WHERE first <= "
            "COALESCE((SELECT MIN(id) FROM events), (SELECT MAX(first) FROM arrivals)))"
        )

    def oldest_age(self, db: sqlite3.Connection) -> float:
        """Return the age of the oldest event in seconds, 0 if there is none. Raises sqlite3.Error."""
        (oldest,) = db.execute("SELECT MIN(id) FROM events").fetchone()
        if oldest is None:
            return 0.0
        mark = "SELECT time FROM arrivals WHERE first <= ? ORDER BY first DESC LIMIT 1"
        (added_at,) = db.execute(mark, (oldest,)).fetchone() or (self._opened_at,)
        return max(time.time() - added_at, 0.0)
