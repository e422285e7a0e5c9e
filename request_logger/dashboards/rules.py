"""Generates Prometheus alert rules on prediction quality, from the counters of /v1/metrics.

The alerts on the program itself are in `operation_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from request_logger.analytics.drift.gauges import PREFIX
from request_logger.metrics_server.exporter import CELLS

Json = dict[str, Any]

_BY = "seldon_deployment_namespace, seldon_deployment_name, predictor_name, model_name"
_WINDOW = "1d"
# Outcomes below which no alert fires. A scored pair counts as one for `binary` and as two for other scorers.
MINIMUM_OUTCOMES = 200
# A starting point: which accuracy is good enough depends on the model.
LEAST_ACCURACY = 0.8
_OUTCOMES = f"request_logger:outcomes:{_WINDOW}"
_ACCURACY = f"request_logger:accuracy:{_WINDOW}"
# How much lower than a week before the accuracy of a day may be: the limits of the warning and of the critical alert.
DROPS = {"warning": 0.02, "critical": 0.05}
_DROP = f"request_logger:accuracy_drop_at_least:{_WINDOW}"
# A normal quantile: the drop is at least this with a probability of 97.5 %.
_Z = 1.96
# Two days without a run of `request-logger drift`: its gauges are of the past.
_STALE_SECONDS = 2 * 86_400
_CORRECT = tuple(cell for cell in CELLS if cell.startswith("true"))


def _outcomes(cell: str) -> Json:
    """Return the rule that records a counter's increase; replicas expose the same counters, so it takes the maximum."""
    grown = f"increase(seldon_metric_{cell}_total[{_WINDOW}])"
    return {
        "record": _OUTCOMES,
        "expr": f"sum by ({_BY}) (max by ({_BY}, class) ({grown}))",
        "labels": {"cell": cell},
    }


def groups() -> list[Json]:
    """Return the rule groups.

    (TP + TN) / (TP + TN + FP + FN) is the accuracy of `binary`. It also is that of `multiclass` and `ordinal`, where a
    correct prediction counts as one TP and one TN, and a wrong one as one FP and one FN. A model that is always wrong
    has no TP and TN series; their sum is then 0.
    """
    every = f"sum by ({_BY}) ({_OUTCOMES})"
    correct = f'sum by ({_BY}) ({_OUTCOMES}{{cell=~"{"|".join(_CORRECT)}"}})'
    return [
        {
            "name": "request-logger-quality",
            "rules": [
                *map(_outcomes, CELLS),
                {"record": _ACCURACY, "expr": f"({correct} or 0 * {every}) / {every}"},
                _alert(
                    "PredictionAccuracyLow",
                    f"{_ACCURACY} < {LEAST_ACCURACY} and {every} >= {MINIMUM_OUTCOMES}",
                    "30m",
                    "{{ $value | humanizePercentage }} of the predictions of {{ $labels.seldon_deployment_name }}"
                    " ({{ $labels.predictor_name }}) in a day were correct.",
                ),
                {"record": _DROP, "expr": _least_drop(every)},
                *(_alert(*each) for each in _drops()),
            ],
        },
        {"name": "request-logger-drift", "rules": [_alert(*each) for each in _drifts()]},
    ]


def _least_drop(every: str) -> str:
    """Return how much lower than a week before the accuracy is at least: the lower limit of the difference's interval.

    A pair counts as two outcomes, except for `binary`, whose interval is therefore wider than necessary.
    """
    week = " offset 1w"
    before = f"sum by ({_BY}) ({_OUTCOMES}{week})"
    spread = " + ".join(
        f"2 * {_ACCURACY}{moment} * (1 - {_ACCURACY}{moment}) / {count}"
        for moment, count in (("", every), (week, before))
    )
    enough = f"{every} >= {MINIMUM_OUTCOMES} and {before} >= {MINIMUM_OUTCOMES}"
    return f"({_ACCURACY}{week} - {_ACCURACY} - {_Z} * sqrt({spread})) and {enough}"


def _drops() -> Iterator[tuple[str, str, str, str, str]]:
    for severity, limit in DROPS.items():
        name = "PredictionAccuracyDropped" + ("" if severity == "warning" else "Much")
        yield (
            name,
            f"{_DROP} > {limit}",
            "30m",
            "The accuracy of {{ $labels.seldon_deployment_name }} ({{ $labels.predictor_name }}) in a day is at least"
            " {{ $value | humanizePercentage }} lower than a week before.",
            severity,
        )


def _drifts() -> Iterator[tuple[str, str, str, str, str]]:
    level = f"max by (target, against, field, role) ({PREFIX}_level)"
    recent = f"time() - max by (target, against) ({PREFIX}_made_at_seconds) < {_STALE_SECONDS}"
    for name, value, how, severity in (
        ("DriftModerate", 1, "moderately", "warning"),
        ("DriftMajor", 2, "much", "critical"),
    ):
        yield (
            name,
            f"({level} == {value}) and on (target, against) ({recent})",
            "0m",
            f"The {{{{ $labels.role }}}} {{{{ $labels.field }}}} of {{{{ $labels.target }}}} has changed {how} against"
            " {{ $labels.against }}: request-logger drift shows how.",
            severity,
        )
    yield (
        "DriftProblem",
        f"(max by (target, against, field, check) ({PREFIX}_problem) > 0) and on (target, against) ({recent})",
        "0m",
        "{{ $labels.field }} of {{ $labels.target }} has changed against {{ $labels.against }}: {{ $labels.check }} in"
        " {{ $value | humanizePercentage }}. request-logger drift shows the values.",
        "warning",
    )


def _alert(name: str, expr: str, wait: str, summary: str, severity: str = "warning") -> Json:
    return {
        "alert": name,
        "expr": expr,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def rules_file() -> str:
    """Return the file for Prometheus' rule_files."""
    return _yaml({"groups": groups()})


def prometheus_rule() -> str:
    """Return the same rules as a PrometheusRule of the Prometheus operator."""
    return _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "request-logger-quality", "labels": {"app.kubernetes.io/name": "request-logger"}},
            "spec": {"groups": groups()},
        }
    )


def _yaml(content: Json) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120)
