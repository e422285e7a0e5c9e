"""Differences between kinds of engines that the program can observe, and the errors that engines answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INFINITY = float("inf")


@dataclass(frozen=True)
class Flavour:
    """One kind of engine. A limit of None means no limit."""

    name: str
    number: str
    """Its version, as ``GET /`` shows it."""
    distribution: str | None
    parsing: str
    """Type of the error for a document that its mapping refuses."""
    longest_number: int | None
    longest_name: int | None
    deepest: int | None
    deepest_arrays: int | None = None
    """Maximum depth of directly nested arrays."""
    unknown_setting: str = "illegal_argument_exception"
    """Type of the error for an unknown setting."""
    oldest_date: float = -INFINITY
    """Lowest number of milliseconds since 1970 accepted as a date."""
    unblocks_one_by_one: bool = False
    """Whether a blocked index accepts only requests that change a single block."""
    groups_piped: bool = False
    """Whether the pipelines of a bulk run index by index."""
    has_types: bool = False
    """Whether answers contain a ``_type``, as in version 7."""
    lenient_with_objects: frozenset[str] = frozenset()
    """Field types that accept an object with ignore_malformed."""
    is_elastic: bool = False
    """Whether it is Elasticsearch 8 or later."""
    searches_doc_values: bool = True
    """Whether it searches numbers that have doc values and no points."""


WHOLE_NUMBERS = ("long", "integer", "short", "byte")
FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            "opensearch",
            "3.3.2",
            "opensearch",
            "mapper_parsing_exception",
            1000,
            50_000,
            1000,
            deepest_arrays=20,
            unblocks_one_by_one=True,
            groups_piped=True,
            unknown_setting="settings_exception",
            lenient_with_objects=frozenset({*WHOLE_NUMBERS, "double", "float", "half_float", "date", "boolean"}),
        ),
        Flavour(
            "elasticsearch7-oss",
            "7.10.2",
            None,
            "mapper_parsing_exception",
            None,
            None,
            None,
            has_types=True,
            oldest_date=0,
            searches_doc_values=False,
        ),
        Flavour(
            "elasticsearch9",
            "9.5.3",
            None,
            "document_parsing_exception",
            1000,
            None,
            1000,
            lenient_with_objects=frozenset({"date"}),
            is_elastic=True,
        ),
    )
}


class Refusal(Exception):  # noqa: N818  # an answer, not a defect
    """An error that the engine answers with. ``more`` are further keys of its object, such as ``index``."""

    def __init__(self, status: int, type: str, reason: str, **more: Any) -> None:
        super().__init__(reason)
        self.status = status
        self.type = type
        self.reason = reason
        self.more = more
        self.numbered = False
        """Whether the refused write has consumed a seq_no."""

    def cause(self) -> dict[str, Any]:
        """Return the object of a bulk item."""
        return {"type": self.type, "reason": self.reason, **self.more}

    def with_root(self) -> dict[str, Any]:
        """Return the object of a whole answer, or of an item of _mget."""
        return {"root_cause": [self.root()], **self.cause()}

    def root(self) -> dict[str, Any]:
        """Return the first cause."""
        cause = self.cause()
        cause.pop("caused_by", None)
        return cause

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of a whole answer."""
        return self.status, {"error": self.with_root(), "status": self.status}


class NoHandler(Exception):  # noqa: N818  # an answer, not a defect
    """A request with an unknown method or path; its answer has no error object."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of a whole answer."""
        return self.status, {"error": str(self), **({"status": self.status} if self.status == 405 else {})}


def bad_argument(reason: str, **more: Any) -> Refusal:
    """Return a refusal of an argument."""
    return Refusal(400, "illegal_argument_exception", reason, **more)


def because(type: str, reason: str) -> dict[str, Any]:
    """Return the `caused_by` key of an error."""
    return {"caused_by": {"type": type, "reason": reason}}


def no_index(name: str, why: str = "") -> Refusal:
    """Return the refusal for a missing index."""
    return Refusal(404, "index_not_found_exception", f"no such index [{name}]{why}", index=name, index_uuid="_na_")


def invalid(*problems: str) -> Refusal:
    """Return the refusal of a request that fails validation."""
    text = "".join(f"{number}: {problem};" for number, problem in enumerate(problems, 1))
    return Refusal(400, "action_request_validation_exception", f"Validation Failed: {text}")
