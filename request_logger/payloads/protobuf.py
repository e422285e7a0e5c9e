"""Converts protobuf bodies of gRPC calls to the JSON of the same message over REST.

The bytes don't contain the message type. V2 is tried first: V2 tensors can be parsed as a SeldonMessage's text, but
real text can't be parsed as tensors with a datatype.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from request_logger.payloads import v2_datatypes
from request_logger.payloads.base import UndecodableError
from request_logger.payloads.protobuf_messages import message_class

_CONTENT_TYPES = (
    "application/protobuf",
    "application/x-protobuf",
    "application/vnd.google.protobuf",
    "application/grpc",
)
_GRPC_PREFIX = 5
_STATUS = ("SUCCESS", "FAILURE")
_METRIC_TYPES = ("COUNTER", "GAUGE", "TIMER")
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


def is_protobuf(content_type: str | None) -> bool:
    """Return whether a Content-Type names protobuf or gRPC."""
    # The first two are what nearly all senders write.
    return content_type not in (None, "application/json") and content_type.strip().lower().startswith(_CONTENT_TYPES)


def decode_protobuf(raw: bytes, *, is_response: bool = False, keeps_text: bool = False) -> dict[str, Any]:
    """Return a SeldonMessage, or a V2 request or response, as the JSON object of the REST protocol.

    The result may have floats that are not finite. ``is_response`` decides what V2 bytes don't contain: whether their
    tensors are inputs or outputs. With ``keeps_text`` many numbers are a NumberText. Raises UndecodableError for any
    other message.
    """
    if raw[:1] == b"\0" and int.from_bytes(raw[1:_GRPC_PREFIX], "big") == len(raw) - _GRPC_PREFIX:
        raw = raw[_GRPC_PREFIX:]
    keys = ("outputs", "inputs") if is_response else ("inputs", "outputs")
    problems = []
    for key in keys if raw else ():
        message = _read_v2(raw, key)
        if message is not None:
            try:
                return _v2(message, key, keeps_text=keeps_text)
            except UndecodableError as error:
                problems.append(error)
    if problems:
        raise problems[0]
    message = _read("SeldonMessage", raw) if raw else None
    if message is None:
        raise UndecodableError("protobuf body is neither a SeldonMessage nor a V2 inference request or response")
    return _seldon(message, keeps_text=keeps_text)


def _read(name: str, raw: bytes) -> Any:
    """Return bytes parsed as a message; None if they aren't such a message, or have unknown fields."""
    message = message_class(name)()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        return None
    return None if len(UnknownFieldSet(message)) else message


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _present(**values: Any) -> dict[str, Any]:
    """Return the values without default values, which protobuf's JSON form omits."""
    return {name: value for name, value in values.items() if value}


def _value(value: Any) -> Any:
    """Return a google.protobuf.Value as JSON; unlike protobuf's own function, accepts NaN and keeps 1.0 a float."""
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_value(entry) for entry in value.list_value.values]
    if kind == "struct_value":
        return {name: _value(entry) for name, entry in value.struct_value.fields.items()}
    return None if kind in (None, "null_value") else getattr(value, kind)


def _seldon(message: Any, *, keeps_text: bool) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if message.HasField("status"):
        body["status"] = _status(message.status)
    if message.HasField("meta"):
        body["meta"] = _meta(message.meta)
    content = message.WhichOneof("content")
    if content == "data":
        body["data"] = _data(message.data, keeps_text=keeps_text)
    elif content == "binData":
        body["binData"] = _base64(message.binData)
    elif content == "strData":
        body["strData"] = message.strData
    elif content == "jsonData":
        body["jsonData"] = _value(message.jsonData)
    elif content == "customData":
        body["customData"] = {"@type": message.customData.type_url, "value": _base64(message.customData.value)}
    return body


def _name(names: tuple[str, ...], number: int) -> Any:
    return names[number] if 0 <= number < len(names) else number


def _status(status: Any) -> dict[str, Any]:
    return _present(code=status.code, info=status.info, reason=status.reason, status=_name(_STATUS, status.status))


