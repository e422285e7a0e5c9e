"""Checks of scorers' options, for ``__post_init__``."""

from __future__ import annotations

import math
from typing import Any


def check_range(option: str, value: Any, low: float, high: float) -> None:
    """Raise ValueError, naming the option, unless the value is a number within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        wanted = "a finite number" if math.isinf(low) and math.isinf(high) else f"a number from {low:g} to {high:g}"
        raise ValueError(f"option {option} must be {wanted}, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"option {option} must be a finite number, not {value!r}")


def check_flag(option: str, value: Any, *, optional: bool = True) -> None:
    """Raise ValueError, naming the option, unless the value is true, false or (where ``optional``) None."""
    if not isinstance(value, bool) and not (optional and value is None):
        raise ValueError(f"option {option} must be true or false, not {value!r}")


def check_count(option: str, value: Any, *, optional: bool = True) -> None:
    """Raise ValueError, naming the option, unless the value is a whole number >= 1 or (where ``optional``) None."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"option {option} must be a whole number of at least 1, not {value!r}")


def class_tuple(option: str, value: Any, *, least: int = 2) -> tuple[str, ...]:
    """Return the class names as a tuple of text. Raises ValueError unless they are distinct and at least ``least``.

    An empty tuple (the option isn't set) is valid.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"option {option} must be a list of class names in column order, not {value!r}")
    names = tuple(str(name) for name in value)
    if names and (len(names) < least or len(set(names)) < len(names)):
        raise ValueError(f"option {option} must have {least} or more names, all different, not {value!r}")
    return names
