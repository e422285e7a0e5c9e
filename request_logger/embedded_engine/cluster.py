"""Starts a cluster with one process per node, so that nodes can be killed individually."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from request_logger.embedded_engine.jars import engine_home
from request_logger.embedded_engine.java import find_java
from request_logger.embedded_engine.kinds import kind_named
from request_logger.embedded_engine.process import EmbeddedEngine, _choose_ports, _Launch


@contextlib.contextmanager
def start_cluster(
    nodes: int = 3,
    *,
    heap: str = "400m",
    progress: Callable[[str], None] | None = None,
    settings: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> Iterator[list[EmbeddedEngine]]:
    """Run an OpenSearch cluster for the duration of the block, with temporary data.

    Each node is an `EmbeddedEngine` that can be killed, suspended and restarted. `restart` returns when all nodes have
    joined. ``timeout`` is in seconds, for the start.

    Raises EngineUnavailable if something is missing, EngineFailed if the cluster doesn't become ready.
    """
    chosen = kind_named("opensearch")
    report = progress or (lambda _line: None)
    java = find_java(chosen)
    home = engine_home(chosen, java, report)
    folder = Path(tempfile.mkdtemp(prefix="request-logger-cluster-")).resolve()
    ports = _choose_ports(nodes, None)
    peers = tuple(ports[nodes:])
    engines = []
    try:
        report(f"starting {nodes} nodes of {chosen.label} ...")
        started = time.monotonic()
        for number, (http_port, transport_port) in enumerate(zip(ports, peers, strict=False)):
            data = folder / f"{number + 1}"
            data.mkdir()
            launch = _Launch(chosen, java, home, data, 1, heap, timeout, dict(settings or {}), peers, number)
            engines.append(EmbeddedEngine(launch, [http_port, transport_port], False, 0.0))
            engines[-1]._begin()
        for engine in engines:
            engine._until_ready(started)
        report(f"ready after {time.monotonic() - started:.1f} s")
        yield engines
    finally:
        for engine in engines:
            engine.stop()
        shutil.rmtree(folder, ignore_errors=True)
