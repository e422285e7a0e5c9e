"""Which vendor's client is used, and that whatever comes instead of an answer is "unavailable"."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError, UnreadableAnswerError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.vendor_clients import is_elastic_answer
from tests.store.proxy import Certificates
from tests.store.raw_server import RawServer, http
from tests.store.test_responses import error

PAGE = "<html><body>a marker of a page</body></html>"
OPENSEARCH = {"version": {"distribution": "opensearch", "number": "3.3.2"}, "tagline": "The OpenSearch Project"}
OLD = {"name": "n", "version": {"number": "7.10.2"}, "tagline": "You Know, for Search"}
HEALTH = {"cluster_name": "c", "status": "green", "number_of_nodes": 1}
ELASTIC = {"x-elastic-product": "Elasticsearch"}
WRONG_METHOD = {"error": "Incorrect HTTP method for uri [/] and method [GET], allowed: [HEAD]", "status": 405}


@pytest.mark.parametrize(
    ("status", "headers", "answer", "found"),
    [
        (200, ELASTIC, OLD, True),
        (405, ELASTIC, WRONG_METHOD, True),
        (401, ELASTIC, error("security_exception", 401), True),
        (200, {}, OPENSEARCH, False),
        (200, {}, OLD, False),
        (200, {}, HEALTH, False),
        (503, {"x-opensearch-version": "OpenSearch/3.3.2 (opensearch)"}, "starting", False),
        (403, {}, error("security_exception", 403), False),
        (200, {}, {}, None),
        (200, {}, [], None),
        (200, {}, {"version": "1.0", "status": "ok"}, None),
        (200, {}, {"version": {"number": 2}}, None),
        (200, {"x-elastic-product": "Kibana"}, PAGE, None),
        (403, {}, {"message": "forbidden"}, None),
        (404, {}, {"message": "no Route matched with those values"}, None),
        (404, {}, {"error": "not found"}, None),
        (401, {}, error("security_exception", 401), None),
        (429, {}, error("circuit_breaking_exception", 429), None),
        (503, {}, error("cluster_block_exception", 503), None),
    ],
)
def test_what_an_answer_says_of_the_engine(
    status: int, headers: dict[str, str], answer: Any, found: bool | None
) -> None:
    """Only an engine's own answer decides."""
    raw = answer if isinstance(answer, str) else json.dumps(answer)
    assert is_elastic_answer(status, headers, raw) is found


@pytest.mark.parametrize("raw", ["", PAGE, '{"version": {"numb', "[" * 5000, "\udcff"])
def test_what_is_no_json_says_nothing(raw: str) -> None:
    for status in (200, 403, 404, 502):
        assert is_elastic_answer(status, {}, raw) is None


@pytest.mark.parametrize(
    "first",
    [
        http(PAGE, "403 Forbidden", "text/html"),
        http(PAGE, "404 Not Found", "text/html"),
        http(PAGE, "200 OK", "text/html"),
        http("", "302 Found", None, location="/login"),
        http('{"message":"no Route matched"}', "404 Not Found"),
        http("[]"),
        http("Unauthorized", "401 Unauthorized", "text/plain"),
    ],
)
@pytest.mark.parametrize("engine", ["elastic", "opensearch"])
def test_the_page_of_a_proxy_decides_nothing(first: bytes, engine: str) -> None:
    """It is asked again, and the engine that is there by then gets its vendor's client."""
    agents = {"elastic": ELASTIC, "opensearch": {}}
    with RawServer(lambda method, path: first) as server:
        client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.port}"))
        assert not client.ping()
        with pytest.raises(StoreUnavailableError):
            client.prepare("inference-log-x")
        body = json.dumps(OPENSEARCH if engine == "opensearch" else OLD)
        server.answer = lambda method, path: http(body if path == "/" else json.dumps(HEALTH), **agents[engine])
        assert client.ping()
        assert server.agent.startswith("elastic-transport-python/" if engine == "opensearch" else "elasticsearch-py/")


def test_an_engine_whose_root_is_closed() -> None:
    """A proxy that lets only some paths through: the health is asked for instead."""

    def answer(method: str, path: str) -> bytes:
        return http(PAGE, "403 Forbidden", "text/html") if path == "/" else http(json.dumps(HEALTH))

    with RawServer(answer) as server:
        assert SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.port}")).ping()


