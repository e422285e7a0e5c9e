"""What `check` finds in the mapping of an index: each finding, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.settings import Settings
from request_logger.store.indices.mapping_check import findings
from request_logger.store.indices.templates import INDEX_PATTERNS, TEMPLATE_NAME, mapping, wanted


def found(extra: dict[str, Any], **metrics: str) -> dict[str, str]:
    """Return what is found in our own mapping with other types of metrics: field and what happens."""
    ours = mapping()
    properties = ours["properties"]["metrics"]["properties"]
    properties |= {name: {"type": kind} for name, kind in metrics.items()}
    return {finding.field: finding.happens for finding in findings({**ours, **extra}, {}) if finding.needs_action}


def test_our_own_mapping_needs_nothing() -> None:
    assert found({}) == {}


@pytest.mark.parametrize("dynamic", [False, "false"])
def test_new_names_that_are_not_indexed(dynamic: Any) -> None:
    """They are stored, so it is told."""
    assert found({"dynamic": dynamic}) == {"dynamic": "new names are stored and can't be searched"}


@pytest.mark.parametrize(
    ("metrics", "happens"),
    [
        ({"log_loss": "long"}, "fractions are cut off: avg and sum are wrong"),
        ({"my_own": "long"}, "fractions are cut off: avg and sum are wrong"),
        ({"my_own": "boolean"}, "values of another type are refused"),
        ({"scorer": "text"}, "a terms aggregation on it fails"),
        ({"log_loss": "keyword"}, "it should be double"),
    ],
)
def test_metrics_of_a_type_that_loses_something(metrics: dict[str, str], happens: str) -> None:
    (name,) = metrics
    ((field, said),) = found({}, **metrics).items()
    assert field == f"metrics.{name}"
    assert said.startswith(happens)


@pytest.mark.parametrize(
    "metrics", [{"log_loss": "float"}, {"truth_rank": "long"}, {"my_own": "double"}, {"mine": "keyword"}]
)
def test_metrics_of_a_type_that_is_as_good(metrics: dict[str, str]) -> None:
    assert found({}, **metrics) == {}


def test_the_template_covers_the_index_of_the_settings() -> None:
    """INDEX_NAME, its periods and the copies that `check` recommends."""
    patterns = wanted(Settings(index_name="shared", index_period="month"))[TEMPLATE_NAME]["index_patterns"]
    assert {"shared", "shared.v*", *INDEX_PATTERNS} <= set(patterns)
    assert wanted(Settings())[TEMPLATE_NAME]["index_patterns"] == INDEX_PATTERNS
