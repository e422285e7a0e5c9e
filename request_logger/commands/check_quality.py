"""`request-logger check-quality`: check metrics against limits, for CronJobs and pipelines."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import asdict

from request_logger.analytics.maturity import UnknownMaturityError
from request_logger.analytics.quality_gate import Condition, QualityError, Verdict, check
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.report import add_mature
from request_logger.commands.selection_args import add_selection, selection_of
from request_logger.common.json import dumps
from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note

VIOLATED, TOO_FEW = 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_selection(parser)
    for name, is_maximum in (("--min", False), ("--max", True)):
        bound = "most" if is_maximum else "least"
        parser.add_argument(
            name,
            dest="conditions",
            action="append",
            type=functools.partial(_condition, is_maximum=is_maximum),
            metavar="LIMIT",
            help=f"require a metric at {bound}: accuracy=0.9, or for a class recall[virginica]=0.8; repeatable",
        )
    parser.add_argument(
        "--min-pairs", type=_pairs, default=1, metavar="N", help="exit with status 3 if there are fewer (default: 1)"
    )
    add_mature(parser)
    parser.add_argument("--scorer", default="", help="only pairs of this scorer: a name or a dotted path")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print each condition. Status 0: all hold, 1: one is violated, 2: wrong usage or no engine, 3: not enough data."""
    if not arguments.conditions:
        raise CommandError("check-quality: expected at least one --min METRIC=NUMBER or --max METRIC=NUMBER")
    settings = Settings.from_env()
    try:
        verdicts, left_out = check(
            quiet_engine(settings),
            settings,
            selection_of(arguments),
            arguments.conditions,
            minimum=arguments.min_pairs,
            scorer=arguments.scorer,
            mature=arguments.mature,
        )
    except UnknownMaturityError as error:
        print(
            dumps({"status": TOO_FEW, "conditions": [], "reason": str(error)}).decode()
            if arguments.json
            else f"not enough data: {error}"
        )
        return TOO_FEW
    except QualityError as error:
        raise CommandError(str(error)) from None
    status = _status(verdicts)
    if arguments.json:
        conditions = [_as_json(verdict) for verdict in verdicts]
        print(dumps({"status": status, "conditions": conditions, "left_out": left_out}).decode())
    else:
        for verdict in verdicts:
            print(_line(verdict))
        if not verdicts:
            print("not enough data: no scored pairs")
        if left_out:
            print(left_out_note(left_out), file=sys.stderr)
    return status


def _status(verdicts: list[Verdict]) -> int:
    if any(verdict.holds is False for verdict in verdicts):
        return VIOLATED
    return 0 if verdicts and all(verdict.holds for verdict in verdicts) else TOO_FEW


def _line(verdict: Verdict) -> str:
    condition = verdict.condition
    sign = "<=" if condition.is_maximum else ">="
    result = {True: "ok", False: "VIOLATED", None: "not enough data"}[verdict.holds]
    value = "-" if verdict.value is None else f"{verdict.value:.6g}"
    name, limit = condition.name, condition.limit
    return f"{result}: {name} {value} (expected {sign} {limit:g}) over {verdict.pairs:,} pairs by {verdict.scorer}"


def _as_json(verdict: Verdict) -> dict[str, object]:
    return {
        **asdict(verdict.condition),
        **{name: value for name, value in asdict(verdict).items() if name != "condition"},
    }


def _condition(text: str, *, is_maximum: bool) -> Condition:
    try:
        return Condition.of(text, is_maximum=is_maximum)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pairs(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {text!r}")
    return number
