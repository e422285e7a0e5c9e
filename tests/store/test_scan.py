"""Reading everything while others write: each document once, in the order of time, from any engine."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import SCROLL_ORDER, Hit, Scan, ScanError
from tests.helpers import Index, index_of

pytestmark = pytest.mark.engine

ALL = {"match_all": {}}
N = 500


class WithoutPointInTime:
    """The engine as an old one is: it knows no point in time."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        if path.endswith(("/_pit", "/_search/point_in_time")):
            return 400, {"error": f"no handler found for uri [{path}]"}
        return self._engine.request(method, path, body, params)


@pytest.fixture
def search_engine(engine: Any) -> SearchEngine:
    parts = urlsplit(engine.url)
    return SearchEngine(Settings(elasticsearch_host=parts.hostname or "", elasticsearch_port=parts.port or 0))


@pytest.fixture(params=["what it can", "scroll"])
def asks(request: pytest.FixtureRequest, search_engine: SearchEngine) -> Any:
    return search_engine if request.param == "what it can" else WithoutPointInTime(search_engine)


@pytest.fixture
def stored(search_engine: SearchEngine, deployment: str, index: Index) -> str:
    """Two indices, one of three shards; most of the 500 documents have the same time. Gives their pattern.

    The shards have several segments each.
    """
    one, two = (f"inference-log-scan-{deployment}-{k}" for k in (1, 2))
    index.request("PUT", f"/{one}", {"settings": {"index.number_of_shards": 3}})
    search_engine.prepare(one)
    search_engine.prepare(two)
    for first in range(0, N, 100):
        write(search_engine, [one if k % 3 else two for k in range(first, first + 100)], "a", first)
        index.refresh()
    return f"inference-log-scan-{deployment}-*"


def write(engine: SearchEngine, names: list[str], prefix: str, first: int = 0) -> None:
    lines = []
    for k, name in enumerate(names, start=first):
        second = k % 10 if k < 50 else 30
        document = f'{{"@timestamp": "2026-01-01T00:00:{second:02d}Z", "request": {{"instance": [{k}]}}}}'
        lines.append(f'{{"index": {{"_index": "{name}", "_id": "{prefix}{k}"}}}}\n{document}\n')
    assert not engine.bulk("".join(lines).encode())["errors"]


@pytest.mark.parametrize("slices", [1, 3])
def test_each_document_is_read_once(
    asks: Any, stored: str, slices: int, search_engine: SearchEngine, index: Index
) -> None:
    """Equal times lose none, slices share them, and what is written meanwhile is not seen."""
    with Scan(asks, f"/{stored}", ALL, source=["request"], page=60, slices=slices) as scan:
        started = [scan.pages(number) for number in range(slices)]
        first = [next(pages) for pages in started]
        write(search_engine, [stored.replace("*", "1")] * 50, "b")
        index.refresh()
        with ThreadPoolExecutor(slices) as threads:
            rest = list(threads.map(list, started))
    runs: list[list[Hit]] = [
        [*page, *(hit for more in pages for hit in more)] for page, pages in zip(first, rest, strict=True)
    ]
    hits = [hit for run in runs for hit in run]
    assert sorted(hit.id for hit in hits) == sorted(f"a{k}" for k in range(N))
    assert {hit.source["request"]["instance"][0] for hit in hits} == set(range(N))
    for run in runs:
        times = [hit.time for hit in run]
        assert len(times) > 0
        assert times == sorted(times, key=lambda time: time or 0)
    assert min(hit.time or 0 for hit in hits) == 1767225600000


def test_a_scroll_of_equal_times(stored: str, search_engine: SearchEngine) -> None:
    """Of equal times in several segments none is lost, whichever segment the engine looks at first."""
    for order in (SCROLL_ORDER, [{"@timestamp": "desc"}, "_doc"]):
        hits = QueryRunner(search_engine).scroll(Scope(stored), {"sort": order}, size=60)
        assert sorted(hit["_id"] for hit in hits) == sorted(f"a{k}" for k in range(N))


def test_nothing_to_read(asks: Any, deployment: str) -> None:
    """No index of that name: no page."""
    with Scan(asks, f"/inference-log-{deployment}-*", ALL) as scan:
        assert list(scan.pages()) == []


def test_what_is_refused_is_said_in_a_line(asks: Any, stored: str) -> None:
    """A query that the engine can't read is an error with its reason; a place that it forgot is worth another try."""
    with (
        pytest.raises(ScanError, match=r"^the engine answered 400 to a search: .*yesteryear"),
        Scan(asks, f"/{stored}", {"range": {"@timestamp": {"gte": "yesteryear"}}}) as scan,
    ):
        list(scan.pages())
    with Scan(asks, f"/{stored}", ALL, page=10) as scan:
        pages = scan.pages()
        next(pages)
        # As after a restart: the engine knows none of its readers any more.
        asks.request("DELETE", "/_search/scroll/_all")
        asks.request("DELETE", "/_search/point_in_time/_all")
        if scan._pit is not None and scan._pit.key == "id":
            asks.request("DELETE", "/_pit", {"id": scan._pit.name})
        with pytest.raises(StoreUnavailableError, match="answered 404"):
            list(pages)


def test_index_of_an_event_is_readable(search_engine: SearchEngine, deployment: str) -> None:
    """Documents without a time come last, and have none."""
    name = index_of(deployment)
    search_engine.prepare(name)
    body = f'{{"index": {{"_index": "{name}", "_id": "timeless"}}}}\n{{"RequestId": "timeless"}}\n'
    assert not search_engine.bulk(body.encode())["errors"]
    write(search_engine, [name], "c")
    search_engine.request("POST", f"/{name}/_refresh")
    with Scan(search_engine, f"/{name}", ALL) as scan:
        (page,) = scan.pages()
    assert [(hit.id, hit.time) for hit in page] == [("c0", 1767225600000), ("timeless", None)]
