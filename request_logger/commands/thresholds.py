"""`request-logger thresholds`: show precision, recall and value of a binary classifier by threshold, and the best."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.formatting import number, percent
from request_logger.analytics.thresholds.cells import Costs
from request_logger.analytics.thresholds.gauges import exposition
from request_logger.analytics.thresholds.report import Options, Report, make_thresholds
from request_logger.analytics.thresholds.text import NAMES, sentences, threshold
from request_logger.commands import deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.figure_forms import add_textfile, show
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_span, add_target
from request_logger.commands.text_table import table
from request_logger.settings import Settings

# The table has about this many of the up to 101 thresholds; --json has all.
_MOST_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_span(parser)
    parser.add_argument(
        "--cost",
        metavar="VALUES",
        default="",
        help="the value of one prediction by its outcome, a cost is negative: tp=0,fp=-1,fn=-10,tn=0; default: by F1",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    add_textfile(form)


def run(arguments: argparse.Namespace) -> int:
    """Print the thresholds. Status 0: done, 1: no predictions with a probability and feedback, 2: invalid arguments."""
    costs = Costs.of(arguments.cost) if arguments.cost else None
    settings = Settings.from_env()
    options = Options(
        arguments.target, arguments.start, arguments.end, arguments.by_date, costs, tuple(arguments.where)
    )
    engine = quiet_engine(settings)
    found = make_thresholds(engine, settings, options)
    if not (found["tasks"] or "deployments" in found):
        tell_near(engine, settings, arguments.target)
    if arguments.textfile:
        deployments.require_one(found, "--textfile")
    show(arguments, found, exposition, lines)
    return int(not any("thresholds" in task for task in found["tasks"]))


def lines(found: Report) -> Iterator[str]:
    """Yield the thresholds as lines of text."""
    if "deployments" in found:
        yield from deployments.lines(found)
        return
    if not found["tasks"]:
        yield "No scored predictions with a probability of two classes."
    for task in found["tasks"]:
        yield f"{task['scorer']}: {task['documents']:,} scored"
        if "reason" in task:
            yield f"No thresholds: {task['reason']}."
        else:
            yield from _task(task)
    yield from (f"Note: {note}" for note in found["notes"])


def _task(task: Report) -> Iterator[str]:
    best = task["best"]
    by = best["by"]
    rows = [_row(each, by) for each in _chosen(task["thresholds"], best["threshold"])]
    yield table(["threshold", "positive", "precision", "recall", "F1", *(["value"] if by == "value" else [])], rows)
    yield ""
    yield from sentences(task)
    if "no_interval" in best:
        yield f"No range of the best threshold: {best['no_interval']}."
    else:
        ends = f"{threshold(best['threshold_low'])} to {threshold(best['threshold_high'])}"
        yield f"95 % of samples of the folds have their best threshold from {ends}."
        yield f"On documents that it was not chosen by, its {NAMES[by]} is {_interval(best, 'elsewhere')}."
        yield (
            f"The threshold in use has {number(task['current'].get(by))}; the best one gains {_interval(best, 'gain')}."
        )
    yield f"No threshold, not even one between two bins, has a {NAMES[by]} over {number(best['most_possible'])}."


def _interval(found: Report, name: str) -> str:
    return f"{number(found[name])} ({number(found[f'{name}_low'])} to {number(found[f'{name}_high'])})"


def _row(found: Report, by: str) -> list[str]:
    positive = found["tp"] + found["fp"]
    cells: list[Any] = [found.get(name) for name in ("precision", "recall", "f1")]
    share = percent(positive / sum(found[name] for name in ("tp", "fp", "fn", "tn")))
    values = [number(found["value"])] if by == "value" else []
    return [threshold(found["threshold"]), share, *map(number, cells), *values]


def _chosen(rows: list[Report], best: float | None) -> list[Report]:
    """Return about _MOST_ROWS of some thresholds, at equal distances, with the best one."""
    step = -(-len(rows) // _MOST_ROWS)
    return [each for k, each in enumerate(rows) if k % step == 0 or each["threshold"] == best]
