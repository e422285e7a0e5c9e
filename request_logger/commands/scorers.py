"""`request-logger scorers`: list the scorers."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from request_logger.errors import CommandError
from request_logger.scoring.registry import ScorerError, registered, scorer_class


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("names", nargs="*", metavar="name", help="names of scorers (default: all registered scorers)")


def run(arguments: argparse.Namespace) -> int:
    """Print the purpose of each scorer, its options, the fields that it writes, and the metrics computed from them."""
    for name in arguments.names or sorted(registered()):
        try:
            found = scorer_class(name)
        except ScorerError as error:
            if arguments.names:
                raise CommandError(str(error)) from None
            # Another package's broken plugin must not hide the rest.
            print(f"{name}\n  {error}\n")
            continue
        print("\n".join([name, *(f"  {line}" for line in _describe(found)), ""]))
    return 0


def _describe(scorer: type[Any]) -> Iterator[str]:
    yield (scorer.__doc__ or "").strip().partition("\n")[0]
    if is_dataclass(scorer):
        for option in fields(scorer):
            default = "" if option.default is MISSING else f" = {option.default!r}"
            yield f"option  {option.name}: {option.type}{default}"
    metrics = getattr(scorer, "metrics", ())
    written = {name for metric in metrics for need in metric.needs.values() for name in _fields_of(need)}
    if metrics:
        yield f"fields  {', '.join(sorted(written))}"
        yield f"metrics {', '.join(metric.name for metric in metrics)}"


def _fields_of(need: Any) -> Iterator[str]:
    """Yield the fields that an aggregation reads."""
    for attribute in ("field", "fields", "by"):
        value = getattr(need, attribute, None)
        if value:
            yield from (value,) if isinstance(value, str) else value
