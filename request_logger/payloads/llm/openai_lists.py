"""APIs with a list of inputs and of results: embeddings, classify, score and rerank.

Each input is a row, as in the batch of any other model. The counts of tokens, which are those of the whole call, are
elements of the first row only, so that sums over documents are right. A rerank is one row.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from request_logger.payloads.base import DataType, Decoded, Item, UndecodableError
from request_logger.payloads.llm import fields

_FLOAT_BYTES = 4
_DIMENSIONS = "dimensions"
_MODEL = "model"
_DATA = "data"


def embeddings(body: dict[str, Any]) -> Decoded:
    """Return a row per input: its vector, or the vector's size where the vectors are not kept."""
    decoded = _rows(body, "number", lambda entry: _vector(entry.get("embedding")))
    for item, entry in zip(decoded.items, fields.objects(body, "data"), strict=True):
        size = _size(entry.get("embedding"))
        if item.elements is not None and size is not None:
            item.elements[_DIMENSIONS] = size
    return decoded


def _vector(vector: Any) -> Any:
    if isinstance(vector, dict):
        return _size(vector)
    if not isinstance(vector, (list, str)):
        raise UndecodableError("data: expected objects with a list or base64 as embedding")
    return vector


def may_have_vectors(body: Any) -> bool:
    """Return whether a body may be an embeddings response: its ``data`` is a list."""
    return type(body) is dict and type(body.get(_DATA)) is list


def without_vectors(body: Any) -> Any:
    """Return an embeddings response with the size of each vector in its place; any other body unchanged."""
    if not isinstance(body, dict) or not is_list_of(body, "embedding"):
        return body
    entries = [
        {**entry, "embedding": {_DIMENSIONS: _size(entry["embedding"])}}
        if isinstance(entry, dict) and isinstance(entry.get("embedding"), (list, str))
        else entry
        for entry in body["data"]
    ]
    return {**body, "data": entries}


def _size(vector: Any) -> int | None:
    """Return the number of values of a vector: a list, base64 of 32-bit floats, or a vector that is not kept."""
    if isinstance(vector, dict):
        size = vector.get(_DIMENSIONS)
        return size if type(size) is int else None
    if isinstance(vector, list):
        return len(vector)
    try:
        return len(base64.b64decode(vector, validate=True)) // _FLOAT_BYTES
    except (binascii.Error, TypeError, ValueError):
        return None


def classes(body: dict[str, Any]) -> Decoded:
    """Return a row per input: its label, or the probabilities in the order of the classes if it has no label."""
    return _rows(body, "text", _class)


def _class(entry: dict[str, Any]) -> Any:
    if isinstance(entry.get("label"), str):
        return entry["label"]
    probs = entry.get("probs")
    if not isinstance(probs, list) or not all(map(fields.is_number, probs)):
        raise UndecodableError("data: expected objects with label or probs")
    return probs


def scores(body: dict[str, Any]) -> Decoded:
    """Return a row per pair of texts: its score."""
    return _rows(body, "number", _score)


def _score(entry: dict[str, Any]) -> Any:
    if not fields.is_number(entry.get("score")):
        raise UndecodableError("data: expected objects with a number as score")
    return entry["score"]


def _rows(body: dict[str, Any], kind: DataType, instance: Callable[[dict[str, Any]], Any]) -> Decoded:
    rows = [instance(entry) for entry in fields.objects(body, "data")]
    return _batch(kind, rows, fields.outcome(body), body)


def _batch(kind: DataType, rows: list[Any], elements: fields.Elements, body: dict[str, Any]) -> Decoded:
    shared = {_MODEL: elements[_MODEL]} if _MODEL in elements else {}
    items = [Item(row, dict(shared if number else elements)) for number, row in enumerate(rows)]
    return Decoded(kind, items, None, {"id": body["id"]} if isinstance(body.get("id"), str) else {})


def input_request(body: dict[str, Any]) -> Decoded:
    """Return a row per input of embeddings and classify: a text, or the list of its tokens."""
    given = body["input"]
    if not isinstance(given, (str, list)) or given == []:
        raise UndecodableError("input: expected text, tokens, or a list of them")
    rows = given if isinstance(given, list) and all(isinstance(each, (str, list)) for each in given) else [given]
    return _batch("text", rows, fields.parameters(body), body)


def pairs_request(body: dict[str, Any]) -> Decoded:
    """Return a row per pair of texts, of which one side may be a single text for all pairs."""
    left, right = (side if isinstance(side, list) else [side] for side in (body["text_1"], body["text_2"]))
    count = max(len(left), len(right))
    if not left or not right or {len(left), len(right)} - {1, count}:
        raise UndecodableError("text_1, text_2: expected texts, or lists of as many texts")
    pairs = zip(left * (count // len(left)), right * (count // len(right)), strict=True)
    return _batch("text", list(map(list, pairs)), fields.parameters(body), body)


def rerank_request(body: dict[str, Any]) -> Decoded:
    """Return one row: the query."""
    if not isinstance(body["query"], str) or not isinstance(body["documents"], list):
        raise UndecodableError("query, documents: expected text and a list")
    return fields.row(body["query"], {**fields.parameters(body), "documents": len(body["documents"])}, body)


def rerank(body: dict[str, Any]) -> Decoded:
    """Return one row: an object of the documents' indexes and their scores."""
    found: dict[str, Any] = {}
    for entry in fields.objects(body, "results"):
        index, score = entry.get("index"), entry.get("relevance_score")
        if type(index) is not int or not fields.is_number(score):
            raise UndecodableError("results: expected objects with index and relevance_score")
        found[str(index)] = score
    return fields.row(found, fields.outcome(body), body)


def is_list_of(body: dict[str, Any], *names: str) -> bool:
    """Return whether a body's ``data`` is a list of results, the first of which has one of the fields."""
    data = body.get(_DATA)
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and any(name in first for name in names)
