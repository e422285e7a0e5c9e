"""The queries for audited predictions, and for those with a truth."""

from __future__ import annotations

from request_logger.analytics.selection import PREDICTION, Query, exists, having, without
from request_logger.documents.audit import AUDIT

AUDITED: Query = having(PREDICTION, {"term": {AUDIT: True}})
WITH_TRUTH: Query = without(exists("metrics.unscorable"), {"term": {"metrics.basis": "truth"}})
"""Predictions with a truth that could be scored. A feedback with only a reward has no truth."""
LACKING: Query = without(WITH_TRUTH, AUDITED)
"""Audited predictions that still lack a truth which could be scored."""
UNDECIDED: Query = without(exists(AUDIT), PREDICTION)
"""Predictions that were stored without AUDIT_RATE."""
