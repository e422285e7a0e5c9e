"""User code (scorers, decoders, schemas) runs inside a guard: what it raises is named by type, and goes no further.

An exception of any kind is caught, SystemExit and KeyboardInterrupt too: user code runs in the threads that store
events, where nothing but a defect raises them. Its text is not kept anywhere, since it may quote what was sent.
"""

from __future__ import annotations

import re

_NO_NAME = re.compile(r"[^\w.<>]")
_LONGEST_NAME = 200


def reraise_if_killed(error: BaseException) -> None:
    """Raise an exception again that ends the thread itself (gevent's): it is no failure of user code."""
    if type(error).__name__ == "GreenletExit":
        raise error


def type_name(value: object) -> str:
    """Return the name of a value's type, without its module: ``ValueError``."""
    return _clean(type(value), "__name__")


def path_of(value: object) -> str:
    """Return the dotted path of a value's class, as settings name it: ``package.module.Class``."""
    return f"{_clean(type(value), '__module__')}.{_clean(type(value), '__qualname__')}"


def _clean(kind: type, attribute: str) -> str:
    # A class made at run time can have anything for a name.
    return _NO_NAME.sub("_", str(getattr(kind, attribute, "")))[:_LONGEST_NAME]