BROKEN: dict[str, bytes] = {
    "a page with 200": http(PAGE, content_type="text/html"),
    "a page as JSON": http(PAGE),
    "JSON as text": http('{"a": 1}', content_type="text/plain"),
    "JSON as bytes": http('{"a": 1}', content_type="application/octet-stream"),
    "no content type": http('{"a": 1}', content_type=None),
    "an odd content type": http('{"a": 1}', content_type=";;=\xff".encode().decode("latin-1")),
    "another encoding": http('{"a": "é"}'.encode("utf-16"), content_type="application/json; charset=utf-16"),
    "a list": http("[1, 2]"),
    "null": http("null"),
    "a number": http("7"),
    "text": http('"ok"'),
    "nothing": http(""),
    "204": http("", "204 No Content", None),
    "half of it": http('{"acknowledged": tr'),
    "less than it says": http('{"acknowledged": true}').replace(b"content-length: 22", b"content-length: 99"),
    "invalid UTF-8": http(b'{"a": "\xff\xfe"}'),
    "a lone surrogate": http(b'{"a": "\xed\xa0\x80"}'),
    "a number of 5,000 digits": http('{"a": %s}' % ("9" * 5000)),
    "a number of 400 digits": http('{"a": %s}' % ("9" * 400)),
    "deep": http("[" * 100_000),
    "deep and whole": http("[" * 2000 + "]" * 2000),
    "NaN": http('{"a": NaN}'),
    "a redirect": http("", "302 Found", None, location="http://127.0.0.1:1/"),
    "a redirect to itself": http("", "301 Moved Permanently", None, location="/"),
    "304": http("", "304 Not Modified", None),
    "bad gzip": http(b"no gzip at all", content_encoding="gzip"),
    "half a gzip": http(gzip.compress(b'{"a": 1}' * 99)[:20], content_encoding="gzip"),
    "an unknown encoding": http(b"abc", content_encoding="x-odd"),
    "no HTTP": b"+PONG\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "nothing at all": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n{}",
    "status 99": b"HTTP/1.1 99 OK\r\ncontent-length: 2\r\n\r\n{}",
    "status 999": b"HTTP/1.1 999 OK\r\ncontent-length: 2\r\n\r\n{}",
    "a length of letters": b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "bad chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz-marker\r\n{}\r\n0\r\n\r\n",
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}",
    "an odd head": b"HTTP/1.1 200 OK\r\n: x\r\n\x00\xff: y\r\n\r\n{}",
    "a long head": b"HTTP/1.1 200 OK\r\na: " + b"x" * 70_000 + b"\r\n\r\n{}",
    "many heads": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n{}",
    "an error without a body": http("", "500 Internal Server Error", None),
    "an error that is a list": http("[1]", "400 Bad Request"),
    "an error that is null": http("null", "404 Not Found"),
    "an error of odd types": http('{"error": {"root_cause": 7, "type": [], "reason": {}}, "status": "x"}', "400 Bad"),
    "an error of 5,000 digits": http('{"status": %s}' % ("9" * 5000), "400 Bad Request"),
    "a deep error": http("[" * 100_000, "400 Bad Request"),
}


@pytest.fixture(params=["elastic", "opensearch"])
def product(request: pytest.FixtureRequest) -> dict[str, str]:
    """The headers of the engine that answers before it goes wrong."""
    return ELASTIC if request.param == "elastic" else {}


@pytest.fixture
def server(product: dict[str, str]) -> Iterator[RawServer]:
    with RawServer(lambda method, path: http(json.dumps(OLD), **product)) as started:
        yield started


CALLS: dict[str, Callable[[SearchEngine], object]] = {
    "prepare": lambda client: client.prepare("inference-log-x"),
    "bulk": lambda client: client.bulk(b'{"index":{}}\n{}\n'),
    "install_template": lambda client: client.install_template(),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_whatever_comes_is_unavailable(server: RawServer, product: dict[str, str], broken: str) -> None:
    """Never another exception, nothing of what came in its text, and one line."""
    client = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.port}", elasticsearch_timeout_seconds=2))
    assert client.request("GET", "/")[0] == 200
    for named in (False, True):
        raw = BROKEN[broken]
        # Elastic's client refuses an answer of 200 without the name of the product: with it, all is read.
        if named and product:
            raw = raw.replace(b"\r\n", b"\r\nX-Elastic-Product: Elasticsearch\r\n", 1)
        server.answer = lambda method, path, raw=raw: raw  # type: ignore[misc]
        assert not client.ping()
        for call in CALLS.values():
            with pytest.raises(StoreUnavailableError) as caught:
                call(client)
            assert "marker" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_no_tls_where_it_is_expected(server: RawServer) -> None:
    client = SearchEngine(Settings(elasticsearch_host=f"https://127.0.0.1:{server.port}"), warn=False)
    with pytest.raises(StoreUnavailableError):
        client.prepare("inference-log-x")
    assert not client.ping()


def test_a_certificate_of_somebody_else(tmp_path_factory: pytest.TempPathFactory, server: RawServer) -> None:
    """An engine with a certificate of another authority is not asked anything."""
    ours, theirs = (Certificates(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs"))
    server._socket = theirs.context.wrap_socket(server._socket, server_side=True, do_handshake_on_connect=True)
    host = f"https://127.0.0.1:{server.port}"
    client = SearchEngine(Settings(elasticsearch_host=host, elasticsearch_ca_cert=ours.ca))
    with pytest.raises(StoreUnavailableError):
        client.prepare("inference-log-x")
    assert server.seen == []


@pytest.mark.parametrize("agent", [{}, ELASTIC], ids=["OpenSearch", "Elasticsearch"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"title": "overloaded"}', "application/problem+json"),
        ("<html>a marker of a page</html>", "application/json"),
        ("<html>a marker of a page</html>", "application/xhtml+xml"),
        ("<html>a marker of a page</html>", "text/html"),
        ("", "application/json"),
    ],
)
def test_an_error_of_a_gateway_is_an_error(agent: dict[str, str], body: str, content_type: str) -> None:
    """Whatever its body is: the engine is unavailable, and the documents are not to blame. Success must be JSON."""
    with RawServer(lambda method, path: http(json.dumps(OLD if path == "/" else HEALTH), **agent)) as server:
        engine = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.port}"))
        assert engine.ping()
        server.answer = lambda method, path: http(body, "503 Service Unavailable", content_type, **agent)
        with pytest.raises(StoreUnavailableError) as caught:
            engine.bulk(b"{}\n")
        assert type(caught.value) is StoreUnavailableError
        assert "marker" not in str(caught.value)
        server.answer = lambda method, path: http(body, "200 OK", content_type, **agent)
        with pytest.raises(UnreadableAnswerError) as caught:
            engine.bulk(b"{}\n")
        assert "marker" not in str(caught.value)
