"""`request-logger prune`: remove old documents, or only their payloads, on search engines with or without policies."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from request_logger.analytics.conditions import selected
from request_logger.analytics.selection import Query, Selection, having
from request_logger.commands.durations import duration
from request_logger.commands.engine_access import ask, quiet_engine
from request_logger.commands.job_writer import Refusals, job_writer
from request_logger.commands.selection_args import add_chosen, add_pattern
from request_logger.common.join_keys import KEYS_INDEX
from request_logger.common.periods import end_of, with_periods
from request_logger.common.times import utc_text
from request_logger.errors import CommandError
from request_logger.jobs.remove_payloads import query_of, remove_payloads
from request_logger.logs import without_values
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import ScanError
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.indices.templates import DEAD_LETTER_INDEX, INDEX_PATTERNS

# Documents removed by one request: few enough that it ends within its timeout and leaves the engine pauses.
CHUNK = 10_000
_TIMEOUT_SECONDS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--older-than", metavar="TIME", help="remove documents that are older: hours, days or weeks, such as 36h, 90d"
    )
    parser.add_argument(
        "--payloads-older-than",
        metavar="TIME",
        help="remove payloads, instances and elements of older predictions; their metrics stay",
    )
    parser.add_argument("--dry-run", action="store_true", help="count the documents, remove nothing")
    add_chosen(parser)
    add_pattern(parser)


def run(arguments: argparse.Namespace) -> int:
    """Remove what is old. Status 0: done, 1: the search engine rejected some changes or could not read some indices,
    2: an invalid setting, no search engine, or one without delete-by-query.
    """
    settings = Settings.from_env()
    now = datetime.now(UTC)
    whole, payloads = (
        None if text is None else now - duration(option, text)
        for option, text in (
            ("--older-than", arguments.older_than),
            ("--payloads-older-than", arguments.payloads_older_than),
        )
    )
    if whole is None and payloads is None:
        raise CommandError("prune: expected --older-than, --payloads-older-than, or both")
    if arguments.target and arguments.pattern:
        raise CommandError("prune: expected --in or a pattern, not both")
    engine = quiet_engine(settings)
    chosen = _chosen(engine, settings, arguments)
    if whole is not None:
        _remove_documents(engine, settings, arguments, chosen, whole)
    return 0 if payloads is None else _remove_payloads(engine, settings, arguments, chosen, payloads, now)


def _chosen(engine: SearchEngine, settings: Settings, arguments: argparse.Namespace) -> Selection | None:
    """Return the predictions of --in and --where; None without them: not only predictions become old."""
    if not (arguments.target or arguments.where):
        return None
    return selected(engine, settings, Selection(arguments.pattern or ""), arguments.target, arguments.where)


def _remove_documents(
    engine: SearchEngine,
    settings: Settings,
    arguments: argparse.Namespace,
    chosen: Selection | None,
    before: datetime,
) -> None:
    old: Query = {"range": {"@timestamp": {"lt": utc_text(before, "milliseconds")}}}
    own = [*with_periods(KEYS_INDEX, "month"), *with_periods(settings.index_name, settings.index_period)]
    pattern = arguments.pattern or ",".join((*INDEX_PATTERNS, DEAD_LETTER_INDEX, *own))
    if chosen is not None:
        old, pattern = having(old, *chosen.filters()), chosen.indices(settings)
    total = 0
    for index in _indices(engine, pattern):
        whole = index != settings.index_name and _is_over(engine, index, before, old)
        count = _count(engine, index, old) if arguments.dry_run or whole else _remove(engine, index, old)
        if whole and not arguments.dry_run:
            ask(engine, "DELETE", f"/{quote(index, safe='')}", missing={})
        total += count
        if count or whole:
            what = f"{count:,} {'to remove' if arguments.dry_run else 'removed'}"
            print(f"{index}: {what}{', including the index' if whole else ''}", flush=True)
    what = "would be removed" if arguments.dry_run else "removed"
    print(f"{total:,} documents from before {before:%Y-%m-%d %H:%M} UTC {what}")


def _remove_payloads(
    engine: SearchEngine,
    settings: Settings,
    arguments: argparse.Namespace,
    chosen: Selection | None,
    before: datetime,
    now: datetime,
) -> int:
    selection = chosen or Selection(arguments.pattern or "")
    pattern, query = selection.indices(settings), query_of(before, selection.filters())
    if arguments.dry_run:
        total = sum(_payloads(engine, index, query) for index in _indices(engine, pattern))
        print(f"the payloads of {total:,} documents from before {before:%Y-%m-%d %H:%M} UTC would be removed")
        return 0
    refusals, bar = Refusals(), tqdm(unit=" documents", disable=None)
    with stopped_by_signals(), job_writer(engine, settings, refusals) as writer, bar:
        try:
            removed = remove_payloads(engine, writer, pattern, query, utc_text(now, "milliseconds"), bar.update)
        except (ScanError, StoreUnavailableError) as error:
            raise CommandError(f"{error}; run the command again to continue") from None
    for index, count in sorted(removed.by_index.items()):
        print(f"{index}: payloads of {count:,} removed")
    total = sum(removed.by_index.values())
    print(f"the payloads of {total:,} documents from before {before:%Y-%m-%d %H:%M} UTC removed")
    for reason in [*removed.reasons, *([refusals.reason] if refusals.count else [])]:
        print(f"  refused: {without_values(reason)[:300]}")
    if removed.left_out:
        print(left_out_note(removed.left_out), file=sys.stderr)
    return int(removed.refused + refusals.count > 0 or bool(removed.left_out))


def _payloads(engine: SearchEngine, index: str, query: Query) -> int:
    count = _count(engine, index, query)
    if count:
        print(f"{index}: payloads of {count:,} to remove")
    return count


def _is_over(engine: SearchEngine, index: str, before: datetime, old: Any) -> bool:
    """Return whether an index is of a past month or day (INDEX_PERIOD), and all its documents are old.

    No new documents are created in it, so dropping it equals deleting all of its documents, at a fraction of the cost.
    """
    end = end_of(index)
    if end is None or end > before:
        return False
    ask(engine, "POST", f"/{quote(index, safe='')}/_refresh")
    return not _count(engine, index, {"bool": {"must_not": [old]}})


def _indices(engine: SearchEngine, pattern: str) -> list[str]:
    params = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "open"}
    answer = ask(engine, "GET", f"/{quote(pattern, safe='*,')}/_settings", params=params, missing={})
    return sorted(answer)


def _count(engine: SearchEngine, index: str, query: Any) -> int:
    # No refresh is needed before: documents written since the last one aren't old.
    path = f"/{quote(index, safe='')}/_count"
    return int(ask(engine, "POST", path, {"query": query}, timeout=_TIMEOUT_SECONDS)["count"])


def _remove(engine: SearchEngine, index: str, query: Any) -> int:
    """Remove the old documents of an index; one that is changed meanwhile is checked again."""
    removed: int = 0
    params = {"conflicts": "proceed", "refresh": "true", "max_docs": str(CHUNK)}
    path = f"/{quote(index, safe='')}/_delete_by_query"
    while True:
        answer = ask(engine, "POST", path, {"query": query}, params=params, timeout=_TIMEOUT_SECONDS)
        if answer.get("failures"):
            raise CommandError(f"{index}: {str(answer['failures'][0])[:300]}")
        removed += answer["deleted"]
        # The last chunk is not full. A chunk with conflicts only would be found again for as long as writes continue.
        if answer["total"] < CHUNK or not answer["deleted"]:
            return removed
