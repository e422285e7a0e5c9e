"""Reading plain requests: however they are cut into pieces; what is special is given back whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.server.fast_parser import MOST_BODY_BYTES, MOST_HEAD_BYTES, FastParser

PLAIN = b"POST / HTTP/1.1\r\nHost: here\r\nCE-Id:  \xe9a \r\nContent-Length: 5\r\n\r\nhello"
HEADERS = {"host": "here", "ce-id": "\xe9a", "content-length": "5"}


def request(*lines: bytes, start: bytes = b"POST / HTTP/1.1", length: bytes = b"Content-Length: 5") -> bytes:
    return b"\r\n".join([start, b"Host: here", length, *lines, b"", b"hello"])


@given(cuts=st.lists(st.integers(1, len(PLAIN) - 1), unique=True), times=st.integers(1, 3))
def test_pieces(cuts: list[int], times: int) -> None:
    """One request after the other, in any pieces: the same headers and body."""
    reader = FastParser()
    edges = [0, *sorted(cuts), len(PLAIN)]
    for _ in range(times):
        for start, end in pairwise(edges):
            assert not reader.is_whole
            reader.feed(PLAIN[start:end])
        assert (reader.is_plain, reader.is_whole) == (True, True)
        assert (reader.headers, reader.body) == (HEADERS, b"hello")
        reader.start()
    reader.close()


@pytest.mark.parametrize("length", [0, 1, MOST_BODY_BYTES])
def test_sizes(length: int) -> None:
    """A body of no bytes, and of as many as are read here."""
    reader = FastParser()
    reader.feed(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length)
    reader.feed(b"x" * length)
    assert (reader.is_plain, reader.is_whole, reader.body) == (True, True, b"x" * length)


@pytest.mark.parametrize(("line", "keeps_alive"), [(b"A: 1", True), (b"connection: Close", False)])
def test_the_last_of_a_connection(line: bytes, keeps_alive: bool) -> None:
    """A sender with a connection per event says so."""
    reader = FastParser()
    reader.feed(request(line))
    assert (reader.is_plain, reader.is_whole, reader.body, reader.keeps_alive) == (True, True, b"hello", keeps_alive)


SPECIAL = {
    "another method": request(start=b"GET / HTTP/1.1"),
    "another path": request(start=b"POST /metrics HTTP/1.1"),
    "a query": request(start=b"POST /?a=1 HTTP/1.1"),
    "an old version": request(b"Connection: keep-alive", start=b"POST / HTTP/1.0"),
    "one after the last": request(b"Connection: close") + PLAIN,
    "chunks": request(b"Transfer-Encoding: chunked", length=b"A: 1"),
    "chunks and a length": request(b"Transfer-Encoding: chunked"),
    "no length": request(length=b"A: 1"),
    "two lengths": request(b"Content-Length: 5"),
    "no number": request(length=b"Content-Length: +5"),
    "a large body": request(length=b"Content-Length: %d" % (MOST_BODY_BYTES + 1)),
    "a header twice": request(b"Ce-Id: 1", b"ce-id: 2"),
    "an underscore": request(b"ce_id: 1"),
    "a wish to be asked": request(b"Expect: 100-continue"),
    "another protocol": request(b"Connection: Upgrade", b"Upgrade: h2c"),
    "two requests at once": PLAIN + PLAIN,
    "a request and a half": PLAIN + PLAIN[:20],
    "a folded header": request(b"A: 1", b" 2"),
    "a space before the colon": request(b"A : 1"),
    "a control character": request(b"A: \x01"),
    "bare line feeds": PLAIN.replace(b"\r\n", b"\n"),
    "many headers": request(*(b"A%d: 1" % number for number in range(MOST_HEAD_BYTES))),
    "a large header": request(b"A: " + b"1" * MOST_HEAD_BYTES),
    "a head without an end": b"POST / HTTP/1.1\r\nA: " + b"1" * (MOST_HEAD_BYTES + 10),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("raw", SPECIAL.values(), ids=SPECIAL)
def test_what_is_special_is_given_back(raw: bytes) -> None:
    """Whole, also after a plain one."""
    for before in (b"", PLAIN):
        reader = FastParser()
        if before:
            reader.feed(before)
            reader.start()
        reader.feed(raw)
        assert not reader.is_plain
        assert reader.unread == raw


@given(raw=st.binary(max_size=200), cut=st.integers(0, 200))
def test_garbage(raw: bytes, cut: int) -> None:
    """It is never taken for a request, and all that was fed is given back, up to the piece that showed what it is."""
    reader = FastParser()
    fed = b""
    for piece in (b"POST", raw[:cut], raw[cut:]):
        if not reader.is_plain:
            break
        reader.feed(piece)
        fed += piece
    assert not reader.is_whole
    assert reader.unread == fed
