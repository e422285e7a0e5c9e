"""A process beside each worker that computes reports, one at a time; it is started by the first question.

A report asks the engine many things and computes for up to seconds. In the worker's own process, thread or not, every
event would wait for that: Python runs one thread at a time.
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
PAGE_PATH = "/ui"
METRICS_PATH = "/v1/metrics"

# Less than the 10 s after which Prometheus gives up, so that it sees the 429.
WAIT_SECONDS = 5.0
# A report over some millions of documents takes a tenth of this.
_LONGEST_SECONDS = 300.0


class ReportProcess:
    """Asks the process, starting it where it isn't there. Thread-safe; nothing runs before the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: BufferedRWPair | None = None

    def ask(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Answer a GET request; 429 where another one is being answered for WAIT_SECONDS longer."""
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            text = "another report is being computed; ask again later"
            return error_answer(429, text, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        try:
            # One that has ended since the last question is replaced.
            return self._asked(path, parameters) or self._asked(path, parameters) or _failed()
        finally:
            self._turn.release()

    def _asked(self, path: str, parameters: Mapping[str, str]) -> Answer | None:
        """Ask once; None where the process has ended."""
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
            # Such as the end of the greenlet: what the process says next would be the answer to another question.
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
        # The stream alone holds the socket from here on.
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
            # What was not sent yet has nobody to go to.
            with suppress(OSError):
                stream.close()


def _failed() -> Answer:
    return error_answer(503, "the process that computes reports has ended; see the log")


def write_line(stream: BufferedRWPair, value: object) -> None:
    """Send one line of JSON."""
    stream.write(dumps(value) + b"\n")
    stream.flush()
