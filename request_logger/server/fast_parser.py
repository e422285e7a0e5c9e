"""Parses plain HTTP requests: POST / with a body of known, moderate size.

Anything unusual is handed to gunicorn from its first byte, so that no request is half processed. Sans-IO: it knows no
sockets.
"""

from __future__ import annotations

from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from request_logger.ingest.access import EVENTS_PATH

# For larger bodies the parsing is a small part of the cost.
MOST_BODY_BYTES = 256 * 2**10
# Heads of events have 1 or 2 KB. Larger ones, and those over gunicorn's limit of a header, are left to gunicorn.
MOST_HEAD_BYTES = 8000
_PATH = EVENTS_PATH.encode()
# With these headers a request is more than its head and Content-Length bytes.
_SPECIAL = ("transfer-encoding", "expect", "upgrade")
# Longer names of headers aren't kept in memory.
_MOST_KEPT_BYTES = 64


class FastParser:
    """Parses one request after another: `feed` until `is_whole`, read ``headers`` and `body`, then `start`.

    ``headers`` has lower-case names and latin-1 values, as WSGI does. ``keeps_alive`` is false if the request is the
    last one of its connection. Once `is_plain` is false, `unread` is everything fed since the last start, for gunicorn
    to parse. Owned by its connection's greenlet.
    """

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self.start()

    def start(self) -> None:
        """Begin the next request."""
        self.headers: dict[str, str] = {}
        self.is_plain = True
        self.keeps_alive = True
        self.is_whole = False
        self.has_head = False
        self._fed: list[bytes] = []
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._url = b""

    def close(self) -> None:
        """Break the reference cycle with the parser."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Parse more bytes of the request."""
        self._fed.append(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.is_plain = False
        if not self.has_head and sum(map(len, self._fed)) > MOST_HEAD_BYTES:
            self.is_plain = False

    @property
    def length(self) -> int:
        """The Content-Length in bytes; only for a plain head."""
        return int(self.headers["content-length"])

    @property
    def body(self) -> bytes:
        """The body of a whole request."""
        return b"".join(self._body)

    @property
    def unread(self) -> bytes:
        """Everything fed since the start of this request."""
        return b"".join(self._fed)

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        """Called at the start of a request: a pipelined one is not plain, since answers must be sent in order."""
        if self.is_whole:
            self.is_plain = False

    def on_url(self, url: bytes) -> None:
        """Called with some bytes of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with one header. Repeated names, which must be joined, and names with underscores are not plain."""
        key = _key(name) if len(name) <= _MOST_KEPT_BYTES else _key.__wrapped__(name)
        if key in self.headers or "_" in key:
            self.is_plain = False
        self.headers[key] = value.decode("latin-1").strip(" \t")
        self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Called after the last header: decides whether the head is plain."""
        self.has_head = True
        self.keeps_alive = self._parser.should_keep_alive()
        length = self.headers.get("content-length", "")
        self.is_plain = (
            self.is_plain
            and self._url == _PATH
            and self._head_bytes <= MOST_HEAD_BYTES
            and length.isdecimal()
            and int(length) <= MOST_BODY_BYTES
            and self._parser.get_method() == b"POST"
            and self._parser.get_http_version() == "1.1"
            and self.headers.keys().isdisjoint(_SPECIAL)
        )

    def on_body(self, data: bytes) -> None:
        """Called with some bytes of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Called after the last byte of the request."""
        self.is_whole = True


# All events of a sender have the same names.
@lru_cache(maxsize=256)
def _key(name: bytes) -> str:
    return name.decode("latin-1").lower()
