"""How late the feedback of each truth label is: where chargebacks come late, young windows lack one label most."""

from __future__ import annotations

import math
from typing import Any

from request_logger.analytics.maturity import DELAY_FIELD, Maturity
from request_logger.analytics.queries import VALUES_ONLY, QueryRunner
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import PREDICTION, exists
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.search_answers import check_total

_LABEL = "metrics.truth_label"
# Labels beyond the most frequent ones are left out: a table of a hundred would say nothing.
MOST_LABELS = 10
# Delays read per label: the 95 % quantile of a random choice of this size is within 1.4 percentage points.
_SAMPLE = 1_000
# Fixed, so that a repeated report gives the same figures.
_SEED = 20_260_103


def delays_by_label(runner: QueryRunner, scope: Scope, maturity: Maturity | None) -> dict[str, Any] | None:
    """Return the median and the 95 % quantile of the delay (seconds) per truth label as JSON; None without any.

    Of mature predictions only, where it is known which are: late labels of the others are missing. Quantiles are delays
    of the documents, of a random choice where a label has more than _SAMPLE. Raises what :class:`QueryRunner` raises.
    """
    only: list[Query] = [PREDICTION, exists(DELAY_FIELD)]
    is_mature = maturity is not None and maturity.only is not None
    if maturity is not None and maturity.only is not None:
        only.append(maturity.only)
    found = runner.aggregate(scope, {"labels": {"terms": {"field": _LABEL, "size": MOST_LABELS}}}, *only)
    labels = [bucket["key"] for bucket in found.get("labels", {}).get("buckets", [])]
    rows = [_row(runner, scope, label, [*only, {"term": {_LABEL: label}}]) for label in labels]
    return {"mature": is_mature, "labels": rows} if rows else None


def _row(runner: QueryRunner, scope: Scope, label: str, only: list[Query]) -> dict[str, Any]:
    body = {"size": _SAMPLE, "track_total_hits": True, **VALUES_ONLY, "docvalue_fields": [DELAY_FIELD]}
    answer = runner.search(scope, body, *only)
    n = check_total(answer)
    if n > _SAMPLE:
        answer = runner.sample(scope, body, _SEED, *only, total=n)
    delays = sorted(_delay(hit.get("fields")) for hit in answer["hits"]["hits"])
    return {"label": label, "n": n, "median": _quantile(delays, 0.5), "quantile_95": _quantile(delays, 0.95)}


def _quantile(delays: list[float], share: float) -> float | None:
    """Return the smallest delay that at least this share is within."""
    return delays[max(math.ceil(len(delays) * share) - 1, 0)] if delays else None


def _delay(fields: Any) -> float:
    try:
        return float(fields[DELAY_FIELD][0])
    except (KeyError, IndexError, TypeError, ValueError):
        raise StoreUnavailableError("the engine's answer to a search can't be used: a hit lacks its delay") from None
