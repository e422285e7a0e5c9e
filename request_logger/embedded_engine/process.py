"""Runs an engine as one Java process that ends with this process and listens on the loopback interface only."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from request_logger.embedded_engine.jars import class_path, engine_home
from request_logger.embedded_engine.java import Java, find_java
from request_logger.embedded_engine.kinds import Kind, kind_named

_HOST = "127.0.0.1"
# Below the ephemeral ports of Linux and macOS, so that a port is still free at a restart.
_PORTS = (20000, 32000)
# Starts with other ports after another process has taken one between the check and the bind.
_PORT_TRIES = 5
# Lines of the log in an error message: enough for an exception with its causes, without stack frames.
_LOG_LINES = 15
# A shutdown that takes longer is ended with SIGKILL.
_STOP_SECONDS = 20.0

_live: set[EmbeddedEngine] = set()


class EngineFailed(RuntimeError):  # noqa: N818  # as EngineUnavailable
    """An engine ended, or did not become ready in time. The message ends with the last lines of its log."""


class _PortTaken(EngineFailed):
    """Another process took the port between the check and the bind."""


@dataclass(frozen=True)
class _Launch:
    """Everything that a start needs except the ports; unchanged by restarts."""

    kind: Kind
    java: Java
    home: Path
    data: Path
    nodes: int
    heap: str
    timeout: float
    settings: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[int, ...] = ()
    """In a cluster of several processes: the transport ports of all, including this one's."""
    number: int = 0
    """The index of this process among the peers."""

    @property
    def cluster(self) -> str:
        """A cluster name that is unique per data folder, which identifies this engine's answers on a port."""
        # The processes of a cluster have sibling folders and share the name.
        folder = self.data.parent if self.peers else self.data
        return f"request-logger-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"

    @property
    def members(self) -> int:
        """The number of nodes of the cluster."""
        return len(self.peers) or self.nodes


