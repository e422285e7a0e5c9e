"""Wrong predictions as a table: what was asked, answered and true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.formatting import number, words

# More columns of a request don't fit on the page; the document has all.
_MOST_COLUMNS = 6
_ORIGINS = ("deployment", "predictor", "model")


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction: its values, and the place of its document."""

    index: str
    id: str
    values: tuple[Any, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The values as text."""
        return tuple(map(_text, self.values))


@dataclass(frozen=True, slots=True)
class WrongTable:
    """A page of predictions; ``next`` is the ``after`` of the next page, empty on the last one."""

    title: str
    caption: str
    total: int
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    has_classes: bool
    scorers: tuple[tuple[str, str], ...]
    next: str

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The rows as values, each after the index and the id of its document."""
        return [(row.index, row.id, *map(_flat, row.values)) for row in self.rows]


def wrong_table(found: Mapping[str, Any]) -> WrongTable:
    """Return the table of a page of `wrong_predictions`."""
    documents = found["documents"]
    # An origin that is the same in all rows says nothing.
    origins = [name for name in _ORIGINS if len({each.get(name) for each in documents}) > 1]
    if "model" in origins and all(each.get("model") == each.get("predictor") for each in documents):
        origins.remove("model")
    is_plain = any(not isinstance(each.get("request", {}), Mapping) for each in documents)
    asked = [] if is_plain else _names(documents, "request", _MOST_COLUMNS)
    tags = _names(documents, "tags", _MOST_COLUMNS // 2)
    by = found.get("by", "")
    measures = [name for name in ("error", by) if name and any(name in each for each in documents)]
    request = ["request"] if is_plain else []
    header = ("time (UTC)", "truth", "prediction", *map(words, measures), *origins, *tags, *asked, *request)
    rows = []
    for each in documents:
        values = [str(each.get("time", "-"))[:19].replace("T", " ")]
        values += [each.get(name) for name in ("truth", "answer", *measures, *origins)]
        values += [each.get("tags", {}).get(name) for name in tags]
        values += [each.get("request", {}).get(name) for name in asked] + ([each.get("request")] if is_plain else [])
        rows.append(Row(each["index"], each["id"], tuple(values)))
    order = "the newest first" if found["order"] == "newest" or not by else f"ordered by {words(by)}, the worst first"
    scorers = tuple((name, name) for name in found.get("scorers", ()))
    is_of_classes = found.get("has_classes", False)
    title, caption = _title(found, is_of_classes=is_of_classes), f"{order[0].upper()}{order[1:]}."
    return WrongTable(
        title, caption, found["total"], header, tuple(rows), is_of_classes, scorers, found.get("next", "")
    )


def _title(found: Mapping[str, Any], *, is_of_classes: bool) -> str:
    truth, answer, label = (found.get(name, "") for name in ("truth", "answer", "class"))
    parts = [f"truth {truth}" if truth else "", f"prediction {answer}" if answer else ""]
    if truth or answer:
        return f"Predictions with {' and '.join(filter(None, parts))}"
    if label:
        return f"Wrong predictions about {label}"
    return "Wrong predictions" if is_of_classes else "Predictions by their error"


def _names(documents: list[dict[str, Any]], part: str, most: int) -> list[str]:
    """Return the names that any row has, in the order in which they appear, as many as there is room for."""
    found = dict.fromkeys(name for each in documents if isinstance(each.get(part), Mapping) for name in each[part])
    return list(found)[:most]


def _flat(value: Any) -> Any:
    return _text(value) if isinstance(value, Mapping) else value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return number(value) if isinstance(value, float) else str(value)
