"""How kinds of engines differ where the program can tell, and the errors that they answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INFINITY = float("inf")


@dataclass(frozen=True)
class Flavour:
    """One kind of engine. ``None`` for a limit: it has none."""

    name: str
    number: str
    """Its version, as ``GET /`` says it."""
    distribution: str | None
    parsing: str
    """Type of the error for a document that its mapping refuses."""
    longest_number: int | None
    longest_name: int | None
    deepest: int | None
    deepest_arrays: int | None = None
    """How many arrays may be directly in each other."""
    unknown_setting: str = "illegal_argument_exception"
    """Type of the error for a setting that isn't known."""
    oldest_date: float = -INFINITY
    """The least number of milliseconds since 1970 that is a date."""
    groups_piped: bool = False
    """Whether the actions of a bulk go through pipelines index by index."""
    has_types: bool = False
    """Whether documents are answered with a ``_type``."""
    lenient_with_objects: frozenset[str] = frozenset()
    """Types of which a field with ignore_malformed takes an object."""
    is_elastic: bool = False
    """Whether it is Elastic's, from version 8 on."""


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
        """Whether the write that was refused has used up a seq_no."""

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
    """A request of a method or path that the engine doesn't know: its answer has no error object."""

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
    """Return the keys that say what caused a refusal."""
    return {"caused_by": {"type": type, "reason": reason}}


def no_index(name: str, why: str = "") -> Refusal:
    """Return the refusal for an index that isn't there."""
    return Refusal(404, "index_not_found_exception", f"no such index [{name}]{why}", index=name, index_uuid="_na_")


def invalid(*problems: str) -> Refusal:
    """Return the refusal of a request that is wrong as a whole."""
    text = "".join(f"{number}: {problem};" for number, problem in enumerate(problems, 1))
    return Refusal(400, "action_request_validation_exception", f"Validation Failed: {text}")
