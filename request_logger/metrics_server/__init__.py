"""The counters that Seldon's MetricsServer exposed: /v1/metrics."""
