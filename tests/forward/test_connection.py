"""A connection to FORWARD_URL: what it sends, which answers it understands, and when it is used again."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from request_logger.forward.message import Message
from request_logger.forward.sink import Outcome, Sink, Verdict

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
MESSAGE = Message({"ce-id": "1", "content-type": "application/json"}, b'{"a": 1}')


class Scripted:
    """A server that sends given bytes after each request, and closes the connection where they are empty."""

    def __init__(self, answers: Sequence[bytes], tls: ssl.SSLContext | None, host: str) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.tls = tls
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
                connection = plain if self.tls is None else self.tls.wrap_socket(plain, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections += 1
            with connection:
                while data := connection.recv(65536):
                    # Small requests arrive whole.
                    self.requests.append(data)
                    answer = self.answers.pop(0)
                    try:
                        connection.sendall(answer)
                    except OSError:
                        break
                    if not answer.startswith(b"HTTP/1.1 200 OK\r\nC"):
                        break


@contextmanager
def scripted(*answers: bytes, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Scripted]:
    server = Scripted(answers, tls, host)
    try:
        yield server
    finally:
        server.listener.close()


def send(answer: bytes, timeout: float = 5.0) -> Outcome:
    with scripted(answer) as server:
        return Sink(server.url, {}, timeout).send(MESSAGE)


def test_what_is_sent() -> None:
    """Head and body at once; the URL's path and query, encoded where it has to be."""
    with scripted(OK) as server:
        sink = Sink(f"{server.url}/a%20b/\u00e4?x=1&y=[2]", {"authorization": "Bearer t"}, 5)
        # A header that came as UTF-8 is in latin-1 here, and goes out as the same bytes.
        message = Message({**MESSAGE.headers, "ce-subject": "\u00c5\u2026".encode().decode("latin-1")}, MESSAGE.body)
        assert sink.send(message).verdict is Verdict.SENT
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /a%20b/%C3%A4?x=1&y=%5B2%5D HTTP/1.1"
    assert body == MESSAGE.body
    headers = dict(line.split(b": ", 1) for line in lines)
    assert headers[b"host"] == server.url.removeprefix("http://").encode()
    assert headers[b"content-length"] == b"8"
    assert headers[b"ce-subject"].decode() == "\u00c5\u2026"
    assert (headers[b"authorization"], headers[b"x-request-logger-forwarded"]) == (b"Bearer t", b"1")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (OK, Verdict.SENT),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Verdict.SENT),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Verdict.SENT),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Verdict.SENT),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", Verdict.RETRY),
        # The status says that it has the event, whatever becomes of the rest of the answer.
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\ncut", Verdict.SENT),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000, Verdict.SENT),
        (b"HTTP/1.1 307 Elsewhere\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", Verdict.RETRY),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 200 O", Verdict.RETRY),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Verdict.RETRY),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Verdict.RETRY),
        (b"x: y\r\n" * 50_000, Verdict.RETRY),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000, Verdict.RETRY),
        (b"\x16\x03\x01\x02\x00", Verdict.RETRY),
        (b"", Verdict.RETRY),
    ],
)
def test_answers(answer: bytes, verdict: Verdict) -> None:
    assert send(answer).verdict is verdict


def test_an_answer_without_its_body() -> None:
    """The status decides; the connection isn't used again."""
    with scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", OK) as server:
        sink = Sink(server.url, {}, 0.1)
        assert sink.send(MESSAGE).verdict is Verdict.SENT
        sink.close()


def test_retry_after() -> None:
    assert send(b"HTTP/1.1 429 Later\r\nretry-AFTER: 7\r\nContent-Length: 0\r\n\r\n").retry_after == 7
    assert send(b"HTTP/1.1 503 Later\r\nRetry-After: Fri, 01 Jan 2027 00:00:00 GMT\r\n\r\n").retry_after == 0


def test_an_answer_that_never_ends() -> None:
    """The whole answer has the timeout, not each of its bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                while not ended.wait(0.02):
                    try:
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        started = time.monotonic()
        outcome = Sink(f"http://127.0.0.1:{listener.getsockname()[1]}", {}, 0.3).send(MESSAGE)
        assert (outcome.verdict, outcome.problem) == (Verdict.RETRY, "TimeoutError")
        assert time.monotonic() - started >= 0.3
        ended.set()
        thread.join()


def test_a_connection_is_used_again() -> None:
    """Not one that the receiver has closed, or to which it has sent more than an answer."""
    with scripted(OK, OK, OK + OK, OK, b"HTTP/1.1 204 X\r\n\r\n", OK) as server:
        sink = Sink(server.url, {}, 5)
        connections = []
        for _ in range(6):
            assert sink.send(MESSAGE).verdict is Verdict.SENT
            connections.append(server.connections)
            # The end of a connection takes a moment to arrive.
            time.sleep(0.02)
        assert connections == [1, 1, 1, 2, 2, 3]
        sink.close()


@pytest.mark.parametrize("name", ["ce-x\r\nhost", "ce-x\n", "ce-x\0"])
def test_headers_that_can_not_be_sent(name: str) -> None:
    """Nothing is sent: a name or a value can't add lines to the head."""
    with scripted() as server:
        for headers in ({name: "a"}, {"ce-x": f"a{name}: b"}, {"ce-x": "\u4e00"}):
            assert Sink(server.url, {}, 5).send(Message(headers, b"")).verdict is Verdict.REFUSED
        assert not server.requests


def test_hosts() -> None:
    """IPv6; a name that can't be one is retried, as the setting may be wrong; so is a host that isn't there."""
    if socket.has_ipv6:
        with scripted(OK, host="::1") as server:
            assert Sink(server.url, {}, 5).send(MESSAGE).verdict is Verdict.SENT
    for url in (f"http://{'a' * 64}.invalid", "http://\u00e4.invalid", "http://127.0.0.1:1"):
        assert Sink(url, {}, 5).send(MESSAGE).verdict is Verdict.RETRY


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's authorities, to which SSL_CERT_FILE adds."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with scripted(OK, OK, tls=context) as server:
        outcome = Sink(server.url, {}, 5).send(MESSAGE)
        assert (outcome.verdict, outcome.problem) == (Verdict.RETRY, "SSLCertVerificationError")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        sink = Sink(server.url, {}, 5)
        assert [sink.send(MESSAGE).verdict for _ in range(2)] == [Verdict.SENT] * 2
        assert server.connections == 1
        sink.close()
