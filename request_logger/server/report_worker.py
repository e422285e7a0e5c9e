"""The process that computes reports: reads questions from a socket and writes answers. Started by `report_process`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from io import BufferedRWPair

from request_logger import logs
from request_logger.common.json import loads
from request_logger.server.report_answers import ReportAnswers
from request_logger.server.report_process import write_line
from request_logger.settings import Settings

# Longer than usual Prometheus scrape intervals, so that scrapes find the process running; after that its memory is
# worth more than its start-up time.
_IDLE_SECONDS = 120.0
# Events have priority where processes share a core.
_NICENESS = 5


def main(descriptor: int) -> None:
    """Answer questions until the server's worker closes the socket or asks nothing for 120 seconds."""
    # The server handles Ctrl-C and then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    with socket.socket(fileno=descriptor) as own, own.makefile("rwb") as stream:
        settings = Settings(**loads(stream.readline()))
        logs.configure(settings.log_level, settings.log_format)
        answers = ReportAnswers(settings)
        own.settimeout(_IDLE_SECONDS)
        while line := _next_line(stream):
            question = loads(line)
            answer = answers.answer(question["path"], question["parameters"])
            head = {"status": answer.status, "headers": answer.headers, "error": answer.error}
            write_line(stream, {**head, "length": len(answer.body)})
            stream.write(answer.body)
            stream.flush()


def _next_line(stream: BufferedRWPair) -> bytes:
    """Return the next question, empty when the socket was closed or stayed idle."""
    try:
        return stream.readline()
    except OSError:
        return b""


if __name__ == "__main__":
    # Where the server's worker has ended, or has given up on the answer, no process is left to tell.
    with suppress(ConnectionError):
        main(int(sys.argv[1]))
