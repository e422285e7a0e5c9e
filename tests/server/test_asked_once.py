"""One page asks the search engine each thing once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from request_logger.server.asked_once import AskedOnce


class Engine:
    """Counts requests; the status of each answer is ``status``, and it has ``more``."""

    def __init__(self, status: int = 200, more: dict[str, Any] | None = None) -> None:
        self.status = status
        self.more = more or {}
        self.asked = 0

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        self.asked += 1
        return self.status, {"number": self.asked, **self.more}


LINES = b'{"index":["a"]}\n{"size":0}\n'


@pytest.mark.parametrize(
    ("path", "body", "params"),
    [
        ("/a/_search", {"size": 0}, {"ignore_unavailable": "true"}),
        ("/_msearch", LINES, None),
        ("/a/_field_caps", None, {"fields": "x"}),
    ],
)
def test_the_same_request_is_sent_once(path: str, body: Any, params: dict[str, str] | None) -> None:
    engine = Engine()
    once = AskedOnce(engine)
    assert [once.request("POST", path, body, params) for _ in range(3)] == [(200, {"number": 1})] * 3
    assert once.request("POST", path, body, {"fields": "y"}) == (200, {"number": 2})
    assert AskedOnce(engine).request("POST", path, body, params) == (200, {"number": 3})


@pytest.mark.parametrize(
    ("path", "body", "params"),
    [
        ("/a/_search", {}, {"scroll": "1m"}),
        ("/a/_search", {}, {"preference": "x"}),
        ("/_search", {"pit": {"id": "x"}}, None),
        ("/_msearch", b'{"index":["a"],"preference":"x"}\n{}\n', None),
        ("/_search/scroll", {"scroll_id": "x"}, None),
        ("/_bulk", b"", None),
    ],
)
def test_what_may_have_another_answer_is_sent_again(path: str, body: Any, params: dict[str, str] | None) -> None:
    """A point in time, the pages of a scroll, and the reads that tell whether documents have changed."""
    engine = Engine()
    once = AskedOnce(engine)
    for _ in range(2):
        once.request("POST", path, body, params)
    assert engine.asked == 2


def test_an_error_is_not_remembered() -> None:
    engine = Engine(503)
    once = AskedOnce(engine)
    once.request("POST", "/a/_search", {})
    engine.status = 200
    assert once.request("POST", "/a/_search", {})[0] == 200


LACKING = {"_shards": {"total": 2, "successful": 1, "failed": 0}}
WHOLE = {"_shards": {"total": 2, "successful": 2, "failed": 0}}


@pytest.mark.parametrize(
    ("path", "lacking"),
    [
        ("/a/_search", LACKING),
        ("/a/_search", {**WHOLE, "timed_out": True}),
        ("/_msearch", {"responses": [{**WHOLE, "status": 200}, {**LACKING, "status": 200}]}),
        ("/_msearch", {"responses": [{**WHOLE, "status": 200}, {"error": {"type": "x"}, "status": 503}]}),
    ],
)
def test_an_answer_of_some_shards_is_not_remembered(path: str, lacking: dict[str, Any]) -> None:
    """An index that is just being created has no shard yet: asked again, it is there, and from then on known."""
    engine = Engine(more=lacking)
    once = AskedOnce(engine)
    for number in (1, 2):
        assert once.request("POST", path, LINES)[1]["number"] == number
    engine.more = {"responses": [WHOLE]} if "responses" in lacking else WHOLE
    assert [once.request("POST", path, LINES)[1]["number"] for _ in range(2)] == [3, 3]
