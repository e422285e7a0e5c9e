"""`request-logger erase`: remove what is stored of a person's predictions, in all indices and on disk, audited."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from request_logger.analytics.conditions import Condition, selected
from request_logger.analytics.selection import Selection
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.job_writer import Refusals, job_writer
from request_logger.commands.selection_args import add_where
from request_logger.common.erasures import ERASURES_INDEX
from request_logger.common.json import dumps
from request_logger.common.times import utc_text
from request_logger.erasure.audit import Audit
from request_logger.erasure.disk import damaged_databases
from request_logger.erasure.erase import Erasure, Found, all_indices
from request_logger.errors import CommandError
from request_logger.logs import without_values
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import ScanError

# What arrives during a pass is found by the next one. Events of erased ids are refused by then, so two suffice.
_MOST_PASSES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--id",
        dest="ids",
        metavar="ID",
        action="append",
        default=[],
        help="a request id, the id of a batch's row (<id>-item-<row>), or a value of a key of JOIN_KEYS; repeatable",
    )
    add_where(parser)
    parser.add_argument(
        "--in",
        dest="target",
        metavar="TARGET",
        default="",
        help="with --where: only predictions of a deployment or an index; what is found is erased everywhere",
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the record; no personal data")
    parser.add_argument("--yes", action="store_true", help="erase; without it the command only counts")
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="don't wait until all loggers refuse the ids, for a second pass: run the command again instead",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Erase. Status 0: done, 1: something could not be removed or searched, 2: wrong usage, or no search engine."""
    if not arguments.ids and not arguments.where:
        raise CommandError("erase: expected --id, --where, or both")
    if not all(arguments.ids):
        raise CommandError("--id: expected an id, found an empty text")
    if arguments.target and not arguments.where:
        raise CommandError("--in: expected --where with it, since an id is erased in all indices")
    if arguments.yes and not arguments.reason.strip():
        raise CommandError("--reason: expected a text with --yes, for the record")
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    chosen = None
    if arguments.where:
        everywhere = Selection() if arguments.target else Selection(index=all_indices(settings))
        chosen = selected(engine, settings, everywhere, arguments.target, arguments.where)
    erasure = Erasure(engine, settings, arguments.ids, chosen)
    try:
        found = _erase(engine, settings, arguments, erasure) if arguments.yes else erasure.look()
    except (ScanError, StoreUnavailableError, sqlite3.Error, OSError) as error:
        again = "; run the command again to continue" if arguments.yes else ""
        raise CommandError(f"{error}{again}") from None
    damaged = damaged_databases(settings)
    found.left += [f"{path}: a damaged file, which can't be searched: delete it" for path in damaged]
    _print(arguments, erasure, found)
    return int(bool(found.left))


def _erase(engine: SearchEngine, settings: Settings, arguments: argparse.Namespace, erasure: Erasure) -> Found:
    """Remove everything, in passes until one finds nothing more."""
    now = datetime.now(UTC)
    audit = Audit(engine, uuid4().hex, now, settings.erasure_block_days)
    # Names of fields only: values may be personal.
    asked = {"ids": len(arguments.ids), "fields": [Condition.of(text).name for text in arguments.where]}
    done = Found()

    def record(state: str) -> None:
        removed = {"removed": dict(done.removed), "changed": dict(done.changed)}
        audit.record(state, arguments.reason, asked, removed)

    refusals = Refusals()
    with stopped_by_signals(), job_writer(engine, settings, refusals) as writer:
        audit.prepare()
        audit.forget_expired()
        record("running")
        for number in range(_MOST_PASSES):
            found = erasure.look()
            if number and not found.total:
                break
            passed = erasure.remove(writer, audit, utc_text(now, "milliseconds"))
            done.removed.update(passed.removed)
            done.changed.update(passed.changed)
            done.left = passed.left
            record("running")
            if arguments.no_wait:
                break
            if not number:
                _wait(settings)
        record("done")
    if refusals.count:
        done.left.append(without_values(refusals.reason))
    return done


def _wait(settings: Settings) -> None:
    """Wait until every logger has read the hashes of the ids, and has stored the events that it had accepted before."""
    if settings.erasure_poll_seconds and settings.erasure_block_days:
        seconds = settings.erasure_poll_seconds + settings.store_timeout_seconds
        print(f"waiting {seconds:g} s until all loggers refuse events of these ids", file=sys.stderr, flush=True)
        time.sleep(seconds)


def _print(arguments: argparse.Namespace, erasure: Erasure, found: Found) -> None:
    if arguments.json:
        about: dict[str, Any] = {
            "dry_run": not arguments.yes,
            "ids": len(erasure.ids),
            "removed": dict(found.removed),
            "changed": dict(found.changed),
            "left": found.left,
        }
        print(dumps(about).decode())
        return
    places = sorted({*found.removed, *found.changed})
    if places:
        width = max(map(len, ("where", *places)))
        print(f"{'where':{width}}  {'removed':>9}  {'changed':>9}")
        for place in places:
            print(f"{place:{width}}  {found.removed[place]:>9,}  {found.changed[place]:>9,}")
    what = "erased" if arguments.yes else "would be erased; --yes erases"
    print(f"{found.total:,} documents and records of {len(erasure.ids):,} ids {what}")
    if arguments.yes:
        print(f"recorded in {ERASURES_INDEX}")
    for line in found.left:
        print(f"left: {line[:300]}", file=sys.stderr)
