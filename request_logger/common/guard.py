"""Helpers for running user code (scorers, decoders, schemas): its exceptions are caught and reported by type only.

Callers catch BaseException, including SystemExit and KeyboardInterrupt: user code runs in the threads that store
events, where only a defect raises these. The text of an exception is never kept, since it may quote a body.
"""

from __future__ import annotations

import re

_NO_NAME = re.compile(r"[^\w.<>]")
_LONGEST_NAME = 200


def reraise_if_killed(error: BaseException) -> None:
    """Raise an exception again if it is gevent's GreenletExit, which ends the thread: not a failure of user code."""
    if type(error).__name__ == "GreenletExit":
        raise error


def type_name(value: object) -> str:
    """Return the name of a value's type, without its module: ``ValueError``."""
    return _clean(type(value), "__name__")


def path_of(value: object) -> str:
    """Return the dotted path of a value's class, as settings name it: ``package.module.Class``."""
    return f"{_clean(type(value), '__module__')}.{_clean(type(value), '__qualname__')}"


def _clean(kind: type, attribute: str) -> str:
    # A class that was created at run time can have any text as its name.
    return _NO_NAME.sub("_", str(getattr(kind, attribute, "")))[:_LONGEST_NAME]
