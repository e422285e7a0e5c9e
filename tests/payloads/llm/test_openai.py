"""Requests and responses of OpenAI-compatible servers: their text, and what can be grouped and summed up by."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from request_logger.payloads import Decoded, UndecodableError, decode_body


def decoded(body: Any, **options: Any) -> Decoded:
    """Decode a body as it comes."""
    return decode_body(json.dumps(body).encode(), "application/json", **options)


def row(body: Any, **options: Any) -> tuple[Any, dict[str, Any] | None]:
    """Return the only row's instance and elements."""
    [item] = decoded(body, **options).items
    return item.instance, item.elements


def chat(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": role, "content": content} for role, content in messages], **more}


def answer(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    choices = [
        {"index": index, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        for index, message in enumerate(messages)
    ]
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": choices, **more}


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call-{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([("system", "Be brief."), ("user", "Capital of France?")], "Capital of France?"),
        ([("user", "one"), ("assistant", "1"), ("user", "two"), ("tool", "{}")], "two"),
        ([("user", [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {}}])], "What is"),
        ([("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c"])], "a\nb\nc"),
        ([("system", "alone")], None),
        ([("user", None)], None),
        ([], None),
    ],
    ids=str,
)  # fmt: skip
def test_chat_request(messages: Any, text: str | None) -> None:
    """The text of the last user message."""
    body = chat(*messages, temperature=0, top_p=0.5, max_tokens=9, stream=True)
    found = decoded(body)
    assert row(body) == (text, {"model": "m", "temperature": 0, "top_p": 0.5, "max_tokens": 9, "stream": True})
    assert (found.data_type, found.payload, found.fields) == ("text", body, {})


def test_parameters_of_another_type_are_left_out() -> None:
    """They would not fit the type that the index has for them."""
    assert row(chat(("user", "x"), temperature="hot", n=True, seed=None, stream=1, model=5)) == ("x", {})


def test_chat_response() -> None:
    """Its text, the reason why it ended, and its tokens."""
    usage = {
        "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    body = answer({"content": "Paris", "tool_calls": None}, usage=usage)
    assert row(body) == (
        "Paris",
        {
            "model": "m", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10,
            "cached_tokens": 4, "reasoning_tokens": 0,
        },
    )  # fmt: skip
    assert decoded(body).fields == {"id": "chatcmpl-1"}
    assert decoded(body).payload == body


@pytest.mark.parametrize(
    ("messages", "instance", "elements"),
    [
        ([{"content": "a"}, {"content": "b"}], ["a", "b"], {"finish_reason": "stop", "choices": 2}),
        (
            [{"content": None, "tool_calls": [call("add", '{"a": 1}'), call("now", "{}")]}],
            'add({"a": 1})\nnow({})',
            {"finish_reason": "stop", "tool_calls": ["add", "now"]},
        ),
        (
            [{"content": "Let me see.", "tool_calls": [call("add", "{}")]}],
            "Let me see.",
            {"finish_reason": "stop", "tool_calls": "add"},
        ),
        (
            [{"content": None, "function_call": {"name": "f", "arguments": "1"}}],
            "f(1)",
            {"finish_reason": "stop", "tool_calls": "f"},
        ),
        ([{"content": None, "refusal": "I can't."}], "I can't.", {"finish_reason": "stop", "refusal": True}),
        ([{"content": ""}], "", {"finish_reason": "stop"}),
        ([{}], None, {"finish_reason": "stop"}),
        ([], None, {}),
    ],
    ids=str,
)  # fmt: skip
def test_answers(messages: Any, instance: Any, elements: Any) -> None:
    """Several choices, calls of tools, refusals, and nothing."""
    assert row(answer(*messages)) == (instance, {"model": "m", **elements})


def test_reasons_of_several_choices() -> None:
    """Each of them once."""
    body = answer({"content": "a"}, {"content": "b"}, {"content": "c"})
    body["choices"][1]["finish_reason"] = "length"
    body["choices"][2]["finish_reason"] = None
    assert row(body)[1] == {"model": "m", "choices": 3, "finish_reason": ["stop", "length"]}


def test_completions() -> None:
    """The prompt, and the text; several prompts are a row each, by text or tokens."""
    assert row({"model": "m", "prompt": "Say", "max_tokens": 5}) == ("Say", {"model": "m", "max_tokens": 5})
    assert row({"model": "m", "prompt": ["Say"]})[0] == "Say"
    for prompts in (["a", "b"], [[1, 2], [3]], ["a", [3]]):
        rows = decoded({"model": "m", "prompt": prompts, "seed": 1}).items
        assert [(each.instance, each.elements) for each in rows] == [(p, {"model": "m", "seed": 1}) for p in prompts]
    assert row({"model": "m", "prompt": [1, 2, 3]})[0] == [1, 2, 3]
    body = {"object": "text_completion", "choices": [{"text": "x", "index": 0, "finish_reason": "length"}]}
    assert row(body) == ("x", {"finish_reason": "length"})


def test_responses() -> None:
    """The text of all messages, calls, and why it is incomplete."""
    assert row({"model": "m", "input": "Hi", "max_output_tokens": 3}) == ("Hi", {"model": "m", "max_output_tokens": 3})
    items = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, {"type": "function_call_output"}]
    assert row({"model": "m", "input": items})[0] == "Hi"
    texts = [{"type": "output_text", "text": "Pa"}, {"type": "output_text", "text": "ris"}]
    body = {
        "id": "resp_1", "object": "response", "model": "m", "status": "completed",
        "output": [{"type": "reasoning"}, {"type": "message", "content": texts}],
        "usage": {
            "input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "output_tokens_details": {"reasoning_tokens": 1},
        },
    }  # fmt: skip
    assert row(body) == (
        "Paris",
        {
            "model": "m", "finish_reason": "completed", "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
            "reasoning_tokens": 1,
        },
    )  # fmt: skip
    body["output"] = [{"type": "function_call", "name": "add", "arguments": "{}"}]
    body |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": None}
    assert row(body) == ("add({})", {"model": "m", "finish_reason": "max_output_tokens", "tool_calls": "add"})
    body["output"] = [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]
    assert row(body)[0] == "No."
    assert (row(body)[1] or {})["refusal"] is True


