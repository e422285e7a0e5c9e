"""The error for a query that can't be answered as given."""

from __future__ import annotations


class BadQueryError(ValueError):
    """An option is invalid, or invalid for these documents; the text is one line that says what was expected."""
