"""TensorFlow Serving and KServe V1: ``instances``, ``predictions`` and the column form ``inputs``, ``outputs``."""

from __future__ import annotations

from typing import Any

from request_logger.payloads import arrays, columns, v2
from request_logger.payloads.base import Decoded, UndecodableError

_KEYS = ("instances", "predictions", "inputs", "outputs")


class TensorFlowDecoder:
    """Decodes the row form (a list) and the column form (an object of columns). Values stay as they came."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Take a body with one of the keys, whose ``inputs`` or ``outputs`` are not V2 tensors."""
        return any(key in body for key in _KEYS) and not v2.is_v2(body)

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Give the rows; the body's other fields, such as ``signature_name``, go to the part's top."""
        key = next(key for key in _KEYS if key in body)
        content = body[key]
        if content is None:
            raise UndecodableError(f"{key}: expected a list of rows")
        fields = arrays.other_fields(body, key)
        if key in ("inputs", "outputs") and isinstance(content, dict):
            if not content:
                raise UndecodableError(f"{key}: no columns")
            found = [columns.Column(name, *arrays.without_markers(array)) for name, array in content.items()]
            if any(column.size == 0 for column in found):
                raise UndecodableError(f"{key}: no rows")
            return columns.decode(found, fields)
        return arrays.rows_of(content, None, key, fields, as_floats=False)
