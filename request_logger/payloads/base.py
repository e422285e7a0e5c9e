"""The interface of payload decoders: everything that the author of a new decoder needs.

A decoder converts the parsed body of a message (Seldon, TensorFlow, V2, ...) to rows. It is a class with the two
methods of :class:`Decoder`, registered under the entry point group ``request_logger.payloads``, like the built-in
decoders. It receives JSON objects only. If it has the method of :class:`NamesColumns`, too, its bodies can be redacted
by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

DataType = Literal["number", "tabular", "text", "image", "json"]


class UndecodableError(ValueError):
    """The body hasn't the shape that the decoder expects; the text has what was expected and found."""


@dataclass(slots=True)
class Item:
    """One row of a batch.

    ``instance`` is the row as JSON (a number, text, a possibly nested list, an object); ``elements`` maps the row's
    column names to its values, None if there are no names.
    """

    instance: Any
    elements: dict[str, Any] | None = None


@dataclass(slots=True)
class Decoded:
    """A decoded body.

    ``items`` has one entry per row, at least one. ``names`` are the column names, None if the body has none. ``fields``
    are other fields of the body, which are stored at the top level of the document's part (``meta``,
    ``signature_name``, ``id``, ``parameters``). ``has_elements`` is False for the kinds (text, JSON, binary) whose
    documents have no ``elements`` field at all, not even null. ``payload`` is the body as it is stored: a decoder
    leaves it None, :func:`request_logger.payloads.decode_body` sets it. ``has_payload`` is False if the body is stored
    as the part itself, without a ``payload`` field.

    Rows and payload share their lists and objects with the body: they must not be modified.
    """

    data_type: DataType
    items: Sequence[Item]
    names: list[str] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    has_elements: bool = True
    payload: Any = None
    has_payload: bool = True


class Decoder(Protocol):
    """Decodes the messages of one protocol."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body is of the decoder's protocol. Must be cheap: checks keys only."""
        ...

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the decoded body. Raises UndecodableError with one line for the user."""
        ...


class NamesColumns(Protocol):
    """A decoder that names the columns of a body. If REDACT has names, the bodies of other decoders are not stored."""

    def columns(self, body: dict[str, Any]) -> Sequence[str] | None:
        """Return the names of the body's columns that have one, empty if none has; None if they can't be determined.

        Raises UndecodableError as ``decode`` does.
        """
        ...


def columns_in(decoded: Decoded) -> list[str]:
    """Return the column names of decoded rows, for a decoder whose rows contain the whole body."""
    names = dict.fromkeys(decoded.names or ())
    for item in decoded.items:
        for named in (item.elements, item.instance):
            if isinstance(named, dict):
                names.update(dict.fromkeys(map(str, named)))
    return list(names)
