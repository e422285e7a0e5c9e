"""The first parts of a document are joined in a shorter way, which gives the same document as the general one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from request_logger.common.json import dumps
from request_logger.documents import document as documents
from request_logger.documents.document import join
from request_logger.documents.parts import Part

TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z", "2025-12-31T23:59:59Z")
contents = st.fixed_dictionaries(
    {"instance": st.integers(0, 2)},
    optional={
        "ce-time": st.sampled_from([*TIMES, "soon"]),
        "received-time": st.sampled_from(TIMES),
        "reward": st.just(1),
        "evaluations": st.just([{"name": "a", "id": "1", "value": 1, "time": TIMES[0]}]),
        "unindexed": st.just('{"elements": {"a": 1}}'),
    },
)
headers = st.fixed_dictionaries(
    {"ServingEngine": st.just("seldon"), "RequestId": st.just("1")},
    optional={
        "Ce-Inferenceservicename": st.sampled_from(["a", "b", None]),
        "Ce-Namespace": st.just("n"),
        "Ce-Endpoint": st.just("default"),
    },
)


def part(name: str, content: dict[str, Any], node: str, header: dict[str, Any], time: str) -> Part:
    """Return a part, whose header has its node as an event's has, or hasn't as that of a stored part."""
    return Part(name, content, node.rstrip("*"), {**header, **({"Ce-Modelid": node} if node == "m" else {})}, time)


parts = st.builds(
    part,
    st.sampled_from(documents.PARTS),
    contents,
    st.sampled_from(["", "m", "m*", "other*"]),
    headers,
    st.sampled_from(TIMES),
)
others = st.sampled_from(
    [{}, {}, {"payload_removed": TIMES[0]}, {"nodes": None}, {"nodes": {"m": {"request": {}}}}, {"response": None}]
)


@settings(max_examples=200, deadline=None)
@given(given_parts=st.lists(parts, min_size=2, max_size=5), more=others)
def test_both_ways_give_the_same_document(given_parts: list[Part], more: dict[str, Any]) -> None:
    """Whatever is joined in whichever order: the same fields in the same order."""

    def joined() -> list[bytes]:
        result: list[bytes] = []
        stored = {**join(None, given_parts[0]), **more}
        for each in given_parts[1:]:
            stored = join(stored, each)
            result.append(dumps(stored))
        return result

    found = joined()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_is_simple", lambda stored, part: False)
        assert found == joined()


def test_most_parts_are_joined_in_the_shorter_way() -> None:
    """Request, response and feedback of one deployment, in any order."""
    header = {"ServingEngine": "seldon", "Ce-Modelid": "m", "RequestId": "1"}
    first, *rest = (Part(name, {"ce-time": TIMES[0]}, "m", header, TIMES[0]) for name in documents.PARTS)
    for one, others in ((first, rest), (rest[-1], [first, *rest[:-1]])):
        stored = join(None, one)
        for each in others:
            assert documents._is_simple(stored, each)
            stored = join(stored, each)
