"""Real things for the tests: one engine a session, real server processes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from request_logger.cli import main
from request_logger.embedded_engine import EmbeddedEngine, start_engine
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server

# Which engine the session's tests run on; see request_logger.embedded_engine.KINDS.
KIND = os.environ.get("TEST_ENGINE", "opensearch")

# A busy machine is slow, which is no failure. A profile without a deadline is one that allows for that already.
if settings.default.deadline is not None:
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def _quick_java() -> None:
    """Start the session's engines and brokers with Java's first compiler alone, and one thread of garbage collection.

    They live for minutes: the second compiler costs more CPU than its code gives back. `pytest
    tests/test_metrics_server.py -k counters` took 57 s of CPU with the defaults, and 36 s so.
    """
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The engine of the session: the one that ELASTICSEARCH_HOST names, else one of our own."""
    host = os.environ.get("ELASTICSEARCH_HOST")
    if host:
        yield SimpleNamespace(url=f"http://{host}:{os.environ.get('ELASTICSEARCH_PORT', '9200')}")
        return
    with _started(heap="1g", progress=lambda line: print(line, flush=True)) as started:
        yield started


@pytest.fixture(scope="session")
def _mortal() -> Iterator[EmbeddedEngine]:
    with _started(heap="512m") as started:
        yield started


def _started(**options: Any) -> EmbeddedEngine:
    """Start the session's kind of engine; its data are in memory, where there is room for those of several engines.

    Each new index syncs several files: `pytest tests/test_golden.py` took 56 s on a disk, and 44 s so.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    with patch("tempfile.tempdir", str(memory)) if has_room else nullcontext():
        return start_engine(KIND, **options)


@pytest.fixture
def mortal(_mortal: EmbeddedEngine) -> Iterator[EmbeddedEngine]:
    """An engine that tests may kill. One for the session: its boot is what such tests would wait for longest."""
    yield _mortal
    # For the next one, where a test has failed half-way.
    if _mortal.running:
        _mortal.resume()
    else:
        _mortal.restart()


@pytest.fixture(scope="session")
def index(engine: Any) -> Index:
    """Questions to the session's engine."""
    return Index(engine.url)


@pytest.fixture(scope="module")
def make_server(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers, against the session's engine unless another URL is given; all of a module's stop at its end."""
    servers: list[Server] = []
    folder = tmp_path_factory.mktemp("servers")

    def make(engine_url: str | None = None, *, ready: bool = True, **env: str) -> Server:
        server = Server(engine_url or engine.url, Path(folder) / f"{len(servers)}.log", **env)
        servers.append(server)
        return server.wait("/readyz" if ready else "/healthz")

    yield make
    # Each takes seconds to drain: all at the same time.
    for server in servers:
        server.terminate()
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default settings."""
    server = Server(engine.url, tmp_path_factory.mktemp("server") / "log")
    yield server.wait()
    server.stop()


@pytest.fixture(scope="module")
def other_monthly(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server with an index a month, beside another one."""
    server = make_server(INDEX_PERIOD="month", GUNICORN_WORKERS="1")
    yield server
    server.stop()


@pytest.fixture
def sender(server: Server) -> Iterator[Sender]:
    """A connection to the session's server."""
    connection = Sender(server.url)
    yield connection
    connection.close()


@pytest.fixture
def deployment() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def command(reach: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `request-logger` on the session's engine; gives the status, and what it printed on both streams."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(argv)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def refusing(index: Index) -> Iterator[Callable[[str], None]]:
    """Make an index that refuses every document: a field of each has a type that its value never fits.

    It goes at the end of the test: no range of dates can be asked of all indices while one has numbers for them.
    """
    made: list[str] = []

    def make(name: str) -> None:
        mappings = {"properties": {"@timestamp": {"type": "long"}}}
        assert index.request("PUT", f"/{name}", {"mappings": mappings})["acknowledged"]
        made.append(name)

    yield make
    for name in made:
        index.drop(name)


@pytest.fixture
def reach(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that lead to the session's engine, in the environment too."""
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))
    return Settings.from_env()
