"""What a payload decoder is: all that the author of a new one reads.

A decoder turns one decoded message body (Seldon, TensorFlow, V2, ...) into rows. It is a class with the
two methods of :class:`Decoder`, registered under the entry point group ``request_logger.payloads``; the
built-in ones are registered the same way. Only JSON objects come to a decoder, parsed. With the method of
:class:`NamesColumns`, too, its bodies can be redacted by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

DataType = Literal["number", "tabular", "text", "image", "json"]


class UndecodableError(ValueError):
    """The body is not of the shape that the decoder expects; the text says what was expected and found."""


@dataclass(slots=True)
class Item:
    """One row of a batch.

    ``instance`` is the row as JSON (a number, text, a possibly nested list, an object); ``elements`` maps the
    row's names to its values, None where there are no names.
    """

    instance: Any
    elements: dict[str, Any] | None = None


@dataclass(slots=True)
class Decoded:
    """A body taken apart.

    ``items`` has one entry a row, at least one. ``names`` are the column names, None where the body has none.
    ``fields`` are other fields of the body that belong at the top of the document's part (``meta``,
    ``signature_name``, ``id``, ``parameters``). ``has_elements`` is False for the kinds (text, JSON, binary) whose
    documents have no ``elements`` field at all, not even null. ``payload`` is the body as the document keeps it:
    a decoder leaves it None, :func:`request_logger.payloads.decode_body` fills it in. ``has_payload`` is False
    where the body is stored as the part itself, with no ``payload`` field.

    Rows and payload share their lists and objects with the body: they are to be read, not changed.
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
        """Return whether this body, a JSON object, is of the decoder's protocol (cheap: looks at keys only)."""
        ...

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Take the body apart. Raises UndecodableError with one line that a user understands."""
        ...


class NamesColumns(Protocol):
    """A decoder that says which columns a body has. Where REDACT has names, bodies of any other are left out."""

    def columns(self, body: dict[str, Any]) -> Sequence[str] | None:
        """Return the names of the body's columns, as far as they have names: empty where none has one.

        None where that can't be said. Raises UndecodableError as ``decode`` does.
        """
        ...


def columns_in(decoded: Decoded) -> list[str]:
    """Return the names of the columns of decoded rows, for a decoder whose rows have all that the body has."""
    names = dict.fromkeys(decoded.names or ())
    for item in decoded.items:
        for named in (item.elements, item.instance):
            if isinstance(named, dict):
                names.update(dict.fromkeys(map(str, named)))
    return list(names)
