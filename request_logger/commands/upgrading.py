"""Upgrades indices of earlier versions: the part of `request-logger setup` that copies them."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

from fnmatch import fnmatchcase

from request_logger.commands.check import inspect, installed_template
from request_logger.common.periods import with_periods
from request_logger.errors import CommandError
from request_logger.jobs.upgrade_index import UpgradeIndex, begun_copies
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import INDEX_PATTERNS


def upgrade(engine: SearchEngine, settings: Settings, pattern: str, *, dry_run: bool) -> None:
    """Copy the indices of a pattern (empty: all of the logger) that have older types, one at a time.

    Raises CommandError and StoreUnavailableError; the same command then continues.
    """
    pattern = pattern or ",".join((*INDEX_PATTERNS, *with_periods(settings.index_name, settings.index_period)))
    template = installed_template(engine)
    begun = begun_copies(engine, pattern)
    sources = {source for source, is_replaced in begun.values() if not is_replaced}
    older = [
        index
        for index in inspect(engine, pattern, template.get("template", {}))
        if index.is_older or index.name in sources
    ]
    for index in older:
        if not any(fnmatchcase(f"{index.name}.v2", each) for each in template.get("index_patterns", [])):
            raise CommandError(f"--upgrade: {index.name} has no index template of the logger: expected its own indices")
    for index in older:
        if dry_run:
            print(f"{index.name}: {index.documents:,} documents would be copied to a new index")
    with stopped_by_signals():
        for target, (source, is_replaced) in begun.items():
            if is_replaced and not dry_run:
                UpgradeIndex(engine, source, _tell).finish(target)
        if not dry_run:
            for index in older:
                UpgradeIndex(engine, index.name, _tell).run()
    if not older:
        print("no index has older types")


def _tell(line: str) -> None:
    print(line, flush=True)
