"""The error of a command that the user can fix."""

from __future__ import annotations


class CommandError(Exception):
    """Something that the command needs is missing or wrong; the text is one line that says what to do."""
