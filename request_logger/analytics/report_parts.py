"""The parts of a report that take their own searches, so that a page of it computes only what it shows."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """A part of a report in addition to its counts and headline metrics, which every report has."""

    METRICS = "metrics"
    """All metrics of a scorer, with the tables and curves that come from the same sums."""

    CURVES = "curves"
    """Metrics over time and by a field, distributions of errors, evaluations, answers of language models."""
    CLASSES = "classes"
    """The confusion matrix, the tables by class, and recall by class over time."""
    FEEDBACK = "feedback"
    """Which predictions have feedback, how late it comes, and why it can't be scored."""


ALL_PARTS = frozenset(Part)
