"""What PromQL expressions ask for: the selectors in them, and whether these are of metrics that are defined."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import promql_parser

from request_logger.telemetry_types import Definition

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# Labels that Prometheus and its operator add to each series.
TARGET_LABELS = {"namespace", "pod", "job", "instance"}


def program(name: str) -> str | None:
    """The path of `prometheus` or `promtool`: the variable of that name, in capitals, or the PATH."""
    return os.environ.get(name.upper()) or shutil.which(name)


def concrete(expression: str) -> str:
    """An expression of a panel as Grafana sends it, with every variable's "All"."""
    return expression.replace("$__rate_interval", "1m").replace('"$namespace"', '".*"').replace(
        '"$job"', '".*"'
    ).replace('"$instance"', '".*"')  # fmt: skip


def selectors(expression: str) -> Iterator[tuple[Any, set[str]]]:
    """Each selector of an expression, with the labels that it is aggregated by."""
    yield from _selectors(promql_parser.parse(expression), set())


def _selectors(node: Any, by: set[str]) -> Iterator[tuple[Any, set[str]]]:
    match type(node).__name__:
        case "VectorSelector":
            yield node, by
        case "MatrixSelector":
            yield node.vector_selector, by
        case "AggregateExpr":
            yield from _selectors(node.expr, by | set(node.modifier.labels if node.modifier else ()))
        case "BinaryExpr":
            yield from _selectors(node.lhs, by)
            yield from _selectors(node.rhs, by)
        case "ParenExpr" | "UnaryExpr":
            yield from _selectors(node.expr, by)
        case "Call":
            for argument in node.args:
                yield from _selectors(argument, by)
        case "NumberLiteral":
            pass
        case other:
            raise AssertionError(f"{other}: not known to this test")


def unknown(expression: str, definitions: Sequence[Definition]) -> list[str]:
    """What an expression asks for that the definitions don't have: metrics, labels, and values of labels."""
    by_name = {each.name + suffix: each for each in definitions for suffix in SUFFIXES[each.kind]}
    found: list[str] = []
    for selector, by in selectors(expression):
        definition = by_name.get(selector.name)
        if definition is None:
            found.append(selector.name)
            continue
        known = TARGET_LABELS | set(definition.labels) | ({"le"} if selector.name.endswith("_bucket") else set())
        found += [f"{selector.name} by {label}" for label in by - known]
        for matcher in selector.matchers.matchers:
            values = definition.labels.get(matcher.name)
            if matcher.name not in known:
                found.append(f"{selector.name}{{{matcher.name}}}")
            elif values is not None and not isinstance(values, str):
                found += [f"{matcher.name}={value}" for value in set(matcher.value.split("|")) - set(values)]
    return found
