"""Text that spreadsheets read as text."""

from __future__ import annotations

import re

# OWASP's list of characters that start a formula, with their full-width forms.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_IS_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def without_formula(text: str) -> str:
    """Return text, prefixed with an apostrophe where a spreadsheet would run it as a formula; numbers are unchanged.

    The first characters are those that OWASP lists for CSV injection.
    """
    return f"'{text}" if text[:1] in _FORMULA and not _IS_NUMBER.fullmatch(text) else text
