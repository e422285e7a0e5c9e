"""Answers from what is stored: how good a model is, over which documents, and how sure that is.

``scope`` says which documents, ``queries`` gets sums of them that are exact, ``buckets`` splits them by time and field.
Metrics are declared by the
scorers; what the engine must add up for them is in `request_logger.analytics.rollups`. Nothing here writes, and no
script runs in the engine.
"""
