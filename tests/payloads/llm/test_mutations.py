"""Random changes of bodies and streams: rows, or an UndecodableError of one line, and nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.payloads import UndecodableError, decode_body, decoders
from request_logger.payloads.predictions import predicted
from tests.payloads.llm.test_streams import CHUNKS, chunk, sent
from tests.payloads.test_properties import check, values

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MESSAGE = {
    "role": "user",
    "content": [{"type": "text", "text": "a"}, "b"],
    "tool_calls": [{"function": {"name": "f", "arguments": "1"}}],
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}}
BODIES: list[dict[str, Any]] = [
    {"model": "m", "messages": [MESSAGE, {"role": "user", "content": "x"}], "temperature": 0.5},
    {"model": "m", "prompt": ["a", [1, 2]], "options": {"seed": 1}, "keep_alive": 1},
    {"model": "m", "input": [{"role": "user", "content": "x"}]},
    {"model": "m", "input": ["a", "b"], "query": "q", "documents": ["a"], "text_1": "a", "text_2": ["b"]},
    {"id": "c", "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}, {"text": "x"}], "usage": USAGE},
    {
        "id": "r", "object": "response", "incomplete_details": {"reason": "x"}, "stream": "cut",
        "output": [
            {"type": "message", "content": [{"text": "x"}, {"refusal": "y"}]},
            {"type": "function_call", "name": "f", "arguments": "1"},
        ],
    },
    {"data": [{"embedding": [0.5, 1]}, {"embedding": "AACAPw=="}, {"label": "a"}, {"score": 1}], "usage": USAGE},
    {"data": [{"probs": [0.5]}, {"label": "a"}], "usage": USAGE},
    {"results": [{"index": 0, "relevance_score": 0.5}], "id": "x"},
    {"model": "m", "done": True, "message": MESSAGE, "response": "x", "total_duration": 5, "eval_count": 1},
    {"generated_text": ["a", "b"], "details": {"finish_reason": "x", "generated_tokens": 5}, "stream": "complete"},
]  # fmt: skip
STREAMS: list[list[dict[str, Any]]] = [
    [*CHUNKS, chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "1"}}])],
    [
        {"type": "response.created", "response": BODIES[5]},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "x"},
    ],
    [{"token": {"text": "a", "special": False}, "generated_text": "a", "details": {"finish_reason": "x"}}] * 2,
    [{"text_output": "a", "model_name": "m"}] * 2,
    [{"model": "m", "done": False, "message": MESSAGE}, {"model": "m", "done": True, "response": "x"}],
]


def changed(draw: Callable[..., Any], value: Any) -> Any:
    """Return a value in which some values at any depth are others, or are missing."""
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    if isinstance(value, dict):
        return {key: changed(draw, entry) for key, entry in value.items() if draw(st.integers(0, 9))}
    if isinstance(value, list):
        return [changed(draw, entry) for entry in value if draw(st.integers(0, 9))]
    return value


def checked(raw: bytes) -> None:
    for keeps_vectors in (False, True):
        try:
            found = decode_body(raw, keeps_vectors=keeps_vectors)
        except UndecodableError as error:
            assert "\n" not in str(error)
            assert not str(error).startswith("decoder ")
        else:
            check(found)
            check(predicted(found))


@patient
@given(st.data())
def test_changed_bodies(data: st.DataObject) -> None:
    """Also straight to each decoder, whose columns are known for every body that it decodes."""
    body = changed(data.draw, data.draw(st.sampled_from(BODIES)))
    raw = json.dumps(body).encode()
    checked(raw)
    if not isinstance(body, dict):
        return
    for _, decoder in decoders():
        if decoder.accepts(body):
            try:
                decoder.decode(body)
                decoder.columns(body)  # type: ignore[attr-defined]
            except UndecodableError:
                pass


@patient
@given(st.data())
def test_changed_streams(data: st.DataObject) -> None:
    """Their chunks changed, left out and repeated; bytes cut, as lines of JSON and compressed."""
    chunks = data.draw(st.lists(st.sampled_from(data.draw(st.sampled_from(STREAMS))), min_size=1, max_size=6))
    chunks = [changed(data.draw, each) for each in chunks]
    end = data.draw(st.sampled_from([b"", b"data: [DONE]\n\n", b"data: [DO", b"\r", b"data: \xff"]))
    raw = sent(*chunks, end=end, newline=data.draw(st.sampled_from(["\n", "\r\n", "\r"])))
    lines = b"\n".join(json.dumps(each).encode() for each in chunks)
    for whole in (raw, lines, gzip.compress(raw)):
        checked(whole)
        checked(whole[: data.draw(st.integers(0, len(whole)))])
