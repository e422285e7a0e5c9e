"""Reading everything from an engine that is replayed: which requests are sent, and what each answer leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.scan import Hit, Scan, ScanError
from tests.store.engine_double import Answer, EngineDouble
from tests.store.test_left_out import TEXT, partial

ALL = {"match_all": {}}
NO_HITS = {"hits": {"hits": []}}
NO_SUCH_PATH = (400, {"error": "no handler found for uri [/a/_pit] and method [POST]"})


def hit(id: str, time: int) -> dict[str, Any]:
    return {"_index": "a", "_id": id, "_source": {"text": id}, "sort": [time, 7]}


def hits(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"hits": {"hits": list(found)}, **more}


class Recorded:
    """Answers as an engine does that has two documents, one per page. ``opener`` is the path of its points in time."""

    def __init__(self, opener: str = "", key: str = "", *, has_order: bool = True) -> None:
        self.opener = opener
        self.key = key
        self.has_order = has_order
        self.pages = [[hit("one", 1)], [hit("two", 2)], []]
        self.deleted: list[tuple[str, Any]] = []
        self.slices: list[Any] = []
        self.instead: Callable[[str, Any], Answer | None] = lambda path, body: None

    def request(
        self, method: str, path: str, body: Any = None, params: Any = None, timeout: float | None = None
    ) -> Answer:
        found = self.instead(path, body)
        if found is not None:
            return found
        if method == "DELETE":
            self.deleted.append((path, body))
            return 200, {}
        if path.endswith("/_settings"):
            return 200, {}
        if path.endswith(("/_pit", "/_search/point_in_time")):
            return (200, {self.key: "context"}) if self.opener and path.endswith(self.opener) else NO_SUCH_PATH
        if body.get("size") == 1:
            return 200, NO_HITS
        if body.get("size") == 0:
            return (200, NO_HITS) if self.has_order else (400, {"error": {"type": "x", "reason": "no _shard_doc"}})
        self.slices.append(body.get("slice"))
        return 200, hits(*self.pages.pop(0), _scroll_id="place")


HITS = [Hit("a", "one", {"text": "one"}, 1), Hit("a", "two", {"text": "two"}, 2)]


@pytest.mark.parametrize(
    ("opener", "key", "ended_with"),
    [
        ("/_search/point_in_time", "pit_id", {"pit_id": ["context"]}),
        ("/_pit", "id", {"id": "context"}),
    ],
)
def test_a_point_in_time_is_read_and_closed(opener: str, key: str, ended_with: Any) -> None:
    """OpenSearch and Elasticsearch open and close it by different paths."""
    engine = Recorded(opener, key)
    with Scan(engine, "/a", ALL, slices=2) as scan:
        assert scan.point_in_time
        assert [page[0] for page in scan.pages(1)] == HITS
    assert engine.deleted == [(opener, ended_with)]
    assert engine.slices[0] == {"id": 1, "max": 2}


@pytest.mark.parametrize("opener", ["", "/_pit"])
def test_a_scroll_where_no_point_in_time_has_an_order(opener: str) -> None:
    """An engine without points in time, and one that can't sort by them: its context is closed at once."""
    engine = Recorded(opener, "id", has_order=False)
    with Scan(engine, "/a", ALL) as scan:
        assert not scan.point_in_time
        assert [page[0] for page in scan.pages()] == HITS
    assert engine.deleted == [
        *([("/_pit", {"id": "context"})] if opener else []),
        ("/_search/scroll", {"scroll_id": "place"}),
    ]
    assert engine.slices[0] is None


def test_a_scroll_without_an_index_has_no_name() -> None:
    """Then there is nothing to close."""
    engine = Recorded()
    engine.instead = lambda path, body: (200, NO_HITS) if path == "/a/_search" else None
    with Scan(engine, "/a", ALL) as scan:
        assert list(scan.pages()) == []
    assert engine.deleted == []


def test_a_context_that_cannot_be_closed_expires() -> None:
    """The documents have been read, so it is no error."""
    engine = Recorded("/_pit", "id")
    kept = engine.request

    def request(method: str, *others: Any, **named: Any) -> Answer:
        if method == "DELETE":
            raise StoreUnavailableError("down")
        return kept(method, *others, **named)

    engine.request = request  # type: ignore[method-assign]
    with Scan(engine, "/a", ALL) as scan:
        assert len(list(scan.pages())) == 2


