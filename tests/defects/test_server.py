"""The server around the store: folders, values in answers and logs, connections, signals.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from bench.faults.crowd import allow_connections, slow_clients_of
from bench.faults.culprits import Probes
from tests.defects.helpers import (
    ANSWER_SECONDS,
    PARTS,
    lives,
    send,
)
from tests.helpers import Index, Server, event, index_of

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("kind", ["others' files", "symlink", "mount point"])
def test_12_folder_of_the_metrics(make_server: Callable[..., Server], tmp_path: Path, kind: str) -> None:
    """PROMETHEUS_MULTIPROC_DIR with others' files: deleted, a spool below it too; on a mount or symlink: no start."""
    folder = tmp_path / "metrics"
    if kind == "symlink":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    else:
        folder.mkdir()
    if kind == "mount point":
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("mounting a tmpfs needs root")
    kept = [folder / "notes.txt", folder / "spool" / "spool.db"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
    try:
        server = make_server(GUNICORN_WORKERS="1", PROMETHEUS_MULTIPROC_DIR=str(folder))
        assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200
        server.stop()
        assert [path.read_text() for path in kept] == ["kept", "kept"]
    finally:
        if kind == "mount point":
            subprocess.run(["umount", "--lazy", folder], check=True)


MARKER = "mArKeR4711"
MARKED: dict[str, tuple[str, dict[str, str], bytes]] = {
    "feedback as text": ("/v1/feedback", {}, f'{{"reward": "{MARKER}"}}'.encode()),
    "feedback with a wrong id": ("/v1/feedback", {}, f'{{"request_id": ["{MARKER}"], "reward": 1}}'.encode()),
    "feedback that is no JSON": ("/v1/feedback", {}, f'{{"a": {MARKER}}}'.encode()),
    "event that is no JSON": ("/", {}, f'{{"data": {MARKER}}}'.encode()),
    "structured event that is no JSON": ("/", {"Content-Type": "application/cloudevents+json"}, MARKER.encode()),
    "structured event with wrong attributes": (
        "/",
        {"Content-Type": "application/cloudevents+json"},
        f'{{"specversion": "1.0", "type": {{"a": "{MARKER}"}}, "id": ["{MARKER}"]}}'.encode(),
    ),
    "structured event with wrong data": (
        "/",
        {"Content-Type": "application/cloudevents+json"},
        f'{{"specversion": "1.0", "type": "io.seldon.serving.feedback", "data_base64": "{MARKER}!"}}'.encode(),
    ),
    "batch of text": ("/", {"Content-Type": "application/cloudevents-batch+json"}, f'["{MARKER}"]'.encode()),
    "text where the mapping has a number": (
        "/",
        {},
        f'{{"data": {{"names": ["n"], "ndarray": [["{MARKER}"]]}}}}'.encode(),
    ),
}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("name", MARKED)
def test_13_values_in_answers_and_logs(one: Server, index: Index, deployment: str, name: str) -> None:
    """Errors of /v1/feedback, 422, log lines and the traceback of a dying thread quoted values of the body."""
    path, headers, body = MARKED[name]
    types = {"request": {"properties": {"elements": {"properties": {"n": {"type": "double"}}}}}}
    index.request("PUT", f"/{index_of(deployment)}", {"mappings": {"properties": types}})
    given = headers or (event("request", "r1", deployment) if path == "/" else {"Content-Type": "application/json"})
    answer = requests.post(one.url + path, body, headers=given, timeout=ANSWER_SECONDS)
    assert MARKER not in answer.text
    assert answer.status_code in (200, 207, 400, 422)
    assert MARKER not in one.log.read_text(errors="replace")


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("size", [10_000, 250_000, 400_000, 2_000_000])
@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_18_a_body_that_is_cut_off(one: Server, index: Index, deployment: str, kind: str, size: int) -> None:
    """Over 256 KiB half of it was stored as undecodable, and answered 200."""
    headers = event("request", "cut", deployment)
    lines = ["POST / HTTP/1.1", f"Host: {urlsplit(one.url).netloc}", *(f"{n}: {v}" for n, v in headers.items())]
    body = b'{"data": {"ndarray": [["' + b"x" * size + b'"]]}}'
    half = body[: len(body) // 2]
    if kind == "length":
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        raw = head + half
    else:
        head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
        raw = head + b"%x\r\n" % len(half) + half + b"\r\n"
    with socket.create_connection((urlsplit(one.url).hostname, urlsplit(one.url).port), timeout=ANSWER_SECONDS) as made:
        made.sendall(raw)
        made.shutdown(socket.SHUT_WR)
        answer = made.recv(1000)
    assert not answer.startswith(b"HTTP/1.1 2")
    lives(one, deployment)
    assert index.documents(index_of(deployment)) == {}


def test_19_idle_connections(make_server: Callable[..., Server], deployment: str) -> None:
    """4,100 idle connections: /healthz was dead for 64 s, a liveness probe gives up after 60."""
    allow_connections(8192)
    server = make_server(GUNICORN_WORKERS="1")
    with (
        slow_clients_of(server.url, idle=4100, trickling=0),
        Probes(server.url, every=0.2, timeout=3.0) as probes,
    ):
        time.sleep(3)
    assert probes.asked > 1
    assert probes.statuses == {200: probes.asked}
    lives(server, deployment)
    server.stop()


def test_20_usr2(make_server: Callable[..., Server]) -> None:
    """USR2: /metrics was 500 from then on."""
    server = make_server(GUNICORN_WORKERS="1")
    server.process.send_signal(signal.SIGUSR2)
    time.sleep(1)
    for _ in range(3):
        assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200
    server.stop()


@pytest.mark.parametrize("chunk", [b"zz", b"-5", b"0x5", b"", b"5" * 30, b"1_0"])
def test_20_a_bad_chunk_size(one: Server, deployment: str, chunk: bytes) -> None:
    """It was a 500 where it is a 400."""
    headers = event("request", "r1", deployment)
    lines = ["POST / HTTP/1.1", f"Host: {urlsplit(one.url).netloc}", *(f"{n}: {v}" for n, v in headers.items())]
    raw = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + chunk + b"\r\n{}\r\n0\r\n\r\n"
    with socket.create_connection((urlsplit(one.url).hostname, urlsplit(one.url).port), timeout=ANSWER_SECONDS) as made:
        made.sendall(raw)
        made.shutdown(socket.SHUT_WR)
        answer = made.recv(1000)
    # A size that is only too large may also be a body that was cut off.
    assert answer.startswith(b"HTTP/1.1 400") or (answer == b"" and len(chunk) > 20)


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("nodes", [[], [1], "text", 5, {"a": 1}, {"a": None}, {"a": {"request": "text"}}])
def test_20_foreign_documents(one: Server, index: Index, deployment: str, nodes: Any) -> None:
    """`nodes` that is a list in somebody else's document: 500."""
    for id in ("r1", "r2"):
        foreign = {
            "RequestId": id,
            "Ce-Namespace": "test",
            "Ce-Inferenceservicename": deployment,
            "Ce-Endpoint": "default",
            "nodes": nodes,
        }
        index.request("PUT", f"/{index_of(deployment)}/_doc/{id}", foreign)
        for part, body in PARTS.items():
            assert send(one.url, event(part, id, deployment), body) in (200, 422)
    lives(one, deployment)
