"""Parses one answer over HTTP: for clients that send a request with a single system call, and read its answer so.

The standard library's http.client reads a head with its parser for e-mails: 0.1 ms of CPU per answer.
"""

from __future__ import annotations

from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_BOUNDED = frozenset((b"content-length", b"transfer-encoding"))


class HttpAnswer:
    """One answer: `feed` until `is_whole`, or `end` where the connection ends; then `close`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Names and values as they were sent."""
        self.parts: list[bytes] = []
        """The body so far, in pieces."""
        self.has_head = self.is_whole = False
        """Whether its head, and all of it, was read. A provisional answer (status 1xx) is followed by the final one."""
        self.keeps_alive = False
        """Whether the connection can be used again: the answer is whole, and nothing follows it."""
        self._has_begun = self._is_followed = False
        self._parser = HttpResponseParser(self)

    def close(self) -> None:
        """Break the reference cycle with the parser."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises HTTPException if they aren't HTTP."""
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.is_whole:
                raise HTTPException(f"no HTTP answer ({type(error).__name__})") from None
            self._is_followed = True
        if self._is_followed:
            # What follows the answer belongs to no request.
            self.keeps_alive = False

    def end(self) -> None:
        """Record the end of the connection, which also ends a body of unknown length. Raises HTTPException."""
        if not self._has_begun:
            raise RemoteDisconnected("the connection was closed without an answer")
        if not self.has_head or any(name.lower() in _BOUNDED for name, _ in self.headers):
            raise IncompleteRead(b"")
        self.is_whole = True

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        """Called at the start of an answer, also of one that nobody asked for."""
        self._is_followed = self.is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with one header."""
        if not self._is_followed:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Called after the last header."""
        if not self._is_followed:
            self.status = self._parser.get_status_code()
            self.has_head = self.status >= 200

    def on_body(self, data: bytes) -> None:
        """Called with some bytes of the body."""
        if not self._is_followed:
            self.parts.append(data)

    def on_message_complete(self) -> None:
        """Called after the last byte of an answer."""
        if self._is_followed:
            return
        if not self.has_head:
            self.headers.clear()
            return
        self.is_whole = True
        self.keeps_alive = self._parser.should_keep_alive()
