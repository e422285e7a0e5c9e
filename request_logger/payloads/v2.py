"""Decodes V2 (Open Inference Protocol): ``inputs`` of a request, ``outputs`` of a response."""

from __future__ import annotations

from math import prod
from typing import Any

from request_logger.common.number_text import NumberText
from request_logger.payloads import arrays, classification, columns, v2_datatypes, v2_protojson
from request_logger.payloads.base import Decoded, Item, UndecodableError, columns_in

_KEYS = ("inputs", "outputs")
_DATA_FRAME = "pd"
# The fields that tell which model answered, in REST's and in protobuf's spelling.
_NAMES = {"model_name": "modelName", "model_version": "modelVersion"}
_MODEL = (*_NAMES, *_NAMES.values())


def tensors_key(body: dict[str, Any]) -> str | None:
    """Return the field with the tensors, None if there is none; ``outputs`` of a request only have names."""
    for key in reversed(_KEYS) if "model_name" in body or "modelName" in body else _KEYS:
        tensors = body.get(key)
        if isinstance(tensors, list) and tensors and isinstance(tensors[0], dict) and "datatype" in tensors[0]:
            return key
    return None


def is_v2(body: dict[str, Any]) -> bool:
    """Return whether a body holds V2 tensors, not TensorFlow's columns."""
    return tensors_key(body) is not None


class V2Decoder:
    """Decodes the tensors of a body: several as columns, see :func:`request_logger.payloads.columns.decode`."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether the ``inputs`` or ``outputs`` of a body are a list of tensors."""
        return is_v2(body)

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the rows; other fields (``id``, ``model_name``, ...) are stored at the part's top level.

        A single tensor is an array without names, unless its content type is ``pd`` (a data frame with one column), or
        an output has Triton's classifications. protobuf's JSON form is accepted, too.
        """
        key = tensors_key(body)
        if key is None:
            raise UndecodableError("expected inputs or outputs with V2 tensors")
        tensors = v2_protojson.in_rest_form(body, key)
        found = [_column(tensor, f"{key}[{position}]") for position, tensor in enumerate(tensors)]
        fields = arrays.other_fields(body, key, *v2_protojson.RAW_CONTENTS, *(_MODEL if key == "outputs" else ()))
        if key == "outputs":
            fields |= _model(body)
        classes = list(map(_classes, tensors, found)) if key == "outputs" else [None] * len(found)
        if len(found) > 1 or _content_type(body) == _DATA_FRAME or _content_type(tensors[0]) == _DATA_FRAME:
            return columns.decode(list(map(_classified, found, classes)), fields)
        if classes[0]:
            return classification.decode(classes[0], fields)
        column = found[0]
        rows = [column.array] if column.size is None else column.array
        return Decoded(arrays.data_type(column.found), list(map(Item, rows)), None, fields)


def _model(body: dict[str, Any]) -> dict[str, str]:
    """Return name and version of the model that answered, in REST's spelling, without values that can't be keywords."""
    found: dict[str, str] = {}
    for name, other in _NAMES.items():
        value = body.get(name, body.get(other))
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            found[name] = str(value)
    return found


def _content_type(part: dict[str, Any]) -> Any:
    parameters = part.get("parameters")
    return parameters.get("content_type") if isinstance(parameters, dict) else None


def _classes(tensor: Any, column: columns.Column) -> list[classification.Row] | None:
    return classification.rows_of(column.array, column.found.shape) if tensor.get("datatype") == "BYTES" else None


def _classified(column: columns.Column, classes: list[classification.Row] | None) -> columns.Column:
    """Return a column of classifications as a column of predictions; any other column unchanged."""
    if not classes:
        return column
    found = [classification.prediction(row) for row in classes]
    return columns.Column(column.name, found, arrays.survey(found))


def _column(tensor: Any, what: str) -> columns.Column:
    if not isinstance(tensor, dict):
        raise UndecodableError(f"{what}: expected a tensor object")
    name = tensor.get("name")
    if isinstance(name, str):
        what = f"{what} {name!r:.40}"
    else:
        name = what
    content = tensor.get("data", [])
    if isinstance(content, NumberText):
        column = _column_of_text(name, content, tensor, what)
        if column is not None:
            return column
        content = content.parsed()
    data = arrays.survey(content)
    if data.shape is None:
        raise UndecodableError(f"{what}: data is ragged")
    shape = tensor.get("shape", list(data.shape))
    datatype = tensor.get("datatype")
    if datatype == "BYTES" and data.kinds == {int}:
        sizes = arrays.resolve_shape(shape, len(data.leaves), what)
        leaves: list[Any] = v2_datatypes.text_of_codes(data.leaves, sizes[-1] if sizes else 1, what)
        sizes = sizes[:-1] or (1,)
    else:
        leaves = v2_datatypes.from_json(datatype, data, what)
        sizes = arrays.resolve_shape(shape, len(leaves), what)
    found = arrays.Survey(sizes, [], frozenset(map(type, leaves)))
    return columns.Column(name, arrays.reshape(leaves, sizes), found)


def _column_of_text(name: str, data: NumberText, tensor: dict[str, Any], what: str) -> columns.Column | None:
    """Return a column of large rows of numbers that are text; None if they must be parsed."""
    datatype = tensor.get("datatype")
    if datatype not in v2_datatypes.AS_TEXT and data.datatype != datatype:
        return None
    count = prod(data.shape)
    shape = arrays.resolve_shape(tensor.get("shape", list(data.shape)), count, what)
    if not data.has_large_rows(shape) or (len(data.shape) > 1 and data.shape != shape):
        return None
    found = v2_datatypes.from_text(datatype, data, shape)
    if found is None:
        return None
    return columns.Column(name, found.rows(), arrays.survey_of_text(found))
