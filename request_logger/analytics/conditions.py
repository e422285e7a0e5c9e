"""Conditions on fields that a user gives, such as ``country=DE`` and ``age>=30``, as queries.

A field is named as for a split (`fields.find_field`): by an alias such as ``model``, by the bare name of an element, a
tag or a header, or by its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from request_logger.analytics.buckets import value_segment
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Query, Scope, find_scope, is_time
from request_logger.analytics.selection import Selection, any_of
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

_FORM = re.compile(r"(?P<name>.+?)\s*(?P<operator>!=|>=|<=|=|>|<)\s*(?P<value>.*)", re.DOTALL)
_EXPECTED = "--where: expected field=value, or with one of != >= <= > < as operator"


class Operator(StrEnum):
    """How a document's value is compared with that of the condition."""

    IS = "="
    IS_NOT = "!="
    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


_BOUNDS = {Operator.AT_LEAST: "gte", Operator.AT_MOST: "lte", Operator.ABOVE: "gt", Operator.BELOW: "lt"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; with an empty ``value``, whether a document has the field at all."""

    name: str
    operator: Operator
    value: str

    @classmethod
    def of(cls, text: str) -> Condition:
        """Return the condition of a text. Raises BadQueryError."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise BadQueryError(f"{_EXPECTED}, found {text!r}")
        return cls(found["name"], Operator(found["operator"]), found["value"].strip())


def where(runner: QueryRunner, scope: Scope, texts: Iterable[str]) -> Scope:
    """Return the scope of those documents that fulfil all conditions.

    Raises BadQueryError, which lists similar names, for a field that no document has.
    """
    queries = [query_of(runner, scope, Condition.of(text)) for text in texts]
    return scope.having(*queries) if queries else scope


def query_of(runner: QueryRunner, scope: Scope, condition: Condition) -> Query:
    """Return a condition as a query. Raises BadQueryError."""
    field = find_field(runner, scope, condition.name, option="--where")
    if condition.operator in _BOUNDS:
        return _range(field, condition)
    found = _equal(field, condition.value)
    return {"bool": {"must_not": [found]}} if condition.operator is Operator.IS_NOT else found


def selected(
    engine: EngineReader, settings: Settings, selection: Selection, target: str = "", texts: Iterable[str] = ()
) -> Selection:
    """Return a selection restricted to a target and to conditions; see `find_scope` and `where`.

    Raises BadQueryError, and StoreUnavailableError without an answer.
    """
    if target and selection.index:
        raise BadQueryError("--in, --index: expected one of them")
    if target:
        scope = find_scope(engine, settings, target)
        selection = replace(selection, index=scope.indices, clauses=(*selection.clauses, *scope.filters))
    runner = QueryRunner(engine)
    scope = Scope(selection.indices(settings), tuple(selection.filters()))
    queries = tuple(query_of(runner, scope, Condition.of(text)) for text in texts)
    return replace(selection, clauses=(*selection.clauses, *queries))


def _equal(field: Field, text: str) -> Query:
    """Return the query for documents with a value; a text with `*` or `?` is a glob; an empty one is "without it"."""
    if not text:
        return value_segment(field, None, 0).only
    if not field.is_number and ("*" in text or "?" in text):
        return any_of(*({"wildcard": {path: {"value": text}}} for path in field.paths))
    return value_segment(field, field.value_of(text, option="--where"), 0).only


def _range(field: Field, condition: Condition) -> Query:
    if not field.is_number and not is_time(condition.value):
        raise BadQueryError(
            f"--where: expected a number or a date after {condition.operator}, and a field of numbers or dates, for"
            f" {condition.name!r}"
        )
    value = field.value_of(condition.value, option="--where")
    return any_of(*({"range": {path: {_BOUNDS[condition.operator]: value}}} for path in field.paths))
