"""Runs `request-logger serve` as a real process on a free port, for the demo and the benchmarks."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from request_logger.errors import CommandError
from request_logger.settings import Settings

HOST = "127.0.0.1"
# Below the ports that systems use for outgoing connections, so that none of these takes the port first.
_PORTS = (20000, 32000)
_TRIES = 3
_STOP_SECONDS = 40.0
_SERVE = ("-m", "request_logger.cli", "serve")


class ServerStartError(CommandError):
    """The server ended, or was not ready in time. The message ends with the last lines of its log."""


class LocalServer:
    """A server process, ready once the constructor returns; a context manager that stops it.

    Its ``settings`` are the defaults, the given ones (by environment variable) and, from the environment, those that
    locate the search engine. ``python`` are the arguments for Python, whose process listens on PORT and answers
    /readyz; ``folder`` is its working directory, by default this process's. ``port`` is used where it is free.
    ``boot`` is the startup time in seconds.
    Raises SettingsError and ServerStartError.
    """

    def __init__(
        self,
        given: Mapping[str, str],
        *,
        python: Sequence[str] = _SERVE,
        timeout: float = 60.0,
        folder: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.settings = Settings.from_env(_environment(given))
        self._given = given
        self._python = python
        self._working_directory = folder
        self._folder = tempfile.TemporaryDirectory(prefix="request-logger-server-")
        self.log_path = Path(self._folder.name) / "server.log"
        started = time.monotonic()
        try:
            for tries_left in reversed(range(_TRIES)):
                self.port = port if port is not None and is_free(port) else _free_port()
                self._process = self._start(given)
                if self._is_ready(started + timeout):
                    break
                if not tries_left or "Address already in use" not in self.log_path.read_text(encoding="utf-8"):
                    raise ServerStartError(f"the server was not ready in time:\n{self._last_lines()}")
                self._end()
        except BaseException:
            self.stop()
            raise
        self.boot = time.monotonic() - started

    @property
    def url(self) -> str:
        """The URL for events."""
        return f"http://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process is running."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its master, and of the process group of all its workers."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it with all its workers (SIGKILL), as a failing machine does."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self, path: str = "/readyz", timeout: float = 60.0) -> None:
        """Restart it on its port and wait until ``path`` is answered 200. Raises ServerStartError."""
        self._process = self._start(self._given)
        if not self._is_ready(time.monotonic() + timeout, path):
            raise ServerStartError(f"the server was not ready in time:\n{self._last_lines()}")

    def stop(self) -> None:
        """Stop it; accepted events are stored first."""
        self._end()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, given: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, *self._python],
                env=_environment({**given, "PORT": str(self.port)}),
                cwd=self._working_directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal reaches only the parent, which stops the server.
                start_new_session=True,
            )

    def _is_ready(self, deadline: float, path: str = "/readyz") -> bool:
        while self.running and time.monotonic() < deadline:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
            try:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        return False

    def _last_lines(self) -> str:
        return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])

    def _end(self) -> None:
        if not hasattr(self, "_process"):
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class RunningServer:
    """A server that runs already at ``url``; its relevant settings are taken from this process.

    Raises ServerStartError if it is not ready.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ServerStartError(f"--url: expected a URL with http://, found {url!r}")
        self.url = f"http://{parts.netloc}"
        self.settings = Settings.from_env()
        started = time.monotonic()
        if not self.running:
            raise ServerStartError(f"no request logger is ready at {self.url}")
        self.boot = time.monotonic() - started

    @property
    def running(self) -> bool:
        """Whether it responds and reaches its search engine."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    own = {spec.name.upper() for spec in fields(Settings) if not spec.name.startswith("elasticsearch_")}
    own.add("PROMETHEUS_MULTIPROC_DIR")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    # No other sender needs time to notice that it stops.
    return {"STOP_DELAY_SECONDS": "0", **inherited, **given}


def engine_settings(url: str) -> dict[str, str]:
    """Return the environment variables for the search engine at a plain URL."""
    parts = urlsplit(url)
    return {"ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}


def _free_port() -> int:
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311  # only to avoid conflicts
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Return whether no process listens on a port of this host."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
