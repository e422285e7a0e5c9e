"""Decodes TensorFlow Serving and KServe V1: ``instances``, ``predictions``, and columns in ``inputs``, ``outputs``.

Also TensorFlow Serving's classify and regress methods: ``examples`` and ``results``.
"""

from __future__ import annotations

from typing import Any

from request_logger.payloads import arrays, columns, v2
from request_logger.payloads.base import Decoded, UndecodableError, columns_in

_KEYS = ("instances", "predictions", "inputs", "outputs")
# Other protocols use these names, too; a body of TensorFlow Serving has no other keys.
_RESULTS = ("results", "result")
_RESULT_BODY = frozenset({*_RESULTS, "model_spec"})
_EXAMPLES = "examples"
_EXAMPLE_BODY = frozenset({_EXAMPLES, "context", "signature_name"})


class TensorFlowDecoder:
    """Decodes the row form (a list) and the column form (an object of columns). Values are kept unchanged."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has one of the keys, and its ``inputs`` or ``outputs`` are not V2 tensors."""
        if any(key in body for key in _KEYS):
            return not v2.is_v2(body)
        if any(key in body for key in _RESULTS):
            return body.keys() <= _RESULT_BODY
        return _EXAMPLES in body and body.keys() <= _EXAMPLE_BODY

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the rows; the body's other fields, such as ``signature_name``, are stored at the part's top level."""
        key = next(key for key in (*_KEYS, *_RESULTS, _EXAMPLES) if key in body)
        content = body[key]
        if key == _EXAMPLES:
            return _examples(body, content)
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


def _examples(body: dict[str, Any], examples: Any) -> Decoded:
    """Return the decoded examples of classify and regress, each with the features of ``context``."""
    context = body.get("context") or {}
    if not isinstance(context, dict) or not isinstance(examples, list):
        raise UndecodableError("examples: expected a list, and an object as context")
    rows = [{**context, **example} if isinstance(example, dict) else example for example in examples]
    return arrays.rows_of(rows, None, _EXAMPLES, arrays.other_fields(body, _EXAMPLES, "context"), as_floats=False)
