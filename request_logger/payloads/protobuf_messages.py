"""The protobuf messages of the public Seldon and V2 definitions, built at run time.

Without generated code, any version of the protobuf runtime works. A separate descriptor pool avoids conflicts in a
process that also loads the original definitions. Enums are declared as int32, which is the same on the wire.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, struct_pb2

# message -> fields, written `[repeated | map | oneof] type name number`; keys of maps are strings.
_SELDON = {
    "Status": ("int32 code 1", "string info 2", "string reason 3", "int32 status 4"),
    "Metric": ("string key 1", "int32 type 2", "float value 3", "map string tags 4"),
    "Meta": (
        "string puid 1",
        "map google.protobuf.Value tags 2",
        "map int32 routing 3",
        "map string requestPath 4",
        "repeated Metric metrics 5",
    ),
    "Tensor": ("repeated int32 shape 1", "repeated double values 2"),
    "Dim": ("int64 size 1", "string name 2"),
    "TensorShape": ("repeated Dim dim 2", "bool unknown_rank 3"),
    "TensorProto": (
        "int32 dtype 1",
        "TensorShape tensor_shape 2",
        "int32 version_number 3",
        "bytes tensor_content 4",
        "repeated float float_val 5",
        "repeated double double_val 6",
        "repeated int32 int_val 7",
        "repeated bytes string_val 8",
        "repeated int64 int64_val 10",
        "repeated bool bool_val 11",
        "repeated int32 half_val 13",
        "repeated uint32 uint32_val 16",
        "repeated uint64 uint64_val 17",
    ),
    "DefaultData": (
        "repeated string names 1",
        "oneof Tensor tensor 2",
        "oneof google.protobuf.ListValue ndarray 3",
        "oneof TensorProto tftensor 4",
    ),
    "SeldonMessage": (
        "Status status 1",
        "Meta meta 2",
        "oneof DefaultData data 3",
        "oneof bytes binData 4",
        "oneof string strData 5",
        "oneof google.protobuf.Value jsonData 6",
        "oneof google.protobuf.Any customData 7",
    ),
}
_V2 = {
    "InferParameter": (
        "oneof bool bool_param 1",
        "oneof int64 int64_param 2",
        "oneof string string_param 3",
        "oneof double double_param 4",
        "oneof uint64 uint64_param 5",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents 1",
        "repeated int32 int_contents 2",
        "repeated int64 int64_contents 3",
        "repeated uint32 uint_contents 4",
        "repeated uint64 uint64_contents 5",
        "repeated float fp32_contents 6",
        "repeated double fp64_contents 7",
        "repeated bytes bytes_contents 8",
    ),
    "InferTensor": (
        "string name 1",
        "string datatype 2",
        "repeated int64 shape 3",
        "map InferParameter parameters 4",
        "InferTensorContents contents 5",
    ),
    "InferRequestedOutputTensor": ("string name 1", "map InferParameter parameters 2"),
    "ModelInferRequest": (
        "string model_name 1",
        "string model_version 2",
        "string id 3",
        "map InferParameter parameters 4",
        "repeated InferTensor inputs 5",
        "repeated InferRequestedOutputTensor outputs 6",
        "repeated bytes raw_input_contents 7",
    ),
    "ModelInferResponse": (
        "string model_name 1",
        "string model_version 2",
        "string id 3",
        "map InferParameter parameters 4",
        "repeated InferTensor outputs 5",
        "repeated bytes raw_output_contents 6",
    ),
}
_PACKAGE = "request_logger"
_Field = descriptor_pb2.FieldDescriptorProto


@cache
def message_class(name: str) -> Any:
    """Return the class of a message, such as ``SeldonMessage``, ``ModelInferRequest`` or ``ModelInferResponse``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/messages.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name, any_pb2.DESCRIPTOR.name],
    )
    for name, fields in (_SELDON | _V2).items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(message, field)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    *label, kind, name, number = text.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if label == ["map"]:
        entry_name = name[0].upper() + name[1:] + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "string key 1")
        _add_field(entry, f"{kind} value 2")
        kind = f"{message.name}.{entry_name}"
    elif label == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="content")
        field.oneof_index = 0
    if label in (["map"], ["repeated"]):
        field.label = _Field.LABEL_REPEATED
    scalar = f"TYPE_{kind.upper()}"
    if scalar in _Field.Type.keys():  # noqa: SIM118  # an enum wrapper isn't a mapping
        field.type = _Field.Type.Value(scalar)
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{kind}" if kind.startswith("google.") else f".{_PACKAGE}.{kind}"
