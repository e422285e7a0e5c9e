"""Generates Prometheus alert rules on prediction quality, from the counters of /v1/metrics.

The alerts on the program itself are in k8s/common.
"""

from __future__ import annotations

from typing import Any

import yaml

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
            ],
        },
    ]


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