VECTOR = [0.5, -1.0, 2.0]
BASE64 = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


@pytest.mark.parametrize("vector", [VECTOR, BASE64], ids=["floats", "base64"])
def test_embeddings(vector: Any) -> None:
    """The size of each vector; its values only if they are asked for. Tokens count once."""
    body = {
        "object": "list", "model": "e", "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(2)],
    }  # fmt: skip
    found = decoded(body)
    assert [item.instance for item in found.items] == [3, 3]
    assert [item.elements for item in found.items] == [
        {"model": "e", "prompt_tokens": 7, "total_tokens": 7, "dimensions": 3},
        {"model": "e", "dimensions": 3},
    ]
    assert [entry["embedding"] for entry in found.payload["data"]] == [{"dimensions": 3}] * 2
    kept = decoded(body, keeps_vectors=True)
    assert [item.instance for item in kept.items] == [vector, vector]
    assert (kept.items[1].elements, kept.payload) == ({"model": "e", "dimensions": 3}, body)
    # What is stored can be decoded again.
    assert decoded(found.payload).items == found.items


def test_rows_of_inputs() -> None:
    """As many as the response of embeddings and classify has."""
    assert [item.instance for item in decoded({"model": "e", "input": ["a", "b"]}).items] == ["a", "b"]
    assert [item.instance for item in decoded({"model": "e", "input": [[1, 2], [3]]}).items] == [[1, 2], [3]]
    assert row({"model": "e", "input": [1, 2]})[0] == [1, 2]


def test_classify_and_score() -> None:
    """A label or probabilities per input, a score per pair of texts."""
    body = {"object": "list", "model": "c", "usage": {"prompt_tokens": 5, "total_tokens": 5}, "data": [
        {"index": 0, "label": "spam", "probs": [0.1, 0.9], "num_classes": 2},
        {"index": 1, "label": None, "probs": [0.8, 0.2]},
    ]}  # fmt: skip
    found = decoded(body)
    assert [item.instance for item in found.items] == ["spam", [0.8, 0.2]]
    assert [item.elements for item in found.items] == [
        {"model": "c", "prompt_tokens": 5, "total_tokens": 5},
        {"model": "c"},
    ]
    body["data"] = [{"index": 0, "object": "score", "score": 1.0}, {"index": 1, "object": "score", "score": 0.25}]
    assert [item.instance for item in decoded(body).items] == [1.0, 0.25]
    asked = decoded({"model": "c", "text_1": "q", "text_2": ["a", "b"]})
    assert [item.instance for item in asked.items] == [["q", "a"], ["q", "b"]]


def test_rerank() -> None:
    """An object of document and score, which the scorer of rankings compares with relevances."""
    assert row({"model": "r", "query": "q", "documents": ["a", "b"], "top_n": 1}) == (
        "q",
        {"model": "r", "documents": 2},
    )
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0}]
    assert row({"id": "x", "model": "r", "results": results}) == ({"1": 0.9, "0": 0}, {"model": "r"})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"messages": "hello"}, "messages: expected a list of objects"),
        ({"messages": ["hello"]}, "messages: expected a list of objects"),
        ({"model": "m", "prompt": 5}, "prompt: expected text, tokens, or a list of them"),
        ({"model": "m", "prompt": []}, "prompt: expected text, tokens, or a list of them"),
        ({"model": "m", "input": None}, "input: expected text, tokens, or a list of them"),
        ({"model": "m", "input": [{"role": "user"}, "x"]}, "input: expected a list of objects"),
        ({"choices": {"0": {}}}, "choices: expected a list of objects"),
        ({"choices": [1]}, "choices: expected a list of objects"),
        ({"object": "response", "output": "x"}, "output: expected a list of objects"),
        ({"data": [{"embedding": 5}]}, "data: expected objects with a list or base64 as embedding"),
        ({"data": [{"probs": "x"}]}, "data: expected objects with label or probs"),
        ({"data": [{"score": "x"}]}, "data: expected objects with a number as score"),
        ({"results": [{"relevance_score": 1}], "id": ""}, "results: expected objects with index and relevance_score"),
        ({"query": "q", "documents": 1}, "query, documents: expected text and a list"),
        ({"text_1": ["a", "b"], "text_2": ["a"] * 3}, "text_1, text_2: expected texts, or lists of as many texts"),
        ({"text_1": [], "text_2": "a"}, "text_1, text_2: expected texts, or lists of as many texts"),
    ],
    ids=str,
)
def test_bad_bodies(body: Any, reason: str) -> None:
    """The reason names the field and what was expected, and never its value."""
    with pytest.raises(UndecodableError) as caught:
        decoded(body)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [1], "messages": []}, {"data": {"ndarray": [[1]]}, "choices": None, "strData": "x"},
        {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["a"]}], "model": "m", "input": "b"},
    ],
    ids=str,
)  # fmt: skip
def test_bodies_of_other_protocols_stay_theirs(body: Any) -> None:
    """Even if they have one of these fields."""
    assert "model" not in (decoded(body).items[0].elements or {})
