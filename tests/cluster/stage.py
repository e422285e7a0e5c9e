"""What a cluster would run behind Knative, as processes: the engine, the logger, the one with a spool, and the broker.

Their settings are those of the overlay `knative`, read from what the API server has.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from request_logger.embedded_engine import EmbeddedEngine, start_engine
from tests.cluster.broker import Broker, prepare
from tests.cluster.control_plane import Cluster
from tests.cluster.overlays import Case, apply, write
from tests.helpers import Index, Server, free_port
from tests.k8s.manifests import pod_specs

NAMESPACE = "outage"
# The cores may be busy with other work: a restart has taken more than two minutes.
_BOOT_SECONDS = 600.0
# Places are those of this machine.
_PLACES = (
    "PROMETHEUS_MULTIPROC_DIR",
    "SPOOL_DIR",
    "ELASTICSEARCH_HOST",
    "ELASTICSEARCH_PORT",
    "ELASTICSEARCH_PROTOCOL",
)


class Logger:
    """A logger that can be killed and started again, on the same port and with the same folder."""

    def __init__(self, engine_url: str, folder: Path, **env: str) -> None:
        self._engine_url = engine_url
        self._log = folder / "logger.log"
        self._env = env
        self._port = free_port()
        self._server: Server | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it serves, whatever the engine does."""
        self._server = Server(self._engine_url, self._log, PORT=str(self._port), **self._env)
        self._server.port, self._server.url = self._port, self.url
        self._server.wait("/healthz")

    def restart(self, **env: str) -> None:
        """Stop it as a rollout does, and start it with other settings."""
        self.stop()
        self._env = {**self._env, **env}
        self.start()

    def kill(self) -> None:
        """Kill it with all its workers."""
        assert self._server
        self._server.kill()

    def stop(self) -> None:
        """Let it finish what is in progress."""
        if self._server:
            self._server.stop()

    def counted(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values with these labels."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(float(value) for given, value in lines if wanted <= set(re.findall(r'\w+="[^"]*"', given)))


@dataclass(frozen=True)
class Stage:
    """All that an outage needs."""

    engine: EmbeddedEngine
    index: Index
    logger: Logger
    spool: Logger
    broker: Broker


@contextlib.contextmanager
def start_stage(cluster: Cluster, folder: Path) -> Iterator[Stage]:
    """Apply the overlay and run its parts for the duration of the block."""
    prepare(cluster)
    cluster.namespace(NAMESPACE)
    apply(cluster, write(folder / NAMESPACE, Case("overlays/knative"), NAMESPACE))
    # No faster than the check needs, and it is started often.
    with start_engine(heap="512m", timeout=_BOOT_SECONDS) as engine, contextlib.ExitStack() as stack:
        (folder / "spool").mkdir()
        logger = Logger(
            engine.url, folder, **_settings(cluster, "services.serving.knative.dev", "seldon-request-logger")
        )
        spool = Logger(
            engine.url,
            folder / "spool",
            **_settings(cluster, "statefulset.apps", "seldon-request-logger-spool"),
            SPOOL_DIR=str(folder / "spool" / "events"),
        )
        broker = Broker(cluster, NAMESPACE, folder, logger.url, spool.url)
        for each in (logger, spool):
            stack.callback(each.stop)
            each.start()
        stack.enter_context(broker.running())
        yield Stage(engine, Index(engine.url), logger, spool, broker)


def _settings(cluster: Cluster, kind: str, name: str) -> dict[str, str]:
    """Return the variables of a workload's container, of its ConfigMap and of its own."""
    ((_, pod),) = pod_specs(cluster.get(NAMESPACE, kind, name))
    (container,) = pod["containers"]
    config = container["envFrom"][0]["configMapRef"]["name"]
    given = dict(cluster.get(NAMESPACE, "configmap", config)["data"])
    given.update({each["name"]: each["value"] for each in container["env"] if "value" in each})
    return {variable: value for variable, value in given.items() if variable not in _PLACES}
