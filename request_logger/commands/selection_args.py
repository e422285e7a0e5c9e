"""Arguments that select stored documents, or indices."""

from __future__ import annotations

import argparse

from request_logger.analytics.conditions import selected
from request_logger.analytics.selection import Selection
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

_WHERE = (
    "only predictions with a value, such as country=DE or 'age>=30'; operators are = != >= <= > <, * in a text is a"
    " wildcard, field= selects those without the field; repeatable"
)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; by default they select all predictions."""
    group = add_chosen(parser)
    group.add_argument("--index", metavar="NAMES", default="", help="index names or globs, separated by commas")
    for name in ("namespace", "deployment", "predictor", "model"):
        group.add_argument(f"--{name}", metavar="NAME", default="", help=f"only this {name}")
    group.add_argument(
        "--from", dest="since", metavar="TIME", default="", help="start of the time range: 2026-01-31, now-7d, ..."
    )
    group.add_argument("--to", dest="until", metavar="TIME", default="", help="end of the time range, exclusive")


def add_chosen(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options for a target and for conditions; return their group."""
    group = parser.add_argument_group("which predictions (default: all)")
    group.add_argument(
        "--in",
        dest="target",
        metavar="TARGET",
        default="",
        help="a deployment (name, namespace/name, namespace/name/predictor) or an index, * is a wildcard",
    )
    add_where(group)
    return group


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``target``."""
    parser.add_argument(
        "target",
        nargs="?",
        default="",
        help="a deployment (name, namespace/name, namespace/name/predictor) or an index, * is a wildcard; default: all",
    )


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add the options for a time range, and those for conditions."""
    parser.add_argument("--from", dest="start", metavar="TIME", help="2026-01-02, 2026-01-02T03:04:05Z or now-7d")
    parser.add_argument("--to", dest="end", metavar="TIME", help="the same; exclusive")
    add_where(parser)


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add the options that select documents by time and by conditions."""
    add_period(parser)
    parser.add_argument(
        "--by-date",
        choices=("prediction", "feedback"),
        default="prediction",
        help="the date that --from, --to and --window apply to (default: prediction)",
    )


def add_mature(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out predictions whose labels have not come yet."""
    parser.add_argument(
        "--mature", action="store_true", help="only predictions that are old enough to have 95 %% of their labels"
    )


def add_where(parser: argparse._ActionsContainer) -> None:
    """Add the option for conditions on fields."""
    parser.add_argument("--where", metavar="field=value", action="append", default=[], help=_WHERE)


def selection_of(arguments: argparse.Namespace, engine: EngineReader, settings: Settings) -> Selection:
    """Return the selection that the arguments specify. Raises BadQueryError, StoreUnavailableError."""
    given = Selection(**{name: getattr(arguments, name) for name in _NAMES})
    return selected(engine, settings, given, arguments.target, arguments.where)


def deployments_of(arguments: argparse.Namespace, engine: EngineReader, settings: Settings) -> Selection:
    """Return the selection of all documents of the deployments that the arguments select some of.

    Raises BadQueryError, StoreUnavailableError.
    """
    given = Selection(**{name: getattr(arguments, name) for name in _NAMES if name not in ("since", "until")})
    return selected(engine, settings, given, arguments.target)


_NAMES = tuple(name for name in Selection.__dataclass_fields__ if name != "clauses")


def add_pattern(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``pattern``: the indices that a command is about."""
    parser.add_argument(
        "pattern",
        nargs="?",
        help="index names or globs, separated by commas (default: all that the logger writes, and INDEX_NAME)",
    )
