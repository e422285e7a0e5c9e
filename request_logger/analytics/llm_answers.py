"""The report's section on answers of language models: their number, tokens, cost, latency, cut and refused answers.

It needs the elements that the decoder of their bodies writes: docs/payloads.md. Without any the section is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from request_logger.analytics.fields import usable_path
from request_logger.analytics.intervals import Interval
from request_logger.analytics.means import mean_interval
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import MomentSums
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import FAILED, any_of, exists, without
from request_logger.analytics.shares import share_interval
from request_logger.analytics.token_prices import TokenPrices
from request_logger.common.mapped_fields import LATENCY

Json = dict[str, Any]

_AT = "response.elements."
_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
# What the server says (Ollama), and what the times of both events give; the former has no network in it.
_LATENCIES = {"latency_said": f"{_AT}{LATENCY}", "latency_seen": LATENCY}
# Finish reasons of OpenAI, of the Responses API, of other vendors, in lower case or upper.
_REASONS = {
    "truncated": ("length", "max_tokens", "max_output_tokens", "MAX_TOKENS"),
    "refused": ("content_filter", "refusal", "SAFETY"),
}
# Models and finish reasons that a report lists.
MOST_GROUPS = 50
UNKNOWN = "(none)"


def answers_report(runner: QueryRunner, scope: Scope, prices: TokenPrices) -> Json | None:
    """Return the figures of all answers, by model and by finish reason; None if no response has such elements."""
    model, reason = (usable_path(runner, scope, f"{_AT}{name}") for name in ("model", "finish_reason"))
    # Not `exists`: a column of another model may have this name, and be an object.
    counted = {"range": {f"{_AT}total_tokens": {"gte": 0}}}
    is_answer = any_of(counted, *([exists(reason)] if reason else []))
    only = without(FAILED, is_answer)
    n = runner.count(scope, only)
    if not n:
        return None
    aggs = _aggregations(reason)
    whole = runner.aggregate(scope, aggs, only)
    by_model = _groups(runner, scope, model, aggs, only)
    for group in by_model:
        price = prices.of(group["value"])
        tokens = group["figures"].get("tokens", {})
        if price is not None and "prompt_tokens" in tokens and "completion_tokens" in tokens:
            sums = (tokens[name]["sum"] for name in ("prompt_tokens", "completion_tokens"))
            group["figures"]["cost"] = price.cost(*sums)
    found = _figures(n, whole)
    if prices:
        costs = [group["figures"]["cost"] for group in by_model if "cost" in group["figures"]]
        found["cost"] = sum(costs)
        found["without_price"] = [group["value"] for group in by_model if "cost" not in group["figures"]]
    return {
        **found,
        "by_model": [{"model": group["value"], **group["figures"]} for group in by_model[:MOST_GROUPS]],
        "by_finish_reason": [
            {"finish_reason": group["value"], **group["figures"]}
            for group in _groups(runner, scope, reason, aggs, only)[:MOST_GROUPS]
        ],
    }


def _groups(runner: QueryRunner, scope: Scope, path: str, aggs: Json, only: Query) -> list[Json]:
    """Return the figures per value of a field, the one with the most answers first; empty without the field."""
    if not path:
        return []
    source = {"value": {"terms": {"field": path, "missing_bucket": True}}}
    groups = []
    for bucket in runner.pages(scope, source, aggs, only):
        value = bucket["key"]["value"]
        name = UNKNOWN if value is None else str(value)
        groups.append({"value": name, "figures": _figures(int(bucket["doc_count"]), bucket)})
    return sorted(groups, key=lambda group: (-group["figures"]["n"], group["value"]))


def _aggregations(reason: str) -> Json:
    fields = {**{name: f"{_AT}{name}" for name in _TOKENS}, **_LATENCIES}
    aggs: Json = {name: {"extended_stats": {"field": field}} for name, field in fields.items()}
    if reason:
        aggs["known"] = {"filter": exists(reason)}
        aggs |= {name: {"filter": {"terms": {reason: list(values)}}} for name, values in _REASONS.items()}
    return aggs


def _figures(n: int, found: Mapping[str, Any]) -> Json:
    figures: Json = {"n": n}
    tokens = {name: figure for name in _TOKENS if (figure := _mean(found[name])) is not None}
    if tokens:
        figures["tokens"] = tokens
    latency = _latency(found)
    if latency is not None:
        figures["latency"] = latency
    for name in _REASONS:
        known = found.get("known", {}).get("doc_count", 0)
        if known:
            hits = found[name]["doc_count"]
            interval = share_interval(hits, known)
            figures[name] = {"value": hits / known, "n": known}
            if interval is not None:
                figures[name] |= {"low": interval.low, "high": interval.high}
    return figures


def _mean(found: Mapping[str, Any]) -> Json | None:
    """Return sum and mean with its interval from extended_stats; None without values."""
    if not found["count"]:
        return None
    numbers = (float(found[name] or 0.0) for name in ("sum", "sum_of_squares", "min", "max"))
    sums = MomentSums(int(found["count"]), *numbers)
    figure: Json = {"n": sums.n, "sum": sums.total, "value": sums.total / sums.n}
    interval = mean_interval(sums, (0.0, math.inf))
    if isinstance(interval, Interval):
        return figure | {"low": interval.low, "high": interval.high}
    return figure | {"no_interval": str(interval)}


def _latency(found: Mapping[str, Any]) -> Json | None:
    """Return the mean latency in seconds: what the server says, else from the times of request and response."""
    for name, field in _LATENCIES.items():
        figure = _mean(found[name])
        if figure is not None:
            return {**{key: value for key, value in figure.items() if key != "sum"}, "from": field}
    return None
