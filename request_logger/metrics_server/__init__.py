"""Exposes the counters of Seldon's MetricsServer at /v1/metrics."""
