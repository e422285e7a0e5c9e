"""Prometheus' alerts on the counters of /v1/metrics, which are roll-ups of the documents.

Those on the program itself are in k8s/common.
"""

from __future__ import annotations

from typing import Any

import yaml

from request_logger.metrics_server.exporter import CELLS

Json = dict[str, Any]

_BY = "seldon_deployment_namespace, seldon_deployment_name, predictor_name, model_name"
_WINDOW = "1d"
# One a pair of `binary`, two a pair of the others.
MINIMUM_OUTCOMES = 200
LEAST_ACCURACY = 0.8
_OUTCOMES = f"request_logger:outcomes:{_WINDOW}"
_ACCURACY = f"request_logger:accuracy:{_WINDOW}"
_RIGHT = tuple(cell for cell in CELLS if cell.startswith("true"))


def _outcomes(cell: str) -> Json:
    """Record how much one counter has grown. All replicas show the same counters: the greatest, not their sum."""
    grown = f"increase(seldon_metric_{cell}_total[{_WINDOW}])"
    return {
        "record": _OUTCOMES,
        "expr": f"sum by ({_BY}) (max by ({_BY}, class) ({grown}))",
        "labels": {"cell": cell},
    }


def groups() -> list[Json]:
    """Give the groups of rules.

    (TP + TN) / (TP + TN + FP + FN) is the accuracy of `binary`. It is that of `multiclass` and `ordinal` as well: a
    right answer counts as one TP and one TN there, a wrong one as one FP and one FN. A model that is always wrong has
    no TP and no TN: their sum is 0 then.
    """
    every = f"sum by ({_BY}) ({_OUTCOMES})"
    right = f'sum by ({_BY}) ({_OUTCOMES}{{cell=~"{"|".join(_RIGHT)}"}})'
    return [
        {
            "name": "request-logger-quality",
            "rules": [
                *map(_outcomes, CELLS),
                {"record": _ACCURACY, "expr": f"({right} or 0 * {every}) / {every}"},
                _alert(
                    "PredictionAccuracyLow",
                    f"{_ACCURACY} < {LEAST_ACCURACY} and {every} >= {MINIMUM_OUTCOMES}",
                    "30m",
                    "Of the answers of {{ $labels.seldon_deployment_name }} ({{ $labels.predictor_name }}) in a day"
                    " {{ $value | humanizePercentage }} were right.",
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
    """Give the file for Prometheus' own rule_files."""
    return _yaml({"groups": groups()})


def prometheus_rule() -> str:
    """Give the same for the Prometheus operator."""
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
