"""`request-logger check-quality`: check metrics against limits, for CronJobs and pipelines."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict

from request_logger.analytics.drop_gate import Drop, MaxDrop, Severity, check_drops
from request_logger.analytics.formatting import number
from request_logger.analytics.maturity import UnknownMaturityError
from request_logger.analytics.quality_gate import Condition, QualityError, Verdict, check
from request_logger.commands.drift import add_against
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_mature, add_selection, selection_of
from request_logger.common.json import dumps
from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note

VIOLATED, TOO_FEW, WARNED = 1, 3, 4


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
    add_against(parser, is_needed=False)
    for severity, option in (Severity.FAILURE, "--max-drop"), (Severity.WARNING, "--warn-drop"):
        status = VIOLATED if severity is Severity.FAILURE else WARNED
        parser.add_argument(
            option,
            dest="drops",
            action="append",
            type=functools.partial(_max_drop, severity=severity),
            metavar="LIMIT",
            help=f"with --against: exit with status {status} if a metric has significantly worsened by more:"
            " f1_macro=0.02, or 0.02 for the first metric of the report; repeatable",
        )
    parser.add_argument(
        "--min-pairs",
        "--min-labels",
        type=_pairs,
        default=1,
        metavar="N",
        help="exit with status 3 if there are fewer (default: 1)",
    )
    add_mature(parser)
    parser.add_argument("--scorer", default="", help="only pairs of this scorer: a name or a dotted path")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print each condition. Status 0: all hold, 1: one is violated, 3: not enough data, 4: only warnings, 2: no answer.

    Wrong usage has the status 2, too.
    """
    conditions, limits = arguments.conditions or [], arguments.drops or []
    if not conditions and not limits:
        raise CommandError(
            "check-quality: expected at least one --min METRIC=NUMBER, --max METRIC=NUMBER or --max-drop NUMBER"
        )
    if bool(limits) != bool(arguments.against):
        raise CommandError("check-quality: expected --against together with --max-drop or --warn-drop")
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    selection = selection_of(arguments, engine, settings)
    verdicts: list[Verdict] = []
    drops: list[Drop] = []
    left_out: list[dict[str, str]] = []
    asked = {"minimum": arguments.min_pairs, "scorer": arguments.scorer, "mature": arguments.mature}
    try:
        if conditions:
            verdicts, left_out = check(engine, settings, selection, conditions, **asked)
        if limits:
            drops, windows, more = check_drops(engine, settings, selection, arguments.against, limits, **asked)
            left_out += [each for each in more if each not in left_out]
    except UnknownMaturityError as error:
        reason = {"status": TOO_FEW, "conditions": [], "reason": str(error)}
        print(dumps(reason).decode() if arguments.json else f"not enough data: {error}")
        return TOO_FEW
    except QualityError as error:
        raise CommandError(str(error)) from None
    status = _status(verdicts, drops, is_complete=bool(verdicts or not conditions) and bool(drops or not limits))
    if arguments.json:
        told = {"status": status, "conditions": list(map(_as_json, verdicts)), "left_out": left_out}
        if limits:
            told |= {"against": windows.name, "drops": list(map(_drop_as_json, drops))}
        print(dumps(told).decode())
        return status
    for verdict in verdicts:
        print(_line(verdict))
    for drop in drops:
        print(_drop_line(drop))
    if not verdicts and not drops:
        print("not enough data: no scored pairs")
        tell_near(engine, settings, arguments.target)
    if left_out:
        print(left_out_note(left_out), file=sys.stderr)
    return status


def _status(verdicts: Sequence[Verdict], drops: Sequence[Drop], *, is_complete: bool) -> int:
    failed = [each for each in drops if each.holds is False]
    if any(verdict.holds is False for verdict in verdicts):
        return VIOLATED
    if any(each.limit.severity is Severity.FAILURE for each in failed):
        return VIOLATED
    if failed:
        return WARNED
    all_hold = all(verdict.holds for verdict in verdicts) and all(each.holds for each in drops)
    return 0 if is_complete and all_hold else TOO_FEW


def _drop_line(drop: Drop) -> str:
    word = "VIOLATED" if drop.limit.severity is Severity.FAILURE else "WARNING"
    result = {True: "ok", False: word, None: "not enough data"}[drop.holds]
    pairs = f"over {drop.labels[1]:,} pairs by {drop.scorer}, {drop.labels[0]:,} before"
    if drop.drop is None:
        return f"{result}: the drop of {drop.metric} {pairs}: {drop.reason}"
    spread = f" ({number(drop.low)} to {number(drop.high)})" if drop.low is not None else ""
    change = f"{number(drop.before)} to {number(drop.now)}, a drop of {number(drop.drop)}{spread}"
    return f"{result}: {drop.metric} {change} (expected <= {drop.limit.limit:g}) {pairs}"


def _drop_as_json(drop: Drop) -> dict[str, object]:
    found = {name: value for name, value in asdict(drop).items() if value not in (None, "") and name != "limit"}
    return {**found, "limit": drop.limit.limit, "severity": drop.limit.severity.value, "holds": drop.holds}


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


def _max_drop(text: str, *, severity: Severity) -> MaxDrop:
    try:
        return MaxDrop.of(text, severity)
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
