"""What ours is measured against: Flask that parses the JSON and answers, under the same server, with no engine."""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/")
def take() -> Response:
    """Read one event."""
    orjson.loads(request.get_data())
    return Response(status=200)


@app.get("/readyz")
def readyz() -> Response:
    """Say that it listens."""
    return Response(status=200)
