"""Decodes the bodies of events to rows: the public interface of the decoders.

    decoded = decode_body(raw, headers.get("Content-Type"))
    for item in decoded.items: ...

Pure code, no I/O. A body that can't be decoded raises :class:`UndecodableError` with the reason in one line. The
decoders are registered in the entry point group ``request_logger.payloads``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from itertools import islice
from typing import Any

from request_logger.common import number_text
from request_logger.common.guard import reraise_if_killed, type_name
from request_logger.common.json import MAX_KEY_CHARACTERS, copied, plain
from request_logger.payloads import arrays, bodies, predictions, seldon, v2_binary
from request_logger.payloads.base import Decoded, Decoder, Item, UndecodableError, columns_in
from request_logger.payloads.bodies import MAX_INFLATED_BYTES
from request_logger.payloads.llm.openai_lists import may_have_vectors, without_vectors
from request_logger.payloads.protobuf import decode_protobuf, is_protobuf

__all__ = [
    "MAX_INFLATED_BYTES",
    "Decoded",
    "Decoder",
    "Item",
    "UndecodableError",
    "columns_in",
    "columns_of",
    "decode_body",
    "decode_message",
    "decode_protobuf",
    "decode_with",
    "decoder_of",
    "decoders",
    "is_own",
    "is_protobuf",
    "parse_body",
]

GROUP = "request_logger.payloads"
_OURS = f"{GROUP}."

# Rows per body that another package's decoder may return; each becomes a document.
MAX_ROWS = 1_000_000
_MAX_REASON_CHARACTERS = 300

_log = logging.getLogger(__name__)


def decode_body(
    raw: bytes,
    content_type: str | None = None,
    *,
    max_bytes: int = MAX_INFLATED_BYTES,
    is_response: bool = False,
    keeps_text: bool = False,
    keeps_vectors: bool = False,
) -> Decoded:
    """Return the decoded body of a request or response event.

    ``payload`` of the result is the body as storable JSON (numbers that are not finite become text). A gzip body is
    inflated to at most ``max_bytes``. ``is_response`` distinguishes V2 protobuf responses from requests, whose bytes
    can be the same. With ``keeps_text`` a large array of numbers is a JsonText, in the payload and in the instances of
    the rows. Without ``keeps_vectors`` the result has the sizes of embeddings in place of their vectors. Raises
    UndecodableError.
    """
    if raw.startswith(bodies.GZIP):
        raw = bodies.inflate(raw, max_bytes)
    # Other packages' decoders get lists.
    keeps_text = keeps_text and _all_are_own()
    if is_protobuf(content_type) and raw:
        body = bodies.storable(decode_protobuf(raw, is_response=is_response, keeps_text=keeps_text))
    else:
        may_be_large = keeps_text and len(raw) >= number_text.LEAST_BYTES
        body = (_with_text(raw) if may_be_large else None) or bodies.parse(raw, content_type, max_bytes=max_bytes)
    if not keeps_vectors and may_have_vectors(body.value):
        reduced = without_vectors(body.value)
        body = bodies.Body(reduced, reduced if body.stored is body.value else without_vectors(body.stored))
    value = body.value if isinstance(body.value, dict) else predictions.wrapped(body.value)
    if value is None:
        found = "a list" if isinstance(body.value, list) else _shorten(body.value)
        raise UndecodableError(f"body is JSON but no object: {found}")
    rows = _decode(value)
    if rows.names and len(raw) > MAX_KEY_CHARACTERS:
        # The names become the keys of `elements`.
        bodies.check_names(rows.names)
    if rows.has_payload:
        rows.payload = body.stored
    return rows


def _with_text(raw: bytes) -> bodies.Body | None:
    """Return a parsed body whose large arrays of numbers are text; None for any other body. Raises UndecodableError."""
    if v2_binary.is_large(raw) and (parsed := v2_binary.parse(raw, keeps_text=True)) is not None:
        return bodies.storable(parsed)
    found = number_text.cut(raw)
    if found is None:
        return None
    rest, texts = found
    try:
        body = bodies.parse(rest)
    except UndecodableError:
        return None
    is_plain = body.value is body.stored and not v2_binary.is_likely(raw)
    return body if is_plain and number_text.put(body.value, texts) else None


def decode_message(message: Any) -> Decoded:
    """Return a decoded message that is parsed JSON, such as the ``truth`` of a feedback.

    A bare number, text, boolean or list is decoded like a Seldon ``ndarray``: a list is a batch with one row per entry.
    Rows with more than a prediction are reduced to the prediction, like those of responses. ``payload`` of the result
    is None. Raises UndecodableError.
    """
    if type(message) is dict and (column := seldon.number_column(message)) is not None and _all_are_own():
        return Decoded("number", list(map(Item, column)))
    bodies.check_depth(message)
    if message is None:
        raise UndecodableError("message is null")
    if not isinstance(message, dict):
        return predictions.predicted(arrays.rows_of(message, None, "message", {}, as_floats=True))
    return predictions.predicted(_decode(message))


def parse_body(raw: bytes, content_type: str | None = None, *, max_bytes: int = MAX_INFLATED_BYTES) -> Any:
    """Parse the body of a feedback, outlier or drift event to the JSON that is stored.

    As lenient as :func:`decode_body`. Raises UndecodableError.
    """
    return bodies.parse(raw, content_type, max_bytes=max_bytes).stored


@cache
def decoders() -> tuple[tuple[str, Decoder], ...]:
    """Return the decoders with their registered names; those of other packages first, so that they have precedence.

    A decoder that can't be loaded is logged and omitted.
    """
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (_is_ours(point.value), point.name)):
        try:
            found.append((point.name, point.load()()))
        except BaseException as error:
            reraise_if_killed(error)
            _log.exception("payload decoder %s can't be loaded", point.name)
    return tuple(found)


def _all_are_own() -> bool:
    """Return whether there are no decoders of other packages, which would be the first ones."""
    found = decoders()
    return bool(found) and is_own(found[0][1])


def _is_ours(module: str) -> bool:
    return module.startswith(_OURS)


def decoder_of(message: Any) -> Decoder | None:
    """Return the decoder that accepts a message, None if there is none."""
    body = _as_body(message)
    if body is None:
        return None
    for name, decoder in decoders():
        try:
            if decoder.accepts(_lent(decoder, body)):
                return decoder
        except BaseException as error:
            reraise_if_killed(error)
            _log.exception("payload decoder %s failed", name)
            return None
    return None


def decode_with(decoder: Decoder, message: Any) -> Decoded:
    """Return a message decoded by its decoder. Raises UndecodableError, also for other errors of the decoder."""
    return _rows(decoder, type_name(decoder), _as_body(message) or {})


def columns_of(decoder: Decoder, message: Any) -> Sequence[str] | None:
    """Return the names of a message's columns from its decoder, None if the decoder can't determine them."""
    try:
        found = decoder.columns(_copy_for(decoder, _as_body(message) or {}))  # type: ignore[attr-defined]
        if isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found):
            return list(map(str.__str__, found))
    except BaseException as error:
        # Also of a decoder without this method.
        reraise_if_killed(error)
    return None


def is_own(decoder: Decoder) -> bool:
    """Return whether a decoder is one of the built-in ones."""
    return _is_own(type(decoder))


@cache
def _is_own(kind: type) -> bool:
    return _is_ours(kind.__module__)


def _as_body(message: Any) -> dict[str, Any] | None:
    return message if isinstance(message, dict) else predictions.wrapped(message)


def _decode(body: dict[str, Any]) -> Decoded:
    for name, decoder in decoders():
        try:
            is_accepted = decoder.accepts(_lent(decoder, body))
        except BaseException as error:
            raise _failed(name, error) from None
        if is_accepted:
            return _rows(decoder, name, body)
    raise UndecodableError(f"message of no known protocol: it has the fields {_shorten(sorted(map(str, body)))}")


def _rows(decoder: Decoder, name: str, body: dict[str, Any]) -> Decoded:
    """Return the rows of a decoder, checked where it is another package's. Raises nothing but UndecodableError."""
    try:
        rows = decoder.decode(_copy_for(decoder, body))
        return rows if _is_own(type(decoder)) else _checked(rows, name)
    except UndecodableError as error:
        if _is_own(type(decoder)):
            raise
        raise UndecodableError(_reason_of(error, name)) from None
    except BaseException as error:
        raise _failed(name, error) from None


