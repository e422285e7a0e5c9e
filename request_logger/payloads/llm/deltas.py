"""Joins the deltas of a stream to one object, in time linear in their size."""

from __future__ import annotations

from typing import Any

# Names whose value is complete in each delta that has it; other texts are pieces, which are joined.
_WHOLE = frozenset({"role", "id", "type", "name", "object", "index", "created", "model"})


class Pieces(list[str]):
    """The pieces of a text."""


class Entries(dict[int, dict[str, Any]]):
    """The objects of a list by their ``index``, which deltas refer to."""


def add(known: dict[str, Any], delta: dict[str, Any]) -> None:
    """Join a delta to what is known so far: texts are appended, objects joined, lists extended or joined by index.

    A number, a boolean, and a name that is complete in each delta replace the value before; null replaces nothing.
    """
    for name, value in delta.items():
        if value is None:
            known.setdefault(name, None)
        elif isinstance(value, dict):
            held = known.get(name)
            if type(held) is not dict:
                held = known[name] = {}
            add(held, value)
        elif isinstance(value, list):
            _extend(known, name, value)
        elif isinstance(value, str) and name not in _WHOLE:
            held = known.get(name)
            if type(held) is Pieces:
                held.append(value)
            else:
                known[name] = Pieces([value])
        elif value != "" or known.get(name) is None:
            known[name] = value


def _extend(known: dict[str, Any], name: str, values: list[Any]) -> None:
    held = known.get(name)
    if values and all(isinstance(value, dict) and is_index(value.get("index")) for value in values):
        if type(held) is not Entries:
            held = known[name] = Entries()
        for value in values:
            add(held.setdefault(value["index"], {}), value)
    elif type(held) is list:
        held.extend(values)
    elif type(held) is not Entries:
        known[name] = list(values)


def is_index(value: Any) -> bool:
    """Return whether a value can be an entry's index."""
    return type(value) is int and value >= 0


def finished(value: Any) -> Any:
    """Return joined deltas as JSON: texts whole, entries as a list in the order of their indexes, without these."""
    if type(value) is Pieces:
        return text_of(value)
    if type(value) is Entries:
        ordered = (value[index] for index in sorted(value))
        return [{name: finished(entry) for name, entry in each.items() if name != "index"} for each in ordered]
    if type(value) is dict:
        return {name: finished(entry) for name, entry in value.items()}
    return value


def text_of(pieces: list[str]) -> str:
    """Return the text of its pieces. Two of them may have the halves of a surrogate pair, which become a character."""
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