def _meta(meta: Any) -> dict[str, Any]:
    return _present(
        puid=meta.puid,
        tags={key: _value(value) for key, value in meta.tags.items()},
        routing=dict(meta.routing),
        requestPath=dict(meta.requestPath),
        metrics=[
            {"key": metric.key, "type": _name(_METRIC_TYPES, metric.type), "value": metric.value}
            | _present(tags=dict(metric.tags))
            for metric in meta.metrics
        ],
    )


def _data(data: Any, *, keeps_text: bool) -> dict[str, Any]:
    body = _present(names=list(data.names))
    content = data.WhichOneof("content")
    if content == "tensor":
        values = v2_datatypes.text_from_values("FP64", data.tensor.values) if keeps_text else None
        body["tensor"] = {
            "shape": list(data.tensor.shape),
            "values": list(data.tensor.values) if values is None else values,
        }
    elif content == "ndarray":
        body["ndarray"] = [_value(entry) for entry in data.ndarray.values]
    elif content == "tftensor":
        body["tftensor"] = _tftensor(data.tftensor)
    return body


def _tftensor(tensor: Any) -> dict[str, Any]:
    # The decoder expects protobuf's JSON form, in which int64 dimensions are text.
    body: dict[str, Any] = {"dtype": tensor.dtype}
    if tensor.HasField("tensor_shape"):
        body["tensorShape"] = {"dim": [{"size": str(dim.size)} for dim in tensor.tensor_shape.dim]}
    return body | _present(
        tensorContent=_base64(tensor.tensor_content),
        floatVal=list(tensor.float_val),
        doubleVal=list(tensor.double_val),
        intVal=list(tensor.int_val),
        stringVal=[_base64(value) for value in tensor.string_val],
        int64Val=list(tensor.int64_val),
        boolVal=list(tensor.bool_val),
        halfVal=list(tensor.half_val),
        uint32Val=list(tensor.uint32_val),
        uint64Val=list(tensor.uint64_val),
    )


def _read_v2(raw: bytes, key: str) -> Any:
    """Return bytes parsed as the V2 message with the field ``key``; None if they are none with tensors."""
    message = _read("ModelInferRequest" if key == "inputs" else "ModelInferResponse", raw)
    tensors = getattr(message, key, ())
    known = tensors and all(tensor.datatype and not len(UnknownFieldSet(tensor)) for tensor in tensors)
    return message if known else None


def _v2(message: Any, key: str, *, keeps_text: bool) -> dict[str, Any]:
    tensors = getattr(message, key)
    raw_contents = message.raw_input_contents if key == "inputs" else message.raw_output_contents
    if len(raw_contents) != len(tensors) and (raw_contents or not all(each.HasField("contents") for each in tensors)):
        raise UndecodableError(f"{key}: {len(tensors)} tensors, but {len(raw_contents)} raw contents")
    body = _present(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        parameters=_parameters(message.parameters),
    )
    body[key] = [_tensor(tensor) for tensor in tensors]
    for index, tensor in enumerate(body[key]):
        what = f"{key}[{index}]"
        if raw_contents:
            v2_datatypes.fill(tensor, raw_contents[index], what, keeps_text=keeps_text)
        elif tensor["datatype"] == "BYTES":
            v2_datatypes.put_bytes(tensor, list(tensors[index].contents.bytes_contents))
        elif tensor["datatype"] in _CONTENTS:
            values = getattr(tensors[index].contents, _CONTENTS[tensor["datatype"]])
            text = v2_datatypes.text_from_values(tensor["datatype"], values) if keeps_text else None
            tensor["data"] = list(values) if text is None else text
        else:
            raise UndecodableError(f"{what}: {tensor['datatype']:.40} needs raw contents")
    if key == "inputs" and message.outputs:
        body["outputs"] = [
            {"name": output.name} | _present(parameters=_parameters(output.parameters)) for output in message.outputs
        ]
    return body


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)} | _present(
        parameters=_parameters(tensor.parameters)
    )


def _parameters(parameters: Any) -> dict[str, Any]:
    found = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("content")
        found[name] = getattr(parameter, kind) if kind else None
    return found
