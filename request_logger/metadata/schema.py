"""A prediction schema: names the columns of rows as elements. Pure code.

The format is Seldon's ml-prediction-schema: ``requests`` and ``responses`` are lists of features, each with a name and
a type. A feature is one column, except for PROBA and ONE_HOT with a list of categories (``schema``), which have one
column per category. A schema that doesn't fit a row names the columns that it can: it never makes an event fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeGuard

from request_logger.payloads.base import Decoded, Item

Side = Literal["request", "response"]

_GROUPS = ("PROBA", "ONE_HOT")
# TEXT and TENSOR are columns like the others; some schemas use INT as a type, others as a data type.
TYPES = ("PROBA", "ONE_HOT", "CATEGORICAL", "REAL", "INT", "TEXT", "TENSOR")


class MetadataError(ValueError):
    """A schema, its file or a setting is wrong; the text has one line per problem, with its location."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its columns are its ``parts``; without parts it is one column.

    ``name`` is empty for a column that stays unnamed. ``categories`` maps a column's values to category names.
    """

    name: str
    parts: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.parts) or 1


Features = tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The features of a deployment's requests and responses; ``raw`` is the unparsed schema."""

    requests: Features = ()
    responses: Features = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    def elements_of(self, side: Side, row: Any, names: Sequence[str] | None = None) -> dict[str, Any] | None:
        """Return the elements of a row: feature -> value, for a group category -> value; None if no feature fits.

        ``names`` are the body's column names. If they are a subset or a superset of the schema's names, columns are
        assigned by name, else by their order. A value without a category is kept, as text.
        """
        features = self._features(side)
        return _elements(features, row, names if _are_known(features, names) else None)

    def by_feature(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a drift detector's values, one per request column, by name; surplus ones are ``feature_<i>``."""
        found = _by_position(self.requests, list(values), _unmapped)
        width = sum(feature.width for feature in self.requests)
        return found | {f"feature_{i}": value for i, value in enumerate(values) if i >= width}

    def _features(self, side: Side) -> Features:
        return self.requests if side == "request" else self.responses


def apply_schema(decoded: Decoded, schema: Schema | None, side: Side) -> Decoded:
    """Return a body with the elements that the schema names; unchanged if there is no schema, or nothing to name.

    Text, JSON and binary bodies have no columns, and a body that another logger parsed has its elements already.
    """
    if schema is None or not decoded.has_elements or not decoded.has_payload:
        return decoded
    features = schema._features(side)
    names = decoded.names if _are_known(features, decoded.names) else None
    # Columns of different lengths are one row of kind json, whose columns can be assigned by name only.
    if not features or (decoded.data_type == "json" and names is None):
        return decoded
    items: list[Item] = []
    for item in decoded.items:
        elements = _elements(features, item.instance, names)
        items.append(Item(item.instance, elements) if elements else item)
    return replace(decoded, items=items)


def parse_schema(value: Any) -> tuple[Schema, list[str]]:
    """Parse a prediction schema, in the service's camel case or with underscores; return it and its problems.

    Problems don't prevent the rest from being used: a feature that can't be read becomes an unnamed column.
    """
    problems: list[str] = []
    if not isinstance(value, Mapping):
        return Schema(), [f"expected an object with requests and responses, found {_kind(value)}"]
    sides: list[Features] = []
    for side in ("requests", "responses"):
        features = value.get(side)
        if features is None:
            features = []
        if not isinstance(features, list):
            problems.append(f"{side}: expected a list of features, found {_kind(features)}")
            features = []
        found = tuple(_feature(item, f"{side}: feature {i}", problems) for i, item in enumerate(features, start=1))
        names = [feature.name for feature in found if feature.name]
        problems.extend(f"{side}: {name!r:.60} is the name of two features" for name in _repeated(names))
        sides.append(found)
    if not problems and not any(sides):
        problems.append("expected features under requests or responses, found none")
    return Schema(sides[0], sides[1], value), problems


def _feature(value: Any, where: str, problems: list[str]) -> Feature:
    if not isinstance(value, Mapping):
        problems.append(f"{where}: expected an object, found {_kind(value)}")
        return Feature("")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        problems.append(f"{where}: name: expected text, found {_kind(name)}")
        name = ""
    # The service omits default values; REAL is the default.
    kind = value.get("type") or "REAL"
    if kind not in TYPES:
        problems.append(f"{where}: type: expected one of {', '.join(TYPES)}, found {kind!r:.60}")
    if kind in _GROUPS:
        return Feature(name, _parts(value.get("schema"), f"{where}: schema", problems))
    if kind == "CATEGORICAL":
        categories = value.get("category_map", value.get("categoryMap"))
        return Feature(name, categories=_categories(categories, f"{where}: category_map", problems))
    return Feature(name)


def _parts(value: Any, where: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        problems.append(f"{where}: expected a list of categories, each with a name, found {_kind(value)}")
        return ()
    names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in value]
    for i, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name:
            problems.append(f"{where}: category {i}: name: expected text, found {_kind(name)}")
    texts = tuple(name if isinstance(name, str) else "" for name in names)
    problems.extend(f"{where}: {name!r:.60} is the name of two categories" for name in _repeated(texts))
    return texts


def _repeated(names: Sequence[str]) -> list[str]:
    counts = Counter(filter(None, names))
    return [name for name, count in counts.items() if count > 1]


def _categories(value: Any, where: str, problems: list[str]) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(f"{where}: expected an object of values to categories, found {_kind(value)}")
        return {}
    return {_text(key): _text(category) for key, category in value.items()}


def _elements(features: Features, row: Any, names: Sequence[str] | None) -> dict[str, Any] | None:
    """Return a row's values by name; ``names`` are the row's column names if they are the schema's, else None."""
    if isinstance(row, dict):
        return _by_name(features, row) or None
    if isinstance(row, list):
        if names is not None and len(names) == len(row):
            return _by_name(features, dict(zip(names, row, strict=True))) or None
        return _by_position(features, row, _mapped) or None
    # With several columns, a single value can't be assigned to one.
    if len(features) == 1 and features[0].width == 1:
        return _by_position(features, [row], _mapped) or None
    return None


def _are_known(features: Features, names: Sequence[str] | None) -> bool:
    if not names:
        return False
    wholes = {feature.name for feature in features}
    columns = {part for feature in features for part in (feature.parts or (feature.name,))}
    given = set(names)
    return given <= columns | wholes or columns <= given or wholes <= given


def _by_name(features: Features, cells: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for feature in features:
        cell = cells.get(feature.name)
        if not feature.parts:
            if feature.name in cells:
                found[feature.name] = _mapped(feature, cell)
        elif _is_group(cell, feature):
            found[feature.name] = _group(feature, cell)
        elif group := {part: cells[part] for part in feature.parts if part in cells}:
            found[feature.name] = group
    found.pop("", None)
    return found


def _by_position(features: Features, cells: list[Any], read: Callable[[Feature, Any], Any]) -> dict[str, Any]:
    # A body of several tensors has one cell per feature, and the cell of a group is the list of its columns.
    nested = len(cells) == len(features) and all(
        _is_group(cell, feature) for feature, cell in zip(features, cells, strict=True) if feature.parts
    )
    found: dict[str, Any] = {}
    position = 0
    for feature in features:
        if position >= len(cells):
            break
        if not feature.parts:
            found[feature.name] = read(feature, cells[position])
            position += 1
        elif nested:
            found[feature.name] = _group(feature, cells[position])
            position += 1
        else:
            found[feature.name] = _group(feature, cells[position : position + feature.width])
            position += feature.width
    found.pop("", None)
    return found


def _is_group(cell: Any, feature: Feature) -> TypeGuard[list[Any]]:
    return isinstance(cell, list) and len(cell) == feature.width


def _group(feature: Feature, values: list[Any]) -> dict[str, Any]:
    return {part: value for part, value in zip(feature.parts, values, strict=False) if part}


def _unmapped(feature: Feature, value: Any) -> Any:
    return value


def _mapped(feature: Feature, value: Any) -> Any:
    if not feature.categories or value is None:
        return value
    if isinstance(value, list):
        return [_mapped(feature, entry) for entry in value]
    for text in _spellings(value):
        if text in feature.categories:
            return feature.categories[text]
    # Text, like the categories: otherwise the first value of a field could make the search engine map it as a number.
    return value if isinstance(value, (str, dict)) else _spellings(value)[0]


def _spellings(value: Any) -> tuple[str, ...]:
    """Return the spellings of a value as a key: senders turn 1 into 1.0, and some models use 1 for true."""
    if isinstance(value, bool):
        return (_text(value), str(value), str(int(value)))
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return (str(int(value)), f"{int(value)}.0")
    return (str(value),)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number") if value != "" else "empty text"