class EmbeddedEngine:
    """A running search engine, as `start_engine` returns it; a context manager that stops it.

    `url` is the first node's, `urls` has one per node, `timings` has the seconds of `fetch` and of the last `boot`. Not
    thread-safe.
    """

    def __init__(self, launch: _Launch, ports: list[int], temporary: bool, fetch_seconds: float) -> None:
        self._launch = launch
        self._ports = ports
        self._temporary = temporary
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._suspended = False
        self.kind = launch.kind.name
        self.version = launch.kind.version
        self.log_path = launch.data / "engine.log"
        self.timings = {"fetch": fetch_seconds, "boot": 0.0}

    @property
    def urls(self) -> list[str]:
        """The base URL of each node, such as `http://127.0.0.1:21345`."""
        return [f"http://{_HOST}:{port}" for port in self._ports[: self._launch.nodes]]

    @property
    def url(self) -> str:
        """The base URL of the first node."""
        return self.urls[0]

    @property
    def pid(self) -> int:
        """The process id of its Java. Raises EngineFailed if it isn't started or was stopped."""
        if self._process is None:
            raise EngineFailed(f"{self._launch.kind.label} is stopped")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process exists (suspended or not)."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Shut it down; kill it after _STOP_SECONDS. A temporary data folder is removed.

        Only `restart` starts it again, and only with a data folder that was given. Stopping twice is allowed.
        """
        self._end()
        shutil.rmtree(self._launch.data / "tmp", ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self._launch.data, ignore_errors=True)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end, as in a crash. The data are kept for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def suspend(self) -> None:
        """Send SIGSTOP: connections stay open without answers. Returns when all threads have stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        self._suspended = True
        if hasattr(os, "waitid"):  # missing in older Pythons on macOS
            # On a busy machine this takes a moment, and the kernel wakes an orphaned group only if it has fully
            # stopped.
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Send SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self._suspended = False

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same ports and data. Returns when it answers.

        Raises EngineFailed if it doesn't become ready, or was stopped and its data were temporary.
        """
        self._end()
        if self._temporary and not self._launch.data.exists():
            raise EngineFailed(f"{self._launch.kind.label} was stopped and its temporary data are gone")
        self._boot()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _boot(self) -> None:
        """Start the process and wait until the cluster is ready. Raises EngineFailed."""
        started = time.monotonic()
        self._begin()
        self._until_ready(started)

    def _begin(self) -> None:
        """Start the process."""
        launch = self._launch
        (launch.data / "tmp").mkdir(exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = _spawn(launch, self._ports, log, self._temporary)
        _live.add(self)

    def _until_ready(self, started: float) -> None:
        """Wait until the cluster is ready. Raises EngineFailed."""
        try:
            self._wait(started + self._launch.timeout)
        except BaseException:  # also Ctrl-C during the start must not leave the process behind
            self._end()
            raise
        self.timings["boot"] = time.monotonic() - started

    def _wait(self, deadline: float) -> None:
        waiting = list(self._ports[: self._launch.nodes])
        while waiting:
            if self._process is None or self._process.poll() is not None:
                log = self._last_lines()
                taken = "Address already in use" in log or "BindHttpException" in log or "BindTransportException" in log
                raise (_PortTaken if taken else EngineFailed)(f"{self._launch.kind.label} ended at its start:\n{log}")
            if time.monotonic() > deadline:
                raise EngineFailed(
                    f"{self._launch.kind.label} was not ready after {self._launch.timeout:.0f} s:\n{self._last_lines()}"
                )
            if _is_ready(waiting[0], self._launch):
                waiting.pop(0)
            else:
                time.sleep(0.1)

    def _last_lines(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            # Stack frames are less useful than the lines between them.
            return "\n".join([line for line in lines if not line.startswith("\tat ")][-_LOG_LINES:])
        return "(no log)"

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            if self._suspended:
                self.resume()
            # "stop" distinguishes this from the parent's death, after which the launcher removes temporary data itself.
            try:
                process.communicate(b"stop", timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._forget()

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process = None
        self._suspended = False
        _live.discard(self)


def start_engine(
    kind: str = "opensearch",
    *,
    data_dir: Path | None = None,
    nodes: int = 1,
    heap: str = "512m",
    progress: Callable[[str], None] | None = None,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> EmbeddedEngine:
    """Download what the engine needs (once), start it and wait until it answers.

    `data_dir` keeps its data; without one they are temporary. `nodes` above 1 (OpenSearch only) makes a cluster within
    one process. `port` is the first node's HTTP port; by default a free one is chosen. `settings` are the engine's own
    and override the defaults set here, such as disabled disk watermarks. `timeout` is in seconds, for the start.

    Raises ValueError for an unknown kind or one that can't have that many nodes, EngineUnavailable if something is
    missing or a jar is not the pinned one, EngineFailed if it doesn't become ready.
    """
    chosen = kind_named(kind)
    if nodes < 1 or (nodes > 1 and not chosen.several_nodes):
        raise ValueError(f"{chosen.label} can't be started with {nodes} nodes")
    if port is not None and not _is_free(port):
        raise EngineFailed(f"port {port} of {_HOST} is taken")
    report = progress or (lambda _line: None)
    started = time.monotonic()
    java = find_java(chosen)
    home = engine_home(chosen, java, report)
    fetched = time.monotonic() - started
    temporary = data_dir is None
    data = Path(tempfile.mkdtemp(prefix="request-logger-engine-")) if data_dir is None else data_dir
    data.mkdir(parents=True, exist_ok=True)
    launch = _Launch(chosen, java, home, data.resolve(), nodes, heap, timeout, dict(settings or {}))
    report(f"starting {chosen.label} ...")
    tries = _PORT_TRIES
    while True:
        engine = EmbeddedEngine(launch, _choose_ports(nodes, port), temporary, fetched)
        try:
            engine._boot()
            break
        except _PortTaken:
            tries -= 1
            if port is not None or not tries:
                engine.stop()
                raise
        except BaseException:
            engine.stop()
            raise
    report(f"ready after {engine.timings['boot']:.1f} s")
    return engine


def _choose_ports(nodes: int, first: int | None) -> list[int]:
    """Return free ports: the HTTP port of each node, then the transport port of each."""
    chosen: list[int] = [] if first is None else [first]
    while len(chosen) < 2 * nodes:
        candidate = random.randrange(*_PORTS)  # noqa: S311  # random only to avoid collisions between processes
        if candidate not in chosen and _is_free(candidate):
            chosen.append(candidate)
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the engines do: connections in TIME_WAIT don't matter, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _spawn(launch: _Launch, ports: list[int], log: IO[bytes], temporary: bool) -> subprocess.Popen[bytes]:
    command = [str(launch.java.path), f"-Xms{launch.heap}", f"-Xmx{launch.heap}", *launch.java.options()]
    command += ["-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", f"-Djava.io.tmpdir={launch.data / 'tmp'}"]
    command += ["-Dfile.encoding=UTF-8", "-Dlog4j2.disable.jmx=true", f"-Dengine.home={launch.home}"]
    if temporary:
        command.append(f"-Dengine.temporary={launch.data}")
    command += ["-cp", class_path(launch.kind, launch.home), launch.kind.launcher, ",".join(launch.kind.plugins)]
    for node in range(launch.nodes):
        config = launch.data / f"node-{node + 1}" / "config"
        config.mkdir(parents=True, exist_ok=True)
        # JSON is YAML too.
        (config / launch.kind.config_file).write_text(
            json.dumps(_node_settings(launch, ports, node), indent=1), encoding="utf-8"
        )
        command.append(str(config))
    return subprocess.Popen(  # noqa: S603
        command,
        # The pipe closes when this process dies, for whatever reason; the launcher then ends the engine.
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=launch.data,
        # A separate process group: the parent handles a terminal's Ctrl-C, and if the parent dies while the engine is
        # suspended, the kernel wakes the stopped, orphaned group.
        process_group=0,
    )


def _node_settings(launch: _Launch, ports: list[int], node: int) -> dict[str, Any]:
    http_ports, transport_ports = ports[: launch.nodes], ports[launch.nodes :]
    folder = launch.data / f"node-{node + 1}"
    discovery: dict[str, Any] = {"discovery.type": "single-node"}
    if launch.members > 1:
        discovery = {
            "discovery.seed_hosts": [f"{_HOST}:{port}" for port in launch.peers or transport_ports],
            "cluster.initial_cluster_manager_nodes": [f"node-{number + 1}" for number in range(launch.members)],
        }
    return {
        # Developers' disks are often fuller than the watermarks allow, which would make indices read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        "logger.level": "WARN",
        **discovery,
        **launch.settings,
        "cluster.name": launch.cluster,
        "node.name": f"node-{launch.number + node + 1}",
        "network.host": _HOST,
        "http.port": http_ports[node],
        "transport.port": transport_ports[node],
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
    }


def _is_ready(port: int, launch: _Launch) -> bool:
    """Return whether this cluster answers on the port, has all its nodes and can serve every index."""
    query = f"wait_for_status=yellow&wait_for_nodes={launch.members}&timeout=1s"
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", f"/_cluster/health?{query}")
        answer = connection.getresponse()
        health = json.loads(answer.read())
        return answer.status == 200 and health["cluster_name"] == launch.cluster and not health["timed_out"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


@atexit.register
def _stop_all() -> None:
    for engine in list(_live):
        if engine._owner == os.getpid():  # a forked child must not stop its parent's engine
            engine.stop()
