"""Streams are put together to what the server gives without streaming, also if a part of them is missing."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest

from request_logger.payloads import Decoded, UndecodableError, decode_body, parse_body
from request_logger.payloads.llm import streams

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
END = b"data: [DONE]\n\n"


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def sent(*chunks: Any, end: bytes = END, newline: str = "\n") -> bytes:
    lines = "".join(f"data: {json.dumps(each, ensure_ascii=False)}{newline}{newline}" for each in chunks)
    return lines.encode() + end


def row(raw: bytes) -> tuple[Any, Any]:
    [item] = decode_body(raw, "application/json").items
    return item.instance, item.elements


def decoded(raw: bytes) -> Decoded | None:
    try:
        return decode_body(raw, "application/json")
    except UndecodableError as error:
        assert "\n" not in str(error)
        assert not str(error).startswith("decoder ")
        return None


CHUNKS = (
    chunk(role="assistant", content=""),
    chunk(content="Pa"),
    chunk(content="ris é"),
    chunk(finish="stop"),
    {**HEAD, "choices": [], "usage": USAGE},
)
WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
    "choices": [{
        "index": 0, "message": {"role": "assistant", "content": "Paris é"}, "logprobs": None, "finish_reason": "stop",
    }],
    "stream": "complete",
}  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [
        sent(*CHUNKS),
        sent(*CHUNKS, newline="\r\n"),
        sent(*CHUNKS, newline="\r"),
        b"\xef\xbb\xbf\n\n" + sent(*CHUNKS),
        b": OPENROUTER PROCESSING\n\n: again\r\n\r\n" + sent(*CHUNKS),
        b"retry: 3\nid: 7\nevent: message\n" + sent(*CHUNKS),
        sent(*CHUNKS).replace(b"data: ", b"data:"),
        sent(*CHUNKS).replace(b"\n\n", b"\n"),
        sent(*CHUNKS).replace(b'"choices"', b'\ndata: "choices"'),
        gzip.compress(sent(*CHUNKS)),
        sent(*CHUNKS[:3]) + sent(*CHUNKS[3:], end=END * 2),
    ],
    ids=range(11),
)
def test_forms_of_a_stream(raw: bytes) -> None:
    """Line ends, comments, other fields, several lines of data, gzip."""
    assert decode_body(raw, "application/json").payload == WHOLE
    assert row(raw) == ("Paris é", {"model": "m", "finish_reason": "stop", **USAGE, "stream": "complete"})
    assert parse_body(raw) == WHOLE


def test_without_its_end_mark() -> None:
    """The answer is complete if each choice has its reason."""
    assert row(sent(*CHUNKS, end=b""))[1]["stream"] == "complete"
    assert row(sent(*CHUNKS[:3], end=b""))[1] == {"model": "m", "stream": "cut"}


def test_cut_at_every_byte() -> None:
    """What was read is a beginning of the text, and it is called cut until its reason to end was read."""
    raw = sent(*CHUNKS, end=b"")
    # The chunk with the reason; what follows it is the usage.
    reason = raw.index(b"\n", raw.index(b'"stop"'))
    texts = []
    for length in range(len(raw)):
        found = decoded(raw[:length])
        if found is not None:
            [item] = found.items
            assert isinstance(item.instance, str)
            assert "Paris é".startswith(item.instance)
            assert isinstance(item.elements, dict)
            assert length > reason or item.elements["stream"] == "cut" or item.elements["finish_reason"] == "stop"
            assert ("finish_reason" in item.elements) == (length >= reason)
            texts.append(item.instance)
    assert set(texts) == {"", "Pa", "Paris é"}


def test_cut_gzip() -> None:
    """What can be inflated is the beginning of the answer; other cut bodies are undecodable as before."""
    words = [f"word {number} " for number in range(2000)]
    raw = gzip.compress(sent(*(chunk(content=word) for word in words), chunk(finish="stop")))
    found = decoded(raw[: len(raw) // 2])
    assert found is not None
    [item] = found.items
    assert "".join(words).startswith(item.instance)
    assert len(item.instance) > 1000
    assert item.elements == {"model": "m", "stream": "cut"}
    with pytest.raises(UndecodableError, match="gzip body is cut short"):
        decode_body(gzip.compress(b'{"instances": [1]}')[:-9])


def test_choices_tools_and_reasoning() -> None:
    """Deltas are joined by choice and by index, in any order; repeated names are no pieces."""

    def tool(index: int, **more: Any) -> dict[str, Any]:
        return {"index": index, **more}

    raw = sent(
        chunk(1, role="assistant", content="b1"),
        chunk(0, role="assistant", content=None),
        chunk(0, reasoning_content="Hm"),
        chunk(0, tool_calls=[tool(1, id="c1", type="function", function={"name": "now", "arguments": ""})]),
        chunk(0, tool_calls=[tool(0, id="c0", type="function", function={"name": "add", "arguments": '{"a"'})]),
        chunk(1, content="b2", role="assistant"),
        chunk(0, tool_calls=[tool(0, id="", function={"name": "", "arguments": ": 1}"})], reasoning_content="m."),
        chunk(0, tool_calls=[tool(1, function={"arguments": "{}"})]),
        chunk(1, finish="length"),
        chunk(0, finish="tool_calls"),
    )  # fmt: skip
    decoded = decode_body(raw)
    first, second = (choice["message"] for choice in decoded.payload["choices"])
    assert first == {
        "role": "assistant", "content": None, "reasoning_content": "Hmm.",
        "tool_calls": [
            {"id": "c0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }  # fmt: skip
    assert second == {"role": "assistant", "content": "b1b2"}
    assert row(raw) == (
        ['add({"a": 1})\nnow({})', "b1b2"],
        {
            "model": "m", "finish_reason": ["tool_calls", "length"], "tool_calls": ["add", "now"], "choices": 2,
            "stream": "complete",
        },
    )  # fmt: skip


def test_completions_with_probabilities() -> None:
    """Their pieces are texts, and lists of probabilities are extended."""

    def piece(text: str, finish: str | None = None) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [-0.5]}
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {"object": "text_completion", "id": "c", "choices": [choice]}

    assert parse_body(sent(piece("a"), piece("b", "stop"))) == {
        "object": "text_completion", "id": "c", "stream": "complete",
        "choices": [{
            "index": 0, "text": "ab", "finish_reason": "stop",
            "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-0.5, -0.5]},
        }],
    }  # fmt: skip


def test_halves_of_a_character() -> None:
    """JSON's escapes of a surrogate pair in two chunks are one character; a half without the other can't be stored."""
    raw = sent(chunk(content="X"), chunk(content="Y"), chunk(finish="stop"))
    assert row(raw.replace(b'"X"', rb'"\ud83d"').replace(b'"Y"', rb'"\ude00"'))[0] == "\U0001f600"
    assert row(raw.replace(b'"X"', rb'"\ud83d"'))[0] == "\ufffdY"


def test_numbers_that_cannot_be_stored() -> None:
    """As in any other body."""
    raw = sent({**chunk(content="a"), "big": 10**400, "seed": 2**70}, chunk(finish="stop"))
    payload = decode_body(raw.replace(b'"logprobs": null', b'"logprobs": {"content": [NaN]}')).payload
    assert payload["big"] == str(10**400)
    assert payload["seed"] == 2**70
    assert payload["choices"][0]["logprobs"] == {"content": ["NaN", "NaN"]}


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "out of memory", "code": 500}},
        {"object": "error", "message": "out of memory"},
        {**chunk(finish="error"), "error": {"message": "out of memory"}},
    ],
    ids=["error", "object", "with a choice"],
)
def test_an_error_within_a_stream(error: dict[str, Any]) -> None:
    """Both what came before and the error are kept."""
    raw = sent(chunk(content="Par"), error)
    text, elements = row(raw)
    assert (text, elements["stream"]) == ("Par", "error")
    assert "out of memory" in str(decode_body(raw).payload["error"])


@pytest.mark.parametrize(
    "damage", [b"data: {broken\n\n", b"data: 5\n\n", b'data: {"choices": 5}\n\n', b"data: \xff\n\n"]
)
def test_damaged_chunks(damage: bytes) -> None:
    """They are left out, and the stream is called cut."""
    text, elements = row(sent(chunk(content="Pa"), end=damage) + sent(chunk(content="ris"), chunk(finish="stop")))
    assert (text, elements["stream"]) == ("Paris", "cut")


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {}\n\n", b"data:", b":", b"data: [DONE]\n\n", b"event: x\n\n", b'data: {"a": 1}\n\n' * 3,
        b'data: {"error": "x"}\n\n', b"data: x\n" * 10_000, b"\n" * 100, b'{"a": 1}\n{"b": 2}\n', b"{" * 5000,
        b'data: {"choices": [{"delta": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}]}",
        b'data: {"choices": [{"delta": ' + b'{"x":' * 900 + b"1" + b"}" * 900 + b"}]}",
    ],
    ids=range(13),
)  # fmt: skip
def test_no_known_stream(raw: bytes) -> None:
    """It is undecodable, with a reason of one line."""
    with pytest.raises(UndecodableError) as caught:
        decode_body(raw)
    assert "\n" not in str(caught.value)


def test_responses_api() -> None:
    """Its last event has the response; a cut stream is put together from the others."""
    part = {"type": "output_text", "text": "", "annotations": []}
    begun = {"id": "resp_1", "object": "response", "model": "m"}
    message = {"type": "message", "role": "assistant"}
    call = {"type": "function_call", "name": "add"}
    events = [
        {"type": "response.created", "response": {**begun, "output": [], "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i0", **message, "content": []}},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": part},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Pa"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "ris"},
        {"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ": 1}"},
    ]  # fmt: skip
    whole = {**begun, "status": "completed", "output": [{**message, "content": [{**part, "text": "Paris"}]}]}
    raw = b"".join(f"event: {event['type']}\n".encode() + sent(event, end=b"") for event in events)
    body = decode_body(raw)
    assert body.payload["stream"] == "cut"
    assert body.payload["output"] == [
        {"id": "i0", **message, "content": [{"type": "output_text", "text": "Paris"}]},
        {**call, "arguments": '{"a": 1}'},
    ]
    assert row(raw) == ("Paris", {"model": "m", "finish_reason": "in_progress", "tool_calls": "add", "stream": "cut"})
    last = sent({"type": "response.completed", "response": whole}, end=b"")
    assert parse_body(raw + last) == {**whole, "stream": "complete"}


def test_tgi_and_triton() -> None:
    """One token per chunk; the last has the text. Nothing marks the end of Triton's."""

    def token(text: str, **more: Any) -> dict[str, Any]:
        return {"index": 1, "token": {"id": 1, "text": text, "special": text == "</s>"}, "generated_text": None, **more}

    details = {"finish_reason": "eos_token", "generated_tokens": 3, "seed": None}
    tokens = [token("Pa"), token("ris"), token("</s>", generated_text="Paris", details=details)]
    assert row(sent(*tokens, end=b"")) == (
        "Paris",
        {"stream": "complete", "completion_tokens": 3, "finish_reason": "eos_token"},
    )
    assert row(sent(*tokens[:2], end=b"")) == ("Paris", {"stream": "cut"})
    pieces = [{"model_name": "v", "model_version": "1", "text_output": text} for text in ("Pa", "ris")]
    body = decode_body(sent(*pieces, end=b""))
    assert (body.items[0].instance, body.payload) == ("Paris", {**pieces[0], "text_output": "Paris"})
    assert row(sent(pieces[0], {"error": "x"}, end=b"")) == ("Pa", {"stream": "error"})


def test_a_long_stream_takes_linear_time() -> None:
    """2,000 chunks are joined once; a text of 100,000 pieces isn't copied for each of them."""
    words = [random.Random(1).choice(["Paris ", "é", "\n", '"', "\U0001f600"]) for _ in range(2000)]
    raw = sent(*(chunk(content=word) for word in words), chunk(finish="stop"))
    assert row(raw)[0] == "".join(words)
    stream = streams.ChatStream()
    for _ in range(100_000):
        stream.add({"choices": [{"index": 0, "delta": {"content": "ten bytes."}}]})
    assert len(stream.body()["choices"][0]["message"]["content"]) == 1_000_000


def test_indexes_of_any_size() -> None:
    """They take no memory for the entries between them."""
    raw = sent(chunk(10**9, content="a"), chunk(-1, content="b"), chunk(0, tool_calls=[{"index": 10**12, "id": "x"}]))
    assert [choice["index"] for choice in decode_body(raw).payload["choices"]] == [0, 10**9]
