"""A model behind a serving platform, as far as the connect pages need one: it answers, and logs as the platform does.

The events are those that the recordings of real senders have (tests/data/wire): KServe's agent logs the request and the
response under the client's ``Ce-Id``, with the headers that it was told to; Seldon's executor under ``Seldon-Puid``,
and logs feedback that comes to its own endpoint.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class Platform:
    """What a stub answers and how it logs: ``answer`` to every prediction, events to ``logger`` as ``deployment``."""

    def __init__(self, logger: str, deployment: str, answer: Any, metadata_headers: tuple[str, ...] = ()) -> None:
        self.logger = logger
        self.deployment = deployment
        self.answer = json.dumps(answer).encode()
        self.metadata_headers = metadata_headers

    def log(self, kind: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send an event; a logger that doesn't take it fails the test."""
        common = {
            "Content-Type": "application/json",
            "Ce-Specversion": "1.0",
            "Ce-Source": "http://localhost:9081/",
            "Ce-Namespace": "demo",
            "Ce-Inferenceservicename": self.deployment,
            "Ce-Endpoint": "default",
        }
        answer = requests.post(self.logger, body, headers={**common, **headers, "Ce-Type": kind}, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"")

    def kserve(self, headers: Any, body: bytes) -> None:
        """Log a request and its response as KServe's agent does."""
        chosen = {name: headers.get_all(name) for name in self.metadata_headers if name in headers}
        about = {
            "Ce-Id": headers.get("Ce-Id") or str(uuid.uuid4()),
            "Ce-Component": "predictor",
            "Ce-Metadata": json.dumps(chosen),
        }
        self.log("org.kubeflow.serving.inference.request", about, body)
        self.log("org.kubeflow.serving.inference.response", about, self.answer)

    def seldon(self, headers: Any, body: bytes, *, is_feedback: bool) -> None:
        """Log a prediction or a feedback as Seldon's executor does."""
        request_id = headers.get("Seldon-Puid") or str(uuid.uuid4())
        kinds = ("feedback",) if is_feedback else ("inference.request", "inference.response")
        for kind in kinds:
            about = {"Ce-Id": str(uuid.uuid4()), "Ce-Requestid": request_id, "Ce-Modelid": "classifier"}
            self.log(f"io.seldon.serving.{kind}", about, self.answer if kind.endswith("response") else body)


@contextmanager
def running(platform: Platform) -> Iterator[str]:
    """Run the stub; its URL. Paths under /seldon are Seldon's, all others KServe's."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/seldon/"):
                platform.seldon(self.headers, body, is_feedback=self.path.endswith("/feedback"))
            else:
                platform.kserve(self.headers, body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(platform.answer)))
            self.end_headers()
            self.wfile.write(platform.answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of the tests free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
