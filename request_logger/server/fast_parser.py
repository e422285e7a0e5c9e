"""Reads HTTP requests that are plain: POST / with a body of known, moderate size, on a connection that stays open.

All that is special is somebody else's to read, from its first byte on: what is not plain is never half done. Knows no
sockets.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from request_logger.ingest.access import EVENTS_PATH

# Of a larger request the reading is the least part.
MOST_BODY_BYTES = 256 * 2**10
# Less than gunicorn allows a single header, so that who meets a limit meets gunicorn's.
MOST_HEAD_BYTES = 8000
_PATH = EVENTS_PATH.encode()
# With these there is more to a request than its head and as many bytes as it says.
_SPECIAL = ("transfer-encoding", "expect", "upgrade")


class PlainReader:
    """Reads one request after the other: `feed` until `is_whole`, take ``headers`` and `body`, then `start`.

    ``headers`` has lower-case names and latin-1 values, as WSGI gives them. With `is_plain` false, `unread` is all that
    was fed since the last start, for somebody else to read.
    """

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self.start()

    def start(self) -> None:
        """Begin the next request."""
        self.headers: dict[str, str] = {}
        self.is_plain = True
        self.is_whole = False
        self.has_head = False
        self._fed: list[bytes] = []
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._url = b""

    def close(self) -> None:
        """Let go of the parser, which holds this reader."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Read some more bytes of the request."""
        self._fed.append(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.is_plain = False
        if not self.has_head and sum(map(len, self._fed)) > MOST_HEAD_BYTES:
            self.is_plain = False

    @property
    def length(self) -> int:
        """Bytes that the body of a request with a plain head has."""
        return int(self.headers["content-length"])

    @property
    def body(self) -> bytes:
        """The body of a whole request."""
        return b"".join(self._body)

    @property
    def unread(self) -> bytes:
        """All that was fed since the start."""
        return b"".join(self._fed)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins: nobody must answer two before the first's answer is read, so that is not plain."""
        if self.is_whole:
            self.is_plain = False

    def on_url(self, url: bytes) -> None:
        """Some bytes of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Those of one name have to be joined, and gunicorn has an opinion on underscores."""
        key = name.decode("latin-1").lower()
        if key in self.headers or "_" in key:
            self.is_plain = False
        self.headers[key] = value.decode("latin-1").strip(" \t")
        self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """All headers."""
        self.has_head = True
        length = self.headers.get("content-length", "")
        self.is_plain = (
            self.is_plain
            and self._url == _PATH
            and self._head_bytes <= MOST_HEAD_BYTES
            and length.isdecimal()
            and int(length) <= MOST_BODY_BYTES
            and self._parser.get_method() == b"POST"
            and self._parser.get_http_version() == "1.1"
            and self._parser.should_keep_alive()
            and not any(name in self.headers for name in _SPECIAL)
        )

    def on_body(self, data: bytes) -> None:
        """Some bytes of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The request's last byte."""
        self.is_whole = True
