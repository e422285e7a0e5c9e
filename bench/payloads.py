"""`python -m bench.payloads`: the cost of decoding, as a Markdown table.

The time of `decode_body` (bytes to rows) by kind and size of body, compared with parsing the same bytes by orjson, the
least that any logger must do. Times are CPU time, the best of several rounds on one core.
"""

from __future__ import annotations

import base64
import random
import time
import timeit
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from request_logger.payloads import decode_body, decode_protobuf
from request_logger.payloads.protobuf_messages import message_class

ROUNDS = 5
SECONDS_A_ROUND = 0.05
SIZES = {
    "1 row of 4": (1, 4),
    "1,000 rows of 4": (1000, 4),
    "1 image, 32x32x3": (1, 32, 32, 3),
    "1 row of 10,000": (1, 10000),
}
PROTOBUF = "application/protobuf"


def array(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return numbers of four decimals, the same in every run."""
    return np.random.default_rng(1).random(shape).round(4)


def bodies(values: np.ndarray[Any, Any]) -> Iterator[tuple[str, bytes, str | None]]:
    """Yield each way to send an array: name, body and content type."""
    shape, flat, nested = list(values.shape), values.ravel().tolist(), values.tolist()
    names = [f"feature {column}" for column in range(shape[1])]
    yield "Seldon ndarray", orjson.dumps({"data": {"ndarray": nested}}), None
    if len(shape) == 2:
        yield "Seldon ndarray, names", orjson.dumps({"data": {"names": names, "ndarray": nested}}), None
    integers = (values * 255).astype(int).tolist()
    yield "Seldon ndarray, integers", orjson.dumps({"data": {"ndarray": integers}}), None
    yield "Seldon tensor", orjson.dumps({"data": {"tensor": {"shape": shape, "values": flat}}}), None
    content = base64.b64encode(values.astype("<f4").tobytes()).decode()
    dims = {"dim": [{"size": size} for size in shape]}
    tftensor = {"dtype": "DT_FLOAT", "tensorShape": dims, "tensorContent": content}
    yield "Seldon tftensor", orjson.dumps({"data": {"tftensor": tftensor}}), None
    yield "TensorFlow instances", orjson.dumps({"instances": nested}), None
    tensor = {"name": "x", "datatype": "FP32", "shape": shape}
    yield "V2 FP32", orjson.dumps({"inputs": [{**tensor, "data": flat}]}), None
    raw = values.astype("<f4").tobytes()
    header = orjson.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]})
    yield "V2 FP32, binary", header + raw, None
    message = {"data": {"tensor": {"shape": shape, "values": flat}}}
    yield "Seldon tensor, protobuf", message_class("SeldonMessage")(**message).SerializeToString(), PROTOBUF
    request = {"inputs": [tensor], "raw_input_contents": [raw]}
    yield "V2 FP32, protobuf", message_class("ModelInferRequest")(**request).SerializeToString(), PROTOBUF


def chat() -> bytes:
    """Return the request of a chat of 20 kB, the same in every run."""
    words = ["the ", "capital ", "of ", "France ", "é", "\n", '"Paris" ']
    text = "".join(random.Random(1).choices(words, k=3900))
    return orjson.dumps(
        {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]}
    )


def stream() -> bytes:
    """Return an answer that is streamed in 2,000 chunks, the same in every run."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {"content": "Paris "}, "logprobs": None, "finish_reason": None}
    return b"data: %b\n\n" % orjson.dumps({**head, "choices": [choice]}) * 2000 + b"data: [DONE]\n\n"


def others() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield bodies that are not arrays."""
    random.seed(1)
    yield "Seldon strData", orjson.dumps({"strData": "a film about nothing " * 10}), None
    record = {f"k{number}": [random.random(), "text", {"n": number}] for number in range(100)}
    yield "Seldon jsonData", orjson.dumps({"jsonData": record}), None
    yield "chat", chat(), None
    yield "chat, streamed answer", stream(), None
    yield "Seldon binData", orjson.dumps({"binData": base64.b64encode(random.randbytes(200_000)).decode()}), None


def microseconds(work: Any) -> float:
    """Return the CPU time of a call, the best of several rounds."""
    timer = timeit.Timer(work, timer=time.process_time)
    number = max(1, int(timer.autorange()[0] * SECONDS_A_ROUND / 0.2))
    return min(timer.repeat(ROUNDS, number)) / number * 1e6


def row(size: str, name: str, raw: bytes, content_type: str | None) -> str:
    """Measure one body. A body that is not JSON is compared with parsing the same message as JSON."""
    decoded = microseconds(lambda: decode_body(raw, content_type))
    try:
        orjson.loads(raw)
        same = raw
    except orjson.JSONDecodeError:
        body = decode_protobuf(raw) if content_type else decode_body(raw).payload
        same = orjson.dumps(body)
    parsed = microseconds(lambda: orjson.loads(same))
    return f"| {size} | {name} | {len(raw):,} | {decoded:,.1f} | {parsed:,.1f} |"


def main() -> None:
    """Print the table."""
    print("| size | body | bytes | decode_body, µs | orjson parse, µs |")
    print("|---|---|---:|---:|---:|")
    for size, shape in SIZES.items():
        for name, raw, content_type in bodies(array(shape)):
            print(row(size, name, raw, content_type))
    for name, raw, content_type in others():
        print(row("-", name, raw, content_type))


if __name__ == "__main__":
    main()
