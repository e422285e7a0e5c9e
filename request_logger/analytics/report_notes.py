"""Says what limits the figures of a report."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.feedback.section import coverage_note
from request_logger.analytics.formatting import percent
from request_logger.analytics.maturity import COMPLETE
from request_logger.analytics.surface import Control, Surface
from request_logger.documents.folds import FOLDS
from request_logger.settings import Settings

Report = dict[str, Any]

# Twice the share of one of the folds: beyond, Student's quantile is too small for groups of so different sizes.
_LARGEST_FOLD = 2 / FOLDS


def limits_of(report: Report, by_date: str, rows: int, settings: Settings, surface: Surface) -> list[str]:
    """Return what limits the figures, a sentence each; ``rows`` of the documents are rows of batches."""
    notes = []
    if settings.fold_key:
        notes.append(f"Documents with the same {settings.fold_key} may be alike: the intervals allow for it.")
    elif rows:
        notes.append(f"{rows} of the documents are rows of batches, which may be alike: the intervals allow for it.")
    largest = max((task.get("largest_fold") or 0.0 for task in report["tasks"]), default=0.0)
    if (rows or settings.fold_key) and largest > _LARGEST_FOLD:
        notes.append(
            f"{percent(largest)} of the documents are in one of {FOLDS} folds, so that a few groups decide: the"
            " intervals are less certain than they look."
        )
    covered = coverage_note(report["coverage"]) if report["tasks"] and by_date == "prediction" else ""
    if covered:
        notes.append(covered)
    points = [point for task in report["tasks"] for point in (task.get("over_time") or {}).get("points", [])]
    if any(point.get("mature") is False for point in points):
        notes.append(
            f"Young windows lack over {percent(1 - COMPLETE)} of their labels, and late labels may be of another kind:"
            f" their figures are biased, not only less certain. {Control.MATURE.on(surface)} leaves them out."
        )
    if by_date == "feedback":
        notes.append("By the date of the feedback: predictions without feedback are in no time span.")
    unknown = [task["scorer"] for task in report["tasks"] if not task.get("metrics") and "reason" not in task]
    if unknown:
        notes.append(
            f"The scorer {', '.join(unknown)} is unknown here: set SCORER or SCORERS_CONFIG to the values of the server"
            " that wrote these documents."
        )
    return notes
