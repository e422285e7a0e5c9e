"""Figures as gauges: those of the report, with their labels; what is undefined has none."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from request_logger.analytics.fairness.gauges import exposition as of_fairness
from request_logger.analytics.thresholds.gauges import exposition as of_thresholds

HOSTILE = 'a "b"\n\\c'


def samples(text: str) -> dict[tuple[str, ...], float]:
    """The figure by name and own labels, sorted by the labels' names."""
    return {
        (each.name, *(value for name, value in sorted(each.labels.items()) if name not in ("target", "field"))): (
            each.value
        )
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_fairness() -> None:
    """Rates and differences with their limits; the reference group has no difference."""
    rate = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 40}
    apart = {"value": -0.25, "low": -0.5, "high": 0.0625, "p": 0.1, "p_adjusted": 0.2}
    groups = [
        {"value": HOSTILE, "n": 40, "rates": {"precision": {**rate, "difference": apart}}},
        {"value": "b", "n": 80, "rates": {"precision": {**rate, "value": 0.5}}},
    ]
    greatest: dict[str, Any] = {"precision": {"lowest": HOSTILE, "highest": "b", "difference": 0.25, "ratio": 0.5}}
    greatest["selection rate"] = {"lowest": "b", "highest": "b", "difference": 0.0}
    tasks = [
        {"scorer": "binary", "groups": groups, "greatest": greatest},
        {"scorer": "multiclass", "reason": "choose the class"},
    ]
    text = of_fairness({"target": "a/loans", "name": "area", "tasks": tasks})
    assert 'field="area",target="a/loans"' in text
    found = samples(text)
    assert found.pop(("request_logger_fairness_made_at_seconds",)) > 1e9
    prefix = "request_logger_fairness_"
    assert found == {
        (f"{prefix}rate", HOSTILE, "precision", "binary"): 0.25,
        (f"{prefix}rate_low", HOSTILE, "precision", "binary"): 0.125,
        (f"{prefix}rate_high", HOSTILE, "precision", "binary"): 0.5,
        (f"{prefix}rate", "b", "precision", "binary"): 0.5,
        (f"{prefix}rate_low", "b", "precision", "binary"): 0.125,
        (f"{prefix}rate_high", "b", "precision", "binary"): 0.5,
        (f"{prefix}difference", HOSTILE, "precision", "binary"): -0.25,
        (f"{prefix}difference_low", HOSTILE, "precision", "binary"): -0.5,
        (f"{prefix}difference_high", HOSTILE, "precision", "binary"): 0.0625,
        (f"{prefix}greatest_difference", "precision", "binary"): 0.25,
        (f"{prefix}greatest_difference", "selection rate", "binary"): 0.0,
        (f"{prefix}least_ratio", "precision", "binary"): 0.5,
        (f"{prefix}documents", HOSTILE, "binary"): 40.0,
        (f"{prefix}documents", "b", "binary"): 80.0,
    }


def test_thresholds() -> None:
    """The best threshold and the one in use; above all scores there is no threshold, and no precision."""
    task: dict[str, Any] = {
        "scorer": "binary",
        "n": 500,
        "thresholds": [],
        "best": {"threshold": 0.25, "value": 2.0, "precision": 0.5, "recall": 1.0, "f1": 0.75, "gain": 1.0},
        "current": {"value": 1.0, "recall": 0.0, "f1": 0.0},
        "average_precision": {"value": 0.875, "no_interval": "few"},
        "gini": {"value": 0.5},
        "ks": {"value": 0.375, "threshold": 0.1},
    }  # fmt: skip
    never = {**task, "scorer": "other", "best": {"by": "f1", "threshold": None}, "current": {}}
    tasks = [task, never, {"scorer": "third", "reason": "one class"}]
    found = samples(of_thresholds({"target": "a/fraud", "tasks": tasks}))
    assert found.pop(("request_logger_threshold_made_at_seconds",)) > 1e9
    prefix = "request_logger_threshold_"
    both = {
        (f"{prefix}{name}", scorer): value
        for scorer in ("binary", "other")
        for name, value in (("average_precision", 0.875), ("gini", 0.5), ("ks", 0.375), ("documents", 500.0))
    }
    assert found == both | {
        (f"{prefix}best", "binary"): 0.25,
        (f"{prefix}gain", "binary"): 1.0,
        (f"{prefix}value", "binary", "best"): 2.0,
        (f"{prefix}value", "binary", "in use"): 1.0,
        (f"{prefix}precision", "binary", "best"): 0.5,
        (f"{prefix}recall", "binary", "best"): 1.0,
        (f"{prefix}recall", "binary", "in use"): 0.0,
        (f"{prefix}f1", "binary", "best"): 0.75,
        (f"{prefix}f1", "binary", "in use"): 0.0,
    }
