"""Answers of a logger in trouble: what is retried, what is final, and what the sender is told."""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from request_logger.upload import client
from request_logger.upload.client import Fate, FeedbackClient, UploadError, Verdict
from tests.upload.stub_logger import Script, StubLogger, accept, running

ACCEPTED, UNKNOWN = Verdict(Fate.ACCEPTED), Verdict(Fate.NO_PREDICTION)


def always(status: int, body: Any = b"", **headers: str) -> Script:
    return lambda rows: (status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def each(status: int, *entries: dict[str, Any]) -> Script:
    """The form of an answer in which each feedback has its status."""
    return lambda rows: (status, {"events": list(entries)}, {})


def as_given(url: str) -> str:
    return url


class Sender:
    """A client whose waits take no time: they are listed."""

    def __init__(
        self,
        logger: StubLogger,
        patience: float = 60.0,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        **common: str,
    ) -> None:
        self.logger = logger
        self.tls = tls
        self.patience = patience
        self.token = token
        self.common = common
        self.waits: list[float] = []
        self.told: list[str] = []

    def send(self, count: int, url: Callable[[str], str] = as_given) -> list[Verdict]:
        with running(self.logger, tls=self.tls) as address:
            uploading = FeedbackClient(
                url(address), self.common, self.token, patience=self.patience, wait=self.wait, tell=self.told.append
            )
            return uploading.send([b'{"request_id": %d}' % number for number in range(count)])

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False


def test_all_are_accepted() -> None:
    """In one request, with the common fields as parameters."""
    sender = Sender(StubLogger(accept), deployment="iris", namespace="a b")
    assert sender.send(3) == [ACCEPTED] * 3
    ((path, headers, rows),) = sender.logger.requests
    assert path == "/v1/feedback?deployment=iris&namespace=a+b"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert "Authorization" not in headers
    assert rows == [{"request_id": k} for k in range(3)]


@pytest.mark.parametrize(
    ("change", "path", "sent"),
    [
        (("", ""), "/v1/feedback", "Bearer s3cret"),
        (("$", "/logs/"), "/logs/v1/feedback", "Bearer s3cret"),
        (("$", "/v1/feedback"), "/v1/feedback", "Bearer s3cret"),
        (("//", "//logger:s%40t@"), "/v1/feedback", "Basic " + base64.b64encode(b"logger:s@t").decode()),
    ],
)
def test_urls_and_credentials(change: tuple[str, str], path: str, sent: str) -> None:
    """Those in the URL take precedence, and are never sent as a part of it."""
    sender = Sender(StubLogger(accept), token="s3cret")
    assert sender.send(1, lambda url: re.sub(*change, url, count=1)) == [ACCEPTED]
    ((found, headers, _),) = sender.logger.requests
    assert (found, headers["Authorization"]) == (path, sent)


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://a", "http://", "http://a:b", "http://[a", "http://a?x=1"])
def test_no_url(url: str) -> None:
    with pytest.raises(UploadError, match=r"^--url: expected a URL such as http://"):
        Sender(StubLogger(accept)).send(1, lambda _: url)


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machine's authorities, or those of SSL_CERT_FILE; otherwise no credentials are sent."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    sender = Sender(StubLogger(accept), token="s3cret", tls=context)
    with pytest.raises(UploadError, match=r"^https://127\.0\.0\.1:\d+/v1/feedback: .*certificate verify failed"):
        sender.send(1)
    assert sender.logger.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert sender.send(1) == [ACCEPTED]


def test_each_has_its_own_status() -> None:
    """Those of 503 are sent again, alone; the others keep their verdicts. Both forms of the answer are read."""
    first = each(
        503, {"status": 200}, {"status": 503, "error": "no engine"}, {"status": 400, "error": "truth: expected"}
    )
    results = {"accepted": 1, "results": [{"status": 200, "prediction": "not_found"}]}
    sender = Sender(StubLogger(first, lambda rows: (200, results, {})))
    assert sender.send(3) == [ACCEPTED, UNKNOWN, Verdict(Fate.REJECTED, "truth: expected")]
    assert sender.logger.rows == [[0, 1, 2], [1]]
    assert sender.told[0].endswith("/v1/feedback: answered 503: no engine; retrying")


def test_found_predictions_are_accepted() -> None:
    found = {"status": 200, "prediction": "found"}
    results = [found, {**found, "shared_key": True}, {"status": 200}, {"status": 422}]
    sender = Sender(StubLogger(always(207, {"accepted": 3, "results": results})))
    shared = Verdict(Fate.SHARED_KEY)
    assert sender.send(4) == [ACCEPTED, shared, ACCEPTED, Verdict(Fate.REJECTED, "status 422")]


def test_retries_wait_as_asked() -> None:
    """Retry-After in seconds or as a date; otherwise longer and longer. One line per outage."""
    moment = formatdate(time.time() + 20, usegmt=True)
    busy = [always(429, Retry_After="7"), always(503, Retry_After=moment), always(502, Retry_After="soon"), always(0)]
    sender = Sender(StubLogger(*busy, always(500), accept))
    assert sender.send(2) == [ACCEPTED, ACCEPTED]
    asked, dated, *doubled = sender.waits
    assert asked == 7
    assert 15 < dated <= 20
    assert [2 <= doubled[0] <= 4, 4 <= doubled[1] <= 8, 8 <= doubled[2] <= 16] == [True] * 3
    (line,) = sender.told
    assert line.endswith("/v1/feedback: answered 429: Too Many Requests; retrying")


def test_patience_ends() -> None:
    """Where nothing is accepted."""
    with pytest.raises(UploadError, match=r"/v1/feedback: closed the connection without an answer; given up"):
        Sender(StubLogger(always(0)), patience=0).send(1)
    with pytest.raises(UploadError, match=r"answered 503: no engine; given up after 0 s, run the command again later$"):
        Sender(StubLogger(always(503, {"error": "no engine"})), patience=0).send(1)
    with pytest.raises(UploadError, match=r"can't be reached; given up after 0 s"):
        Sender(StubLogger(accept), patience=0).send(1, lambda url: "http://127.0.0.1:9")


def test_patience_starts_anew_with_each_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that accepts one feedback in each attempt is slow, not down."""
    busy, stored = {"status": 503, "error": "no engine"}, {"status": 200}
    slow = [each(503, stored, *[busy] * left) for left in (5, 4, 3, 2, 1)]
    sender = Sender(StubLogger(*slow, accept), patience=1)
    monkeypatch.setattr(client, "monotonic", lambda: sum(sender.waits))
    assert sender.send(6) == [ACCEPTED] * 6
    assert len(sender.told) == 5
    assert sum(sender.waits) > 1
    down = Sender(StubLogger(*slow[:2], each(503, *[busy] * 4)), patience=5)
    monkeypatch.setattr(client, "monotonic", lambda: sum(down.waits))
    with pytest.raises(UploadError, match="given up after 5 s"):
        down.send(6)


def test_a_bug_of_the_logger_ends() -> None:
    """An internal error for one feedback is retried some times: it must not hold up the others for ever."""
    broken = {"status": 500, "error": "internal error; see the log"}
    sender = Sender(StubLogger(each(207, broken, {"status": 200}), each(207, broken)))
    assert sender.send(2) == [Verdict(Fate.REJECTED, "internal error; see the log"), ACCEPTED]
    assert sender.logger.rows == [[0, 1], [0], [0]]


def test_requests_that_are_too_large_are_halved() -> None:
    """Down to the one that no logger takes."""

    def limited(rows: list[dict[str, Any]]) -> tuple[int, Any, dict[str, str]]:
        large = len(rows) > 2 or any(row["request_id"] == 3 for row in rows)
        return (413, {"error": "body: larger"}, {}) if large else accept(rows)

    sender = Sender(StubLogger(limited))
    too_large = Verdict(Fate.REJECTED, "body: larger than the logger accepts")
    assert sender.send(5) == [ACCEPTED, ACCEPTED, ACCEPTED, too_large, ACCEPTED]
    assert sender.logger.rows == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3, 4], [3], [4]]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (always(400, {"error": "namespace: expected text"}), "answered 400: namespace: expected text"),
        (always(401, {"error": "Authorization: missing or wrong"}), "wrong; set INGEST_TOKEN to the logger's"),
        (always(403), "answered 403: Forbidden; is the namespace one that the logger accepts?"),
        (always(404, b"<html>"), "answered 404: Not Found; is it the URL of a request logger?"),
        (
            always(308, Location="http://else"),
            "answered 308: Permanent Redirect; expected a URL that does not redirect",
        ),
        (always(200, b"hello"), "expected the answer of a request logger"),
        (always(200, {"accepted": 3}), "expected the answer of a request logger"),
        (each(207, {"status": 200}), "answered 207: Multi-Status"),
        (each(207, {"status": "200"}, {}), "answered 207: Multi-Status"),
        (always(200, {"metrics": {}}), "expected the answer of a request logger"),
    ],
)
def test_answers_that_no_retry_changes(script: Script, error: str) -> None:
    """They end the upload, and no credentials are shown."""
    sender = Sender(StubLogger(script))
    with pytest.raises(UploadError) as raised:
        sender.send(2, lambda url: url.replace("//", "//logger:s3cret@"))
    assert str(raised.value).endswith(error)
    assert "s3cret" not in str(raised.value)
    assert len(sender.logger.requests) == 1
    assert sender.waits == []
