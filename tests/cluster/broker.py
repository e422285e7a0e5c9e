"""Knative's broker as processes: its ingress and filter as they are, and its in-memory channel between them.

Its controllers don't run: what they would write into the status of the Broker and the Trigger is written here, with the
addresses of this machine.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from tests.cluster.control_plane import Cluster
from tests.cluster.processes import run, wait
from tests.helpers import free_port

SYSTEM = "knative-eventing"
# The names of the settings that the programs watch; empty ones are the defaults.
_CONFIG_MAPS = ("config-features", "config-logging", "config-observability")
_START_SECONDS = 60

Process = contextlib.AbstractContextManager[subprocess.Popen[bytes]]


class Part:
    """A program that can be killed and started again, on the same port."""

    def __init__(self, start: Callable[[], Process], url: str) -> None:
        self.url = url
        self._start = start
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start it and wait until it answers, whatever it says."""
        self._stack.enter_context(self._start())
        wait(self._answers, f"{self.url} answers", _START_SECONDS)

    def kill(self) -> None:
        """Kill it, with all that it has in memory."""
        self._stack.close()

    def _answers(self) -> bool:
        try:
            requests.get(self.url, timeout=5)
        except requests.RequestException:
            return False
        return True


class Broker:
    """Ingress, channel and filter of one Broker with one Trigger. Events are sent to `url`."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, subscriber: str, dead_letters: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._folder = folder
        self._ports = {name: free_port() for name in ("ingress", "filter", "channel")}
        self.is_async = False
        self.url = f"{self._address('ingress')}/{namespace}/default"
        self.ingress = Part(lambda: self._run("ingress", INGRESS_PORT="ingress"), self._address("ingress"))
        self.filter = Part(lambda: self._run("filter", FILTER_PORT="filter"), self._address("filter"))
        self.channel = Part(self._run_channel, self._address("channel"))
        self._describe(subscriber, dead_letters)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run all three for the duration of the block."""
        parts = (self.filter, self.channel, self.ingress)
        try:
            for part in parts:
                part.start()
            yield
        finally:
            for part in parts:
                part.kill()

    def _address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _describe(self, subscriber: str, dead_letters: str) -> None:
        """What Knative's controllers write: statuses, and the channel's subscriber with the Trigger's own delivery."""
        trigger = self._cluster.get(self._namespace, "trigger", "seldon-request-logger-trigger")
        about = trigger["metadata"]
        channel = f"{self._address('channel')}/{self._namespace}/default-kne-trigger"
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self._write_status("broker", "default", address={"url": self.url}, annotations=_address_of(channel), **ready)
        self._write_status("trigger", about["name"], subscriberUri=subscriber, deadLetterSinkUri=dead_letters, **ready)
        spec = {
            "uid": about["uid"],
            "subscriberUri": f"{self._address('filter')}/triggers/{self._namespace}/{about['name']}/{about['uid']}",
            "replyUri": self.url,
            "delivery": {**trigger["spec"].get("delivery", {}), "deadLetterSink": {"uri": dead_letters}},
        }
        (self._folder / "subscriber.json").write_text(json.dumps(spec), encoding="utf-8")

    def _write_status(self, kind: str, name: str, **status: Any) -> None:
        patch = json.dumps({"status": status})
        self._cluster.kubectl(
            *("patch", kind, name, "--namespace", self._namespace, "--subresource=status", "--type=merge", "-p", patch)
        )

    def _run(self, name: str, **ports: str) -> Process:
        env = {
            **self._cluster.env,
            "SYSTEM_NAMESPACE": SYSTEM,
            "NAMESPACE": SYSTEM,
            "POD_NAME": name,
            "CONTAINER_NAME": name,
            "CONFIG_LOGGING_NAME": "config-logging",
            "CONFIG_OBSERVABILITY_NAME": "config-observability",
            "METRICS_DOMAIN": "knative.dev/internal/eventing",
            **{variable: str(self._ports[port]) for variable, port in ports.items()},
            **{f"{variable}_HTTPS": str(free_port()) for variable in ports},
        }
        return run([self._cluster.programs[name]], self._folder / f"{name}.log", env)

    def _run_channel(self) -> Process:
        command = [
            self._cluster.programs["channel"],
            f"--channel={self._namespace}/default-kne-trigger",
            f"--subscriber={self._folder / 'subscriber.json'}",
            f"--port={self._ports['channel']}",
            f"--async={str(self.is_async).lower()}",
        ]
        return run(command, self._folder / "channel.log", self._cluster.env)


def prepare(cluster: Cluster) -> None:
    """The namespace of Knative's programs, with their settings."""
    cluster.kubectl("create", "namespace", SYSTEM)
    for name in _CONFIG_MAPS:
        about = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SYSTEM}, "data": {}}
        cluster.kubectl("apply", "-f", "-", given=json.dumps(about))


def _address_of(channel: str) -> dict[str, str]:
    return {"knative.dev/channelAddress": channel}
