"""Drift: whether inputs and predictions of a time span are distributed as in reference data or an earlier span."""