def test_a_page_that_is_followed_by_itself() -> None:
    """An engine or a cache that ignores the place would be read for ever."""
    engine = Recorded("/_pit", "id")
    engine.pages = [[hit("one", 1)], [hit("one", 1)], [hit("one", 1)]]
    with Scan(engine, "/a", ALL) as scan, pytest.raises(StoreUnavailableError, match="followed by itself"):
        list(scan.pages())


@pytest.mark.parametrize(
    ("status", "answer", "error", "text"),
    [
        (404, {"error": {"type": "search_context_missing_exception", "reason": "gone"}}, StoreUnavailableError, "404"),
        (429, {"error": {"type": "es_rejected_execution_exception", "reason": "x"}}, StoreUnavailableError, "429"),
        (502, "<html>", StoreUnavailableError, "502"),
        (400, {"error": {"type": "parsing_exception", "reason": "unknown query"}}, ScanError, "unknown query"),
        (200, {**NO_HITS, "timed_out": True}, StoreUnavailableError, "left documents out"),
        (200, hits({"_index": "a", "_id": 7, "sort": [1]}), StoreUnavailableError, "_id of a hit: expected text"),
        (200, hits({"_index": "a", "_id": "b", "sort": []}), StoreUnavailableError, "sort of a hit: expected values"),
        (200, [], StoreUnavailableError, "expected an object, found a list"),
    ],
)
def test_a_page_without_documents(status: int, answer: Any, error: type[Exception], text: str) -> None:
    """What passes by itself is told apart from a search that the engine refuses, and an incomplete page is no page."""
    engine = Recorded("/_pit", "id")
    with Scan(engine, "/a", ALL) as scan:
        engine.instead = lambda path, body: (status, answer)
        with pytest.raises(error, match=text):
            list(scan.pages())


def test_a_document_without_source_or_time() -> None:
    """It has the greatest number as its sort value, and an empty source where the mapping stores none."""
    engine = Recorded("/_pit", "id")
    engine.pages = [[{"_index": "a", "_id": "b", "_source": None, "sort": [2**63 - 1, 0]}], []]
    with Scan(engine, "/a", ALL) as scan:
        assert list(scan.pages()) == [[Hit("a", "b", {}, None)]]


def test_an_index_that_fails_is_left_out() -> None:
    """The others are read."""
    engine = Recorded()
    engine.instead = lambda path, body: (200, partial(("a-1", TEXT))) if path == "/a-*/_search" else None
    with Scan(engine, "/a-*", ALL) as scan:
        assert [page[0] for page in scan.pages()] == HITS
    assert list(scan.left_out.reasons) == ["a-1"]


def test_a_search_that_no_index_can_answer_is_refused() -> None:
    """Nothing to leave out: the reason is the engine's."""
    error = {"failed_shards": [{"index": "a", "reason": {"type": "parse_exception", "reason": "odd"}}]}
    engine = EngineDouble(lambda path, body: (400, {"error": error}))
    with pytest.raises(ScanError, match="odd"), Scan(engine, "/a", ALL):
        pass


def test_too_many_indices_that_fail() -> None:
    """One more with each request: the engine isn't asked for ever."""
    numbers = iter(range(1000))

    def answer(path: str, body: Any) -> Answer:
        return (200, {}) if path.endswith("/_settings") else (200, partial((f"a-{next(numbers)}", TEXT)))

    engine = EngineDouble(answer)
    with pytest.raises(StoreUnavailableError, match="too many indices"), Scan(engine, "/a-*", ALL):
        pass
    assert sum(path.endswith("/_search") for path in engine.paths) == 10


def test_more_names_to_leave_out_than_a_path_can_hold() -> None:
    """The user is asked for the names of those that can be read."""
    bad = partial(*((f"inference-log-seldon-somewhere-{number}", TEXT) for number in range(200)), total=500)
    engine = EngineDouble(lambda path, body: (200, {} if path.endswith("/_settings") else bad))
    with pytest.raises(ScanError, match=r"^200 indices can't be read: name those that can"), Scan(engine, "/a-*", ALL):
        pass
