"""Finds scorers by name: built-in ones, those of other packages, and custom classes by their dotted path."""

from __future__ import annotations

import importlib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from request_logger.scoring.legacy import LegacyScorer
from scorers.base import Scorer

GROUP = "request_logger.scorers"
AUTO = "auto"

# Class paths used as storage_uri of Seldon's MetricsServer; the numeric one occurs in both spellings.
ALIASES: Mapping[str, str] = {
    "adserver.cm_models.binary_metrics.BinaryMetrics": "request_logger.scoring.legacy.ByNumber",
    "adserver.cm_models.multiclass_numeric.MulticlassNumeric": "request_logger.scoring.legacy.ByColumn",
    "adserver.cm_models.multiclass_numeric.MultiClassNumeric": "request_logger.scoring.legacy.ByColumn",
    "adserver.cm_models.multiclass_one_hot.MulticlassOneHot": "request_logger.scoring.legacy.OneHot",
}


class ScorerError(ValueError):
    """A scorer's name or options are wrong; the text has one line per problem."""


@lru_cache(maxsize=1)
def registered() -> Mapping[str, Any]:
    """Return the entry points of the registered scorers by name; a scorer is imported when it is first used."""
    return {point.name: point for point in entry_points(group=GROUP)}


@lru_cache(maxsize=256)
def scorer_class(name: str) -> type[Any]:
    """Return the class of a scorer: by registered name, alias, or dotted path such as ``package.module.Class``.

    Raises ScorerError if there is none, or the class has neither ``score`` nor ``transform``.
    """
    name = ALIASES.get(name, name)
    points = registered()
    try:
        if name in points:
            found = points[name].load()
        elif "." in name:
            module, _, attribute = name.rpartition(".")
            found = getattr(importlib.import_module(module), attribute)
        else:
            raise ScorerError(f"unknown scorer {name!r}: there are {', '.join(sorted(points))}, or a dotted path")
    except (ImportError, AttributeError) as error:
        raise ScorerError(f"scorer {name!r} can't be imported: {error}") from error
    if not isinstance(found, type) or not (hasattr(found, "score") or hasattr(found, "transform")):
        raise ScorerError(f"scorer {name!r} is not a class with a method score or transform")
    return found


def build(name: str, options: Mapping[str, Any]) -> Scorer:
    """Return a scorer with options. Raises ScorerError with one line per wrong option."""
    cls = scorer_class(name)
    problems = _option_problems(cls, options)
    if problems:
        raise ScorerError("\n".join(problems))
    try:
        made = cls(**options)
    except (TypeError, ValueError) as error:
        raise ScorerError(str(error)) from error
    if hasattr(made, "score"):
        return typing.cast(Scorer, made)
    return LegacyScorer(made)


def parse(setting: str) -> tuple[str, dict[str, Any]]:
    """Parse ``binary:threshold=0.3,positive_label=fraud`` into name and options.

    Lists are written as ``classes=no|yes``. A value is converted to the type of its option. Raises ScorerError.
    """
    name, colon, rest = setting.strip().partition(":")
    options: dict[str, Any] = {}
    hints = _hints(scorer_class(name)) if colon else {}
    for part in rest.split(",") if rest.strip() else []:
        key, equals, text = part.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ScorerError(f"{setting!r}: expected option=value, found {part!r}")
        options[key] = _typed(text.strip(), hints.get(key, ()))
    return name, options


def _hints(cls: type[Any]) -> dict[str, tuple[Any, ...]]:
    """Return the types that each option accepts; empty for a class that isn't a dataclass."""
    if not is_dataclass(cls):
        return {}
    hints = typing.get_type_hints(cls)
    return {field.name: _alternatives(hints[field.name]) for field in fields(cls) if field.init}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(typing.get_origin(part) or part for part in typing.get_args(hint))
    return (typing.get_origin(hint) or hint,)


def _typed(text: str, kinds: tuple[Any, ...]) -> Any:
    if tuple in kinds or list in kinds:
        return text.split("|")
    if str in kinds:
        return text
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _option_problems(cls: type[Any], options: Mapping[str, Any]) -> list[str]:
    if not is_dataclass(cls):
        return []
    hints = _hints(cls)
    problems = []
    for key, value in options.items():
        if key not in hints:
            known = ", ".join(sorted(hints)) or "none"
            problems.append(f"unknown option {key!r}: {cls.__name__} has {known}")
        elif not _fits(value, hints[key]):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in hints[key])
            problems.append(f"option {key} must be {wanted}, not {value!r}")
    return problems


def _fits(value: Any, kinds: tuple[Any, ...]) -> bool:
    if not all(isinstance(kind, type) for kind in kinds):
        return True
    if isinstance(value, bool):
        return bool in kinds
    return (
        isinstance(value, kinds)
        or (isinstance(value, int) and float in kinds)
        or (isinstance(value, list) and tuple in kinds)
    )
