"""The search engine for a benchmark, and a plain HTTP client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from request_logger.embedded_engine import start_engine


@contextlib.contextmanager
def engine_url(heap: str = "1g") -> Iterator[str]:
    """Yield the URL of the engine in ELASTICSEARCH_HOST, or of an embedded one that runs as long as the block."""
    host = os.environ.get("ELASTICSEARCH_HOST")
    if host:
        yield f"http://{host}:{os.environ.get('ELASTICSEARCH_PORT', '9200')}"
        return
    with start_engine("opensearch", heap=heap, progress=lambda line: print(line, file=sys.stderr)) as engine:
        yield engine.url


class Client:
    """One connection to the engine."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the parsed response. Raises RuntimeError for an error status."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        self._connection.request(method, path, raw, {"Content-Type": kind} if raw is not None else {})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300].decode(errors='replace')}")
        return json.loads(text)

    def drop(self, index: str) -> None:
        """Delete an index if it exists."""
        self.ask("DELETE", f"/{index}?ignore_unavailable=true")
