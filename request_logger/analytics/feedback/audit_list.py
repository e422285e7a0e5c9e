"""Lists the audited predictions that still lack a truth, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from request_logger.analytics.feedback.audit_queries import LACKING
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import DEPLOYMENT, MODEL, NAMESPACE, PREDICTION_DATE, PREDICTOR, Scope

# Column -> field. The id of the document is that by which feedback names the prediction, also for the row of a batch.
_FIELDS = {
    "time": PREDICTION_DATE,
    "namespace": NAMESPACE,
    "deployment": DEPLOYMENT,
    "predictor": PREDICTOR,
    "model": MODEL,
    "label": "prediction.label",
    "probability": "prediction.probability",
    "value": "prediction.value",
    "unscorable": "metrics.unscorable",
}
COLUMNS = ("request_id", *_FIELDS)


def count_lacking(runner: QueryRunner, scope: Scope) -> int:
    """Return how many audited predictions lack a truth. Raises what :class:`QueryRunner` raises."""
    return runner.count(scope, LACKING)


def lacking(runner: QueryRunner, scope: Scope, most: int) -> Iterator[dict[str, Any]]:
    """Yield up to ``most`` of them, the oldest first, by COLUMNS; what a prediction doesn't have is omitted.

    ``unscorable`` is the reason where there is a truth that can't be scored. Raises what :class:`QueryRunner` raises.
    """
    body = {
        "_source": False,
        "docvalue_fields": [
            {"field": path, **({"format": "strict_date_time"} if path == PREDICTION_DATE else {})}
            for path in _FIELDS.values()
        ],
        "sort": [{PREDICTION_DATE: {"order": "asc", "unmapped_type": "date"}}],
    }
    for hit in islice(runner.scroll(scope, body, LACKING), most):
        found = hit.get("fields", {})
        row = {name: _plain(found[path]) for name, path in _FIELDS.items() if found.get(path)}
        yield {"request_id": hit["_id"], **row}


def _plain(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
