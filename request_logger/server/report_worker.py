"""The process that computes reports: reads requests from a socket and writes answers. Started by `report_process`."""

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

# Longer than the usual scrape intervals of Prometheus, so that scrapes find the process running; after that, freeing
# its memory is worth the restart. With UI=true somebody may open a page at any time.
_IDLE_SECONDS = 120.0
# Events take priority where processes share a core.
_NICENESS = 5


def main(descriptor: int) -> None:
    """Answer requests until the worker closes the socket or, without UI=true, sends none for _IDLE_SECONDS."""
    # The server handles Ctrl-C and then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    with socket.socket(fileno=descriptor) as own, own.makefile("rwb") as stream:
        # A worker with gevent has made it, whose sockets don't block.
        own.settimeout(None)
        settings = Settings(**loads(stream.readline()))
        logs.configure(settings.log_level, settings.log_format)
        answers = ReportAnswers(settings)
        if settings.ui:
            answers.load_pages()
        else:
            own.settimeout(_IDLE_SECONDS)
        while line := _next_line(stream):
            request = loads(line)
            answer = answers.answer(request["path"], request["parameters"])
            head = {"status": answer.status, "headers": answer.headers, "error": answer.error}
            write_line(stream, {**head, "length": len(answer.body)})
            stream.write(answer.body)
            stream.flush()


def _next_line(stream: BufferedRWPair) -> bytes:
    """Return the next request, empty if the socket was closed or stayed idle."""
    try:
        return stream.readline()
    except OSError:
        return b""


if __name__ == "__main__":
    # If the worker has ended or given up on the answer, there is no process to report an error to.
    with suppress(ConnectionError):
        main(int(sys.argv[1]))
