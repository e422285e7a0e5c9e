"""Field types: which values they accept, and the type inferred for a new field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

MOST_TERM_BYTES = 32_766
_RANGES = {"long": 2**63, "integer": 2**31, "short": 2**15, "byte": 2**7}
_MOST_FLOAT = 3.4028235e38
_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"T(?:[01]\d|2[0-3])(?::[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?"
_DATE = re.compile(rf"(?:\d{{4}}(?:-(?:0[1-9]|1[0-2]))?|{_DAY}(?:{_TIME}|T)?)\Z")
# Texts for which date detection infers a date.
_GUESSED = re.compile(
    rf"(?:{_DAY}(?:{_TIME})?|\d{{4}}/(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|3[01])(?: \d\d:\d\d:\d\d)?)\Z"
)
_EPOCH = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?\Z")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")


class BadValue(Exception):  # noqa: N818  # a verdict on a value
    """A field does not accept a value. ``structure``: the value is an object; ``immense``: a term is too long."""

    def __init__(
        self, reason: str, type: str = "illegal_argument_exception", structure: bool = False, immense: bool = False
    ) -> None:
        super().__init__(reason)
        self.type = type
        self.structure = structure
        self.immense = immense


def _no_object(value: Any) -> None:
    if value.__class__ is dict:
        raise BadValue("Cannot parse object as a value", structure=True)


def _number_of(value: Any, given: Json) -> float | int | None:
    _no_object(value)
    if value.__class__ is bool:
        raise BadValue("Current token (VALUE_TRUE) not numeric", "json_parse_exception")
    if value.__class__ is str:
        if given.get("coerce") is False:
            raise BadValue("value passed as String")
        if not value:
            return None
        if not _NUMBER.match(value):
            raise BadValue(f'For input string: "{value}"', "number_format_exception")
        return float(value) if not value.lstrip("+-").isdigit() else int(value)
    return value  # type: ignore[no-any-return]


def _whole(value: Any, given: Json) -> None:
    number = _number_of(value, given)
    if number is None:
        return
    bound = _RANGES[given["type"]]
    if not -bound <= number < bound:
        raise BadValue(f"Value [{value}] is out of range for a {given['type']}")
    if given.get("coerce") is False and number != int(number):
        raise BadValue(f"{value} cannot be converted without data loss")


def _floating(value: Any, given: Json) -> None:
    number = _number_of(value, given)
    if number is None:
        return
    try:
        wide = abs(float(number))
    except OverflowError:
        wide = float("inf")
    if wide == float("inf") or (given["type"] != "double" and wide > _MOST_FLOAT):
        raise BadValue(f"[{given['type']}] supports only finite values")


def _boolean(value: Any, _given: Json) -> None:
    _no_object(value)
    if value.__class__ is not bool and value not in ("true", "false", ""):
        raise BadValue("Failed to parse value as only [true] or [false] are allowed.")
    if value.__class__ is not bool and value.__class__ is not str:
        raise BadValue("Failed to parse value as only [true] or [false] are allowed.")


def _keyword(value: Any, given: Json) -> None:
    if value.__class__ is dict:
        raise BadValue("Can't get text on a START_OBJECT", "illegal_state_exception", structure=True)
    if value.__class__ is str and len(value) > MOST_TERM_BYTES // 4:
        bound = given.get("ignore_above")
        if bound is not None and len(value) > bound:
            return
        indexed = given.get("index", True) or given.get("doc_values", True)
        if indexed and len(value.encode("utf-8", "replace")) > MOST_TERM_BYTES:
            raise BadValue("immense term", immense=True)


def _text(value: Any, _given: Json) -> None:
    if value.__class__ is dict:
        raise BadValue("Can't get text on a START_OBJECT", "illegal_state_exception", structure=True)


def _date(value: Any, given: Json) -> None:
    _no_object(value)
    text = value if value.__class__ is str else str(value)
    if not (_GUESSED if "format" in given else _DATE).match(text) and not _EPOCH.match(text):
        raise BadValue("failed to parse date field")


def is_before(value: Any, oldest: float) -> bool:
    """Return whether a date is a number of milliseconds lower than the oldest accepted one."""
    return bool(_EPOCH.match(str(value))) and float(value) < oldest


def _anything(_value: Any, _given: Json) -> None:
    return


TYPES: dict[str, Callable[[Any, Json], None]] = {
    **dict.fromkeys(_RANGES, _whole),
    **dict.fromkeys(("double", "float", "half_float"), _floating),
    "boolean": _boolean,
    "keyword": _keyword,
    "text": _text,
    "date": _date,
    **dict.fromkeys(("flattened", "flat_object", "binary", "ip", "geo_point"), _anything),
}
"""Checks by type. Each takes a value that is neither an array nor null, and raises BadValue."""

_DYNAMIC_TEXT = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def inferred(value: Any, dates: bool) -> tuple[str, Json]:
    """Return the type name that dynamic templates match for a value, and the default field definition."""
    if value.__class__ is bool:
        return "boolean", {"type": "boolean"}
    if isinstance(value, int):
        return "long", {"type": "long"}
    if isinstance(value, float):
        return "double", {"type": "float"}
    if dates and _GUESSED.match(value):
        given = {"type": "date"}
        if "/" in value:
            given["format"] = "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd||epoch_millis"
        return "date", given
    return "string", {"type": "text", "fields": {"keyword": dict(_DYNAMIC_TEXT["fields"]["keyword"])}}  # type: ignore[index]