def _failed(name: str, error: BaseException) -> UndecodableError:
    """Return the error for a defect of a decoder, which any package can register, and which must not lose the event."""
    reraise_if_killed(error)
    _log.error("payload decoder %s failed", name, exc_info=error)
    return UndecodableError(f"decoder {name} failed: {type_name(error)}")


def _reason_of(error: UndecodableError, name: str) -> str:
    try:
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS]
    except BaseException as broken:
        reraise_if_killed(broken)
        reason = ""
    return reason or f"decoder {name} failed: {type_name(error)}"


def _lent(decoder: Decoder, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body for a look at its keys: what another package does to it doesn't change the body."""
    return body if _is_own(type(decoder)) else dict(body)


def _copy_for(decoder: Decoder, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body to decode; a copy for another package's decoder, since the body is also the payload."""
    return body if _is_own(type(decoder)) else copied(body)


def _checked(rows: Any, name: str) -> Decoded:
    """Return the result of another package's decoder, converted to storable JSON. Raises UndecodableError."""
    if not isinstance(rows, Decoded) or not isinstance(rows.data_type, str):
        raise UndecodableError(f"decoder {name} returned {type_name(rows)}, expected Decoded")
    items = list(islice(rows.items, MAX_ROWS + 1))
    if not items or len(items) > MAX_ROWS or not all(isinstance(item, Item) for item in items):
        raise UndecodableError(f"decoder {name} returned no items, or more than {MAX_ROWS}, or others than Item")
    found = plain([[item.instance, item.elements] for item in items])
    fields = plain(rows.fields)
    names = None if rows.names is None else arrays.column_names(plain(rows.names))
    if not isinstance(fields, dict) or not all(isinstance(elements, (dict, type(None))) for _, elements in found):
        raise UndecodableError(f"decoder {name} returned fields or elements that are no dict")
    bodies.check_depth([found, fields])
    bodies.check_lengths([found, fields])
    bodies.check_names(names or ())
    return Decoded(
        rows.data_type,
        [Item(instance, elements) for instance, elements in found],
        names,
        fields,
        has_elements=bool(rows.has_elements),
        has_payload=bool(rows.has_payload),
    )


def _shorten(value: Any, limit: int = 80) -> str:
    text = ascii(value)
    return text if len(text) <= limit else text[:limit] + "..."
