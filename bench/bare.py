"""Baseline: Flask that parses the JSON and responds, under the same server, without an engine."""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/")
def take() -> Response:
    """Parse one event."""
    orjson.loads(request.get_data())
    return Response(status=200)


@app.get("/readyz")
def readyz() -> Response:
    """Respond, since the server listens."""
    return Response(status=200)
