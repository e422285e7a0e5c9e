"""What tests share: a real server process, and the questions they put to the engine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

DATA = Path(__file__).parent / "data"
# As many as an engine gives in one answer by default.
MOST_HITS = 10_000
# An index that was just created has its shard within two seconds on a busy machine.
SHARD_RETRIES, SHARD_WAIT = 100, 0.2


class Index:
    """Questions to the engine, over plain HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def request(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        answer = self._session.request(method, self.url + path, json=body, params=params, timeout=60)
        return answer.json() if answer.content else {}

    def search(self, path: str, body: Any, **params: str) -> Any:
        """Return a complete answer of a search or count; retry while an index just created has no searchable shard."""
        for _ in range(SHARD_RETRIES):
            answer = self.request("POST", path, body, **params)
            if "error" not in answer and not answer["_shards"]["failed"]:
                return answer
            if answer.get("status", 503) != 503:
                break
            time.sleep(SHARD_WAIT)
        raise AssertionError(f"{path}: {json.dumps(answer)[:2000]}")

    def refresh(self) -> None:
        self.request("POST", "/_refresh")

    def documents(self, pattern: str, query: Any = None) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the documents of some indices that match a query: (index, id) -> source."""
        self.refresh()
        hits = self._hits(pattern, query)
        if len(hits) == MOST_HITS:
            # More than one answer holds: each index by itself.
            names = [row["index"] for row in self.request("GET", f"/_cat/indices/{pattern}", format="json")]
            hits = [hit for name in names for hit in self._hits(name, query)]
            assert len(hits) > MOST_HITS
        return {(hit["_index"], hit["_id"]): hit["_source"] for hit in hits}

    def _hits(self, pattern: str, query: Any) -> list[dict[str, Any]]:
        body = {"size": MOST_HITS, "query": query or {"match_all": {}}}
        answer = self.search(f"/{pattern}/_search", body, ignore_unavailable="true")
        return list(answer["hits"]["hits"])

    def count(self, pattern: str, query: Any = None) -> int:
        self.refresh()
        body = {"query": query} if query else None
        return int(self.search(f"/{pattern}/_count", body, ignore_unavailable="true")["count"])

    def aggregate(self, pattern: str, aggs: Any, query: Any = None) -> Any:
        self.refresh()
        body = {"size": 0, "track_total_hits": True, "aggs": aggs, **({"query": query} if query else {})}
        return self.search(f"/{pattern}/_search", body)["aggregations"]

    def drop(self, pattern: str) -> None:
        for name in list(self.request("GET", f"/{pattern}/_settings", ignore_unavailable="true")):
            if name.startswith(("inference-", "reference-", "drift-", "g-", "request-logger")):
                self.request("DELETE", f"/{name}")


class Server:
    """A `request-logger serve` process."""

    command = "serve"

    def __init__(self, engine_url: str, log: Path, **env: str) -> None:
        parts = urlsplit(engine_url)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}
        self._log_file = log.open("ab")
        self._is_stopping = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "request_logger.cli", self.command],
            env={
                **inherited,
                "ELASTICSEARCH_HOST": parts.hostname or "",
                "ELASTICSEARCH_PORT": str(parts.port),
                "PORT": str(self.port),
                "GUNICORN_WORKERS": "2",
                "STOP_DELAY_SECONDS": "0",
                **env,
            },
            stdout=self._log_file,
            stderr=self._log_file,
            start_new_session=True,
        )

    def wait(self, path: str = "/readyz", timeout: float = 30) -> Server:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if requests.get(self.url + path, timeout=5).status_code == 200:
                    return self
            except requests.RequestException:
                pass
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"the server is not ready:\n{self.log.read_text()[-3000:]}")

    def terminate(self) -> None:
        """Ask the server to stop; `stop` waits for it."""
        if self.process.poll() is None and not self._is_stopping:
            self._is_stopping = True
            self.process.terminate()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log_file.close()

    def kill(self) -> None:
        """Kill the server with all its workers, as a machine that fails does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Sender:
    """One connection that sends events as they are: headers in order, values as latin-1 bytes."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        self._address = urlsplit(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def send(
        self, headers: Any, body: bytes, method: str = "POST", path: str = "/", *, chunked: bool = False
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._address.hostname or "", self._address.port, timeout=self._timeout
            )
        connection = self._connection
        try:
            connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
            pairs = headers.items() if isinstance(headers, dict) else headers
            for name, value in pairs:
                if name.lower() not in ("host", "content-length", "transfer-encoding", "connection"):
                    connection.putheader(name, value.encode("latin-1"))
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
                connection.endheaders()
                for start in range(0, len(body), 1000):
                    piece = body[start : start + 1000]
                    connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                connection.send(b"0\r\n\r\n")
            else:
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def event(part: str, request_id: str, deployment: str, **headers: str) -> dict[str, str]:
    """Headers of an event as the Seldon executor sends them; ``Ce_Time=...`` and the like override."""
    kind = "feedback" if part == "feedback" else f"inference.{part}"
    made = {
        "Content-Type": "application/json",
        "Ce-Specversion": "1.0",
        "Ce-Id": f"ce-{request_id}-{part}",
        "Ce-Source": "http://:8000/",
        "Ce-Type": f"io.seldon.serving.{kind}",
        "Ce-Requestid": request_id,
        "Ce-Modelid": "classifier",
        "Ce-Inferenceservicename": deployment,
        "Ce-Namespace": "test",
        "Ce-Endpoint": "default",
        "Ce-Time": {"request": "2026-01-02T03:04:05.100Z", "feedback": "2026-01-03T00:00:00.000Z"}.get(
            part, "2026-01-02T03:04:05.200Z"
        ),
    }
    made.update({name.replace("_", "-"): value for name, value in headers.items()})
    return {name: value for name, value in made.items() if value}


def index_of(deployment: str) -> str:
    """The index that the events of `event` go to."""
    return f"inference-log-seldon-test-{deployment}-default"


def ndarray(rows: Any, names: list[str] | None = None) -> bytes:
    """A Seldon message with an array."""
    data = {"ndarray": rows, **({"names": names} if names else {})}
    return json.dumps({"data": data}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
