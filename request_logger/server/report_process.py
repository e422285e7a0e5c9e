"""Runs reports in one process per worker, one at a time; the first request starts it, with UI=true the worker does.

A report sends many searches and computes for up to seconds. In the worker's own process, in a thread or not, every
event would wait for it, since Python runs one thread at a time.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from io import BufferedRWPair

from request_logger.common.json import dumps, loads
from request_logger.server.responses import RETRY_AFTER_SECONDS, Answer, error_answer
from request_logger.settings import Settings

REPORT_PATH = "/v1/report"
DEPLOYMENTS_PATH = "/v1/deployments"
ERRORS_PATH = "/v1/errors"
DOCUMENT_PATH = "/v1/document"
PAGE_PATH = "/ui"
COMPARE_PAGE_PATH = "/ui/compare"
METRICS_PATH = "/v1/metrics"

# Below Prometheus' scrape timeout of 10 s, so that it receives the 429.
WAIT_SECONDS = 5.0
# Ten times what a report over some millions of documents takes.
_LONGEST_SECONDS = 300.0


class ReportProcess:
    """Forwards requests to the process, and starts it on the first request or after it has ended. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: BufferedRWPair | None = None

    def start(self) -> None:
        """Start the process before the first request, which would wait a second for it."""
        # Where it fails, a request tries again.
        with self._lock, suppress(OSError):
            self._start()

    def ask(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Return the answer to a GET request; 429 if another request still holds the process after WAIT_SECONDS."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            text = "another report is being computed; ask again later"
            return error_answer(429, text, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        try:
            # A process that has ended since the last request is replaced once.
            return self._ask_once(path, parameters) or self._ask_once(path, parameters) or _failed()
        finally:
            self._lock.release()

    def _ask_once(self, path: str, parameters: Mapping[str, str]) -> Answer | None:
        """Return the process's answer, None if it has ended."""
        try:
            stream = self._stream or self._start()
            write_line(stream, {"path": path, "parameters": dict(parameters)})
            head = stream.readline()
            if head:
                answer = loads(head)
                body = stream.read(answer["length"])
                if len(body) == answer["length"]:
                    return Answer(answer["status"], body, answer["headers"], answer["error"])
            self._end()
            return None
        except TimeoutError:
            self._end()
            return error_answer(503, f"the answer took longer than {_LONGEST_SECONDS:g} s")
        except OSError:
            self._end()
            return None
        except BaseException:
            # Such as a killed greenlet: the process's pending answer would be taken for that to the next request.
            self._end()
            raise

    def _start(self) -> BufferedRWPair:
        own, other = socket.socketpair()
        with other:
            command = [sys.executable, "-m", "request_logger.server.report_worker", str(other.fileno())]
            self._process = subprocess.Popen(  # noqa: S603  # its own module
                command, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()]
            )
        own.settimeout(_LONGEST_SECONDS)
        # From here on only the stream keeps the socket open.
        with own:
            stream = self._stream = own.makefile("rwb")
        write_line(stream, asdict(self._settings))
        return stream

    def _end(self) -> None:
        stream, self._stream = self._stream, None
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if stream is not None:
            # Unsent data has no receiver any more.
            with suppress(OSError):
                stream.close()


def _failed() -> Answer:
    return error_answer(503, "the process that computes reports has ended; see the log")


def write_line(stream: BufferedRWPair, value: object) -> None:
    """Send one line of JSON."""
    stream.write(dumps(value) + b"\n")
    stream.flush()
