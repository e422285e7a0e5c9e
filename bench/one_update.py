"""Baseline: the original's way of writing, which looks up each event and sends one `_update?refresh=true`.

Everything else is minimal: no parsing, no client library, one persistent connection to the engine per thread.
"""

from __future__ import annotations

import http.client
import os
import threading

from flask import Flask, Response, request

app = Flask(__name__)
_local = threading.local()


def _ask(method: str, path: str, body: bytes | None = None) -> int:
    if not hasattr(_local, "engine"):
        address = f"{os.environ['ELASTICSEARCH_HOST']}:{os.environ['ELASTICSEARCH_PORT']}"
        _local.engine = http.client.HTTPConnection(address, timeout=60)
    _local.engine.request(method, path, body, {"Content-Type": "application/json"})
    answer = _local.engine.getresponse()
    answer.read()
    return int(answer.status)


@app.post("/")
def take() -> Response:
    """Store one event."""
    kind = request.headers["Ce-Type"].rpartition(".")[2]
    name = request.headers["Ce-Inferenceservicename"]
    path = f"/inference-log-seldon-bench-{name}-default"
    id = request.headers["Ce-Requestid"]
    _ask("HEAD", f"{path}/_doc/{id}")
    body = b'{"doc":{"RequestId":"%b","%b":{"payload":%b}},"doc_as_upsert":true}'
    body %= (id.encode(), kind.encode(), request.get_data())
    status = _ask("POST", f"{path}/_update/{id}?refresh=true&retry_on_conflict=10", body)
    return Response(status=200 if status < 300 else 503)


@app.get("/readyz")
def readyz() -> Response:
    """Report whether the engine responds."""
    return Response(status=200 if _ask("GET", "/_cluster/health") == 200 else 503)
