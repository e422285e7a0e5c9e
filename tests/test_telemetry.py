"""Each metric of the program is defined once; what is collected is what is defined."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from request_logger.kafka.telemetry import KafkaTelemetry
from request_logger.telemetry import Telemetry
from request_logger.telemetry_definitions import KAFKA, SERVER
from request_logger.telemetry_types import Definition

PACKAGE = Path(__file__).parent.parent / "request_logger"
CLOSED = [
    (each, label, values)
    for each in (*SERVER, *KAFKA)
    for label, values in each.labels.items()
    if not isinstance(values, str)
]


def literals(but: str) -> set[str]:
    """All texts in the package's code, without those of one module."""
    return {
        node.value
        for path in PACKAGE.rglob("*.py")
        if path.name != but
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def first_arguments(*functions: str) -> set[str]:
    """The texts that calls of these functions and methods have as their first argument."""
    return {
        node.args[0].value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in functions
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


@pytest.mark.parametrize(
    ("build", "definitions"), [(Telemetry, SERVER), (KafkaTelemetry, KAFKA)], ids=["server", "Kafka"]
)
def test_what_is_collected_is_what_is_defined(
    build: Callable[[CollectorRegistry], object], definitions: tuple[Definition, ...]
) -> None:
    """Names, types and HELP texts."""
    registry = CollectorRegistry()
    build(registry)
    collected = {metric.name: (metric.type, metric.documentation) for metric in registry.collect()}
    assert collected == {each.name: (each.kind, each.meaning) for each in definitions}


def test_names_are_unique() -> None:
    """A registry may hold the metrics of both."""
    names = [each.name for each in (*SERVER, *KAFKA)]
    assert len(set(names)) == len(names) > 20


@pytest.mark.parametrize(("definition", "label", "values"), CLOSED, ids=lambda value: getattr(value, "name", ""))
def test_documented_label_values_exist(definition: Definition, label: str, values: dict[str, str]) -> None:
    """Every documented value is a text in the code that counts."""
    assert set(values) - literals("telemetry_definitions.py") == set()


def test_label_values_in_the_code_are_documented() -> None:
    """What the code counts under is in the definitions."""
    by_name = {each.name: each.labels for each in SERVER}
    turned_away, happened = first_arguments("turned_away"), first_arguments("happened")
    assert {"bad", "late"} <= turned_away <= set(by_name["request_logger_events"]["outcome"])
    assert {"spool_bad", "spool_error"} <= happened <= set(by_name["request_logger_store"]["what"])
