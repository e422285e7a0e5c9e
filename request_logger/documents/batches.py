"""Splits the messages of a batch into the contents of its rows' documents. Pure code.

Every row of a small batch has the whole body, as in the original. The copies in a large batch would take rows times
bytes, so there only the first row has the whole body: the other rows have ``body_item``, the row whose document has it,
and what is theirs of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from request_logger.common.json import dumps
from request_logger.common.mapped_fields import SEARCHABLE_TEXT
from request_logger.documents.degradation import split
from request_logger.documents.feedback_join import is_of_evaluations, without_evaluations
from request_logger.documents.field_names import to_set_aside
from request_logger.payloads import Decoded, UndecodableError, decode_message

Document = dict[str, Any]
Keep = Literal["all", "first-row", "none"]
"""Which rows have the whole body as ``payload``; in a large batch ``all`` means the first one, too."""


class Keeping(NamedTuple):
    """What is stored of the body of a request or response."""

    payload: Keep = "all"
    embeddings: bool = False
    """Whether the vectors of embeddings are stored, and not only their sizes."""
    searchable_text: bool = False
    """Whether rows that are text have it in a field that is indexed word by word."""


KEEP_ALL = Keeping()

BODY_ITEM = "body_item"
"""The field of a row without the whole body: the row of the batch that has it. Absent where the row has it itself."""
# The copies of a batch's body (rows times bytes) that are kept. Compressed together, 34 kB of copies take a fifth more
# disk than none, 123 kB 1.6 times and 2.9 MB 13.5 times as much: docs/payloads.md has the measurement.
MAX_COPIES_BYTES = 64 * 2**10
_FIRST = 0
# The fields of a feedback that can be as large as the batch.
_MESSAGES = ("request", "response", "truth")
_SPLIT_MESSAGES = ("response", "truth")


def rows_of(decoded: Decoded, *, keep: Keep, size: int) -> list[Document]:
    """Return the content of the part for each row of a request or response; ``size`` is that of the body (bytes)."""
    contents: list[Document] = []
    count = len(decoded.items)
    is_shared = count > 1 and (keep == "first-row" or count * size > MAX_COPIES_BYTES)
    for row, item in enumerate(decoded.items):
        content = dict(decoded.fields)
        # Reserved: a field of the body with this name doesn't say where the body is.
        content.pop(BODY_ITEM, None)
        if decoded.has_elements:
            elements = item.elements
            aside = to_set_aside(elements) if elements else None
            if elements and aside:
                elements, others = split(elements, aside)
                content["elements_unindexed"] = dumps(others).decode()
            content["elements"] = elements
        content["instance"] = item.instance
        content["dataType"] = decoded.data_type
        if decoded.names is not None:
            content["names"] = decoded.names
        if keep == "none":
            content.pop("payload", None)
        elif decoded.has_payload and is_shared and row != _FIRST:
            content[BODY_ITEM] = _FIRST
        elif decoded.has_payload:
            content["payload"] = decoded.payload
        if count > 1:
            # Feedback needs it, and the payload may not be kept.
            content["rows"] = count
        contents.append(content)
    return contents


def with_searchable_text(contents: list[Document]) -> list[Document]:
    """Return the contents of rows; those of rows that are a text, or a list of texts, have it as searchable text."""
    for content in contents:
        instance = content["instance"]
        texts = instance if isinstance(instance, list) else [instance]
        if texts and all(isinstance(text, str) for text in texts):
            content[SEARCHABLE_TEXT] = instance
    return contents


def feedback_rows(content: Document, rows: int) -> list[Document]:
    """Return the feedback of each row of a batch: the row's reward, its position, and the number of rows.

    Evaluations are of the prediction as a whole: the first row has them, and if there is nothing else, only its
    feedback is returned. Otherwise each has the whole body. In a large batch only the first row has: the others have
    their own row of ``truth`` and ``response``, and no ``request``; unless the truth or the response hasn't exactly one
    row per row of the batch.
    """
    if is_of_evaluations(content):
        return [_row_of_feedback(content, _FIRST, rows)]
    contents = [_row_of_feedback(content, row, rows) for row in range(rows)]
    messages = [content[name] for name in _MESSAGES if content.get(name) is not None]
    if rows < 2 or not messages or rows * len(dumps(messages)) <= MAX_COPIES_BYTES:
        return contents
    own: dict[str, list[Any]] = {}
    for name in _SPLIT_MESSAGES:
        if content.get(name) is not None:
            found = _split_message(content[name], rows)
            if found is None:
                return contents
            own[name] = found
    for row, mine in enumerate(contents):
        if row != _FIRST:
            mine.pop("request", None)
            mine.update((name, split_rows[row]) for name, split_rows in own.items())
            mine[BODY_ITEM] = _FIRST
    return contents


def has_own_messages(feedback: Document) -> bool:
    """Return whether the truth and the response in a feedback for a row of a batch are those of this row alone."""
    return type(feedback.get(BODY_ITEM)) is int and feedback[BODY_ITEM] != feedback.get("item")


def _row_of_feedback(content: Document, row: int, rows: int) -> Document:
    own = content if row == _FIRST else without_evaluations(content)
    feedback = {**own, "item": row, "items": rows}
    reward = content.get("reward")
    if isinstance(reward, list):
        if row < len(reward):
            feedback["reward"] = reward[row]
        else:
            del feedback["reward"]
    if content.get("dataType", "json") != "json":
        for name in ("instance", "elements"):
            values = content.get(name)
            if isinstance(values, list) and row < len(values):
                feedback[name] = values[row]
    return feedback


def _split_message(message: Any, rows: int) -> list[Any] | None:
    """Return one message per row that decodes to this row alone; None if the message can't be split into these rows."""
    try:
        decoded = decode_message(message)
    except UndecodableError:
        return None
    if len(decoded.items) != rows:
        return None
    found = []
    for row, item in enumerate(decoded.items):
        known = [item.instance, list(decoded.names or ())]
        for candidate in _row_candidates(message, row, rows, known):
            if _is_row(candidate, known):
                found.append(candidate)
                break
        else:
            return None
    return found


def _row_candidates(message: Any, row: int, rows: int, known: Sequence[Any]) -> list[Any]:
    """Return what may be the message of one row: cut out of the message where that is simple, and made of its value."""
    instance, names = known
    named: Document = {"names": names} if names else {}
    made: Document = {"data": {**named, "ndarray": [instance]}}
    if not isinstance(message, dict):
        return [[message[row]]] if isinstance(message, list) and len(message) == rows else [made]
    if "meta" in message:
        # It has the custom metrics of the feedback.
        made["meta"] = message["meta"]
    data = message.get("data")
    if isinstance(data, dict) and isinstance(data.get("ndarray"), list) and len(data["ndarray"]) == rows:
        return [{**message, "data": {**data, "ndarray": [data["ndarray"][row]]}}, made]
    return [made]


def _is_row(message: Any, known: Sequence[Any]) -> bool:
    """Return whether a message decodes to one row with this value and these names, to the type of each number."""
    try:
        decoded = decode_message(message)
    except UndecodableError:
        return False
    return len(decoded.items) == 1 and dumps([decoded.items[0].instance, list(decoded.names or ())]) == dumps(known)
