"""The files of `k8s/dashboards`, generated from the panels and rules."""

from __future__ import annotations

import json

from request_logger.dashboards import (
    grafana,
    grafana_operation,
    kibana,
    operation_panels,
    operation_rules,
    panels,
    rules,
)


def files() -> dict[str, str]:
    """Return the text of each file by its path in the folder."""
    rows = panels.rows()
    made = {
        "grafana/elasticsearch/prediction-quality.json": _json(grafana.dashboard(rows, grafana.ELASTICSEARCH)),
        "grafana/opensearch/prediction-quality.json": _json(grafana.dashboard(rows, grafana.OPENSEARCH)),
        "grafana/prometheus/operation.json": _json(grafana_operation.dashboard(operation_panels.rows())),
        "kibana/prediction-quality.ndjson": "".join(f"{json.dumps(each)}\n" for each in kibana.saved_objects(rows)),
        "prometheus/operation-rules.yaml": operation_rules.rules_file(),
        "prometheus/rules.yaml": rules.rules_file(),
        "prometheus/prometheusrule.yaml": rules.prometheus_rule(),
    }
    return made | dict(grafana.provisioning())


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, indent=2) + "\n"
