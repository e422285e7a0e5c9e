"""The figures of language models' answers as tables of text, for the printed report and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from request_logger.analytics.evaluation_tables import Table
from request_logger.analytics.formatting import duration, number, percent, words

HEADING = "answers of language models"


def answer_tables(found: dict[str, Any]) -> Iterator[Table]:
    """Yield the tables of language models' answers, as the report has them."""
    groups = [("model", found.get("by_model", [])), ("finish_reason", found.get("by_finish_reason", []))]
    has_cost = "cost" in found
    header = ["answers", "prompt tokens", "completion tokens", "tokens each", "truncated", "refused", "latency"]
    header += ["cost"] if has_cost else []
    everything = ["all", *_answer_cells(found, has_cost)]
    for name, rows in groups:
        cells = [[str(row[name]), *_answer_cells(row, has_cost)] for row in rows]
        if cells:
            yield Table(f"By {words(name)}", [words(name), *header], [everything, *cells])


def _answer_cells(found: dict[str, Any], has_cost: bool) -> list[str]:
    tokens = found.get("tokens", {})
    sums = [number(tokens.get(name, {}).get("sum")) for name in ("prompt_tokens", "completion_tokens")]
    shares = [_with_limits(found.get(name, {}), percent) for name in ("truncated", "refused")]
    latency = duration(found["latency"]["value"]) if "latency" in found else "-"
    cells = [f"{found['n']:,}", *sums, _with_limits(tokens.get("total_tokens", {}), number), *shares, latency]
    return [*cells, number(found.get("cost"))] if has_cost else cells


def _with_limits(found: dict[str, Any], shown: Callable[[float | None], str]) -> str:
    limits = f" ({shown(found['low'])} to {shown(found['high'])})" if "low" in found else ""
    return shown(found.get("value")) + limits
