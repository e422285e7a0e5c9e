"""`request-logger compare`: tell which of two predictors or models is better, with significance."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.contrasts import Form
from request_logger.analytics.formatting import number, p_value, words
from request_logger.analytics.paired_samples import WAYS
from request_logger.analytics.report import Report
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.report import add_span
from request_logger.commands.text_table import table
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("a", metavar="A", help="one predictor or model")
    parser.add_argument("b", metavar="B", help="the other")
    parser.add_argument(
        "--in",
        dest="target",
        metavar="TARGET",
        default="",
        help="a deployment (name, namespace/name) or an index, * is a wildcard; default: all",
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        default="",
        help="the field with the values A and B: predictor, model, deployment, version, a tag, a header...",
    )
    parser.add_argument(
        "--metric", metavar="NAME", default="", help="the metric that decides; default: accuracy, mse, ..."
    )
    parser.add_argument(
        "--pair",
        choices=WAYS,
        default="auto",
        help="pair documents by request id (as from a shadow; auto: if there are any), by equal rows, or not",
    )
    parser.add_argument(
        "--fixed-n",
        dest="form",
        action="store_const",
        const=Form.FIXED,
        default=Form.SEQUENTIAL,
        help="test for one look at a number of documents chosen beforehand; default: valid for a look every day",
    )
    parser.add_argument(
        "--detect",
        type=_delta,
        metavar="DELTA",
        help="calculate the size that shows a difference of DELTA in the deciding metric with a probability of 80 %%",
    )
    parser.add_argument(
        "--split",
        metavar="A:B",
        default="",
        help="how the traffic is split, such as 90:10; default: 50:50 for shadows and for groups of about equal size",
    )
    add_span(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison. Status 0: they differ, 1: no difference could be shown, 2: invalid arguments."""
    settings = Settings.from_env()
    comparison = Comparison(
        arguments.a,
        arguments.b,
        arguments.target,
        arguments.by,
        arguments.metric,
        arguments.start,
        arguments.end,
        arguments.by_date,
        arguments.pair,
        arguments.form,
        arguments.detect,
        arguments.split,
    )
    found = compare(quiet_engine(settings), settings, comparison)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(lines(found)))
    return int(not found["verdict"]["differ"])


def _delta(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return number


_FORMS = {
    Form.SEQUENTIAL: "Intervals and p-values hold for a look every day (confidence sequence; --fixed-n for one look).",
    Form.FIXED: "Intervals and p-values hold for one look, at a number of documents that was chosen beforehand.",
}


def lines(found: Report) -> Iterator[str]:
    """Yield the comparison as lines of text."""
    a, b = found["a"], found["b"]
    yield (
        f"{a['name']} ({a['documents']:,} of {a['predictions']:,} scored) against"
        f" {b['name']} ({b['documents']:,} of {b['predictions']:,} scored) by {found['by']}, scorer {found['scorer']}"
    )
    yield table(["metric", a["name"], b["name"], "difference", "95 % interval", "p", "test"], list(_rows(found)))
    yield ""
    yield _FORMS[Form(found["form"])]
    yield from _notes(found)
    yield from _pairs(found)
    yield from (f"Warning: {warning}." for warning in found.get("warnings", ()))
    yield verdict_line(found["verdict"], (a["name"], b["name"]))
    if "left_out" in found:
        yield left_out_note(found["left_out"])


def _rows(found: Report) -> Iterator[list[str]]:
    for row in found["metrics"]:
        values = number(row["a"]["value"]), number(row["b"]["value"])
        test = f"as {words(row['same_question'])}" if "same_question" in row else row.get("test", "-")
        tested = "p_value" in row
        yield [
            words(row["name"]),
            *values,
            number(row.get("difference")),
            f"{number(row['low'])} to {number(row['high'])}" if tested else "-",
            p_value(row["p_value"]) if tested else "-",
            row.get("reason", test),
        ]


def _notes(found: Report) -> Iterator[str]:
    others = sum("p_value" in row for row in found["metrics"] if row["name"] != found["verdict"]["metric"])
    if others:
        yield (
            f"Only {words(found['verdict']['metric'])} decides. Of {others} other tests of equal models, about one in"
            " twenty shows a difference."
        )


def _pairs(found: Report) -> Iterator[str]:
    if "paired" not in found:
        return
    pairs = found["paired"]
    same = {"request": "the same request", "row": "the same row"}[pairs["way"]]
    start = f"{pairs['pairs']:,} pairs of {same}"
    metric = words(found["verdict"]["metric"])
    if "p_value" in pairs:
        yield (
            f"{start}: {metric} differs by {number(pairs['difference'])}"
            f" ({number(pairs['low'])} to {number(pairs['high'])}), p {p_value(pairs['p_value'])} ({pairs['test']})"
        )
    else:
        yield f"{start}: {metric} is not tested, {pairs['reason']}"
    if "only_a" in pairs:
        a, b = found["a"]["name"], found["b"]["name"]
        yield f"only {a} is right in {pairs['only_a']:,}, only {b} in {pairs['only_b']:,}"
    if pairs["cut"]:
        yield "Only the oldest documents were read, since there are too many."


def verdict_line(verdict: Report, names: tuple[str, str]) -> str:
    """Return the verdict as one line."""
    metric = words(verdict["metric"]) + {"groups": "", "pairs": " by pairs", "folds": " by folds"}[verdict["by"]]
    if "p_value" in verdict:
        metric = f"{metric}, p {p_value(verdict['p_value'])}"
    if "better" in verdict:
        start = f"{verdict['better']} is better: {metric}"
    elif verdict["differ"]:
        start = f"The two differ: {metric}"
    else:
        start = f"Not enough data to tell: {metric}"
        if "reason" in verdict:
            start += f"; {verdict['reason']}"
        if "detectable" in verdict:
            shown = number(verdict["detectable"])
            start += f"; these documents show a difference of {shown} with a probability of 80 %"
    return f"{start}.{_needed(verdict, names)}"


def _needed(verdict: Report, names: tuple[str, str]) -> str:
    if "needed" not in verdict:
        return ""
    start = f" To show a difference of {number(verdict['detect'])}"
    if verdict["by"] == "pairs":
        return f"{start}, {verdict['needed']:,} pairs are needed, {verdict['more']:,} more than there are."
    needed = " and ".join(f"{size:,} of {name}" for size, name in zip(verdict["needed"], names, strict=True))
    more = " and ".join(f"{size:,}" for size in verdict["more"])
    return f"{start}, {needed} are needed, {more} more than there are."
