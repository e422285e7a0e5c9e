"""The error of a question that can't be answered as it was put."""

from __future__ import annotations


class BadQuestionError(ValueError):
    """An option makes no sense, or not with these documents; the text is one line that says what was expected."""
