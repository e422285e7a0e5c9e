"""The error that a command ends with when the user can mend it."""

from __future__ import annotations


class CommandError(Exception):
    """Something that the command needs is missing or wrong; the text is one line that says what to do."""
