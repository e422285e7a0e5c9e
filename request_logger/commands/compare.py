"""`request-logger compare`: tell which of two predictors or models is better, with significance."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from request_logger.analytics.compare import Comparison, compare
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
    )
    found = compare(quiet_engine(settings), settings, comparison)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(lines(found)))
    return int(not found["verdict"]["differ"])


def lines(found: Report) -> Iterator[str]:
    """Yield the comparison as lines of text."""
    a, b = found["a"], found["b"]
    yield (
        f"{a['name']} ({a['documents']:,} scored) against {b['name']} ({b['documents']:,} scored)"
        f" by {found['by']}, scorer {found['scorer']}"
    )
    rows = []
    for row in found["metrics"]:
        tested = "difference" in row
        limits = f"{number(row['low'])} to {number(row['high'])}" if tested else "-"
        p = p_value(row["p_value"]) if tested else "-"
        change = number(row["difference"]) if tested else "-"
        rows.append([words(row["name"]), number(row["a"]["value"]), number(row["b"]["value"]), change, limits, p,
                     row.get("test", "-")])  # fmt: skip
    yield table(["metric", a["name"], b["name"], "difference", "95 % interval", "p", "test"], rows)
    yield ""
    yield from _pairs(found)
    yield _verdict(found)
    if "left_out" in found:
        yield left_out_note(found["left_out"])


def _pairs(found: Report) -> Iterator[str]:
    if "paired" not in found:
        return
    pairs = found["paired"]
    same = {"request": "the same request", "row": "the same row"}[pairs["way"]]
    metric = words(found["verdict"]["metric"])
    yield (
        f"{pairs['pairs']:,} pairs of {same}: {metric} differs by {number(pairs['difference'])}"
        f" ({number(pairs['low'])} to {number(pairs['high'])}), p {p_value(pairs['p_value'])} ({pairs['test']})"
    )
    if "only_a" in pairs:
        a, b = found["a"]["name"], found["b"]["name"]
        yield f"only {a} is right in {pairs['only_a']:,}, only {b} in {pairs['only_b']:,}"
    if pairs["cut"]:
        yield "Only the oldest documents were read, since there are too many."


def _verdict(found: Report) -> str:
    verdict = found["verdict"]
    metric, p = words(verdict["metric"]), p_value(verdict["p_value"])
    by = " by pairs" if verdict["by"] == "pairs" else ""
    if "better" in verdict:
        return f"{verdict['better']} is better: {metric}{by}, p {p}"
    if verdict["differ"]:
        return f"The two differ: {metric}{by}, p {p}"
    if "more" not in verdict:
        return f"No difference in {metric}{by}."
    what = "pairs" if by else f"for each of the two, {verdict['needed']:,} in total each,"
    return (
        f"Not enough data yet: {metric}{by}, p {p}; about {verdict['more']:,} more needed {what}"
        " to detect a difference of this size."
    )
