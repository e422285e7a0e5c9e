"""Figures from stored documents: metrics with intervals and baselines, reports, comparisons and the quality gate.

``scope`` selects documents, ``queries`` fetches exact sums over them, ``buckets`` splits them by time or field. The
scorers declare the metrics; ``rollups`` turns their needs into aggregations. The package only reads the search engine
and uses no scripts.
"""
